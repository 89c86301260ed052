import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { someOf } from "../format.ts";
import type { RunLog } from "./log.ts";
import type { Mask } from "./mask.ts";
import type { PlacedStep } from "./stage.ts";

/** A known cause of a failure, and what to do about it. */
export interface Hint {
  cause: string;
  way: string[];
}

/** A host on which a step failed, or whose connection was lost. */
export interface Failure {
  host: string;
  stage: string;
  /** Undefined when the connection was lost between steps. */
  step: PlacedStep | undefined;
  output: string;
  error?: unknown;
}

/** Hosts that could not go on, with the stages that they wait for. */
export type Held = readonly { host: string; stages: readonly string[] }[];

const LINES_SHOWN = 12;
const CAUSES_SHOWN = 10;

interface FailureContext {
  log: RunLog;
  mask: Mask;
  hints?: ((output: string) => Hint[]) | undefined;
}

/** One error for everything that failed in a run, gathered by cause: hosts, step, last lines, known causes, how to continue. */
export function failedRun(failures: Failure[], held: Held, context: FailureContext): AirgapError {
  const { mask, log, hints = () => [] } = context;
  const causes = causesOf(failures, context);
  const more = causes.slice(CAUSES_SHOWN);
  const described = [
    ...causes.slice(0, CAUSES_SHOWN).map(({ text, hosts }) => `${someOf(hosts)}: ${text}`),
    ...(more.length === 0
      ? []
      : [`${someOf(more.flatMap(({ hosts }) => hosts))}: ${more.length} more causes, which the log names`]),
    ...waiting(held),
  ];
  const onlyLost = failures.every(({ error }) => isAirgapError(error, "network"));
  const ways = failures.flatMap(({ output }) => hints(output).flatMap(({ way }) => way));
  return new AirgapError(onlyLost ? "interrupted" : "step-failed", described.join("\n"), {
    suggestions: [
      ...new Set(ways),
      `The full output is in ${log.path}`,
      "Fix the cause, then run the same command; it resumes here.",
    ],
    data: {
      failures: failures.map(({ host, stage, step, output }) => ({
        host,
        stage,
        step: step?.step.id,
        output: mask.hide(output),
      })),
    },
  });
}

/** Without the words in which hosts differ when the same happened to them: names, addresses, sizes, times. */
const gist = (text: string, host: string): string =>
  text.replaceAll(host, "…").replace(/[\w.:]+/g, (word) => (/\d/.test(word) ? "…" : word));

/** The same failure on different hosts once, as the first of them told it; what most hosts have comes first. */
function causesOf(
  failures: Failure[],
  { mask, hints = () => [] }: FailureContext,
): { text: string; hosts: string[] }[] {
  const causes = new Map<string, { text: string; hosts: string[] }>();
  for (const { host, stage, step, output, error } of failures) {
    const what = step ? `${stage}/${step.step.id} (${step.step.title})` : stage;
    const said = error === undefined ? "" : mask.hide(messageOf(error));
    const why = said.startsWith(`${host}: `) ? said.slice(host.length + 2) : said;
    const lines = mask.hide(output).trim().split("\n").slice(-LINES_SHOWN);
    const known = hints(output).map(({ cause }) => `  likely cause: ${cause}`);
    const head = `${what} failed${why ? `: ${why}` : ""}`;
    const shown = lines.filter(Boolean).map((line) => `  | ${line}`);
    const key = gist([head, ...(known.length > 0 ? known : shown)].join("\n"), host);
    const cause = causes.get(key) ?? { text: [head, ...shown, ...known].join("\n"), hosts: [] };
    cause.hosts.push(host);
    causes.set(key, cause);
  }
  return [...causes.values()].toSorted((a, b) => b.hosts.length - a.hosts.length);
}

/** `w3, w4 wait for control-plane` */
function waiting(held: Held): string[] {
  const groups = Map.groupBy(held, ({ stages }) => stages.join(", "));
  return [...groups].map(
    ([stages, hosts]) =>
      `${someOf(hosts.map(({ host }) => host))} ${hosts.length === 1 ? "waits" : "wait"} for ${stages}`,
  );
}
