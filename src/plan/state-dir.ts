import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";

/** The folder beside the cluster file: secrets, journal, logs, the kubeconfig. Only the user can read it. */
export class StateDir {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Opens `.airgap/<name>` below the folder of the cluster file, and creates it if needed. @throws AirgapError `disk` */
  static open({ baseDir, name }: { baseDir: string; name: string }): StateDir {
    const dir = join(baseDir, ".airgap", name);
    try {
      mkdirSync(join(dir, "runs"), { recursive: true, mode: 0o700 });
      chmodSync(join(baseDir, ".airgap"), 0o700);
      writeFileSync(join(baseDir, ".airgap", ".gitignore"), "*\n");
    } catch (cause) {
      throw new AirgapError("disk", `Cannot create ${dir} for secrets and logs: ${messageOf(cause)}`, {
        cause,
      });
    }
    return new StateDir(dir);
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** A file's text, or undefined when it does not exist. */
  read(name: string): string | undefined {
    try {
      return readFileSync(this.path(name), "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new AirgapError("disk", `Cannot read ${this.path(name)}: ${messageOf(cause)}`, { cause });
    }
  }

  /** Writes a file completely or not at all, readable by the user only. */
  write(name: string, text: string): void {
    const path = this.path(name);
    try {
      replaceFileSync(path, text, 0o600);
    } catch (cause) {
      throw new AirgapError("disk", `Cannot write ${path}: ${messageOf(cause)}`, { cause });
    }
  }
}
