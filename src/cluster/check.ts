import { canonicalAddress, overlap, parseSubnet, type Subnet } from "../address.ts";
import { AirgapError } from "../errors.ts";
import { rulesOf } from "../kubernetes/rules.ts";
import { isRecord } from "../oci/descriptor.ts";
import type { Locate } from "../schema/document.ts";
import { ENDPOINT_RULES } from "./check-endpoint.ts";
import { ETCD_RULES } from "./check-etcd.ts";
import { HARBOR_RULES } from "./check-harbor.ts";
import { type Cluster, nodesOf } from "./cluster.ts";
import { twice } from "./twice.ts";

/** Rules between the parts of a cluster file; the schema checks each part alone. A problem is `PATH: what is wrong`. */
const RULES: ((cluster: Cluster) => string[])[] = [
  ({ hosts }) => twice(hosts.map(({ name }) => name)).map((name) => `hosts: two have the name ${name}`),
  ({ hosts }) =>
    twice(hosts.map(({ address }) => canonicalAddress(address))).map(
      (address) => `hosts: two have the address ${address}`,
    ),
  ({ hosts }) =>
    hosts.some(({ roles }) => roles.includes("control-plane"))
      ? []
      : ["hosts: none has the role control-plane"],
  ({ hosts }) =>
    hosts.filter(({ connection }) => connection === "local").length > 1
      ? ["hosts: only one can be the host that airgap runs on"]
      : [],
  severalControlPlanes,
  repositoryHost,
  ...ENDPOINT_RULES,
  served,
  ...HARBOR_RULES,
  subnets,
  credentials,
  ...ETCD_RULES,
  ({ kubernetes }) =>
    kubernetes.proxyMode === "nftables" && rulesOf(kubernetes.version).nftables === undefined
      ? ["kubernetes.proxyMode: nftables needs v1.31"]
      : [],
];

/** What a cluster file may ask for and this version cannot do: refused before any connection. */
const NOT_YET: [path: string, isAsked: (cluster: Cluster) => boolean, what: string][] = [
  ["kubernetes.podSubnet", ({ kubernetes }) => kubernetes.podSubnet.includes(":"), "IPv6 pods"],
  ["kubernetes.serviceSubnet", ({ kubernetes }) => kubernetes.serviceSubnet.includes(":"), "IPv6 services"],
  [
    "hosts",
    (cluster) => nodesOf(cluster).some(({ address }) => address.includes(":")),
    "nodes with IPv6 addresses",
  ],
];

/** The same through kubeadm's own configuration, which is passed on as it stands. */
const KUBEADM_RANGES: [kind: "ClusterConfiguration" | "KubeProxyConfiguration", ...keys: string[]][] = [
  ["ClusterConfiguration", "networking", "podSubnet"],
  ["ClusterConfiguration", "networking", "serviceSubnet"],
  ["KubeProxyConfiguration", "clusterCIDR"],
];

function notYetByKubeadm({ kubeadm }: Cluster): string[] {
  return KUBEADM_RANGES.flatMap(([kind, ...keys]) => {
    const value = keys.reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), kubeadm[kind]);
    if (typeof value !== "string" || !/[:,]/.test(value)) return [];
    const what = value.includes(",") ? "dual stack" : "IPv6 networks";
    return [`kubeadm.${[kind, ...keys].join(".")}: this version of airgap cannot install ${what}`];
  });
}

function severalControlPlanes({ hosts, endpoint }: Cluster): string[] {
  const several = hosts.filter(({ roles }) => roles.includes("control-plane")).length > 1;
  return several && endpoint === undefined ? ["endpoint: several control planes need a shared address"] : [];
}

function repositoryHost({ hosts, repository, registry }: Cluster): string[] {
  const registries = hosts.filter(({ roles }) => roles.includes("registry"));
  if (registries.length > 1 && registry.mode !== "serve")
    return [
      `hosts: only with registry.mode serve can several have the role registry; the mode is ${registry.mode}`,
    ];
  if (repository.host === "")
    return [
      "repository: no host has the role registry, so `repository: { host: NAME }` must say who serves packages and files",
    ];
  const named = hosts.find(({ name }) => name === repository.host);
  if (named === undefined) return [`repository.host: ${repository.host} is not among the hosts`];
  const elsewhere = registry.mode === "serve" && registries.length > 0 && !registries.includes(named);
  return elsewhere
    ? [
        `repository.host: with registry.mode serve it is the registry host itself, ${registries.map(({ name }) => name).join(" or ")}`,
      ]
    : [];
}

/** The settings of `airgap serve` are fixed. */
function served({ registry }: Cluster): string[] {
  const given = [
    ...(registry.layout === "host" ? [] : ["layout"]),
    ...(registry.prefix === "" ? [] : ["prefix"]),
    ...(registry.map.length === 0 ? [] : ["map"]),
    ...(registry.scheme === "https" && registry.caFile !== undefined ? ["caFile"] : []),
  ];
  if (registry.mode !== "serve" || given.length === 0) return [];
  return [
    `registry: with mode serve airgap itself is the registry, with its own certificate authority: remove ${given.join(", ")}`,
  ];
}

function subnets({ kubernetes }: Cluster): string[] {
  const [pods, services] = [kubernetes.podSubnet, kubernetes.serviceSubnet].map(parseSubnet) as [
    Subnet,
    Subnet,
  ];
  return overlap(pods, services)
    ? [`kubernetes: podSubnet ${pods.text} and serviceSubnet ${services.text} overlap`]
    : [];
}

function credentials({ registry }: Cluster): string[] {
  if ((registry.user === undefined) === (registry.passwordEnv === undefined)) return [];
  return [
    `registry: user and passwordEnv belong together, ${registry.user === undefined ? "user" : "passwordEnv"} is missing`,
  ];
}

/**
 * @param withHarbor whether the file has `registry.harbor`
 * @throws AirgapError `spec` with every contradiction
 */
export function checkCluster(cluster: Cluster, locate: Locate, withHarbor: boolean): void {
  const misplaced =
    withHarbor && cluster.registry.mode !== "harbor"
      ? [`registry.harbor: only with \`mode: harbor\`; the mode is ${cluster.registry.mode}`]
      : [];
  refuse([...misplaced, ...RULES.flatMap((rule) => rule(cluster))], locate);
}

/** @throws AirgapError `spec` with everything that this version cannot install */
export function refuseNotYet(cluster: Cluster, locate: Locate): void {
  const own = NOT_YET.filter(([, isAsked]) => isAsked(cluster)).map(
    ([path, , what]) => `${path}: this version of airgap cannot install ${what}`,
  );
  refuse([...own, ...notYetByKubeadm(cluster)], locate);
}

function refuse(problems: string[], locate: Locate): void {
  if (problems.length === 0) return;
  const lines = problems.map(
    (problem) => `${locate(/^[\w.[\]-]+(?=: )/.exec(problem)?.[0] ?? "")}: ${problem}`,
  );
  throw new AirgapError("spec", lines.join("\n"), { data: { problems } });
}
