import type { Find, Mention } from "../images/find.ts";
import { type PathOptions, withOutside } from "./outside.ts";
import { searchPaths } from "./search.ts";

export interface FindOptions extends PathOptions {
  /** Kubernetes version to render charts for. */
  kubeVersion?: string | undefined;
  stdin?: () => Promise<Uint8Array>;
  /** Called when the answer is incomplete, besides the warning. */
  incomplete?(): void;
}

/** A find without the offsets in its files. */
export type FoundImage = Omit<Find, "places"> & { places: Omit<Mention, "spans">[] };

export interface FoundImages {
  /** Certain and likely images: those that a build carries. */
  images: FoundImage[];
  /** Possible images, and OCI artifacts that are not container images: carried when the spec accepts them. */
  possible: FoundImage[];
  warnings: string[];
}

/** Whether a build carries it: certain or likely, and a container image. */
export const isCarried = ({ confidence, artifact }: Find): boolean => confidence !== "possible" && !artifact;

export const withoutSpans = (find: Find): FoundImage => ({
  ...find,
  places: find.places.map(({ spans: _, ...place }) => place),
});

/**
 * Finds every image that the files, folders, URLs, kustomizations and charts at some paths make a
 * cluster pull.
 * @throws AirgapError
 */
export function findImagesAt(options: FindOptions): Promise<FoundImages> {
  const { paths, kubeVersion, stdin, incomplete } = options;
  return withOutside(options, async (outside) => {
    const warnings: string[] = [];
    const leftOut = (message: string): void => {
      warnings.push(message);
      incomplete?.();
    };
    const { finds } = await searchPaths(paths, {
      ...outside,
      reach: { ...outside.reach, leftOut },
      whole: false,
      kubeVersion,
      ...(stdin ? { stdin } : {}),
      ...(incomplete ? { incomplete } : {}),
      warn: (message) => warnings.push(message),
    });
    return {
      images: finds.filter(isCarried).map(withoutSpans),
      possible: finds.filter((find) => !isCarried(find)).map(withoutSpans),
      warnings,
    };
  });
}

/** `kube-flannel.yml:121 DaemonSet/kube-flannel-ds spec.template…` */
export function describePlace({ file, line, object, path }: FoundImage["places"][number]): string {
  return [file === undefined ? "" : line === undefined ? file : `${file}:${line}`, object, path]
    .filter(Boolean)
    .join(" ");
}
