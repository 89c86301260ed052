/** What a library has, for people: names, sizes and digests. Bytes. */
export interface Overview {
  bundles: OverviewBundle[];
  images: OverviewImage[];
  charts: { name: string; version: string }[];
  packageSets: OverviewSet[];
  files: OverviewFile[];
  manifests: OverviewFile[];
  /** Registries whose images are here: `registry.k8s.io`. */
  upstreams: string[];
}

export interface OverviewBundle {
  name: string;
  /** Its file's name, without a folder. */
  file: string;
  lockDigest: string;
  bytes: number;
  platforms: string[];
  kubernetes: string[];
}

export interface OverviewImage {
  /** As its publisher calls it: `registry.k8s.io/pause:3.9`. */
  name: string;
  /** Below this server: `registry.k8s.io/pause:3.9`. */
  path: string;
  digest: string;
  bytes: number;
  platforms: string[];
}

export interface OverviewSet {
  name: string;
  format: "rpm" | "deb";
  for: string[];
  arch: string;
  bytes: number;
  packages: { name: string; version: string; arch: string; bytes: number }[];
}

export interface OverviewFile {
  /** Below this server, without a leading slash: `files/cri-dockerd.tgz`. */
  path: string;
  bytes: number;
  digest: string;
}

export const NOTHING: Overview = {
  bundles: [],
  images: [],
  charts: [],
  packageSets: [],
  files: [],
  manifests: [],
  upstreams: [],
};

/** Several overviews as one; what is in two of them is there once. */
export function mergeOverviews(parts: readonly Overview[]): Overview {
  const once = <T>(all: T[], key: (each: T) => string): T[] => [
    ...new Map(all.map((each) => [key(each), each])).values(),
  ];
  return {
    bundles: parts.flatMap(({ bundles }) => bundles),
    images: once(
      parts.flatMap(({ images }) => images),
      ({ path }) => path,
    ),
    charts: once(
      parts.flatMap(({ charts }) => charts),
      ({ name, version }) => `${name} ${version}`,
    ),
    packageSets: once(
      parts.flatMap(({ packageSets }) => packageSets),
      ({ name }) => name,
    ),
    files: once(
      parts.flatMap(({ files }) => files),
      ({ path }) => path,
    ),
    manifests: once(
      parts.flatMap(({ manifests }) => manifests),
      ({ path }) => path,
    ),
    upstreams: [...new Set(parts.flatMap(({ upstreams }) => upstreams))].sort(),
  };
}
