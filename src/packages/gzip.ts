import { createHash } from "node:crypto";
import { Deflate } from "pako";

/** Compressed text, with what is known of the text itself. */
export interface Gzipped {
  bytes: Buffer;
  /** sha256 of the text, in hex, and its length in bytes. */
  openSha256: string;
  openSize: number;
}

const PIECE = 1 << 18;

/**
 * Compresses text piece by piece. The deflate is a pinned pure-JavaScript one and the header holds
 * no time and a fixed system, so that the same text gives the same bytes on every machine; Node's
 * zlib differs by build.
 */
export class GzipText {
  readonly #deflate = new Deflate({ level: 9, gzip: true } as ConstructorParameters<typeof Deflate>[0]);
  readonly #hash = createHash("sha256");
  #pending: string[] = [];
  #pendingLength = 0;
  #size = 0;

  add(text: string): void {
    this.#pending.push(text);
    this.#pendingLength += text.length;
    if (this.#pendingLength >= PIECE) this.#flush(false);
  }

  finish(): Gzipped {
    this.#flush(true);
    return {
      bytes: Buffer.from(this.#deflate.result as Uint8Array),
      openSha256: this.#hash.digest("hex"),
      openSize: this.#size,
    };
  }

  #flush(last: boolean): void {
    const bytes = Buffer.from(this.#pending.join(""), "utf8");
    this.#pending = [];
    this.#pendingLength = 0;
    this.#hash.update(bytes);
    this.#size += bytes.length;
    this.#deflate.push(bytes, last);
  }
}

export function gzipText(text: string): Gzipped {
  const gzip = new GzipText();
  gzip.add(text);
  return gzip.finish();
}
