import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { Tag } from "../../src/packages/rpm/header.ts";
import { parseEvr } from "../../src/packages/rpm/version.ts";
import { headerSection } from "./rpm.ts";
import type { TestRpm } from "./rpm-metadata.ts";

const SENSE: Record<string, number> = { "<": 2, "<=": 10, "=": 8, ">=": 12, ">": 4 };
const RELATIONS = [
  ["provides", Tag.provideName, Tag.provideFlags, Tag.provideVersion],
  ["requires", Tag.requireName, Tag.requireFlags, Tag.requireVersion],
  ["conflicts", Tag.conflictName, Tag.conflictFlags, Tag.conflictVersion],
  ["obsoletes", Tag.obsoleteName, Tag.obsoleteFlags, Tag.obsoleteVersion],
  ["recommends", Tag.recommendName, Tag.recommendFlags, Tag.recommendVersion],
  ["suggests", Tag.suggestName, Tag.suggestFlags, Tag.suggestVersion],
  ["supplements", Tag.supplementName, Tag.supplementFlags, Tag.supplementVersion],
  ["enhances", Tag.enhanceName, Tag.enhanceFlags, Tag.enhanceVersion],
] as const;
const OS = 1021;
const RICH = 1 << 27;

function header(rpm: TestRpm): Buffer {
  const { epoch, version, release = "1" } = parseEvr(rpm.evr);
  const values: Parameters<typeof headerSection>[0] = [
    [Tag.name, { type: 6, text: rpm.name }],
    [Tag.version, { type: 6, text: version }],
    [Tag.release, { type: 6, text: release }],
    [Tag.arch, { type: 6, text: rpm.arch ?? "noarch" }],
    [OS, { type: 6, text: "linux" }],
    [Tag.summary, { type: 6, text: "x" }],
    [Tag.size, { type: 4, numbers: [1] }],
  ];
  if (epoch !== "0") values.push([Tag.epoch, { type: 4, numbers: [Number(epoch)] }]);
  for (const [kind, names, flags, versions] of RELATIONS) {
    const texts =
      kind === "provides" ? [`${rpm.name} = ${rpm.evr}`, ...(rpm.provides ?? [])] : (rpm[kind] ?? []);
    if (texts.length === 0) continue;
    const split = texts.map((text) => (text.startsWith("(") ? [text] : text.split(" ")));
    const sense = split.map(([name = "", op = ""]) => (name.startsWith("(") ? RICH : (SENSE[op] ?? 0)));
    values.push([names, { type: 8, texts: split.map(([name = ""]) => name) }]);
    values.push([flags, { type: 4, numbers: sense }]);
    values.push([versions, { type: 8, texts: split.map((words) => words[2] ?? "") }]);
  }
  return headerSection(values);
}

/** Headers, one after the other, as `rpmdb --importdb` takes them. */
export const headersOf = (rpms: TestRpm[]): Buffer => Buffer.concat(rpms.map(header));

/** A root whose rpm database says that these are installed. */
export function writeRpmdb(root: string, rpms: TestRpm[]): void {
  mkdirSync(root, { recursive: true });
  execFileSync("rpmdb", ["--root", root, "--initdb"], { stdio: "pipe" });
  execFileSync("rpmdb", ["--root", root, "--importdb"], {
    input: headersOf(rpms),
    stdio: "pipe",
  });
}
