import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../../src/host/process.ts";
import { cached } from "../cache.ts";
import { must } from "../shell.ts";
import { type GoRecipe, go, layModule, moduleFolder } from "./build.ts";

const PACKAGE = "k8s.io/kubernetes/pkg/generated/openapi";
const FILE = "zz_generated.openapi.go";

/** Where the module lacks the file. */
export const openapiPath = `pkg/generated/openapi/${FILE}`;

/** Import paths of a module's packages whose types ask to be described. */
async function taggedPackages(module: string, folder: string): Promise<string[]> {
  const { stdout } = await run(
    "grep",
    ["-rl", "--include=*.go", "--exclude=*_test.go", "+k8s:openapi-gen=", "."],
    { cwd: folder, timeoutMs: 60_000 },
  );
  // Vendored copies and tools of the module's own development are no part of its API.
  const files = stdout
    .split("\n")
    .filter((file) => file !== "" && !/^\.\/(vendor|staging|test|hack|third_party)\//.test(file));
  return files.map((file) => join(module, file, ".."));
}

/** Modules that were developed in Kubernetes' own tree, by the go.mod that was laid for it. */
async function stagingModules(
  folder: string,
  version: string,
): Promise<{ module: string; folder: string }[]> {
  const staged = `v0.${version.split(".").slice(1).join(".")}`;
  const text = await readFile(join(folder, "go.mod"), "utf8");
  const names = [...text.matchAll(/^\s*(k8s\.io\/[a-z-]+) => \S+ (\S+)$/gm)].filter(
    ([, name = "", at]) => at === staged && !/code-generator|sample-/.test(name),
  );
  return Promise.all(
    names.map(async ([, name = ""]) => ({ module: name, folder: await moduleFolder(name, staged) })),
  );
}

/** A GOPATH that links to everything the packages import: the generator of that time knows no modules. */
async function linkedPath(packages: string[], folder: string, gopath: string): Promise<void> {
  const format = "{{if not .Standard}}{{.ImportPath}}\t{{.Dir}}{{end}}";
  for (const line of (await go(["list", "-deps", "-e", "-f", format, ...packages], folder)).split("\n")) {
    const [path = "", source = ""] = line.split("\t");
    if (source === "") continue;
    const target = join(gopath, "src", path);
    await mkdir(target, { recursive: true });
    await must("sh", ["-c", 'ln -s "$0"/*.go "$1"/', source, target]);
  }
}

/**
 * Kubernetes up to 1.24 keeps one generated file out of its repository, so its module can't be compiled as it is
 * published. Here it is made with the generator that the module itself names.
 * @returns the file
 */
export async function generatedOpenapi(recipe: GoRecipe, version: string): Promise<string> {
  const folder = await cached(
    `openapi-${version}`,
    [recipe.require, recipe.like, await readFile(import.meta.filename, "utf8")],
    async (folder) => {
      const work = `${folder}.work`;
      try {
        await layModule(recipe, work);
        await go(["build", "-o", join(work, "openapi-gen"), "k8s.io/kube-openapi/cmd/openapi-gen"], work);
        const modules = [
          { module: "k8s.io/kubernetes", folder: await moduleFolder("k8s.io/kubernetes", version) },
          ...(await stagingModules(work, version)),
        ];
        const packages = [
          ...new Set(
            (await Promise.all(modules.map(({ module, folder }) => taggedPackages(module, folder)))).flat(),
          ),
        ].sort();
        const gopath = join(work, "gopath");
        await linkedPath(packages, work, gopath);
        const header = join(work, "header.txt");
        await must("sh", ["-c", ': >"$0"', header]);
        const flags = [
          "-i",
          packages.join(","),
          "-p",
          PACKAGE,
          "-O",
          FILE.replace(".go", ""),
          "-h",
          header,
          "-r",
          join(work, "violations"),
          "--output-base",
          join(work, "out"),
        ];
        const env = { ...process.env, GO111MODULE: "off", GOFLAGS: "", GOPATH: gopath };
        await must(join(work, "openapi-gen"), flags, {
          cwd: join(gopath, "src/k8s.io/kubernetes"),
          env,
          timeoutMs: 600_000,
        });
        await must("cp", [join(work, "out", PACKAGE, FILE), folder]);
      } finally {
        await must("rm", ["-rf", work]);
      }
    },
  );
  return join(folder, FILE);
}
