import type { Emit } from "../events.ts";
import type { Http, HttpOptions } from "../http.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Source } from "../transport/types.ts";
import type { Item, Lock } from "./lock.ts";

/** An image that something asks for; the images resolver turns wants into items. */
export interface ImageWant {
  /** As written: `nginx:1.27`, `registry.k8s.io/pause:3.9`, `quay.io/x/y@sha256:…`. */
  reference: string;
  /** Who asks, as the lock has it: `kubernetes v1.28.2`, `manifests flannel: kube-flannel.yml:121`. */
  wantedBy: string;
  /** A flat mirror may serve it even if its entry does not end in `/*`: kubeadm's own images. */
  flat?: boolean;
}

/** A blob with the source of its bytes. */
export interface Blob {
  descriptor: Descriptor;
  source: Source;
}

/** One item of the bundle with every blob that it reaches, root included. */
export interface Resolved {
  item: Item;
  blobs: Blob[];
}

/** What every resolver is given. */
export interface ResolveContext {
  /** Folder of the spec: relative paths start here. */
  baseDir: string;
  /** Keeps content that was fetched while resolving, by digest, between runs. */
  cacheDir: string;
  /** A client for the given trust; shared, so that connections are shared. */
  http(options?: Pick<HttpOptions, "caFile" | "insecure" | "clientCert" | "clientKey">): Http;
  emit: Emit;
  signal?: AbortSignal | undefined;
  /** With `--locked`: the lock to follow. Nobody is asked what a name means. */
  locked?: Lock | undefined;
  /** The lock of the last build, for content that should stay the same (repository signatures). */
  previous?: Lock | undefined;
}

/** A resolver's answer: the items that it carries, and the images that these items name. */
export interface Resolution {
  resolved: Resolved[];
  images: ImageWant[];
}
