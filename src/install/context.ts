import { type Cluster, type ClusterHost, hostsOf, nodesOf, registryName } from "../cluster/cluster.ts";
import type { Role } from "../cluster/schema.ts";
import type { Secrets } from "../cluster/secrets.ts";
import { AirgapError } from "../errors.ts";
import type { Facts } from "../host/facts.ts";
import type { Wave } from "../plan/stage.ts";
import type { Step } from "../plan/step.ts";
import type { BalancerView } from "./balancers.ts";
import type { Bundle, PackageSet } from "./bundle.ts";
import type { EtcdFound } from "./etcd/found.ts";
import type { HarborHost } from "./harbor/host.ts";
import type { HarborArchive } from "./harbor/names.ts";
import type { Members } from "./members.ts";
import type { Images } from "./node-images.ts";
import { standingPlanes } from "./standing.ts";
import { systemFor } from "./systems/index.ts";
import type { System } from "./systems/system.ts";
import type { UserManifests } from "./user-manifests.ts";

/** Everything that a plan depends on. The same input gives the same plan. */
export interface PlanInput {
  cluster: Cluster;
  facts: Record<string, Facts>;
  bundle: Bundle;
  secrets: Secrets;
  images: Images;
  /** The user's own documents that addons name, by path. */
  userManifests: UserManifests;
  /** Hosts that could not be reached, with why; their facts are missing. */
  unreachable?: Record<string, AirgapError>;
  /** The control plane that got no answer at the endpoint, where others are to hold it. */
  endpointSilentFor?: string;
  /** What load balancers see of the shared addresses, by host. */
  balancers?: Record<string, BalancerView>;
  /** Hosts that are meant; absent when all are. */
  asked?: readonly string[];
  /** What the cluster itself knows of its nodes, where one stands and answers. */
  members?: Members;
  /** The site may go back to an older bundle. */
  allowOlder?: boolean | undefined;
  /** What an etcd says that is not on the control planes. */
  etcd?: EtcdFound;
  /** Hosts that came back empty under their own name: what the cluster knows of them is forgotten before they join again. */
  replace?: readonly string[];
  /** With registry.mode harbor. */
  harbor?: {
    /** Absent when the bundle has none. */
    archive?: HarborArchive;
    /** Absent when the registry host was not asked. */
    host?: HarborHost;
  };
  /** Bundles that are on a serving host already and are served beside this one, by host: images that still run. */
  servedToo?: Readonly<Record<string, readonly string[]>>;
  /** Checks that the user ignores. */
  ignored: readonly string[];
}

/** What stages need to know. */
export interface Context extends PlanInput {
  /** Hosts whose facts are known: steps are for these alone. */
  reached: ClusterHost[];
  factsOf(host: ClusterHost): Facts;
  systemOf(host: ClusterHost): System;
  /** Of those that were reached. */
  hosts(...roles: Role[]): ClusterHost[];
  nodes: ClusterHost[];
  /** Every control plane of the file, reached or not. */
  planes: ClusterHost[];
  /** The control plane that others join: one that stands, else the first in the file. */
  first: ClusterHost;
  /** The URL of packages and files: `https://register:8443`. */
  repositoryUrl: string;
}

export function makeContext(input: PlanInput): Context {
  const { cluster, facts } = input;
  const [first] = [...standingPlanes(cluster, facts), ...hostsOf(cluster, "control-plane")];
  if (first === undefined) throw new AirgapError("spec", "the cluster has no control plane");
  const { registry, repository } = cluster;
  const served = registry.mode === "serve";
  const name = served ? registryName(registry) : `${repository.host}:${repository.port}`;
  const factsOf = ({ name: host }: ClusterHost): Facts => {
    const found = facts[host];
    if (found === undefined) throw new Error(`the facts of ${host} are missing`);
    return found;
  };
  const known = ({ name: host }: ClusterHost): boolean => facts[host] !== undefined;
  return {
    ...input,
    reached: cluster.hosts.filter(known),
    factsOf,
    systemOf: (host) => systemFor(factsOf(host)),
    hosts: (...roles) => hostsOf(cluster, ...roles).filter(known),
    nodes: nodesOf(cluster).filter(known),
    planes: hostsOf(cluster, "control-plane"),
    first,
    repositoryUrl: `${served ? registry.scheme : "https"}://${name}`,
  };
}

/** The same for several hosts, side by side. */
export function wave(hosts: ClusterHost[], steps: (host: ClusterHost) => Step[]): Wave {
  return hosts.map((host) => ({ host: host.name, steps: steps(host) }));
}

const ARCHITECTURES: Record<string, { deb: string; oci: string; node: string }> = {
  x86_64: { deb: "amd64", oci: "amd64", node: "x64" },
  aarch64: { deb: "arm64", oci: "arm64", node: "arm64" },
};

/** The names of a machine's architecture: Debian's, OCI's, Node's. */
export function architecture(facts: Facts): { deb: string; oci: string; node: string } {
  return ARCHITECTURES[facts.machine] ?? { deb: facts.machine, oci: facts.machine, node: facts.machine };
}

/** The names that a set may have for a host's system: `rocky-9.4`, `rocky-9`. */
export function systemNames({ os }: Facts): string[] {
  const major = os.version.split(".")[0] ?? "";
  return [...new Set([`${os.id}-${os.version}`, `${os.id}-${major}`])];
}

/** The bundle's package set for a host's system. */
export function setFor(bundle: Bundle, facts: Facts): PackageSet | undefined {
  const names = systemNames(facts);
  const arch = [facts.machine, architecture(facts).deb];
  return bundle.packageSets.find(
    (set) => set.facts.for.some((name) => names.includes(name)) && arch.includes(set.facts.arch),
  );
}

/** What a host with these roles installs, without duplicates. */
export function wantedPackages(set: PackageSet, roles: Role[]): { text: string; package: string }[] {
  const lists = ["all", ...roles].flatMap((role) => set.facts.roles[role]?.asked ?? []);
  return [...new Map(lists.map((each) => [each.package, each])).values()];
}
