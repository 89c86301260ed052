import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../../errors.ts";
import { call } from "../../plan/shell.ts";
import type { StateDir } from "../../plan/state-dir.ts";
import { fetched, type Hands, runOn } from "../backup/hand.ts";

/** A file that a host has kept of before an upgrade, and its copy beside the cluster file. */
export interface KeptFile {
  host: string;
  version: string;
  path: string;
  /** Bytes. */
  size: number;
}

const FOLDER = "/var/lib/airgap/upgrade";
const NAMES = new Set(["etcd.db", "kubernetes.tar.gz"]);

/**
 * Copies what a host has kept of before `version` to the folder beside the cluster file, readable by the user
 * only: `.airgap/NAME/upgrade/VERSION/HOST/`.
 * @throws AirgapError `step-failed`, `network`, `disk`, `corrupt`
 */
export async function bringHomeKept(
  hands: Hands,
  host: string,
  version: string,
  home: StateDir,
): Promise<KeptFile[]> {
  const { stdout } = await runOn(hands, host, call("show_kept", version), 300_000);
  const listed = stdout.split("\n").flatMap((line) => {
    const [name = "", size = "", sha256 = ""] = line.split(" ");
    return NAMES.has(name) && /^\d+$/.test(size) && /^[0-9a-f]{64}$/.test(sha256)
      ? [{ name, size: Number(size), sha256 }]
      : [];
  });
  const folder = home.path("upgrade", version, host);
  const kept: KeptFile[] = [];
  for (const { name, size, sha256 } of listed) {
    const path = join(folder, name);
    const fd = create(folder, `${path}.part`);
    const hash = createHash("sha256");
    try {
      for await (const bytes of fetched(hands, host, `${FOLDER}/${version}/${name}`, size)) {
        hash.update(bytes);
        writeSync(fd, bytes);
      }
    } finally {
      closeSync(fd);
    }
    if (hash.digest("hex") !== sha256)
      throw new AirgapError("corrupt", `${host}: ${name} came damaged`, {
        suggestions: ["run the same command again"],
      });
    renameSync(`${path}.part`, path);
    kept.push({ host, version, path, size });
  }
  return kept;
}

function create(folder: string, path: string): number {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return openSync(path, "w", 0o600);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
}
