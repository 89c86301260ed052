import type { Readable } from "node:stream";

/** Output that a command in a container may print. Bytes. */
const MAX_OUTPUT = 64 * 1024 * 1024;

/** What a command prints; only its start where it is too much. */
export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= MAX_OUTPUT) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The text in frames of a type, three zeros and a length: the engine's API, "Stream format". */
export function demultiplexed(bytes: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    pieces.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(pieces).toString("utf8");
}
