import type { Descriptor } from "../oci/descriptor.ts";

export const LOCK_MEDIA_TYPE = "application/vnd.airgap.lock.v1+json";

/** What a thing in a bundle is. `image` is the only kind whose name is an image reference. */
export type ItemKind = "image" | "file" | "self" | "manifests" | "chart" | "packages";

/** Something attached to an image, a signature say: by cosign's tag scheme or by a manifest's `subject`. */
export interface Attached {
  descriptor: Descriptor;
  /** The manifest it speaks of: the item's root, its original, or a child of those. */
  subject: string;
  /** cosign's `sha256-….sig`; absent for what is found by the referrers API. */
  tag?: string;
}

/** One thing that the bundle carries, pinned. */
export interface Item {
  kind: ItemKind;
  /**
   * Unique within its kind. Images: the canonical reference (`docker.io/library/nginx:1.27`,
   * `quay.io/x/y@sha256:…`). Others: the spec's `as:`, or what follows from the path.
   */
  name: string;
  /** What lands under the name: an image manifest, an index whose every child is carried, or an artifact. */
  root: Descriptor;
  /** The index as its publisher made it, when `root` is one platform of it or an index derived from it. Its other children are not carried. */
  original?: Descriptor;
  /** `platforms: exact`: the original index was asked for by digest, and its missing children are on purpose. */
  exact?: boolean;
  /** Where it was read, in the order tried: `docker://registry.aliyuncs.com/google_containers/pause:3.9`. */
  origins: string[];
  /** Who asked for it, e.g. `kubernetes v1.28.2`, `images[2]`, `manifests flannel: kube-flannel.yml:121`. Sorted. */
  wantedBy: string[];
  attached?: Attached[];
  /** What a kind keeps beside; canonical JSON, typed by the resolver that writes it. */
  facts?: Record<string, unknown>;
}

/** A blob of the bundle; the order of the list is the order in the tar. */
export interface LockedBlob {
  digest: Descriptor["digest"];
  size: number;
}

/**
 * The root of a bundle: canonical JSON, committed beside the spec and carried first in the tar.
 * The same lock gives the same bundle, byte for byte.
 */
export interface Lock {
  apiVersion: "airgap/v1";
  kind: "Lock";
  name: string;
  platforms: string[];
  /** The site's own registry: references to this host are the user's own images. */
  siteName?: string;
  /** Versions, in the order of the spec: `v1.28.2`. */
  kubernetes?: string[];
  /** What kubeadm of each version asks for, with the configuration that the spec names. */
  kubeadm?: Record<string, string[]>;
  /** Sorted by kind, then name. */
  items: Item[];
  blobs: LockedBlob[];
}
