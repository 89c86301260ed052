import { constants, existsSync } from "node:fs";
import { access, readFile, statfs } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { messageOf } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { findSelf } from "../host/shipped.ts";
import { defaultCacheDir } from "../state/cache.ts";
import { engineInUse } from "../state/sqlite.ts";
import { type DoctorFinding, firstLine } from "./finding.ts";

/** docs/sizing.md: most sites are smaller than this. Bytes. */
const ENOUGH_DISK = 20 * 2 ** 30;
const ENOUGH_SCRATCH = 2 ** 30;
/** docs/sizing.md: the largest package sets take a fifth of it. Bytes. */
const ENOUGH_MEMORY = 2 ** 30;

export async function lookAtNode(): Promise<DoctorFinding> {
  const { root, version } = findSelf();
  const own = process.execPath.startsWith(root) ? "its own" : "this machine's";
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = header?.glibcVersionRuntime;
  return {
    name: "node",
    state: "ok",
    found: `airgap ${version} in ${root}, with ${own} Node ${process.versions.node} (${process.platform} ${process.arch}${glibc ? `, glibc ${glibc}` : ""})`,
  };
}

export async function lookAtSqlite(): Promise<DoctorFinding> {
  try {
    const engine = await engineInUse();
    return {
      name: "sqlite",
      state: "ok",
      found:
        engine === "native" ? "the module sqlite3" : "Node's own; the module sqlite3 is not compiled here",
    };
  } catch (error) {
    return {
      name: "sqlite",
      state: "missing",
      found: firstLine(messageOf(error)),
      without: "`packages:` in specs does not work; `install` keeps no journal",
      remedy: "use Node 22.19 or newer",
    };
  }
}

export async function lookAtMemory(): Promise<DoctorFinding> {
  const available = await availableMemory();
  const found = `${formatBytes(available)} available`;
  if (available >= ENOUGH_MEMORY) return { name: "memory", state: "ok", found };
  return {
    name: "memory",
    state: "warning",
    found,
    without: "large package sets and large bundles may not fit",
    remedy: "docs/sizing.md says what each step needs",
  };
}

/** Node's own number leaves out what caches would give back. */
async function availableMemory(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const kib = /^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1];
  return kib === undefined ? freemem() : Number(kib) * 1024;
}

/** A folder that does not exist yet lies on the disk of the nearest one that does. */
function nearest(folder: string): string {
  let at = resolve(folder);
  while (!existsSync(at)) at = dirname(at);
  return at;
}

async function lookAtFolder(
  name: string,
  folder: string,
  enough: number,
  use: string,
): Promise<DoctorFinding> {
  const there = nearest(folder);
  try {
    await access(there, constants.W_OK);
  } catch {
    return {
      name,
      state: "warning",
      found: `${folder}: ${there} is not writable`,
      without: `there is no place for ${use}`,
      remedy: `use another folder, or as root: chown $USER ${there}`,
    };
  }
  const { bavail, bsize } = await statfs(there);
  const free = bavail * bsize;
  const found = `${folder}: ${formatBytes(free)} free`;
  if (free >= enough) return { name, state: "ok", found };
  return { name, state: "warning", found, without: `${use} may not fit`, remedy: "docs/sizing.md" };
}

export const lookAtDisk = (): Promise<DoctorFinding> =>
  lookAtFolder("disk", process.cwd(), ENOUGH_DISK, "a bundle of a whole site in this folder");

export const lookAtCache = (): Promise<DoctorFinding> =>
  lookAtFolder("cache", defaultCacheDir(), ENOUGH_SCRATCH, "what is kept between builds");

export const lookAtTemporary = (): Promise<DoctorFinding> =>
  lookAtFolder("tmp", join(tmpdir()), ENOUGH_SCRATCH / 4, "charts that are rendered, archives that are read");
