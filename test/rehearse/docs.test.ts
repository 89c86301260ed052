import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { bundleFlags } from "../../src/bundle-flags.ts";
import Rehearse from "../../src/commands/rehearse.ts";

it("docs/rehearse.md names every flag of the command", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/rehearse.md"), "utf8");
  const own = Object.keys(Rehearse.flags).filter((name) => !(name in bundleFlags));
  expect(own).toContain("base-repo");
  expect(own.filter((name) => !text.includes(`--${name}`))).toEqual([]);
});
