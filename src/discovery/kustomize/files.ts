import { isUtf8 } from "node:buffer";
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { AirgapError } from "../../errors.ts";
import { MAX_FILE } from "../documents/parse.ts";

export const KUSTOMIZATION_FILES = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/** A file that a kustomization was made from. */
export interface ReadFile {
  path: string;
  bytes: Buffer;
}

export interface FoundText {
  path: string;
  text: string;
  /** The bytes, when they are not UTF-8. */
  binary?: Buffer;
}

const textOf = (path: string, bytes: Buffer): FoundText => ({
  path,
  text: bytes.toString("utf8"),
  ...(isUtf8(bytes) ? {} : { binary: bytes }),
});

/** Reads files for one run, keeps them, and refuses files outside a kustomization's folder. */
export class Files {
  /** Every file read, by its real path. */
  readonly read = new Map<string, ReadFile>();
  readonly #root: string;

  /** @param root names are shown relative to it */
  constructor(root: string) {
    this.#root = root;
  }

  shown(path: string): string {
    const name = relative(dirname(this.#root), path);
    return name.startsWith("..") ? path : name;
  }

  /** The kustomization file of a folder, or undefined. */
  async kustomizationOf(folder: string): Promise<string | undefined> {
    for (const name of KUSTOMIZATION_FILES) {
      const path = join(folder, name);
      if (
        await stat(path).then(
          (found) => found.isFile(),
          () => false,
        )
      )
        return path;
    }
    return undefined;
  }

  /**
   * @param folder the kustomization's; kustomize does not read files outside it
   * @throws AirgapError `spec`
   */
  async text(folder: string, name: string, by: string): Promise<FoundText> {
    const path = resolve(folder, name);
    const real = await realpath(path).catch((cause) => {
      throw new AirgapError("spec", `${by} names ${name}, which does not exist`, { cause });
    });
    const home = await realpath(folder);
    if (real !== home && !real.startsWith(home + sep)) {
      throw new AirgapError(
        "spec",
        `${by} names ${name}, which is outside its folder; kustomize refuses that too`,
        {
          suggestions: [
            "move the file into the folder, or make its folder a kustomization and name that folder",
          ],
        },
      );
    }
    const known = this.read.get(real);
    if (known) return textOf(path, known.bytes);
    const found = await stat(real);
    if (!found.isFile()) throw new AirgapError("spec", `${by} names ${name}, which is not a file`);
    if (found.size > MAX_FILE)
      throw new AirgapError("spec", `${by} names ${name}, which is larger than ${MAX_FILE >> 20} MiB`);
    const bytes = await readFile(real);
    this.read.set(real, { path, bytes });
    return textOf(path, bytes);
  }
}
