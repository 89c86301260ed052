import { stringify } from "yaml";
import { apiAddress, type Cluster, type ClusterHost } from "../cluster/cluster.ts";
import { isRecord } from "../oci/descriptor.ts";
import { publicKeyHash } from "../pki/certificate.ts";
import type { Context } from "./context.ts";
import { ETCD_CLIENT, endpointsOf, isExternal } from "./etcd/topology.ts";
import { cgroupDriver } from "./stages/containerd.ts";
import { needsResolvConf, RESOLV_CONF } from "./stages/resolv-conf.ts";

type Document = Record<string, unknown>;

/**
 * Merges `over` into `base`: mappings key by key; everything else is replaced. kubeadm's lists of
 * `extraArgs` are merged by name.
 */
export function merge(base: Document, over: Document): Document {
  const merged: Document = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    const [left, right] = isArguments(key) ? [asMap(before), asMap(value)] : [before, value];
    merged[key] = isRecord(left) && isRecord(right) ? merge(left, right) : right;
  }
  return merged;
}

const isArguments = (key: string): boolean => /extraArgs$/i.test(key);

/** v1beta4 has lists of name and value, which may repeat a name; older versions have mappings. */
function asMap(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return Object.fromEntries(
    value.flatMap((entry) =>
      isRecord(entry) && typeof entry["name"] === "string" ? [[entry["name"], entry["value"]]] : [],
    ),
  );
}

/** Arguments in the form of an API version. */
function formed(value: unknown, api: string): unknown {
  if (Array.isArray(value)) return value.map((entry) => formed(entry, api));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (!isArguments(key)) return [key, formed(inner, api)];
      // Strings, even if YAML reads `v: 4` as a number.
      const args = Object.entries(asMap(inner) as Document).map(([name, value]) => ({
        name,
        value: String(value),
      }));
      return [
        key,
        api === "v1beta4" ? args : Object.fromEntries(args.map(({ name, value }) => [name, value])),
      ];
    }),
  );
}

function parseTaint(text: string): Document {
  const [, key = "", value, effect = ""] = /^([^=:]+)(?:=([^:]*))?:(\w+)$/.exec(text) ?? [];
  return { key, ...(value ? { value } : {}), effect };
}

/** kubelet may not set these labels on its own node; the cluster's administrator sets them later. */
function nodeRegistration(context: Context, host: ClusterHost): Document {
  const { rules } = context.images;
  const plane = host.roles.includes("control-plane");
  const own = host.taints.map(parseTaint);
  const taints =
    plane && !host.roles.includes("worker")
      ? [...rules.controlPlaneTaints.map((key) => ({ key, effect: "NoSchedule" })), ...own]
      : own;
  const given = plane || own.length > 0;
  return {
    name: host.name,
    criSocket: rules.sockets[context.cluster.runtime],
    kubeletExtraArgs: {
      "node-ip": host.address,
      ...(needsResolvConf(context.factsOf(host)) ? { "resolv-conf": RESOLV_CONF } : {}),
    },
    ...(given ? { taints } : {}),
  };
}

