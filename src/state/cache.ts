import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Digest, finish, hexOf } from "../oci/digest.ts";

/** `$AIRGAP_CACHE_DIR`, or `airgap` in the user's cache folder. */
export function defaultCacheDir(): string {
  return process.env["AIRGAP_CACHE_DIR"] || join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "airgap");
}

/** Content that had to be fetched before its digest was known, kept by digest between runs. */
export class ContentCache {
  readonly #dir: string;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, "content");
  }

  /** Where content of this digest is or would be. It was whole when it got there; who reads it checks it. */
  path(digest: Digest): string {
    return join(this.#dir, hexOf(digest));
  }

  /** Size in bytes, or undefined when it is not kept. */
  async size(digest: Digest): Promise<number | undefined> {
    return stat(this.path(digest)).then(
      (found) => found.size,
      () => undefined,
    );
  }

  /** Keeps a stream; it gets its name only when whole. */
  async put(stream: Readable): Promise<{ digest: Digest; size: number }> {
    await mkdir(this.#dir, { recursive: true });
    const temporary = join(this.#dir, `.${process.pid}-${Math.random().toString(36).slice(2)}`);
    const hash = createHash("sha256");
    let size = 0;
    try {
      await pipeline(
        stream,
        async function* (chunks: AsyncIterable<Buffer>) {
          for await (const chunk of chunks) {
            hash.update(chunk);
            size += chunk.length;
            yield chunk;
          }
        },
        createWriteStream(temporary),
      );
      const digest = finish(hash);
      await rename(temporary, this.path(digest));
      return { digest, size };
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}
