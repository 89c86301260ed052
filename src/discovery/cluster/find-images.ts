import type { Lock } from "../../lock/lock.ts";
import type { Digest } from "../../oci/digest.ts";
import { type FoundImage, isCarried, withoutSpans } from "../manifests/find-images.ts";
import { type Comparison, compareWithBundle, type NamesOf } from "./compare.ts";
import { type FindInClusterOptions, findInCluster } from "./find.ts";
import { findInKept, type KeptLists } from "./kept.ts";
import type { ClusterFind, ClusterFinds } from "./reader.ts";

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

export interface ClusterImagesOptions {
  /** Compares with this bundle. */
  lock?: Lock | undefined;
  /** Further names by which the site knows an image of the bundle. */
  namesOf?: NamesOf | undefined;
  /** Called when something is missing in the answer, besides the warning. */
  incomplete(): void;
}

/**
 * Every image that a running cluster uses, and with a lock what that bundle has of it.
 * @throws AirgapError `environment` without kubectl, `refused` when the cluster gives no answer
 */
export async function findImagesInCluster(
  options: FindInClusterOptions & ClusterImagesOptions,
): Promise<ClusterImages> {
  return told(await findInCluster(options), options);
}

/** The same by what `kubectl get … -o json` printed. @throws AirgapError `spec` */
export async function findImagesInKept(options: KeptLists & ClusterImagesOptions): Promise<ClusterImages> {
  return told(await findInKept(options), options);
}

function told(
  { finds, warnings, complete }: ClusterFinds,
  { lock, namesOf, incomplete }: ClusterImagesOptions,
): ClusterImages {
  if (!complete) incomplete();
  const images = finds.filter(isCarried);
  const shown = (find: ClusterFind): ClusterImage => ({ ...withoutSpans(find), digests: find.digests });
  return {
    images: images.map(shown),
    possible: finds.filter((find) => !isCarried(find)).map(shown),
    warnings,
    ...(lock ? { comparison: compareWithBundle(images, lock, namesOf) } : {}),
  };
}
