import type { Attached, Item, Lock } from "../../src/lock/lock.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { MemorySource } from "../../src/transport/memory.ts";
import type { Source } from "../../src/transport/types.ts";
import type { TestImage } from "./images.ts";

export interface TestBundleItem {
  image: TestImage;
  attached?: (Attached & { image: TestImage })[];
  exact?: boolean;
  /** Digests that are left out of the bundle though the image has them. */
  without?: Set<string>;
}

export interface TestBundle {
  name: string;
  lock: Lock;
  source: Source;
}

/** A bundle at hand: a lock and a source, as a bundle's reader gives them. */
export function makeBundle(items: Record<string, TestBundleItem>, more: Partial<Lock> = {}): TestBundle {
  const blobs = new Map<Digest, Buffer>();
  const locked = Object.entries(items).map(([name, { image, attached = [], exact, without }]): Item => {
    for (const each of [image, ...attached.map((one) => one.image)])
      for (const [digest, bytes] of each.blobs) if (!without?.has(digest)) blobs.set(digest, bytes);
    const list = attached.map(
      ({ descriptor, subject, tag }): Attached => ({
        descriptor,
        subject,
        ...(tag === undefined ? {} : { tag }),
      }),
    );
    return {
      kind: "image",
      name,
      root: image.root,
      origins: [],
      wantedBy: ["test"],
      ...(exact ? { exact } : {}),
      ...(list.length > 0 ? { attached: list } : {}),
    };
  });
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "test",
    platforms: ["linux/amd64"],
    items: locked.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    blobs: [...blobs].map(([digest, bytes]) => ({ digest, size: bytes.length })),
    ...more,
  };
  return { name: "test.tar", lock, source: new MemorySource("bundle:test.tar", [...blobs.values()]) };
}
