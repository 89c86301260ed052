import { namedHosts, nodesOf } from "../cluster/cluster.ts";
import { openerFor, readAllFacts } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError } from "../errors.ts";
import { RunLog } from "../plan/log.ts";
import { Mask } from "../plan/mask.ts";
import { withLibrary } from "../plan/script.ts";
import { Session } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { StateDir } from "../plan/state-dir.ts";
import { type Leftover, leftoversOn } from "./preflight/leftovers.ts";
import type { ResetOptions, ResetResult } from "./reset.ts";

/** An uninstaller of another Kubernetes stops many containers. */
const REMOVING_MS = 600_000;

const DOES: Record<Leftover["kind"], string> = {
  service: "stop and remove",
  device: "delete the network device",
  configuration: "delete",
};

/**
 * Removes what other clusters left on hosts: only what is named, and only what `hosts check` names too.
 * @throws AirgapError `usage` for something that no host has
 */
export async function clearLeftovers(
  options: Pick<ResetOptions, "clusterFile" | "hosts" | "emit" | "signal" | "open" | "confirm"> & {
    leftovers: string[];
    /** Asked before anything is removed, with what is done where. */
    sure: (what: string[]) => Promise<boolean>;
  },
): Promise<ResetResult> {
  const { leftovers, signal, emit } = options;
  const cluster = await readCluster(options.clusterFile);
  const hosts = nodesOf({ ...cluster, hosts: namedHosts(cluster, options.hosts) });
  const home = StateDir.open(cluster);
  const log = new RunLog(home, new Mask([]));
  const session = await Session.start(hosts, openerFor(home, options));
  try {
    const facts = await readAllFacts(hosts, session, signal);
    const found = hosts.flatMap((host) => {
      const own = facts[host.name];
      return own ? leftoversOn(host, own, cluster).map((leftover) => ({ host: host.name, leftover })) : [];
    });
    const wanted = found.filter(({ leftover }) => leftovers.includes(leftover.name));
    const unknown = leftovers.filter((name) => !found.some(({ leftover }) => leftover.name === name));
    if (unknown.length > 0) throw nothingLike(unknown, found);
    const what = wanted.map(({ host, leftover: { kind, name } }) => `${host}: ${DOES[kind]} ${name}`);
    if (!(await options.sure(what)))
      throw new AirgapError("usage", "Cancelled: nothing was changed", {
        suggestions: ["use --yes to skip this question"],
      });
    const results: ResetResult["hosts"] = [];
    for (const [host, own] of Map.groupBy(wanted, (each) => each.host)) {
      emit({ type: "phase", name: "leftovers", detail: host });
      const failed: string[] = [];
      for (const { leftover } of own) {
        const { code, stdout, stderr } = await session
          .get(host)
          .run(withLibrary(call("remove_leftover", leftover.kind, leftover.name)), {
            timeoutMs: REMOVING_MS,
            ...(signal ? { signal } : {}),
          });
        log.output(host, stdout + stderr);
        if (code !== 0) failed.push(`${leftover.name}: ${stderr.trim() || `it ended with ${code}`}`);
      }
      results.push({ host, undone: own.length - failed.length, failed });
    }
    const bad = results.flatMap(({ host, failed }) => failed.map((each) => `  ${host}: ${each}`));
    if (bad.length > 0)
      throw new AirgapError("step-failed", `Not everything could be removed:\n${bad.join("\n")}`, {
        suggestions: [`The whole output is in ${log.path}`],
        data: { hosts: results },
      });
    return { cluster: cluster.name, hosts: results, log: log.path };
  } finally {
    await session.close();
    log.close();
  }
}

function nothingLike(unknown: string[], found: { host: string; leftover: Leftover }[]): AirgapError {
  const all = found.map(({ host, leftover }) => `${leftover.name} on ${host}`);
  return new AirgapError(
    "usage",
    `--leftovers: no host has ${unknown.join(", ")} from another cluster${all.length > 0 ? `. There is: ${all.join(", ")}` : ", nor anything else"}`,
    { suggestions: ["airgap hosts check CLUSTER # names what there is"] },
  );
}
