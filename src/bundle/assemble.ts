import { AirgapError } from "../errors.ts";
import type { Item, Lock, LockedBlob } from "../lock/lock.ts";
import type { Resolved } from "../lock/resolved.ts";
import type { BundleSpec } from "../lock/spec.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { isManifestLike } from "../oci/media-types.ts";
import type { WantedBlob } from "./fill.ts";

/** A lock, with everything needed to fill its bundle. */
export interface Assembly {
  lock: Lock;
  wanted: Map<Digest, WantedBlob>;
}

const before = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Puts items in order and blobs after them: manifests first, where readers look first; then the
 * rest item by item, so that pushing an image reads a disc forwards. The order depends on the
 * content only, never on which source answered first.
 */
export function assemble(
  spec: BundleSpec,
  resolved: Resolved[],
  kubeadm: Record<string, string[]> = {},
): Assembly {
  checkNames(resolved);
  const ordered = resolved.toSorted(
    (a, b) => before(a.item.kind, b.item.kind) || before(a.item.name, b.item.name),
  );
  const wanted = new Map<Digest, WantedBlob>();
  const manifests = new Set<Digest>();
  for (const { item, blobs } of ordered) {
    for (const { descriptor, source } of blobs) {
      if (isManifestLike(descriptor.mediaType)) manifests.add(descriptor.digest);
      const known = wanted.get(descriptor.digest);
      if (known) {
        checkSize(known.descriptor, descriptor, item);
        known.sources.push(source);
      } else wanted.set(descriptor.digest, { descriptor, sources: [source], name: item.name });
    }
  }
  const order = new Set<Digest>([...manifests].toSorted(before));
  for (const { blobs } of ordered)
    for (const digest of blobs.map(({ descriptor }) => descriptor.digest).toSorted(before)) order.add(digest);
  const blobs = [...order].map(
    (digest): LockedBlob => ({ digest, size: (wanted.get(digest) as WantedBlob).descriptor.size }),
  );
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: spec.name,
    platforms: spec.platforms === "all" ? ["all"] : spec.platforms,
    ...(spec.siteName ? { siteName: spec.siteName } : {}),
    ...(Object.keys(kubeadm).length > 0 ? { kubernetes: Object.keys(kubeadm), kubeadm } : {}),
    items: ordered.map(({ item }) => item),
    blobs,
  };
  return { lock, wanted };
}

/** A lock that names one thing twice cannot be read again. */
function checkNames(resolved: Resolved[]): void {
  const taken = new Set<string>();
  for (const { item } of resolved) {
    const { kind, name, wantedBy } = item;
    if (taken.has(`${kind} ${name}`)) {
      throw new AirgapError(
        "spec",
        `Two entries of kind ${kind} have the name ${name}; one is wanted by ${wantedBy.join(", ")}`,
        {
          suggestions: ["give one of them another name with as:"],
        },
      );
    }
    taken.add(`${kind} ${name}`);
  }
}

function checkSize(a: Descriptor, b: Descriptor, item: Item): void {
  if (a.size === b.size) return;
  throw new AirgapError(
    "protocol",
    `The size of ${a.digest} is unclear: ${item.name} says ${b.size} bytes, another item says ${a.size}`,
  );
}
