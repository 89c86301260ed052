import type { Lock } from "../../lock/lock.ts";
import type { Digest } from "../../oci/digest.ts";
import { type FoundImage, isCarried, withoutSpans } from "../manifests/find-images.ts";
import { type Comparison, compareWithBundle } from "./compare.ts";
import { type ClusterFind, type FindInClusterOptions, findInCluster } from "./find.ts";

export interface ClusterImage extends FoundImage {
  /** What runs under this name; empty when no pod runs it now, and for images that were loaded from files. */
  digests: Digest[];
}

export interface ClusterImages {
  /** Certain and likely images. */
  images: ClusterImage[];
  /** Possible images, and OCI artifacts that are not container images. */
  possible: ClusterImage[];
  warnings: string[];
  /** With a lock only. */
  comparison?: Comparison;
}

/**
 * Every image that a running cluster uses, and with a lock what that bundle has of it.
 * @throws AirgapError `environment` without kubectl, `refused` when the cluster gives no answer
 */
export async function findImagesInCluster(
  options: FindInClusterOptions & { lock?: Lock | undefined; incomplete(): void },
): Promise<ClusterImages> {
  const { finds, warnings, complete } = await findInCluster(options);
  if (!complete) options.incomplete();
  const images = finds.filter(isCarried);
  const told = (find: ClusterFind): ClusterImage => ({ ...withoutSpans(find), digests: find.digests });
  return {
    images: images.map(told),
    possible: finds.filter((find) => !isCarried(find)).map(told),
    warnings,
    ...(options.lock ? { comparison: compareWithBundle(images, options.lock) } : {}),
  };
}
