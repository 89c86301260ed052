import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { AirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, finish } from "../oci/digest.ts";
import { closePlainFile, openPlainFile } from "./plain-file.ts";
import { writeRegion } from "./region.ts";
import type { FetchOptions, Range, Source } from "./types.ts";
import { localPath, openFile } from "./url.ts";
import { verifiedStream } from "./verify.ts";

type Sink = (chunk: Uint8Array) => void | Promise<void>;

/** Hands over a part of a file in one reused buffer. @throws AirgapError `not-found`, `disk`, `corrupt` when it is too short */
async function writeLocalFile(
  path: string,
  { offset, length }: Range,
  sink: Sink,
  signal?: AbortSignal,
): Promise<void> {
  const file = await openPlainFile(path);
  if (file === undefined) throw new AirgapError("not-found", `Cannot read ${path}: no such file`);
  try {
    await writeRegion({ fd: file.fd, offset, size: length ?? file.size - offset }, path, sink, signal);
  } finally {
    await closePlainFile(file.fd);
  }
}

/**
 * sha256 and size of a file, read once; memory is one buffer whatever its size.
 * @param place a path or a `file:` URL
 * @throws AirgapError `not-found`, `disk`
 */
export async function measureFile(
  place: string,
  signal?: AbortSignal,
): Promise<{ digest: Digest; size: number }> {
  const hash = createHash("sha256");
  let size = 0;
  const sink = (chunk: Uint8Array): void => {
    hash.update(chunk);
    size += chunk.length;
  };
  await writeLocalFile(localPath(place), { offset: 0 }, sink, signal);
  return { digest: finish(hash), size };
}

/** One file of this machine whose digest and size are known. */
export class FileSource implements Source {
  readonly name: string;
  readonly #path: string;
  readonly #descriptor: Descriptor;

  /** @param place a path or a `file:` URL */
  constructor(place: string, descriptor: Descriptor) {
    this.#path = localPath(place);
    this.name = this.#path;
    this.#descriptor = descriptor;
  }

  async resolve(reference: string): Promise<Descriptor> {
    if (reference === this.#descriptor.digest) return this.#descriptor;
    throw new AirgapError("not-found", `${this.name} is not ${reference}`);
  }

  async fetch(descriptor: Descriptor, { range }: FetchOptions = {}): Promise<Readable> {
    const chunks = await openFile(this.#path, range ?? { offset: 0 });
    return range ? chunks : verifiedStream(chunks, descriptor, this.name);
  }

  async writeTo(descriptor: Descriptor, range: Range, sink: Sink, signal?: AbortSignal): Promise<void> {
    await writeLocalFile(
      this.#path,
      { offset: range.offset, length: range.length ?? descriptor.size - range.offset },
      sink,
      signal,
    );
  }
}
