import { diffLines } from "./diff.ts";
import type { StepReport } from "./frames.ts";
import type { Mask } from "./mask.ts";
import { fullId } from "./script.ts";
import { type Plan, type StageName, stepsOn } from "./stage.ts";

/** A step as a dry run has found it. */
export interface Foreseen {
  host: string;
  stage: StageName;
  step: string;
  title: string;
  state: "already" | "would-change";
  /** Why it is not so already. */
  reason?: string;
  /** Lines of a file with `-`, `+` and a blank before them; secrets are hidden. */
  diff?: string[];
}

/** What a run would do, from what the hosts' checks said. */
export function foresee(
  plan: Plan,
  hosts: string[],
  found: Map<string, Map<string, StepReport>>,
  mask: Mask,
): Foreseen[] {
  return hosts.flatMap((host) =>
    stepsOn(plan, host).map((placed): Foreseen => {
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

/** For readers: by stage, what would change on which host. */
export function formatForeseen(foreseen: Foreseen[]): string[] {
  const changes = foreseen.filter(({ state }) => state === "would-change");
  if (changes.length === 0) return ["Nothing is to do: everything is so already"];
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
