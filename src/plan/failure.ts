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
  /** Undefined when the connection was lost between steps. */
  step: PlacedStep | undefined;
  output: string;
  error?: unknown;
}

const LINES_SHOWN = 12;

interface FailureContext {
  log: RunLog;
  mask: Mask;
  hints?: ((output: string) => Hint[]) | undefined;
}

/** One error for everything that failed in a wave: host, step, last lines, known causes, how to continue. */
export function failedStage(
  stage: string,
  failures: Failure[],
  { mask, log, hints = () => [] }: FailureContext,
): AirgapError {
  const known = failures.map(({ output }) => hints(output));
  const causes = new Map<string, string[]>();
  for (const [i, { host, step, output, error }] of failures.entries()) {
    const what = step ? `${stage}/${step.step.id} (${step.step.title})` : stage;
    const lines = mask.hide(output).trim().split("\n").slice(-LINES_SHOWN);
    const text = [
      `${what} failed${error ? `: ${mask.hide(messageOf(error))}` : ""}`,
      ...lines.filter(Boolean).map((line) => `  | ${line}`),
      ...(known[i] ?? []).map(({ cause }) => `  likely cause: ${cause}`),
    ].join("\n");
    causes.set(text, [...(causes.get(text) ?? []), host]);
  }
  const described = [...causes].map(([text, hosts]) => `${someOf(hosts)}: ${text}`);
  const onlyLost = failures.every(({ error }) => isAirgapError(error, "network"));
  return new AirgapError(onlyLost ? "interrupted" : "step-failed", described.join("\n"), {
    suggestions: [
      ...new Set(known.flat().flatMap(({ way }) => way)),
      `The full output is in ${log.path}`,
      "Fix the cause, then run the same command; it resumes here.",
    ],
    data: {
      failures: failures.map(({ host, step, output }) => ({
        host,
        stage,
        step: step?.step.id,
        output: mask.hide(output),
      })),
    },
  });
}
