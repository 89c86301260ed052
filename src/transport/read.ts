import { AirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Source } from "./types.ts";

/** The whole of a small blob, checked. @throws AirgapError `protocol` when its descriptor states more than `limit` bytes */
export async function readBlob(
  source: Source,
  descriptor: Descriptor,
  limit: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  if (descriptor.size > limit)
    throw new AirgapError(
      "protocol",
      `${descriptor.digest} of ${source.name} has ${descriptor.size} bytes; at most ${limit} are allowed here`,
    );
  const chunks: Buffer[] = [];
  for await (const chunk of (await source.fetch(
    descriptor,
    signal ? { signal } : {},
  )) as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}
