import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type CommandShape, loadCommands, problemOf } from "../support/commands.ts";

const root = join(import.meta.dirname, "../..");

/** Files below folders of the repository, by path from its root. */
function filesBelow(folders: string[], pattern: RegExp): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .map((name) => join(folder, name))
      .filter((name) => pattern.test(name)),
  );
}

const pages = ["README.md", "CONTRIBUTING.md", ...filesBelow(["docs", "bundles"], /\.md$/)];
const sources = filesBelow(["src", "registry"], /\.ts$/);
const readmes = filesBelow(["src", "registry", "manifests", "test"], /README\.md$/);
const read = (file: string): string => readFileSync(join(root, file), "utf8");

let commands: Map<string, CommandShape>;
beforeAll(async () => {
  commands = await loadCommands();
});

/** Lines with what is wrong with each that is. */
const wrong = (lines: { at: string; line: string }[]): string[] =>
  lines.flatMap(({ at, line }) => {
    const problem = problemOf(line.replace(/^(?:\.\/)?(?:bin\/)?airgap\b/, "airgap"), commands);
    return problem === undefined ? [] : [`${at}: ${line}: ${problem}`];
  });

describe("command lines that we tell people to type", () => {
  it("in docs exist", () => {
    const lines = pages.flatMap((page) => {
      const text = read(page).replaceAll(/\\\n\s*/g, "");
      const blocks = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)]
        .filter(([, language]) => ["", "sh", "console"].includes(language ?? ""))
        .flatMap(([, , block = ""]) => block.split("\n").map((line) => line.replace(/^\s*\$?\s*/, "")));
      const inline = [...text.replaceAll(/```[\s\S]*?```/g, "").matchAll(/`([^`\n]+)`/g)].map(
        ([, code = ""]) => code,
      );
      return [...blocks, ...inline]
        .filter((line) => /^(?:\.\/)?(?:bin\/)?airgap\s/.test(line))
        .map((line) => ({ at: page, line }));
    });
    expect(lines.length).toBeGreaterThan(40);
    expect(wrong(lines)).toEqual([]);
  });

  it("in the help of commands exist", () => {
    const lines = [...commands.values()].flatMap(({ id, examples }) =>
      examples.map((example) => ({
        at: id,
        line: example
          .replaceAll("<%= config.bin %>", "airgap")
          .replace(/^.*?(?=airgap )/, "")
          .replace(/\)"$/, ""),
      })),
    );
    expect(lines.length).toBeGreaterThan(20);
    expect(wrong(lines)).toEqual([]);
  });

  it("in suggestions exist", () => {
    const lines = sources.flatMap((file) =>
      [...read(file).matchAll(/(?<![\w.])(["`])(airgap [a-z](?:\$\{(?:[^{}]|\{[^{}]*\})*\}|(?!\1)[^$])*)\1/g)]
        .map(([, , text = ""]) => text.replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "X"))
        .filter((text) => /^airgap [a-z]+ (?:[a-z]+ )*(?:[A-Z-]|[\w./-]+\.)/.test(text))
        .map((line) => ({ at: file, line })),
    );
    expect(lines.length).toBeGreaterThan(20);
    expect(wrong(lines)).toEqual([]);
  });
});

describe("files that docs and READMEs name", () => {
  const named = (file: string): string[] => {
    const text = read(file).replaceAll(/```[\s\S]*?```/g, "");
    const code = [...text.matchAll(/`([^`\s]+)`/g)].map(([, name = ""]) => name);
    return code.filter((name) => /^[\w@.-]+(?:\/[\w@.-]+)*\.(?:ts|mjs|sh|test\.ts)$/.test(name));
  };

  it.each(readmes)("%s", (readme) => {
    const folder = dirname(readme);
    const below = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
    const missing = named(readme).filter(
      (name) => !below.some((file) => `/${file}`.endsWith(`/${name}`)) && !existsSync(join(root, name)),
    );
    expect(missing).toEqual([]);
  });

  it("docs", () => {
    const missing = pages.flatMap((page) =>
      named(page)
        .filter(
          (name) =>
            name.includes("/") &&
            !/\b[A-Z]{3,}\b/.test(name) &&
            !existsSync(join(root, name)) &&
            !existsSync(join(root, "docs", name)),
        )
        .map((name) => `${page}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it("links between pages lead somewhere", () => {
    const broken = [...pages, ...readmes].flatMap((page) =>
      [...read(page).matchAll(/\]\(((?!https?:|#|mailto:)[^)#\s]+)/g)]
        .filter(([, target = ""]) => !existsSync(join(root, dirname(page), target)))
        .map(([, target]) => `${page} → ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it("every folder of sources has a README or lies in one that has", () => {
    const without = sources
      .map((file) => dirname(file))
      .filter((folder) => {
        for (let at = folder; at !== "src" && at !== "."; at = dirname(at))
          if (existsSync(join(root, at, "README.md"))) return false;
        return folder !== "src" && !folder.startsWith("src/commands");
      });
    expect([...new Set(without)].map((folder) => relative("", folder))).toEqual([]);
  });
});
