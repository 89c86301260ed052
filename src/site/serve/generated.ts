import { randomUUID } from "node:crypto";
import { openSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OpenBlob } from "../../../registry/library.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import type { Region } from "../../transport/types.ts";

/**
 * Bytes that were made here, in a file that has no name any more: what a server sends, it sends from
 * open files, and the file is gone with the process.
 */
export class Generated {
  readonly #regions = new Map<Digest, Region>();
  #fd: number | undefined;
  #end = 0;

  add(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    if (this.#regions.has(digest)) return digest;
    this.#fd ??= openNameless();
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#end + done);
    this.#regions.set(digest, { fd: this.#fd, offset: this.#end, size: bytes.length });
    this.#end += bytes.length;
    return digest;
  }

  open(digest: Digest): OpenBlob | undefined {
    const region = this.#regions.get(digest);
    return region && { ...region, close: () => {} };
  }
}

function openNameless(): number {
  const path = join(tmpdir(), `airgap-${randomUUID()}`);
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return fd;
}
