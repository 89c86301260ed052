import { Readable } from "node:stream";
import { AirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, finish, hasher } from "../oci/digest.ts";

/**
 * Checks content while it is read: surplus bytes at once, missing or wrong ones at the end.
 * @param where names the source in messages
 * @throws AirgapError `corrupt`
 */
export async function* verified(
  chunks: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  where: string,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = descriptor;
  const hash = hasher(digest);
  let seen = 0;
  const corrupt = (why: string): AirgapError => new AirgapError("corrupt", `${digest} from ${where}: ${why}`);
  for await (const chunk of chunks) {
    seen += chunk.length;
    if (seen > size) throw corrupt(`more than its ${size} bytes came`);
    hash.update(chunk);
    // The last bytes are passed on only after the digest is checked.
    if (seen < size) yield chunk;
    else {
      for await (const rest of chunks) if (rest.length > 0) throw corrupt(`more than its ${size} bytes came`);
      check();
      yield chunk;
      return;
    }
  }
  if (seen < size) throw corrupt(`only ${seen} of its ${size} bytes came`);
  check();

  function check(): void {
    const found = finish(hash, algorithmOf(digest));
    if (found !== digest) throw corrupt(`the digest of the bytes is ${found}`);
  }
}

/** `verified` as a stream. Destroying it stops reading `chunks`. */
export function verifiedStream(
  chunks: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  where: string,
): Readable {
  return Readable.from(verified(chunks, descriptor, where), { objectMode: false });
}
