import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { must, output } from "../shell.ts";

/** Programs that one `go build` makes out of one go.mod. */
export interface GoRecipe {
  name: string;
  /** A module whose own go.mod (versions, replacements, language version) is taken over. */
  like?: { module: string; version: string; replacements?: Record<string, string> };
  require: Record<string, string>;
  /** Package → file, relative to the output folder. */
  programs: Record<string, string>;
  /** Files of the main module itself. */
  sources?: Record<string, string>;
  /** Sources that are copied out of a module, without the lines that match. */
  borrowed?: { module: string; file: string; without: RegExp[] };
  variables?: Record<string, string>;
  /** A module that is published without a file that it needs, and the file. */
  completed?: { module: string; version: string; path: string; file: () => Promise<string> };
}

const HOUR = 3600_000;
const env: NodeJS.ProcessEnv = {
  ...process.env,
  CGO_ENABLED: "0",
  GOTOOLCHAIN: "local",
  GOFLAGS: "-buildvcs=false -mod=mod",
};

/** Runs go in a folder, gently: compiling must not starve what else the machine does. */
export function go(args: string[], cwd: string, extra: NodeJS.ProcessEnv = {}): Promise<string> {
  return output("nice", ["-n", "10", "go", ...args], { cwd, env: { ...env, ...extra }, timeoutMs: HOUR });
}

/** Where the go client put the content of a module. */
export async function moduleFolder(module: string, version: string): Promise<string> {
  const { Dir } = JSON.parse(await go(["mod", "download", "-json", `${module}@${version}`], "/")) as {
    Dir: string;
  };
  return Dir;
}

/** The go.mod of the recipe; where it follows another module, that one's with its local paths made published versions. */
export async function goMod(recipe: GoRecipe): Promise<string> {
  const required = Object.entries(recipe.require).map(([module, version]) => `require ${module} ${version}`);
  if (recipe.like === undefined)
    return [`module rig.invalid/${recipe.name}`, "go 1.25.0", ...required, ""].join("\n");
  const { module, version, replacements = {} } = recipe.like;
  const theirs = await readFile(join(await moduleFolder(module, version), "go.mod"), "utf8");
  const staged = `v0.${version.split(".").slice(1).join(".")}`;
  return [
    theirs
      .replace(/^module .*$/m, `module rig.invalid/${recipe.name}`)
      .replace(/=> \.\/staging\/src\/(\S+)/g, (_, staging: string) => `=> ${staging} ${staged}`),
    ...required,
    ...Object.entries(replacements).map(([from, to]) => `replace ${from} => ${to}`),
    "",
  ].join("\n");
}

async function write(folder: string, file: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), text);
}

/** Puts a copy of a module, with what it lacks, in the module's place. */
async function complete(
  { module, version, path, file }: NonNullable<GoRecipe["completed"]>,
  folder: string,
): Promise<void> {
  const copy = join(folder, "completed");
  await must("cp", ["-r", "--no-preserve=mode", await moduleFolder(module, version), copy], {
    timeoutMs: 600_000,
  });
  await must("cp", [await file(), join(copy, path)]);
  await go(["mod", "edit", "-replace", `${module}=./completed`], folder);
}

/** Lays the recipe's main module into `folder`. */
export async function layModule(recipe: GoRecipe, folder: string): Promise<void> {
  await write(folder, "go.mod", await goMod(recipe));
  for (const [file, text] of Object.entries(recipe.sources ?? {})) await write(folder, file, text);
  if (recipe.completed !== undefined) await complete(recipe.completed, folder);
  if (recipe.borrowed === undefined) return;
  const { module, file, without } = recipe.borrowed;
  const source = await readFile(join(await moduleFolder(module, recipe.require[module] ?? ""), file), "utf8");
  const kept = source.split("\n").filter((line) => !without.some((pattern) => pattern.test(line)));
  await write(folder, file, kept.join("\n"));
}

/** Compiles the recipe's programs into `out`. `work` is a folder for the main module. */
export async function compile(recipe: GoRecipe, work: string, out: string): Promise<void> {
  const variables = Object.entries(recipe.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  const bin = join(work, "bin");
  await mkdir(bin, { recursive: true });
  await go(
    [
      "build",
      "-p",
      "2",
      "-trimpath",
      "-ldflags",
      ["-s -w", ...variables].join(" "),
      "-o",
      `${bin}/`,
      ...Object.keys(recipe.programs),
    ],
    work,
  );
  for (const [program, file] of Object.entries(recipe.programs)) {
    await mkdir(dirname(join(out, file)), { recursive: true });
    // A program is called like its package's last path component that is no major version.
    const built =
      program === "."
        ? recipe.name
        : (program
            .replace(/\/v\d+$/, "")
            .split("/")
            .at(-1) ?? "");
    await cp(join(bin, built), join(out, file));
    await must("chmod", ["0755", join(out, file)]);
  }
}
