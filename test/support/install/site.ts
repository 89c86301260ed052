import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Cluster, type ClusterHost, hostsOf } from "../../../src/cluster/cluster.ts";
import { parseCluster } from "../../../src/cluster/read.ts";
import type { Secrets } from "../../../src/cluster/secrets.ts";
import { locationsIn } from "../../../src/discovery/manifests/applied.ts";
import type { Facts } from "../../../src/host/facts.ts";
import type { Bundle, Manifests, PackageSet } from "../../../src/install/bundle.ts";
import type { PlanInput } from "../../../src/install/context.ts";
import type { HarborHost } from "../../../src/install/harbor/host.ts";
import { imagesFor } from "../../../src/install/node-images.ts";
import { readUserManifests } from "../../../src/install/user-manifests.ts";
import { listKubeadmImages } from "../../../src/kubernetes/list.ts";
import type { Item, Lock } from "../../../src/lock/lock.ts";
import { factsOf, SYSTEMS, type System } from "./systems.ts";

/** Where test clusters lie: relative paths of their files start here. */
export const HOME = join(import.meta.dirname, "../../install");

/** Parts of a cluster, its hosts and its bundle that differ from the plain one; keys as in the files. */
export interface Wishes {
  /** The system of every host. */
  os?: System;
  /** Of some hosts another one. */
  on?: Record<string, System>;
  /** Put over the facts of every host, and of some. */
  facts?: Partial<Facts>;
  hostFacts?: Record<string, Partial<Facts>>;
  /** Put over the plain cluster file, key by key of its first level. */
  cluster?: Record<string, unknown>;
  bundle?: BundleWishes;
  secrets?: Partial<Secrets>;
  ignored?: string[];
  /** What an external etcd said, and hosts that replace lost ones. */
  etcd?: PlanInput["etcd"];
  replace?: string[];
  /** The version of Harbor in the bundle's archive, and what the registry host says of one. */
  harbor?: { version?: string; host?: HarborHost };
}

export interface BundleWishes {
  /** Names below `manifests/`. */
  manifests?: string[];
  /** Namespaces of charts, by name. */
  namespaces?: Record<string, string>;
  /** Further images. */
  images?: string[];
  /** Images that are not in it after all; the start of their names. */
  without?: string[];
  platforms?: string[];
  /** Package lists by role; `NAME VERSION`, exactly that version when a `=` stands before it. */
  packages?: Record<string, string[]>;
  noPackages?: boolean;
  unsigned?: string[];
  moduleHotfixes?: boolean;
  files?: string[];
  /** Architectures of the tool that it carries, as Node calls them. */
  tools?: string[];
}

const PLAIN = {
  apiVersion: "airgap/v1",
  kind: "Cluster",
  name: "site",
  kubernetes: { version: "v1.28.2" },
  network: { name: "flannel" },
  registry: { host: "register.site.local" },
  hosts: [
    { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
    { name: "node1", address: "10.0.0.15", roles: ["worker"] },
  ],
};

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The text of a cluster file. Mappings of the first level are put over the plain ones; null takes a key away. */
export function clusterText(over: Record<string, unknown> = {}): string {
  const merged: Record<string, unknown> = { ...PLAIN };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = isMapping(before) && isMapping(value) ? { ...before, ...value } : value;
  }
  return stringify(merged);
}

export const clusterOf = (over: Record<string, unknown> = {}): Cluster =>
  parseCluster(clusterText(over), join(HOME, "cluster.yaml"));

const digestOf = (text: string): `sha256:${string}` =>
  `sha256:${createHash("sha256").update(text).digest("hex")}`;

/** Certificates of nobody, kept so that what is made from them stays the same. */
const certificate = (name: string): string => readFileSync(join(HOME, "certificates", `${name}.pem`), "utf8");
const key = (name: string): string =>
  `-----BEGIN PRIVATE KEY-----\n${digestOf(name).slice(7)}\n-----END PRIVATE KEY-----\n`;

function etcdSecrets(cluster: Cluster, ca: string): Partial<Secrets> {
  if (cluster.etcd.mode === "stacked") return {};
  const members = hostsOf(cluster, "etcd").map(({ name }) => [name, { cert: ca, key: key(`etcd ${name}`) }]);
  return {
    etcd: { ca, client: { cert: ca, key: key("etcd client") }, members: Object.fromEntries(members) },
  };
}

