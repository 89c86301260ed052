import type { PreviewedStep } from "../../plan/preview.ts";

/** `v1.29.9-workers` → its version and its part. */
const parts = (stage: string): { version: string; part: string } => {
  const [, version = "", part = ""] = /^(v\d.*)-(keep|runtime|control-plane|workers)$/.exec(stage) ?? [];
  return version === "" ? { version: "", part: stage } : { version, part };
};

/**
 * The steps of an upgrade as a table: a line for each part of a version and each host, in the order of the plan.
 * Steps that are done already are left out.
 */
export function formatSteps(steps: readonly PreviewedStep[]): string[] {
  const changes = steps.filter(({ state }) => state === "would-change");
  if (changes.length === 0) return ["Nothing to do: every step is already done"];
  const rows = new Map<string, { version: string; part: string; host: string; ids: string[] }>();
  for (const { stage, host, step } of changes) {
    const key = `${stage} ${host}`;
    const row = rows.get(key) ?? { ...parts(stage), host, ids: [] };
    row.ids.push(step);
    rows.set(key, row);
  }
  const order = [...new Set(steps.map(({ stage }) => stage))];
  const sorted = [...rows.entries()]
    .toSorted(([a], [b]) => order.indexOf(a.split(" ")[0] ?? "") - order.indexOf(b.split(" ")[0] ?? ""))
    .map(([, row]) => row);
  const width = (of: (row: (typeof sorted)[number]) => string, title: string): number =>
    Math.max(title.length, ...sorted.map((row) => of(row).length));
  const [first, second, third] = [
    width(({ version }) => version, "VERSION"),
    width(({ part }) => part, "PART"),
    width(({ host }) => host, "HOST"),
  ];
  const line = (a: string, b: string, c: string, d: string): string =>
    `${a.padEnd(first)}  ${b.padEnd(second)}  ${c.padEnd(third)}  ${d}`;
  return [
    line("VERSION", "PART", "HOST", "STEPS"),
    ...sorted.map(({ version, part, host, ids }) => line(version, part, host, ids.join(", "))),
    `${changes.length} of ${steps.length} steps would change something`,
  ];
}
