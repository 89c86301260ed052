import type { Emit } from "../events.ts";
import type { Http, HttpOptions } from "../http.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Source } from "../transport/types.ts";
import type { Item, Lock } from "./lock.ts";

/** An image that something asks for; the images resolver turns wants into items. */
export interface ImageWant {
  /** As written: `nginx:1.27`, `registry.k8s.io/pause:3.9`, `quay.io/x/y@sha256:…`. */
  reference: string;
  /** Who asks, as it stands in the lock: `kubernetes v1.28.2`, `manifests flannel: kube-flannel.yml:121`. */
  wantedBy: string;
  /** A flat mirror may be asked for it though its entry does not end in `/*`: kubeadm's own images. */
  flat?: boolean;
}

/** A blob with the place where its bytes are. */
export interface Blob {
  descriptor: Descriptor;
  source: Source;
}

/** One item of the bundle with every blob that it reaches, root included. */
export interface Resolved {
  item: Item;
  blobs: Blob[];
}

/** What a resolver works with. */
export interface ResolveContext {
  /** Folder of the spec: relative paths start here. */
  baseDir: string;
  /** Content fetched while resolving is kept here, by digest, between runs. */
  cacheDir: string;
  /** A client for the given trust; shared, so that connections are too. */
  http(options?: Pick<HttpOptions, "caFile" | "insecure" | "clientCert" | "clientKey">): Http;
  emit: Emit;
  signal?: AbortSignal | undefined;
  /** With `--locked`: the lock to follow. Nothing is asked what a name means. */
  locked?: Lock | undefined;
  /** The lock of the last build, for what should stay as it was (repository signatures). */
  previous?: Lock | undefined;
}

/** A resolver's answer: what it carries itself, and the images that these things name. */
export interface Resolution {
  resolved: Resolved[];
  images: ImageWant[];
}
