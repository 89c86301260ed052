import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";

const root = join(import.meta.dirname, "../..");
const translations = [
  "README.zh-CN.md",
  ...readdirSync(join(root, "docs/zh-CN"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/zh-CN/${name}`),
];
/** Which text of the English page each translation follows: `sha256:…`, by translation. */
const stamps = join(root, "docs/zh-CN/originals.json");

const originalOf = (page: string): string =>
  /^<!-- 原文：(\S+) -->$/m.exec(readFileSync(join(root, page), "utf8"))?.[1] ?? "";

it("no English page changed since its Chinese page was written; after the change is translated: UPDATE_GOLDEN=1", () => {
  const now = Object.fromEntries(
    translations.map((page) => [page, digestOf(readFileSync(join(root, originalOf(page))))]),
  );
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(stamps, `${JSON.stringify(now, undefined, 2)}\n`);
  const then = JSON.parse(readFileSync(stamps, "utf8")) as Record<string, string>;
  const changed = translations
    .filter((page) => now[page] !== then[page])
    .map((page) => `${page} ← ${originalOf(page)}`);
  expect(changed).toEqual([]);
});

it.each(translations)("%s names an original, and its links lead somewhere", (page) => {
  expect(existsSync(join(root, originalOf(page)))).toBe(true);
  const text = readFileSync(join(root, page), "utf8");
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, target = ""]) => target);
  expect(links.filter((target) => !existsSync(join(root, dirname(page), target)))).toEqual([]);
});
