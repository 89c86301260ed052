import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { parse } from "yaml";
import { planInstall } from "../../src/install/plan.ts";
import type { StageName } from "../../src/install/stages/index.ts";
import { STAGE_NAMES } from "../../src/install/stages/index.ts";
import { narrow } from "../../src/plan/stage.ts";
import { expectGolden } from "../support/install/golden.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";
import { type System, systems } from "../support/install/systems.ts";
import { differenceText, stageText } from "../support/install/text.ts";

const CASES = join(import.meta.dirname, "cases");

/** What a case.yaml says beside its wishes. */
interface Case extends Omit<Wishes, "os"> {
  about: string;
  /** One system, or several on which the very same is done. */
  os: System | System[];
  /** The hosts that are shown; by default all. */
  show?: string[];
  /** Another case of the stage: only steps that it does not have, or has differently, are shown. */
  beside?: string;
}

const KEYS = [
  "about",
  "os",
  "on",
  "show",
  "beside",
  "facts",
  "hostFacts",
  "cluster",
  "bundle",
  "secrets",
  "ignored",
  "etcd",
  "replace",
  "harbor",
];
const stages = readdirSync(CASES) as StageName[];
const casesOf = (stage: string): string[] => readdirSync(join(CASES, stage)).sort();

function readCase(stage: string, name: string): Case {
  const read = parse(readFileSync(join(CASES, stage, name, "case.yaml"), "utf8")) as Case;
  expect(Object.keys(read).filter((key) => !KEYS.includes(key))).toEqual([]);
  return read;
}

const systemsOf = ({ os }: Case): System[] => (Array.isArray(os) ? os : [os]);

function wholeText(stage: StageName, { show, ...wishes }: Case, os: System): string {
  return stageText(narrow(planInstall(siteOf({ ...wishes, os })), show ? { hosts: show } : {}), stage);
}

/** What a case says; beside another one only the difference. */
function textOf(stage: StageName, read: Case, os: System): string {
  const text = wholeText(stage, read, os);
  if (read.beside === undefined) return text;
  const base = readCase(stage, read.beside);
  const [first] = systemsOf(base);
  if (first === undefined || base.beside !== undefined)
    throw new Error(`${read.beside} is not a whole case of ${stage}`);
  return differenceText(wholeText(stage, base, first), text);
}

describe.each(stages)("%s", (stage) => {
  test.each(casesOf(stage))("%s", (name) => {
    const read = readCase(stage, name);
    const [first, ...others] = systemsOf(read);
    if (first === undefined) throw new Error(`${name} names no system`);
    const text = textOf(stage, read, first);
    expectGolden(
      `# ${read.about}\n# ${[first, ...others].join(", ")}${read.beside ? `; only what differs from ${read.beside}` : ""}\n\n${text}`,
      join(CASES, stage, name, "steps.txt"),
    );
    for (const os of others) expect(textOf(stage, read, os), `${os} differs from ${first}`).toBe(text);
  });

  it("has nothing but cases, each for systems that there are", () => {
    for (const name of casesOf(stage)) {
      expect(readdirSync(join(CASES, stage, name)).sort()).toEqual(["case.yaml", "steps.txt"]);
      for (const os of systemsOf(readCase(stage, name))) expect(systems).toContain(os);
    }
  });

  it("is shown for every system", () => {
    const shown = casesOf(stage).flatMap((name) => systemsOf(readCase(stage, name)));
    expect(systems.filter((system) => !shown.includes(system))).toEqual([]);
  });
});

describe("cases", () => {
  it("are there for every stage that does something", () => {
    expect(STAGE_NAMES.filter((stage) => !existsSync(join(CASES, stage)))).toEqual([]);
    expect(stages.filter((stage) => !STAGE_NAMES.includes(stage))).toEqual([]);
  });
});
