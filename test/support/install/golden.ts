import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, relative } from "node:path";
import { expect } from "vitest";

/** Golden files are written only when somebody asks for it by this variable, and never where tests are to judge. */
export const updating = process.env["UPDATE_GOLDEN"] === "1" && process.env["CI"] === undefined;

/** Holds a text against a file of the repository, or writes it there when golden files are being updated. */
export function expectGolden(text: string, file: string): void {
  if (updating) {
    mkdirSync(dirname(file), { recursive: true });
    if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
    return;
  }
  const name = relative(process.cwd(), file);
  expect(existsSync(file), `${name} is missing; UPDATE_GOLDEN=1 writes it`).toBe(true);
  expect(
    text,
    `${name} says something else; UPDATE_GOLDEN=1 writes it anew, and git shows the difference`,
  ).toBe(readFileSync(file, "utf8"));
}
