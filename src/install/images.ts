import { stringify } from "yaml";
import { type Cluster, registryName } from "../cluster/cluster.ts";
import { AirgapError } from "../errors.ts";
import { parseKubeadmConfig } from "../kubernetes/config.ts";
import { type KubeadmList, listKubeadmImages } from "../kubernetes/list.ts";
import { rulesOf, type VersionRules } from "../kubernetes/rules.ts";
import type { Lock } from "../lock/lock.ts";
import { type LandingRules, land } from "../names/landing.ts";
import { rewriteText } from "../names/rewrite.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { ManifestFile } from "./bundle.ts";

/** Where a cluster's nodes get their images, and by which names. */
export interface Images {
  /** An image of kubeadm's own: as it is called in the bundle, and as nodes ask for it. */
  kubeadm: { upstream: string; asked: string }[];
  /** What the runtime starts pods with, as nodes ask for it. */
  sandbox: string;
  /** For kubeadm's configuration; absent where kubeadm's own default is right. */
  imageRepository?: string;
  dnsRepository?: string;
  etcdRepository?: string;
  /** Upstream registries of the bundle's images: all are answered by the site's. */
  upstreams: string[];
  /** What comes with this version of Kubernetes. */
  rules: VersionRules;
  /** Documents with the names by which nodes ask for images. */
  rewrite(file: ManifestFile): ManifestFile;
}

/** How the registry was filled: the same rules as push has. */
export function landingRules(cluster: Cluster, lock: Lock): LandingRules {
  const { registry } = cluster;
  return {
    target: { host: registryName(registry), prefix: registry.prefix },
    layout: registry.layout,
    map: registry.map,
    ...(lock.siteName ? { siteName: lock.siteName } : {}),
  };
}

/**
 * Whether nodes ask for images by the names that they have at the site, rather than by their own:
 * Docker knows no mirrors for other registries, and a mirror's path can be put before a name, but
 * not take anything of it away.
 */
export function asksByLandedName({ runtime, registry }: Cluster): boolean {
  return runtime === "docker" || registry.layout === "flat" || registry.map.length > 0;
}

const parentOf = (reference: string): string => reference.slice(0, reference.lastIndexOf("/"));

/** kubeadm's list with the user's own image fields. */
function kubeadmList(cluster: Cluster, more: Record<string, unknown> = {}): KubeadmList {
  const { version } = cluster.kubernetes;
  const own = cluster.kubeadm.ClusterConfiguration ?? {};
  const api = rulesOf(version).configApi.newest;
  const text = stringify({
    apiVersion: `kubeadm.k8s.io/${api}`,
    kind: "ClusterConfiguration",
    ...own,
    ...more,
    kubernetesVersion: version,
  });
  return listKubeadmImages({ version, config: parseKubeadmConfig(text, "kubeadm.ClusterConfiguration") });
}

/** Everything is asked for at the site's registry, by the name that it has there. */
function landed(
  cluster: Cluster,
  rules: LandingRules,
): Pick<Images, "kubeadm" | "sandbox" | "imageRepository" | "dnsRepository" | "etcdRepository"> {
  const list = kubeadmList(cluster);
  const pairs = list.images.map((upstream) => ({
    upstream,
    asked: formatReference(land(parseReference(upstream), rules)),
  }));
  const find = (name: string): string | undefined =>
    pairs.find(({ upstream }) => upstream.includes(`/${name}:`))?.asked;
  const imageRepository = parentOf(find("kube-apiserver") ?? find("hyperkube") ?? "");
  const dns = find("coredns");
  const etcd = find("etcd");
  const settings = {
    imageRepository,
    ...(dns ? { dns: { imageRepository: parentOf(dns) } } : {}),
    ...(etcd ? { etcd: { local: { imageRepository: parentOf(etcd) } } } : {}),
  };
  const made = new Set(kubeadmList(cluster, settings).images);
  const astray = pairs.filter(({ asked }) => !made.has(asked));
  if (astray.length > 0) {
    throw new AirgapError(
      "spec",
      `kubeadm can't be told to take ${astray.map(({ upstream, asked }) => `${upstream} from ${asked}`).join(", ")}: its images must be side by side`,
      {
        suggestions: ["change registry.layout or registry.map in the cluster file, and push accordingly"],
      },
    );
  }
  return {
    kubeadm: pairs,
    sandbox: formatReference(land(parseReference(list.requirements.pauseImage), rules)),
    imageRepository,
    ...(dns ? { dnsRepository: parentOf(dns) } : {}),
    ...(etcd ? { etcdRepository: parentOf(etcd) } : {}),
  };
}

/** @throws AirgapError `unsupported` for a version that is not known, `spec` where names can't be had */
export function imagesFor(cluster: Cluster, lock: Lock): Images {
  const rules = landingRules(cluster, lock);
  const list = kubeadmList(cluster);
  const upstreams = [
    ...new Set(lock.items.flatMap((item) => (item.kind === "image" ? [parseReference(item.name).host] : []))),
  ].sort();
  const rewritten = asksByLandedName(cluster);
  return {
    upstreams,
    rules: rulesOf(cluster.kubernetes.version),
    ...(rewritten
      ? landed(cluster, rules)
      : {
          kubeadm: list.images.map((image) => ({ upstream: image, asked: image })),
          sandbox: list.requirements.pauseImage,
        }),
    rewrite: (file) =>
      rewritten
        ? {
            ...file,
            text: rewriteText(file.text, file.sites, { land: (reference) => land(reference, rules) }).text,
            sites: [],
          }
        : file,
  };
}

/** The item that an image name stands for in a lock, however it is written. */
export function carries(lock: Lock, reference: string): boolean {
  const wanted = withDefaultTag(parseReference(reference));
  const names = new Set(lock.items.flatMap((item) => (item.kind === "image" ? [item.name] : [])));
  const tagged: Reference = {
    host: wanted.host,
    repository: wanted.repository,
    ...(wanted.tag ? { tag: wanted.tag } : {}),
  };
  const digested: Reference = {
    host: wanted.host,
    repository: wanted.repository,
    ...(wanted.digest ? { digest: wanted.digest } : {}),
  };
  return (
    names.has(formatReference(wanted)) ||
    names.has(formatReference(tagged)) ||
    (wanted.digest !== undefined && names.has(formatReference(digested)))
  );
}