export function secretsOf(cluster: Cluster, over: Partial<Secrets> = {}): Secrets {
  const [ca, site] = [certificate("kubernetes"), certificate("site")];
  const served = cluster.registry.mode === "serve" || cluster.registry.harbor !== undefined;
  const tls = cluster.registry.scheme === "https" || cluster.registry.mode !== "serve";
  return {
    keys: {
      ca: { cert: ca, key: key("ca") },
      etcdCa: { cert: ca, key: key("etcd") },
      frontProxyCa: { cert: ca, key: key("front-proxy") },
      serviceAccount: {
        publicKey: "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
        privateKey: key("service-account"),
      },
    },
    ca,
    joinToken: "abcdef.0123456789abcdef",
    ...(tls ? { tls: { ca: site, server: { cert: site, key: key("server") } } } : {}),
    ...etcdSecrets(cluster, ca),
    ...(cluster.registry.harbor
      ? { harbor: { admin: "Administrator1", initial: "Aa1initial", users: { ci: "Swordfish1" } } }
      : {}),
    ...(served && cluster.registry.scheme === "https"
      ? { registryCa: site }
      : cluster.registry.caFile
        ? { registryCa: ca }
        : {}),
    ...over,
  };
}

/** `containerd.io 1.7.27-3.1.el9`, `=kubelet 1.28.2`: asked for by name, or at exactly this version. */
function packageOf(
  text: string,
  arch: string,
  deb: boolean,
): { asked: { text: string; package: string }; entry: PackageSet["facts"]["packages"][number] } {
  const pinned = text.startsWith("=");
  const [name = "", version = ""] = text.replace(/^=/, "").split(" ");
  const id = deb ? `${name}=${version}` : `${name}-${version}.${arch}`;
  const digest = digestOf(id);
  return {
    asked: {
      text: pinned ? (deb ? `${name}=${version}` : `${name}-${version.split("-")[0]}`) : name,
      package: id,
    },
    entry: {
      id,
      name,
      version,
      arch,
      repository: "main",
      href: `${id}.${deb ? "deb" : "rpm"}`,
      size: 10_000_000,
      digest,
      head: { size: 0, sha256: digest.slice("sha256:".length) },
      reason: { relation: name },
    },
  };
}

function plainPackages(system: System, cluster: Cluster): Record<string, string[]> {
  const deb = factsOf(system).packageManager === "apt-get";
  const version = `${cluster.kubernetes.version.slice(1)}-${deb ? "1.1" : "150500.1.1"}`;
  const { containerd, docker } = SYSTEMS[system];
  const runtime = cluster.runtime === "docker" ? [docker, containerd] : [containerd];
  const tools = deb ? ["conntrack 1:1.4.7-1", "socat 1.7.4-1"] : ["conntrack-tools 1.4.7-2", "socat 1.7.4-5"];
  return {
    all: [...runtime, ...tools, `=kubelet ${version}`, `=kubeadm ${version}`],
    "control-plane": [`=kubectl ${version}`],
  };
}

/** A set of packages for one system. */
export function packageSet(system: System, cluster: Cluster, wishes: BundleWishes = {}): PackageSet {
  const { os, machine, packageManager } = factsOf(system);
  const deb = packageManager === "apt-get";
  const arch = deb ? "amd64" : machine;
  const lists = wishes.packages ?? plainPackages(system, cluster);
  const made = Object.entries(lists).map(
    ([role, texts]) => [role, texts.map((text) => packageOf(text, arch, deb))] as const,
  );
  const entries = new Map(made.flatMap(([, list]) => list.map(({ entry }) => [entry.id, entry] as const)));
  const unsigned = new Set(wishes.unsigned ?? []);
  return {
    name: SYSTEMS[system].set,
    facts: {
      format: deb ? "deb" : "rpm",
      arch,
      for: [`${os.id}-${os.version.split(".")[0]}`, `${os.id}-${os.version}`],
      roles: Object.fromEntries(
        made.map(([role, list]) => [
          role,
          { asked: list.map(({ asked }) => asked), packages: list.map(({ entry }) => entry.id) },
        ]),
      ),
      packages: [...entries.values()].map((entry) =>
        unsigned.has(entry.name) ? { ...entry, unsigned: true as const } : entry,
      ),
      keys: deb
        ? {}
        : {
            "keys/docker.asc":
              "-----BEGIN PGP PUBLIC KEY BLOCK-----\nDOCKER\n-----END PGP PUBLIC KEY BLOCK-----\n",
          },
      signing: {
        publicKey: "-----BEGIN PGP PUBLIC KEY BLOCK-----\nSITE\n-----END PGP PUBLIC KEY BLOCK-----\n",
        signatures: {},
      },
      ...(wishes.moduleHotfixes ? { moduleHotfixes: true as const } : {}),
    },
  };
}

const image = (name: string): Item => {
  const digest = digestOf(name);
  const root = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1000 };
  return { kind: "image", name, root, origins: [], wantedBy: [] };
};

