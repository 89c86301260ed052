import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const commands = readdirSync(join(root, "src/commands"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, "").replaceAll(/[\\/]/g, " "));

it("docs/json.md tells what every command gives", () => {
  const page = readFileSync(join(root, "docs/json.md"), "utf8");
  expect(commands).toContain("packages resolve");
  expect(commands.filter((command) => !page.includes(`| \`${command}\` |`))).toEqual([]);
});
