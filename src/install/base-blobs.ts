import { blobName } from "../bundle/layout.ts";
import type { BundleReader } from "../bundle/reader.ts";
import type { Host } from "../host/host.ts";
import { shipped } from "../host/shipped.ts";
import { type Digest, digestOf } from "../oci/digest.ts";

/** Gives small blobs that a delta counts on, as far as somebody has them. */
export type FetchBlobs = (digests: Digest[]) => Promise<ReadonlyMap<Digest, Buffer>>;

/** At a time: the names must fit into one command. */
const AT_ONCE = 200;

/** Reads blobs out of the bundles that the serving host has; each one is compared with its digest. */
export async function blobsOn(
  host: Host,
  digests: Digest[],
  signal?: AbortSignal,
): Promise<Map<Digest, Buffer>> {
  const found = new Map<Digest, Buffer>();
  for (let from = 0; from < digests.length; from += AT_ONCE) {
    const asked = new Map(digests.slice(from, from + AT_ONCE).map((digest) => [blobName(digest), digest]));
    // Names of blobs are hexadecimal: nothing in them means anything to a shell.
    const script = `set -- ${[...asked.keys()].join(" ")}\n${shipped("host/blobs.sh")}`;
    const { stdout } = await host.run(script, { timeoutMs: 300_000, ...(signal ? { signal } : {}) });
    for (const line of stdout.split("\n")) {
      const [name = "", base64 = ""] = line.split("|");
      const digest = asked.get(name);
      const bytes = Buffer.from(base64, "base64");
      if (digest !== undefined && digestOf(bytes) === digest) found.set(digest, bytes);
    }
  }
  return found;
}

/** Completes a delta with the documents that a plan reads: first the manifests of items, then what applies to a cluster. */
export async function completeDelta(reader: BundleReader, fetch: FetchBlobs): Promise<void> {
  const missing = (digests: Digest[]): Digest[] =>
    [...new Set(digests)].filter((digest) => !reader.has(digest));
  const items = reader.lock.items.filter(({ kind }) => kind !== "image");
  reader.adopt(await fetch(missing(items.map(({ root }) => root.digest))));
  const applied = items.filter(
    ({ kind, root }) => (kind === "manifests" || kind === "chart") && reader.has(root.digest),
  );
  const layers = applied.flatMap((item) => reader.files(item).map(({ layer }) => layer.digest));
  reader.adopt(await fetch(missing(layers)));
}
