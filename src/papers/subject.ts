import type { Inside } from "../inside/package.ts";
import type { ImageItem, Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";

/** What an SBOM is about. */
export interface SbomSubject {
  lock: Lock;
  lockDigest: Digest;
  /** Of airgap. */
  version: string;
  /** Who else looked into images. */
  tools?: { name: string; version: string }[] | undefined;
  /** What is installed in an image; without it, nobody looks. */
  inside?: ((image: ImageItem) => Promise<Inside[]>) | undefined;
}
