import { stringify } from "yaml";
import { type Cluster, registryName } from "../cluster/cluster.ts";
import { AirgapError } from "../errors.ts";
import { parseKubeadmConfig } from "../kubernetes/config.ts";
import { type KubeadmList, listKubeadmImages } from "../kubernetes/list.ts";
import { rulesOf, type VersionRules } from "../kubernetes/rules.ts";
import type { Lock } from "../lock/lock.ts";
import { type LandingRules, land } from "../names/landing.ts";
import { rewriteText } from "../names/rewrite.ts";
import { isRecord } from "../oci/descriptor.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { ManifestFile } from "./bundle.ts";
import { isExternal } from "./etcd/topology.ts";

/** Where a cluster's nodes pull their images, and by which names. */
export interface Images {
  /** kubeadm's images: the name in the bundle, and the name that nodes ask for. */
  kubeadm: { upstream: string; asked: string }[];
  /** The pause image, by the name that nodes ask for. */
  sandbox: string;
  /** For kubeadm's configuration; absent when kubeadm's default is right. */
  imageRepository?: string;
  dnsRepository?: string;
  etcdRepository?: string;
  /** Upstream registries of the bundle's images: the site's registry answers for all of them. */
  upstreams: string[];
  /** The rules of this Kubernetes version. */
  rules: VersionRules;
  /** Rewrites documents to the image names that nodes ask for. */
  rewrite(file: ManifestFile): ManifestFile;
}

/** The landing rules with which push filled the registry. */
export function landingRules(cluster: Cluster, lock: Pick<Lock, "siteName">): LandingRules {
  const { registry } = cluster;
  return {
    target: { host: registryName(registry), prefix: registry.prefix },
    layout: registry.layout,
    map: registry.map,
    ...(lock.siteName ? { siteName: lock.siteName } : {}),
  };
}

/**
 * Whether nodes ask for images by their names at the site rather than their upstream names: Docker has
 * no mirrors for registries other than docker.io, and a mirror can add a path before a name but remove
 * nothing from it.
 */
export function asksByLandedName({ runtime, registry }: Cluster): boolean {
  return runtime === "docker" || registry.layout === "flat" || registry.map.length > 0;
}

/** The name by which nodes ask for an image of the bundle. */
export function askedName(cluster: Cluster, lock: Pick<Lock, "siteName">, name: string): string {
  if (!asksByLandedName(cluster)) return name;
  return formatReference(land(parseReference(name), landingRules(cluster, lock)));
}

const parentOf = (reference: string): string => reference.slice(0, reference.lastIndexOf("/"));

/** kubeadm's image list, with the user's own image fields. */
function kubeadmList(cluster: Cluster, more: Record<string, unknown> = {}): KubeadmList {
  const { version } = cluster.kubernetes;
  const own = cluster.kubeadm.ClusterConfiguration ?? {};
  const etcd = isRecord(own["etcd"]) ? own["etcd"] : {};
  const api = rulesOf(version).configApi.newest;
  const text = stringify({
    apiVersion: `kubeadm.k8s.io/${api}`,
    kind: "ClusterConfiguration",
    ...own,
    ...(isExternal(cluster) ? { etcd: { ...etcd, external: {} } } : {}),
    ...more,
    kubernetesVersion: version,
  });
  return listKubeadmImages({ version, config: parseKubeadmConfig(text, "kubeadm.ClusterConfiguration") });
}

/** Nodes ask the site's registry for every image, by its name there. */
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
      `kubeadm cannot be configured to pull ${astray.map(({ upstream, asked }) => `${upstream} from ${asked}`).join(", ")}: its images must be in the same path`,
      {
        suggestions: [
          "change registry.layout or registry.map in the cluster file, and push again with the same rules",
        ],
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

/** @throws AirgapError `unsupported` for an unknown version, `spec` for names that kubeadm cannot use */
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

/** The lock's item for an image name, however the name is written. */
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
