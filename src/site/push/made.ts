import type { Digest } from "../../oci/digest.ts";
import { MemorySource } from "../../transport/memory.ts";
import type { Source } from "../../transport/types.ts";

/** A source that has what was made on the way too. */
export function withMade(source: Source, blobs: ReadonlyMap<Digest, Buffer>): Source {
  const made = new MemorySource("made", [...blobs.values()]);
  const { writeTo, region } = source;
  return {
    name: source.name,
    resolve: (reference) => source.resolve(reference),
    fetch: (descriptor, options) => (blobs.has(descriptor.digest) ? made : source).fetch(descriptor, options),
    async writeTo(descriptor, range, sink, signal) {
      const bytes = blobs.get(descriptor.digest);
      if (bytes === undefined) return writeTo?.call(source, descriptor, range, sink, signal);
      sink(bytes.subarray(range.offset, range.offset + (range.length ?? bytes.length)));
    },
    region: (descriptor) => (blobs.has(descriptor.digest) ? undefined : region?.call(source, descriptor)),
  };
}
