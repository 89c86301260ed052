import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const MOUNTS = "/sys/fs/cgroup";

/** This process's own cgroup in every hierarchy that is mounted, by its line in /proc/self/cgroup. */
function ownGroups(): string[] {
  const mounted = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const points = mounted.flatMap((line) => {
    const [, point = "", type = ""] = line.split(" ");
    return type.startsWith("cgroup") && point.startsWith(MOUNTS) ? [point] : [];
  });
  return readFileSync("/proc/self/cgroup", "utf8")
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [id, controllers = "", path = "/"] = line.split(":");
      const name = id === "0" ? "unified" : controllers.replace("name=", "");
      const point =
        points.find((candidate) => candidate === join(MOUNTS, name)) ??
        (id === "0" ? points.find((candidate) => candidate === MOUNTS) : undefined);
      return point === undefined ? [] : [join(point, path)];
    });
}

/**
 * Makes a cgroup called `name` below this process's own in every hierarchy. A host that starts there sees it
 * as the root, so that the pods of two hosts never share a tree.
 * @returns the folders
 */
export async function makeGroups(name: string): Promise<string[]> {
  const folders = ownGroups().map((own) => join(own, name));
  for (const folder of folders) {
    await mkdir(folder, { recursive: true });
    const parent = join(folder, "..");
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const value = await readFile(join(parent, file), "utf8").catch(() => "");
      if (value.trim() !== "") await writeFile(join(folder, file), value).catch(() => {});
    }
    if (folder.includes("/cpuset/"))
      await writeFile(join(folder, "cgroup.clone_children"), "1").catch(() => {});
  }
  return folders;
}

/** Ids of all processes in the cgroup and below. */
async function processesOf(folder: string): Promise<number[]> {
  const own = (await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "")).trim();
  const below = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const nested = await Promise.all(
    below.filter((entry) => entry.isDirectory()).map(({ name }) => processesOf(join(folder, name))),
  );
  return [...(own === "" ? [] : own.split("\n").map(Number)), ...nested.flat()];
}

/** Ends whatever still runs in cgroups that `makeGroups` made. */
export async function endGroups(folders: string[]): Promise<void> {
  for (const pid of new Set((await Promise.all(folders.map(processesOf))).flat())) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}

async function removeTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => []))
    if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  await rmdir(folder).catch(() => {});
}

/** Removes cgroups that nothing runs in any more. */
export async function removeGroups(folders: string[]): Promise<void> {
  for (const folder of folders) await removeTree(folder);
}
