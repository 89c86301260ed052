import { join } from "node:path";
import { algorithmOf, type Digest, hexOf, isDigest } from "../../src/oci/digest.ts";

/**
 * Where things are in a store:
 *
 *     blobs/<algorithm>/<hex>                              content, each once
 *     repositories/<name>/_blobs/<algorithm>-<hex>         empty: the repository has this blob
 *     repositories/<name>/_manifests/<algorithm>-<hex>     JSON { mediaType, size }
 *     repositories/<name>/_referrers/<subject>/<digest>    JSON descriptor
 *     repositories/<name>/_tags/<tag>                      the digest
 *     uploads/<id>.data, uploads/<id>.json                 sessions
 *     tmp/                                                 drafts, emptied at start
 *
 * Names of repositories have no component that begins with `_`. Every file appears by rename, so
 * what is there is whole.
 */
export class StorePaths {
  readonly root: string;
  readonly repositories: string;
  readonly uploads: string;
  readonly temporary: string;

  constructor(root: string) {
    this.root = root;
    this.repositories = join(root, "repositories");
    this.uploads = join(root, "uploads");
    this.temporary = join(root, "tmp");
  }

  contentDirectory(algorithm: "sha256" | "sha512"): string {
    return join(this.root, "blobs", algorithm);
  }

  content(digest: Digest): string {
    return join(this.contentDirectory(algorithmOf(digest)), hexOf(digest));
  }

  repository(name: string): string {
    return join(this.repositories, name);
  }

  links(name: string, kind: "_blobs" | "_manifests" | "_tags"): string {
    return join(this.repository(name), kind);
  }

  link(name: string, kind: "_blobs" | "_manifests", digest: Digest): string {
    return join(this.links(name, kind), fileNameOf(digest));
  }

  tag(name: string, tag: string): string {
    return join(this.links(name, "_tags"), tag);
  }

  referrers(name: string, subject: Digest): string {
    return join(this.repository(name), "_referrers", fileNameOf(subject));
  }

  referrer(name: string, subject: Digest, digest: Digest): string {
    return join(this.referrers(name, subject), fileNameOf(digest));
  }
}

export const fileNameOf = (digest: Digest): string => digest.replace(":", "-");

export function digestOfFileName(name: string): Digest | undefined {
  const digest = name.replace("-", ":");
  return isDigest(digest) ? digest : undefined;
}