/** HOST:PORT at which the cluster's API is asked. */
export function apiServer(cluster: Cluster): string {
  const { address, port } = apiAddress(cluster);
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

const externalEtcd = (cluster: Cluster): Document => ({
  endpoints: endpointsOf(cluster),
  caFile: ETCD_CLIENT.ca,
  certFile: ETCD_CLIENT.cert,
  keyFile: ETCD_CLIENT.key,
});

function clusterConfiguration({ cluster, images }: Context): Document {
  const { kubernetes } = cluster;
  const api = apiAddress(cluster);
  const planes = cluster.hosts.filter(({ roles }) => roles.includes("control-plane"));
  const sans = [
    ...kubernetes.extraSans,
    api.address,
    ...planes.flatMap(({ name, address }) => [name, address]),
    "127.0.0.1",
    "localhost",
  ];
  return {
    kubernetesVersion: kubernetes.version,
    clusterName: cluster.name,
    controlPlaneEndpoint: apiServer(cluster),
    ...(images.imageRepository ? { imageRepository: images.imageRepository } : {}),
    ...(images.dnsRepository ? { dns: { imageRepository: images.dnsRepository } } : {}),
    ...(isExternal(cluster) ? { etcd: { external: externalEtcd(cluster) } } : {}),
    ...(images.etcdRepository ? { etcd: { local: { imageRepository: images.etcdRepository } } } : {}),
    networking: {
      podSubnet: kubernetes.podSubnet,
      serviceSubnet: kubernetes.serviceSubnet,
      dnsDomain: kubernetes.dnsDomain,
    },
    apiServer: { certSANs: [...new Set(sans)] },
  };
}

/** A document of kubeadm's or kubelet's configuration, in the form of its API, with the user's own settings over ours. */
export function document(api: string, kind: string, base: Document, over: Document | undefined): string {
  return stringify(
    formed({ apiVersion: api, kind, ...merge(base, over ?? {}) }, api.slice(api.lastIndexOf("/") + 1)),
    { lineWidth: 0 },
  );
}

const apiOf = ({ images }: Context): string => `kubeadm.k8s.io/${images.rules.configApi.newest}`;

const METALLB = /(?:^|\/)metallb\/(?:controller|speaker)(?:[:@]|$)/;

/**
 * In ipvs mode each node has the addresses of all services. MetalLB wants to answer for those of its own alone.
 * https://metallb.io/installation/#preparation
 */
function kubeProxy({ cluster, bundle }: Context): Document {
  const { proxyMode } = cluster.kubernetes;
  if (proxyMode === undefined) return {};
  const strictARP = proxyMode === "ipvs" && bundle.lock.items.some(({ name }) => METALLB.test(name));
  return { mode: proxyMode, ...(strictARP ? { ipvs: { strictARP: true } } : {}) };
}

/** What `kubeadm init` reads; it holds the join token. https://kubernetes.io/docs/reference/config-api/ */
export function initConfiguration(context: Context): string {
  const { cluster, secrets, first } = context;
  const api = apiOf(context);
  const init: Document = {
    bootstrapTokens: [
      {
        token: secrets.joinToken,
        ttl: "24h0m0s",
        usages: ["signing", "authentication"],
        groups: ["system:bootstrappers:kubeadm:default-node-token"],
      },
    ],
    localAPIEndpoint: { advertiseAddress: first.address, bindPort: 6443 },
    nodeRegistration: nodeRegistration(context, first),
  };
  return [
    document(api, "InitConfiguration", init, cluster.kubeadm.InitConfiguration),
    document(
      api,
      "ClusterConfiguration",
      clusterConfiguration(context),
      cluster.kubeadm.ClusterConfiguration,
    ),
    document(
      "kubelet.config.k8s.io/v1beta1",
      "KubeletConfiguration",
      { cgroupDriver: cgroupDriver(context) },
      cluster.kubeadm.KubeletConfiguration,
    ),
    document(
      "kubeproxy.config.k8s.io/v1alpha1",
      "KubeProxyConfiguration",
      kubeProxy(context),
      cluster.kubeadm.KubeProxyConfiguration,
    ),
  ].join("---\n");
}

/** What `kubeadm join` reads; it holds the join token. */
export function joinConfiguration(context: Context, host: ClusterHost): string {
  const { cluster, secrets } = context;
  const join: Document = {
    discovery: {
      bootstrapToken: {
        apiServerEndpoint: apiServer(cluster),
        token: secrets.joinToken,
        caCertHashes: [publicKeyHash(secrets.ca)],
      },
    },
    nodeRegistration: nodeRegistration(context, host),
    ...(host.roles.includes("control-plane")
      ? { controlPlane: { localAPIEndpoint: { advertiseAddress: host.address, bindPort: 6443 } } }
      : {}),
  };
  return document(apiOf(context), "JoinConfiguration", join, cluster.kubeadm.JoinConfiguration);
}
