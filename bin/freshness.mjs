import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** The time of the last change to a file, or to anything below a folder; milliseconds. Every start asks: `join` would double its cost. */
export function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path, { recursive: true }).reduce(
    (latest, name) => Math.max(latest, statSync(`${path}/${name}`).mtimeMs),
    stat.mtimeMs,
  );
}

/** Whether `made` is newer than all its inputs. */
export function isFresh(made, ...from) {
  if (!existsSync(made)) return false;
  const time = statSync(made).mtimeMs;
  return from.every((path) => !existsSync(path) || newest(path) < time);
}

/** The inputs of the build. */
export const sourcesOf = (root) =>
  ["src", "registry", "manifests", "package.json", "bin/start.mjs", "bin/build.mjs"].map((name) =>
    join(root, name),
  );
