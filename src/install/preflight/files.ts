import { isIP } from "node:net";
import { contains, parseSubnet } from "../../address.ts";
import { type ClusterHost, registryName } from "../../cluster/cluster.ts";
import { tryParseReference } from "../../oci/reference.ts";
import { nearest } from "../../schema/nearest.ts";
import { localName } from "../bundle.ts";
import type { Context } from "../context.ts";
import { ordinal } from "../ordinal.ts";
import { knownSystem } from "../systems/known.ts";
import type { Finding } from "./finding.ts";
import { checkSets } from "./sets.ts";

type FileCheck = (context: Context, hosts: ClusterHost[]) => Finding[];

const error = (check: Finding["check"], message: string, suggestion?: string): Finding => ({
  check,
  severity: "error",
  message,
  ...(suggestion ? { suggestion } : {}),
});

/** The user's own images are called by `siteName`; the cluster asks `registry.host` for them. */
const siteName: FileCheck = ({ bundle, cluster }) => {
  const { siteName: named, items } = bundle.lock;
  const asked = registryName(cluster.registry);
  if (named === undefined || named.toLowerCase() === asked || named.toLowerCase() === cluster.registry.host)
    return [];
  const own = items.filter(({ kind, name }) => kind === "image" && tryParseReference(name)?.host === named);
  return [
    {
      check: "registry-name",
      severity: own.length > 0 ? "error" : "warning",
      message:
        own.length > 0
          ? `${own
              .map(({ name }) => name)
              .slice(0, 3)
              .join(
                ", ",
              )}${own.length > 3 ? ` and ${own.length - 3} more` : ""} of ${localName(bundle)} have the site's name ${named}, but the cluster's registry is ${asked}: nodes would not find them`
          : `the bundle was built for the site ${named}, but the cluster's registry is ${asked}`,
      suggestion: `set \`registry: { host: ${named.replace(/:\d+$/, "")} }\` in the cluster file, or \`siteName: ${asked}\` in the spec and build again`,
    },
  ];
};

const NODE_NAMES: Record<string, string> = { x86_64: "x64", amd64: "x64", aarch64: "arm64", arm64: "arm64" };

/** The serving host starts airgap from the bundle: its system has to run it. */
const tool: FileCheck = ({ bundle, cluster }, hosts) => {
  const { host } = cluster.repository;
  if (!hosts.some(({ name }) => name === host)) return [];
  const carried = Object.keys(bundle.tools);
  if (carried.length === 0)
    return [
      error(
        "bundle-manifests",
        `${host} serves the bundle and needs airgap itself, which ${localName(bundle)} does not carry`,
        "add `- self: true` under `files:` of the spec and build again",
      ),
    ];
  const missing = [
    ...new Set(bundle.packageSets.flatMap(({ facts: { arch } }) => NODE_NAMES[arch] ?? [])),
  ].filter((name) => !carried.includes(name));
  return missing.map((name) => ({
    check: "bundle-manifests" as const,
    severity: "warning" as const,
    message: `the bundle carries the tool for ${carried.join(", ")}, and not for ${name}: ${host} must not be a host of that architecture`,
    suggestion: `add linux/${name === "x64" ? "amd64" : name} to \`platforms:\` of the spec`,
  }));
};

const servingSystem: FileCheck = ({ bundle, cluster }, hosts) => {
  const { host } = cluster.repository;
  const systems = [...new Set(bundle.packageSets.flatMap(({ facts }) => facts.for))];
  const old = systems.filter((name) => ordinal(knownSystem(name)?.glibc ?? "9.0") < ordinal("2.28"));
  if (!hosts.some(({ name }) => name === host) || old.length === 0) return [];
  return [
    {
      check: "registry-glibc",
      severity: "warning",
      host,
      message: `it serves the bundle, and airgap's own Node needs glibc 2.28: it cannot be ${old.join(", ")}`,
      suggestion: "use a newer system for that host, or `repository: { host: NAME }` for another one",
    },
  ];
};

const OCI_NAMES: Record<string, string> = {
  x86_64: "amd64",
  amd64: "amd64",
  aarch64: "arm64",
  arm64: "arm64",
};

/** Hosts of a set's architecture need images of it. */
const architectures: FileCheck = ({ bundle }) => {
  const { platforms } = bundle.lock;
  if (platforms.includes("all")) return [];
  return bundle.packageSets.flatMap(({ name, facts }) => {
    const platform = `linux/${OCI_NAMES[facts.arch] ?? facts.arch}`;
    if (
      facts.arch === "noarch" ||
      platforms.some((each) => each === platform || each.startsWith(`${platform}/`))
    )
      return [];
    return [
      error(
        "bundle-platform",
        `the set ${name} is for ${facts.arch}, but the images of ${localName(bundle)} are for ${platforms.join(", ")}`,
        `add ${platform} to \`platforms:\` of the spec`,
      ),
    ];
  });
};

/** Harbor is installed from a file of the bundle. (etcd's is looked at in etcd.ts.) */
const harbor: FileCheck = ({ bundle, cluster }) => {
  if (cluster.registry.mode !== "harbor" || bundle.files["harbor"] !== undefined) return [];
  const near = nearest("harbor", Object.keys(bundle.files));
  return [
    error(
      "bundle-manifests",
      `registry.mode: harbor installs the file harbor of the bundle, which ${localName(bundle)} does not have`,
      near
        ? `it has ${near}: set \`as: harbor\` for it in the spec`
        : "add `files: [{ url: …, as: harbor }]` to the spec",
    ),
  ];
};

const addresses: FileCheck = ({ cluster }, hosts) => {
  const ranges = { pods: cluster.kubernetes.podSubnet, services: cluster.kubernetes.serviceSubnet };
  const named = [
    ...hosts.map(({ name, address }) => ({ name, address })),
    ...(cluster.endpoint ? [{ name: "endpoint", address: cluster.endpoint.address }] : []),
  ];
  return named.flatMap(({ name, address }) =>
    Object.entries(ranges).flatMap(([what, text]) => {
      const range = parseSubnet(text);
      return range !== undefined && isIP(address) !== 0 && contains(range, address)
        ? [
            error(
              "subnets",
              `${name}: its address ${address} is in the ${what}' range ${text}`,
              "choose another podSubnet or serviceSubnet",
            ),
          ]
        : [];
    }),
  );
};

const FILE_CHECKS: FileCheck[] = [siteName, tool, servingSystem, architectures, checkSets, harbor, addresses];

/** What the cluster file and the bundle tell about hosts whose facts are not known, and about each other. */
export function preflightFiles(context: Context): Finding[] {
  const unknown = context.cluster.hosts.filter(({ name }) => context.facts[name] === undefined);
  return FILE_CHECKS.flatMap((check) => check(context, unknown));
}