function manifestsOf(name: string, lock: Lock, namespace: string | undefined): Manifests {
  const title = `${name}.yaml`;
  const text = readFileSync(join(HOME, "manifests", title), "utf8");
  const carried = new Set(lock.items.map((item) => item.name));
  const { locations } = locationsIn([{ title, text }], (reference) => carried.has(reference));
  return {
    files: [{ path: title, text, sites: locations[title] ?? [] }],
    ...(namespace ? { namespace } : {}),
  };
}

/** Images that the manifests of the tests name. */
const MANIFEST_IMAGES = [
  "docker.io/flannel/flannel:v0.24.4",
  "docker.io/calico/node:v3.27.0",
  "docker.io/kubernetesui/dashboard:v2.7.0",
  "register.site.local/shop/web:v1",
];

export function bundleOf(cluster: Cluster, used: System[], wishes: BundleWishes = {}): Bundle {
  const { version } = cluster.kubernetes;
  const names = [...listKubeadmImages({ version }).images, ...MANIFEST_IMAGES, ...(wishes.images ?? [])];
  const carried = names.filter((name) => !(wishes.without ?? []).some((start) => name.startsWith(start)));
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "site",
    platforms: wishes.platforms ?? ["linux/amd64"],
    siteName: cluster.registry.host,
    kubernetes: [version],
    items: carried.map(image),
    blobs: carried.map((name) => ({ digest: digestOf(name), size: 50_000_000 })),
  };
  const place = (name: string) => ({ digest: digestOf(name), offset: 4096, size: 1000 });
  const sets = wishes.noPackages
    ? []
    : [...new Set(used)].map((system) => packageSet(system, cluster, wishes));
  return {
    path: "/site/site.tar",
    size: 123_456_789,
    lockDigest: digestOf("lock"),
    lock,
    manifests: Object.fromEntries(
      (wishes.manifests ?? ["flannel"]).map((name) => [
        name,
        manifestsOf(name, lock, wishes.namespaces?.[name]),
      ]),
    ),
    packageSets: sets,
    tools: Object.fromEntries(
      (wishes.tools ?? ["x64"]).map((arch) => [
        arch,
        { name: `airgap-0.1.0-linux-${arch}.tar.gz`, ...place(arch) },
      ]),
    ),
    files: Object.fromEntries((wishes.files ?? []).map((name) => [name, place(name)])),
    ...(wishes.files?.includes("etcd") ? { etcd: { version: "3.5.24", arch: "amd64" } } : {}),
  };
}

/** Facts of a host: its system's, with what no two hosts share made its own. */
function hostFacts(host: ClusterHost, i: number, system: System, over: Partial<Facts>): Facts {
  const facts = factsOf(system);
  const own = (text: string): string => createHash("sha256").update(`${host.name}${text}`).digest("hex");
  return {
    ...facts,
    machineId: own("id").slice(0, 32),
    productUuid: own("uuid").slice(0, 32),
    macs: [`00:50:56:8a:00:${(0x10 + i).toString(16)}`],
    addresses: [{ interface: "ens192", cidr: `${host.address}/${host.address.includes(":") ? 64 : 24}` }],
    time: { host: 1_764_000_000, ours: 1_764_000_000 },
    ...over,
  };
}

/** Everything that a plan is made from, for a small cluster. */
export function siteOf(wishes: Wishes = {}): PlanInput {
  const cluster = clusterOf(wishes.cluster);
  const systemOf = ({ name }: ClusterHost): System => wishes.on?.[name] ?? wishes.os ?? "rocky-9.4";
  const bundle = bundleOf(cluster, cluster.hosts.map(systemOf), wishes.bundle);
  return {
    cluster,
    facts: Object.fromEntries(
      cluster.hosts.map((host, i) => [
        host.name,
        hostFacts(host, i, systemOf(host), { ...wishes.facts, ...wishes.hostFacts?.[host.name] }),
      ]),
    ),
    bundle,
    secrets: secretsOf(cluster, wishes.secrets),
    images: imagesFor(cluster, bundle.lock),
    userManifests: readUserManifests(cluster, bundle.lock),
    ignored: wishes.ignored ?? [],
    ...(wishes.etcd ? { etcd: wishes.etcd } : {}),
    ...(wishes.replace ? { replace: wishes.replace } : {}),
    ...(cluster.registry.harbor ? { harbor: harborOf(wishes) } : {}),
  };
}

function harborOf({ harbor = {} }: Wishes): NonNullable<PlanInput["harbor"]> {
  const { version = "v2.13.2", host } = harbor;
  const archive = { digest: digestOf("harbor"), offset: 4096, size: 650_000_000, version };
  return { archive, ...(host ? { host } : {}) };
}
