import type { Descriptor } from "../oci/descriptor.ts";
import type { CarriedFacts, FileFacts } from "./carried-facts.ts";
import type { PackageSetFacts } from "./package-facts.ts";

export const LOCK_MEDIA_TYPE = "application/vnd.airgap.lock.v1+json";

/** What an item of a bundle is. `image` is the only kind whose name is an image reference. */
export type ItemKind = "image" | "file" | "self" | "manifests" | "chart" | "packages";

/** An artifact attached to an image, such as a signature: by cosign's tag scheme or by a manifest's `subject`. */
export interface Attached {
  descriptor: Descriptor;
  /** The manifest that it is attached to: the item's root, its original, or a child of those. */
  subject: string;
  /** cosign's `sha256-….sig`; absent when the referrers API lists it. */
  tag?: string;
}

/** A signature of an image's publisher that was verified when the lock was made. */
export interface VerifiedSignature {
  /** Fingerprint of the key: `SHA256:…`. */
  key: string;
  /** The artifact that holds the signature; carried where `attachments` says so. */
  signature: Descriptor["digest"];
}

/** The keys of every item in a bundle. */
interface Pinned {
  /** What the name stands for at the site: an image manifest, an index with every child carried, or an artifact. */
  root: Descriptor;
  /** Where it was read, in the order tried: `docker://registry.aliyuncs.com/google_containers/pause:3.9`. */
  origins: string[];
  /** Who asked for it, e.g. `kubernetes v1.28.2`, `images[2]`, `manifests flannel: kube-flannel.yml:121`. Sorted. */
  wantedBy: string[];
}

export interface ImageItem extends Pinned {
  kind: "image";
  /** The canonical reference: `docker.io/library/nginx:1.27`, `quay.io/x/y@sha256:…`. Unique. */
  name: string;
  /** The index as its publisher made it, when `root` is one platform of it or an index derived from it. Its other children are not carried. */
  original?: Descriptor;
  /** `platforms: exact`: the original index was asked for by digest, and its missing children are on purpose. */
  exact?: true;
  attached?: Attached[];
  /** Signatures of its publisher that `build` verified, since the spec asked for them: over `original`, or else over `root`. */
  verified?: VerifiedSignature[];
  facts?: never;
}

/** An item that is not an image: an OCI artifact. */
interface Artifact<K extends ItemKind> extends Pinned {
  kind: K;
  /** Unique within its kind: the spec's `as:`, or a name made from the path. */
  name: string;
  original?: never;
  exact?: never;
  attached?: never;
  verified?: never;
}

export interface FileItem<K extends "file" | "self"> extends Artifact<K> {
  facts?: FileFacts;
}
export interface CarriedItem<K extends "manifests" | "chart"> extends Artifact<K> {
  facts: CarriedFacts;
}
export interface PackagesItem extends Artifact<"packages"> {
  facts: PackageSetFacts;
}

/** One pinned item of the bundle. */
export type Item =
  | ImageItem
  | FileItem<"file">
  | FileItem<"self">
  | CarriedItem<"manifests">
  | CarriedItem<"chart">
  | PackagesItem;

export type ItemOf<K extends ItemKind> = Extract<Item, { kind: K }>;

export function itemsOf<K extends ItemKind>({ items }: Pick<Lock, "items">, ...kinds: K[]): ItemOf<K>[] {
  return items.filter((item): item is ItemOf<K> => (kinds as ItemKind[]).includes(item.kind));
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
  /** Counts up with every build that changes the lock, so that an older bundle is told from a newer one. */
  sequence?: number;
  platforms: string[];
  /** The site's own registry: references to this host are the user's own images. */
  siteName?: string;
  /** Versions, in the order of the spec: `v1.28.2`. */
  kubernetes?: string[];
  /** The images that kubeadm of each version needs, with the configuration that the spec names. */
  kubeadm?: Record<string, string[]>;
  /** Sorted by kind, then name. */
  items: Item[];
  blobs: LockedBlob[];
}
