import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";

/** What is kept beside the cluster file: secrets, journal, logs, the kubeconfig. For the user's eyes only. */
export class StateDir {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** `.airgap/<name>` below the folder of the cluster file, made when it is not there. @throws AirgapError `disk` */
  static open({ baseDir, name }: { baseDir: string; name: string }): StateDir {
    const dir = join(baseDir, ".airgap", name);
    try {
      mkdirSync(join(dir, "runs"), { recursive: true, mode: 0o700 });
      chmodSync(join(baseDir, ".airgap"), 0o700);
      writeFileSync(join(baseDir, ".airgap", ".gitignore"), "*\n");
    } catch (cause) {
      throw new AirgapError(
        "disk",
        `${dir}, where secrets and logs are kept, can't be made: ${messageOf(cause)}`,
        { cause },
      );
    }
    return new StateDir(dir);
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** A file's text, or undefined when there is none. */
  read(name: string): string | undefined {
    try {
      return readFileSync(this.path(name), "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new AirgapError("disk", `${this.path(name)} can't be read: ${messageOf(cause)}`, { cause });
    }
  }

  /** Writes a file at once or not at all, readable by the user only. */
  write(name: string, text: string): void {
    const path = this.path(name);
    try {
      replaceFileSync(path, text, 0o600);
    } catch (cause) {
      throw new AirgapError("disk", `${path} can't be written: ${messageOf(cause)}`, { cause });
    }
  }
}
