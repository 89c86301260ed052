import { setTimeout as sleep } from "node:timers/promises";
import { AirgapError, type ErrorCode, messageOf } from "../errors.ts";
import { type ClusterStatus, type StatusOptions, status } from "./status.ts";

/** One look at a cluster that is watched. */
export interface Look {
  /** ISO 8601. */
  time: string;
  /** Absent when the cluster could not be asked. */
  status?: ClusterStatus;
  /** Why it could not be asked. */
  silent?: string;
}

/** Waiting does not mend these. */
const FINAL: readonly ErrorCode[] = ["usage", "spec", "unauthorized", "not-found", "corrupt", "environment"];

/**
 * Looks at a cluster again and again until `options.signal` is aborted. A cluster that cannot be asked is looked at again
 * as well.
 * @throws AirgapError where waiting does not help
 */
export async function* watch(options: StatusOptions, everyMs: number): AsyncGenerator<Look> {
  const { signal } = options;
  while (!signal?.aborted) {
    const time = new Date().toISOString();
    try {
      yield { time, status: await status(options) };
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof AirgapError) || FINAL.includes(error.code)) throw error;
      yield { time, silent: messageOf(error) };
    }
    await sleep(everyMs, undefined, signal ? { signal } : {}).catch((error: unknown) => {
      if (!signal?.aborted) throw error;
    });
  }
}

/** Numbers that change all the time do not make another problem of it. */
const gist = (problem: string): string => problem.replace(/\d+ (?:MiB|days?)\b/g, "…");

const problemsOf = ({ status: found, silent }: Look): string[] =>
  found?.problems ?? (silent === undefined ? [] : [`the cluster cannot be asked: ${silent}`]);

/** `10.0.0.200` → `lb1`, `the leadership of etcd` → `cp1`. */
function holders({ status: found }: Look): Map<string, string> {
  const leader = found?.etcd.find((member) => member.leader)?.host;
  return new Map([
    ...(found?.endpoint?.addresses ?? []).map(
      ({ address, heldBy }) => [address, heldBy.join(" and ") || "nobody"] as const,
    ),
    ...(leader ? [["the leadership of etcd", leader] as const] : []),
  ]);
}

/** What has changed since the look before, a line each. */
export function changesBetween(before: Look | undefined, after: Look): string[] {
  const [old, now] = [before ? problemsOf(before) : [], problemsOf(after)];
  const [oldGists, nowGists] = [new Set(old.map(gist)), new Set(now.map(gist))];
  const held = before ? holders(before) : new Map<string, string>();
  return [
    ...now.filter((problem) => !oldGists.has(gist(problem))).map((problem) => `! ${problem}`),
    ...old.filter((problem) => !nowGists.has(gist(problem))).map((problem) => `solved: ${problem}`),
    ...[...holders(after)].flatMap(([what, who]) => {
      const was = held.get(what);
      return was === undefined || was === who ? [] : [`${who} has ${what}, ${was} had it`];
    }),
  ];
}
