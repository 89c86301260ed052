import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cached, isCached } from "./cache.ts";
import { compile, type GoRecipe, layModule } from "./go/build.ts";
import { must } from "./shell.ts";

const source = (file: string): string => readFileSync(join(import.meta.dirname, "programs", file), "utf8");

/** The version names the entry, so that a new one does not wait behind the old one's lock. */
const entryName = (recipe: GoRecipe): string => [recipe.name, recipe.like?.version].filter(Boolean).join("-");

/** Whether a recipe was compiled before, so that it costs nothing now. */
export const isBuilt = (recipe: GoRecipe): boolean => isCached(entryName(recipe), recipeKey(recipe));

/** The folder with a recipe's compiled programs. */
export async function built(recipe: GoRecipe): Promise<string> {
  return cached(entryName(recipe), recipeKey(recipe), async (folder) => {
    const work = `${folder}.work`;
    try {
      await layModule(recipe, work);
      await compile(recipe, work, folder);
    } finally {
      await must("rm", ["-rf", work]);
    }
  });
}

const recipeKey = ({ borrowed, ...recipe }: GoRecipe): unknown => ({
  ...recipe,
  borrowed: borrowed && { ...borrowed, without: borrowed.without.map(String) },
});

const ownProgram = (name: string): Promise<string> =>
  built({ name, require: {}, programs: { ".": name }, sources: { "main.go": source(`${name}/main.go`) } });

/** Where `runc-fit` is: runc for hosts whose root has fewer privileges than a real machine's. */
export const runcFit = (): Promise<string> => ownProgram("runc-fit");

/** Where `probe` is: what the tests' pods ask addresses with. */
export const probe = (): Promise<string> => ownProgram("probe");

/** Where `pause` is: what a pod's sandbox runs. */
export const pause = (): Promise<string> =>
  cached("pause", source("pause.c"), async (folder) => {
    await must("gcc", [
      "-Os",
      "-static",
      "-s",
      "-o",
      join(folder, "pause"),
      join(import.meta.dirname, "programs/pause.c"),
    ]);
  });
