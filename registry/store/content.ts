import { close, fstat, open } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { type Digest, isDigest } from "../../src/oci/digest.ts";
import type { OpenBlob } from "../library.ts";
import { ifThere, makeDirectory, namesIn, removeFile, syncDirectory } from "./durable.ts";
import { KeyedMutex } from "./mutex.ts";
import type { StorePaths } from "./paths.ts";

const openFd = promisify(open);
const statFd = promisify(fstat);

/** Content by digest, shared by all repositories. Nothing unverified ever gets here. */
export class Content {
  readonly #paths: StorePaths;
  readonly #turns = new KeyedMutex();

  constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  async prepare(): Promise<void> {
    for (const algorithm of ["sha256", "sha512"] as const)
      await makeDirectory(this.#paths.contentDirectory(algorithm));
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const fd = await ifThere(openFd(this.#paths.content(digest), "r"));
    if (fd === undefined) return undefined;
    const { size } = await statFd(fd);
    return { fd, offset: 0, size, close: () => close(fd, () => {}) };
  }

  /** Bytes, or undefined when it is not there. */
  async size(digest: Digest): Promise<number | undefined> {
    return (await ifThere(stat(this.#paths.content(digest))))?.size;
  }

  /**
   * Takes over a flushed temporary file whose digest has been checked, and calls `link` before
   * anybody can find the content unreferenced. What was there under the digest is replaced: a
   * client that sends it again heals a damaged copy.
   */
  async adopt(file: string, digest: Digest, link: () => Promise<void>): Promise<void> {
    await this.#turns.run(digest, async () => {
      await rename(file, this.#paths.content(digest));
      await link();
    });
  }

  /** Links content that is there already. @returns whether it was */
  async relink(digest: Digest, link: () => Promise<void>): Promise<boolean> {
    return this.#turns.run(digest, async () => {
      if ((await this.size(digest)) === undefined) return false;
      await link();
      return true;
    });
  }

  /** Calls `unlink`, then drops the content unless something still refers to it. @returns whether it was dropped */
  async release(
    digest: Digest,
    unlink: () => Promise<void>,
    isReferenced: () => Promise<boolean>,
  ): Promise<boolean> {
    return this.#turns.run(digest, async () => {
      await unlink();
      return !(await isReferenced()) && (await removeFile(this.#paths.content(digest)));
    });
  }

  /** Everything that is here. */
  async digests(): Promise<Digest[]> {
    const found: Digest[] = [];
    for (const algorithm of ["sha256", "sha512"] as const)
      for (const name of await namesIn(this.#paths.contentDirectory(algorithm))) {
        const digest = `${algorithm}:${name}`;
        if (isDigest(digest)) found.push(digest);
      }
    return found;
  }

  /** Waits until the names of all content are on the disk. */
  async sync(): Promise<void> {
    for (const algorithm of ["sha256", "sha512"] as const)
      await syncDirectory(this.#paths.contentDirectory(algorithm));
  }
}
