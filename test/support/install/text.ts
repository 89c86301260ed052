import type { Plan, PlannedStage, Wave } from "../../../src/plan/stage.ts";
import type { Step } from "../../../src/plan/step.ts";

const indented = (text: string): string =>
  text
    .split("\n")
    .map((line) => (line === "" ? "" : `    ${line}`))
    .join("\n");

/** PEM and armour say nothing to readers: their first line and a few letters do. */
export const short = (text: string): string =>
  text.replace(
    /(-----BEGIN ([A-Z ]+)-----\n)([\s\S]*?)\n-----END \2-----/g,
    (_, _begin: string, what: string, body: string) => {
      const letters = body.replaceAll("\n", "");
      return `-----${what} ${letters.length > 24 ? `${letters.slice(12, 16)}…${letters.slice(-12, -4)}` : letters}-----`;
    },
  );

function stepText(
  hosts: string[],
  stage: string,
  { id, title, check, apply, undo, upload, timeoutMs }: Step,
): string {
  const parts = [`--- ${hosts.join(", ")}: ${stage}/${id}: ${title}`];
  if (timeoutMs) parts.push(`at most ${timeoutMs / 60_000} minutes`);
  if (upload)
    parts.push(
      `send ${upload.size} bytes of ${upload.from} from byte ${upload.offset} to ${upload.to}.part (scripts: ${upload.beside})`,
    );
  for (const [name, text] of Object.entries({ check, apply, undo }))
    if (text !== undefined)
      parts.push(...(text.includes("\n") ? [name, indented(short(text))] : [`${name.padEnd(5)} ${text}`]));
  return `${parts.join("\n")}\n`;
}

/** Hosts that do the very same, told once. */
function waveText(stage: string, wave: Wave): string {
  const done = new Set<Step>();
  const alike = (a: Step, b: Step): boolean => JSON.stringify(a) === JSON.stringify(b);
  const parts: string[] = [];
  for (const { steps } of wave) {
    for (const step of steps) {
      if (done.has(step)) continue;
      const same = wave.flatMap((work) =>
        work.steps.filter((other) => alike(step, other)).map((other) => ({ host: work.host, other })),
      );
      for (const { other } of same) done.add(other);
      parts.push(
        stepText(
          same.map(({ host }) => host),
          stage,
          step,
        ),
      );
    }
  }
  return parts.join("\n");
}

/** A stage as readers see it: what is checked, done and taken back on which host. */
export function stageText(plan: Plan, name: string): string {
  const stage: PlannedStage | undefined = plan.stages.find((each) => each.name === name);
  if (stage === undefined) return "nothing\n";
  const several = stage.waves.length > 1;
  return stage.waves
    .map((wave, i) => `${several ? `=== wave ${i + 1}\n` : ""}${waveText(name, wave)}`)
    .join("\n");
}

const stepsIn = (text: string): string[] => text.trimEnd().split(/\n+(?=--- |=== )/);
const titleOf = (step: string): string => step.slice(0, step.search(/: [^:]*\n|$/));

/** Steps of a stage's text that another one does not have as they are, and names of those that only the other one has. */
export function differenceText(base: string, text: string): string {
  const [before, after] = [stepsIn(base), stepsIn(text)];
  const changed = after.filter((step) => !before.includes(step));
  const names = new Set(after.map(titleOf));
  const gone = before.map(titleOf).filter((name) => !names.has(name));
  return changed.length + gone.length === 0
    ? "nothing\n"
    : `${[...changed, ...gone.map((name) => `${name}: not here`)].join("\n\n")}\n`;
}
