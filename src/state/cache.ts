import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { publish } from "../atomic.ts";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { type Digest, finish, hexOf } from "../oci/digest.ts";

/** `$AIRGAP_CACHE_DIR`, or `airgap` in the user's cache folder. */
export function defaultCacheDir(): string {
  return (
    process.env["AIRGAP_CACHE_DIR"] ||
    join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "airgap")
  );
}

/** Content that was fetched before its digest was known, kept by digest between runs. */
export class ContentCache {
  readonly #dir: string;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, "content");
  }

  /** The path for content of this digest. The content was complete when it was stored; readers check it again. */
  path(digest: Digest): string {
    return join(this.#dir, hexOf(digest));
  }

  /** Size in bytes, or undefined when the content is not in the cache. */
  async size(digest: Digest): Promise<number | undefined> {
    return stat(this.path(digest)).then(
      (found) => found.size,
      () => undefined,
    );
  }

  /** Stores a stream; the file gets its name only when complete. @throws AirgapError `disk` when storing fails, `network` when the stream breaks off */
  async put(stream: Readable, signal?: AbortSignal): Promise<{ digest: Digest; size: number }> {
    await mkdir(this.#dir, { recursive: true }).catch((cause: unknown) => {
      // Ending the stream unread is the purpose.
      stream.on("error", () => {}).destroy();
      throw this.#unkept(cause);
    });
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
        { signal },
      );
      const digest = finish(hash);
      await publish(temporary, this.path(digest), { durable: false });
      return { digest, size };
    } catch (error) {
      await rm(temporary, { force: true });
      signal?.throwIfAborted();
      if (isAirgapError(error)) throw error;
      if (stream.errored !== error) throw this.#unkept(error);
      throw new AirgapError("network", `The transfer broke off after ${size} bytes: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #unkept(cause: unknown): AirgapError {
    return new AirgapError("disk", `Cannot write to the cache ${this.#dir}: ${messageOf(cause)}`, {
      cause,
      suggestions: ["use a folder with more space: AIRGAP_CACHE_DIR=/path airgap build …"],
    });
  }
}
