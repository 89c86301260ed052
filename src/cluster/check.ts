import { canonicalAddress, overlap, parseSubnet, type Subnet } from "../address.ts";
import { AirgapError } from "../errors.ts";
import { rulesOf } from "../kubernetes/rules.ts";
import type { Cluster } from "./cluster.ts";

/** Rules between the parts of a cluster file; the schema checks each part alone. */
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
  endpointNames,
  served,
  subnets,
  credentials,
  ({ kubernetes }) =>
    kubernetes.proxyMode === "nftables" && rulesOf(kubernetes.version).nftables === undefined
      ? ["kubernetes.proxyMode: nftables needs v1.31"]
      : [],
];

/** What a cluster file may ask for and this version cannot do: refused by name before any connection. */
const NOT_YET: [string, (cluster: Cluster) => boolean][] = [
  ["registry.mode: harbor", ({ registry }) => registry.mode === "harbor"],
  ["etcd: external", ({ etcd }) => etcd === "external"],
  ["hosts with the role etcd", ({ hosts }) => hosts.some(({ roles }) => roles.includes("etcd"))],
  [
    "hosts with the role load-balancer",
    ({ hosts, endpoint }) =>
      (endpoint?.loadBalancers.length ?? 0) > 0 || hosts.some(({ roles }) => roles.includes("load-balancer")),
  ],
];

const twice = (values: string[]): string[] => [
  ...new Set(values.filter((value, i) => values.indexOf(value) !== i)),
];

function severalControlPlanes({ hosts, endpoint }: Cluster): string[] {
  const several = hosts.filter(({ roles }) => roles.includes("control-plane")).length > 1;
  return several && endpoint === undefined ? ["endpoint: several control planes need a shared address"] : [];
}

function repositoryHost({ hosts, repository, registry }: Cluster): string[] {
  const registries = hosts.filter(({ roles }) => roles.includes("registry"));
  if (registries.length > 1) return ["hosts: only one can have the role registry"];
  if (repository.host === "")
    return [
      "repository: no host has the role registry, so `repository: { host: NAME }` must say who serves packages and files",
    ];
  const named = hosts.find(({ name }) => name === repository.host);
  if (named === undefined) return [`repository.host: ${repository.host} is not among the hosts`];
  const elsewhere = registry.mode === "serve" && registries[0] !== undefined && registries[0] !== named;
  return elsewhere
    ? [`repository.host: with registry.mode serve it is the registry host itself, ${registries[0]?.name}`]
    : [];
}

function endpointNames({ hosts, endpoint }: Cluster): string[] {
  return (endpoint?.loadBalancers ?? []).flatMap((name) => {
    const roles = hosts.find((host) => host.name === name)?.roles;
    if (roles === undefined) return [`endpoint.loadBalancers: ${name} is not among the hosts`];
    return roles.includes("load-balancer")
      ? []
      : [`endpoint.loadBalancers: ${name} does not have the role load-balancer`];
  });
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

/** @throws AirgapError `spec` with every contradiction */
export function checkCluster(cluster: Cluster, file: string): void {
  refuse(
    RULES.flatMap((rule) => rule(cluster)),
    file,
  );
}

/** @throws AirgapError `spec` with everything that this version cannot install */
export function refuseNotYet(cluster: Cluster, file: string): void {
  const asked = NOT_YET.filter(([, isAsked]) => isAsked(cluster));
  refuse(
    asked.map(([key]) => `this version of airgap cannot install ${key}`),
    file,
  );
}

function refuse(problems: string[], file: string): void {
  if (problems.length === 0) return;
  throw new AirgapError("spec", problems.map((problem) => `${file}: ${problem}`).join("\n"), {
    data: { problems },
  });
}
