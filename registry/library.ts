import type { Descriptor } from "../src/oci/descriptor.ts";
import type { Digest } from "../src/oci/digest.ts";
import type { Region } from "../src/transport/types.ts";
import type { Overview } from "./overview.ts";

/** Content that is open for reading; `close` gives it back, once. */
export interface OpenBlob extends Region {
  close(): void;
}

/** One repository as a client sees it. What is not there is `undefined`, never an error. */
export interface Repository {
  /** Sorted by code unit. */
  tags(): Promise<string[]>;
  /** What a tag or a manifest's digest stands for here. */
  resolve(reference: string): Promise<Descriptor | undefined>;
  /** The bytes of a blob or manifest of this repository. */
  open(digest: Digest): Promise<OpenBlob | undefined>;
  /** Manifests of this repository whose subject is `digest`, as the referrers API lists them. */
  referrers(digest: Digest): Promise<Descriptor[]>;
}

/**
 * Files under paths: `files/cri-dockerd.tgz`, `packages/el9/repodata/repomd.xml`.
 * No leading or trailing slash; the root is "".
 */
export interface FileTree {
  /** Names directly below a directory, sorted, directories with a trailing slash. */
  list(path: string): Promise<string[] | undefined>;
  file(path: string): Promise<Descriptor | undefined>;
  /** The bytes of a file that `file` gave. */
  open(digest: Digest): Promise<OpenBlob | undefined>;
}

/** Where the server's content comes from: a bundle, several of them, the writable store. */
export interface Library {
  /** For the page at `/` and for messages. */
  readonly name: string;
  /** Names under which repositories answer without `ns`, sorted. */
  repositories(): Promise<string[]>;
  /** @param ns the upstream registry that the client asks us for as its mirror: `registry.k8s.io` */
  repository(name: string, ns?: string): Promise<Repository | undefined>;
  readonly files?: FileTree;
  /** For the page at `/`: what is in it, with sizes; absent where only names are known. */
  overview?(): Promise<Overview>;
  /** Rejects when the content can no longer be read. */
  check?(): Promise<void>;
}
