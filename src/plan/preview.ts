import { structuredPatch } from "diff";
import type { Mask } from "./mask.ts";
import type { StepReport } from "./protocol.ts";
import { fullId, type Plan, stepsByHost } from "./stage.ts";

const CONTEXT = 2;
/** When more lines than this differ, they are only counted. */
const MAX_EDITS = 1000;

/** The diff of two texts: lines with `-`, `+` or a blank before them, with two lines of context. */
export function diffLines(before: string, after: string): string[] {
  const patch = structuredPatch("", "", before, after, "", "", {
    context: CONTEXT,
    maxEditLength: MAX_EDITS,
  });
  const count = (text: string): number => text.split("\n").length - 1;
  if (patch === undefined) return [`~ ${count(before)} lines become ${count(after)}`];
  return patch.hunks.flatMap(({ lines }, i) => [
    ...(i === 0 ? [] : ["  …"]),
    ...lines.filter((line) => !line.startsWith("\\")).map((line) => `${line.slice(0, 1)} ${line.slice(1)}`),
  ]);
}

/** A step as a dry run found it. */
export interface PreviewedStep {
  host: string;
  stage: string;
  step: string;
  title: string;
  state: "already" | "would-change";
  /** Why the step is not done yet. */
  reason?: string;
  /** The diff of a file: lines with `-`, `+` or a blank before them; secrets are masked. */
  diff?: string[];
}

/** What a run would do, from the results of the hosts' checks. */
export function preview(
  plan: Plan,
  hosts: string[],
  found: Map<string, Map<string, StepReport>>,
  mask: Mask,
): PreviewedStep[] {
  const steps = stepsByHost(plan);
  return hosts.flatMap((host) =>
    (steps.get(host) ?? []).map((placed): PreviewedStep => {
      const { stage, step } = placed;
      const report = found.get(host)?.get(fullId(placed));
      const common = { host, stage, step: step.id, title: step.title };
      if (report?.state === "already") return { ...common, state: "already" };
      const reason = mask.hide(report?.output ?? "").trim();
      const diff = step.file ? diffLines(mask.hide(report?.shown ?? ""), mask.hide(step.file.content)) : [];
      return {
        ...common,
        state: "would-change",
        ...(reason ? { reason } : {}),
        ...(diff.length > 0 ? { diff } : {}),
      };
    }),
  );
}

/** The preview as text: by stage, what would change on which host. */
export function formatPreview(foreseen: PreviewedStep[]): string[] {
  const changes = foreseen.filter(({ state }) => state === "would-change");
  if (changes.length === 0) return ["Nothing to do: every step is already done"];
  const out: string[] = [];
  for (const stage of new Set(changes.map((each) => each.stage))) {
    out.push(stage);
    for (const { host, step, title, reason, diff } of changes.filter((each) => each.stage === stage)) {
      out.push(`  ${host}: ${step}: ${title}`);
      if (diff) out.push(...diff.map((line) => `      ${line}`));
      else if (reason)
        out.push(
          ...reason
            .split("\n")
            .slice(0, 3)
            .map((line) => `      ${line}`),
        );
    }
  }
  out.push(`${changes.length} of ${foreseen.length} steps would change something`);
  return out;
}
