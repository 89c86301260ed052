import type { Transform } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import xz from "xz-decompress";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { withKnownChecks } from "./xz-checks.ts";

type Format = "gzip" | "xz" | "zstd" | "bzip2" | "lzma" | "zchunk" | "plain";

/** Compressed bytes of what has to be held whole. Fedora's largest metadata have a quarter of that. */
const MAX_HELD = 256 << 20;

const MAGIC: [Format, number[]][] = [
  ["gzip", [0x1f, 0x8b]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  // With the properties and the multiples of 64 KiB that every tool writes.
  ["lzma", [0x5d, 0x00, 0x00]],
  ["zchunk", [0x00, 0x5a, 0x43, 0x4b, 0x31]],
];

function formatOf(head: Buffer): Format {
  return MAGIC.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0] ?? "plain";
}

async function* unxz(chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const web = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  const reader = new xz.XzReadableStream(web).getReader();
  // The decoder reuses its memory for the next piece.
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield Buffer.from(next.value);
  await drain(chunks);
}

async function* through(chunks: AsyncGenerator<Buffer>, transform: Transform): AsyncGenerator<Buffer> {
  const feeding = (async () => {
    for await (const chunk of chunks) {
      if (transform.destroyed) return;
      if (!transform.write(chunk)) await writable(transform);
    }
    transform.end();
  })();
  feeding.catch((error: Error) => transform.destroy(error));
  yield* transform as AsyncIterable<Buffer>;
  await feeding;
}

/** Until more can be written, or nothing more is wanted. */
function writable(transform: Transform): Promise<void> {
  return new Promise((resolve) => {
    const resume = (): void => {
      transform.off("drain", resume).off("close", resume);
      resolve();
    };
    transform.on("drain", resume).on("close", resume);
  });
}

/** For decoders that read their input at random; the loop gets its turn between their pieces. */
async function* inPieces(
  chunks: AsyncGenerator<Buffer>,
  decode: (bytes: Buffer) => Generator<Buffer>,
): AsyncGenerator<Buffer> {
  const held: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > MAX_HELD) throw new Error(`it has more than ${MAX_HELD} bytes`);
    held.push(chunk);
  }
  for (const piece of decode(Buffer.concat(held))) {
    yield piece;
    await setImmediate();
  }
}

/** What is behind the end of the compressed data counts for the checksum of the file. */
async function drain(chunks: AsyncGenerator<Buffer>): Promise<void> {
  for (let next = await chunks.next(); !next.done; next = await chunks.next());
}

async function unpack(
  whole: AsyncGenerator<Buffer>,
  format: Format,
  what: string,
): Promise<AsyncGenerator<Buffer>> {
  switch (format) {
    case "gzip":
      return through(whole, createGunzip());
    case "zstd":
      return through(whole, createZstdDecompress());
    case "xz":
      return unxz(withKnownChecks(whole));
    case "bzip2":
      return inPieces(whole, (await import("./bunzip2.ts")).bunzip2);
    case "lzma":
      return inPieces(whole, (await import("./unlzma.ts")).unlzma);
    case "zchunk":
      throw new AirgapError("unsupported", `${what} is compressed with zchunk, which airgap does not read`, {
        suggestions: ["name a mirror whose repomd.xml lists gzip, xz, zstd or bzip2 for it"],
      });
    case "plain":
      return whole;
  }
}

/**
 * The content of a compressed file; its first bytes say how it is compressed, not its name.
 * @param limit bytes that it may unpack to
 * @throws AirgapError `corrupt` for damaged or too much content, `unsupported` for zchunk
 */
export async function* decompress(
  chunks: AsyncIterable<Buffer>,
  what: string,
  limit: number,
): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  for (let size = 0; size < 6; ) {
    const { done, value } = await iterator.next();
    if (done) break;
    first.push(value);
    size += value.length;
  }
  const head = Buffer.concat(first);
  const whole = (async function* () {
    try {
      if (head.length > 0) yield head;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  })();
  const format = formatOf(head);
  const plain = await unpack(whole, format, what);
  let size = 0;
  try {
    for await (const chunk of plain) {
      size += chunk.length;
      if (size > limit)
        throw new AirgapError(
          "corrupt",
          `${what} unpacks to more than ${limit} bytes, more than its metadata say`,
        );
      yield chunk;
    }
  } catch (cause) {
    if (isAirgapError(cause)) throw cause;
    throw new AirgapError("corrupt", `${what} cannot be unpacked (${format}): ${messageOf(cause)}`, {
      cause,
    });
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** The whole of a small compressed file. */
export async function decompressAll(bytes: Buffer, what: string, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of decompress(once(bytes), what, limit)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
