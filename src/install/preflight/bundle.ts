import { serversOf } from "../../cluster/cluster.ts";
import { isAirgapError, messageOf } from "../../errors.ts";
import type { Facts } from "../../host/facts.ts";
import { balancersOf, movingAddresses } from "../balancers.ts";
import { localName } from "../bundle.ts";
import { architecture, type Context, setFor, systemNames } from "../context.ts";
import { carries } from "../node-images.ts";
import { ordinal } from "../ordinal.ts";
import { containerdVersion } from "../stages/containerd.ts";
import { manifestOf } from "../stages/network.ts";
import { wantedOn } from "../stages/wanted.ts";
import { toolFor } from "../tool.ts";
import type { Finding } from "./finding.ts";
import { isPatchOf } from "./versions.ts";

function images(context: Context): Finding[] {
  const { bundle, cluster } = context;
  const missing = context.images.kubeadm
    .filter(({ upstream }) => !carries(bundle.lock, upstream))
    .map(({ upstream }) => upstream);
  if (missing.length === 0) return [];
  return [
    {
      check: "bundle-images",
      severity: "error",
      message: `${localName(bundle)} does not have ${missing.join(", ")}, which Kubernetes ${cluster.kubernetes.version} needs`,
      suggestion: `add \`kubernetes: [{ version: ${cluster.kubernetes.version} }]\` to the bundle's spec and build again`,
    },
  ];
}

/** The user's own add-ons need images too. */
function userImages({ bundle, userManifests }: Context): Finding[] {
  const byPath = Map.groupBy(userManifests.missing, ({ path }) => path);
  return [...byPath].map(([path, missing]) => ({
    check: "bundle-images",
    severity: "error",
    message: `${path} names ${[...new Set(missing.map(({ reference }) => reference))].join(", ")}, which ${localName(bundle)} does not have`,
    suggestion: "add them to `images:` of the spec, or the file to its `manifests:`",
  }));
}

function platforms({ bundle, nodes, factsOf }: Context): Finding[] {
  if (bundle.lock.platforms.includes("all")) return [];
  return nodes.flatMap((host) => {
    const platform = `linux/${architecture(factsOf(host)).oci}`;
    if (bundle.lock.platforms.some((each) => each === platform || each.startsWith(`${platform}/`))) return [];
    const message = `it is ${platform}, but ${localName(bundle)} is for ${bundle.lock.platforms.join(", ")}`;
    return [
      {
        check: "bundle-platform" as const,
        severity: "error" as const,
        host: host.name,
        message,
        suggestion: `add ${platform} to \`platforms:\` of the spec`,
      },
    ];
  });
}

/** Nodes need packages; other hosts install what the bundle has for them. */
function packages(context: Context): Finding[] {
  const { bundle, nodes, factsOf, cluster } = context;
  return nodes.flatMap((host): Finding[] => {
    const facts = factsOf(host);
    if (facts.packageManager === undefined) return [];
    const set = setFor(bundle, facts);
    const names = systemNames(facts).join(" or ");
    if (set === undefined) {
      const have = bundle.packageSets
        .map(({ name, facts: { for: systems, arch } }) => `${name} (${systems.join(", ")}; ${arch})`)
        .join("; ");
      const message = `${localName(bundle)} has no packages for ${names} on ${facts.machine}${have ? `, only ${have}` : ""}`;
      // A host that has everything already needs no set.
      const severity = facts.versions.kubelet && facts.tools.includes("kubeadm") ? "notice" : "error";
      return [
        {
          check: "bundle-packages",
          severity,
          host: host.name,
          message,
          suggestion: `add a set with \`for: [${systemNames(facts).at(-1)}]\` to the spec`,
        },
      ];
    }
    const wanted = wantedOn(set, host);
    const lacking = ["kubelet", "kubeadm"].filter(
      (name) => !wanted.some((each) => each.name === name) && !installed(facts, name),
    );
    const other = wanted.filter(
      ({ name, version }) => name === "kubeadm" && !isPatchOf(version, cluster.kubernetes.version),
    );
    return [
      ...(lacking.length > 0
        ? [
            {
              check: "bundle-packages" as const,
              severity: "error" as const,
              host: host.name,
              message: `the set ${set.name} installs no ${lacking.join(" and no ")} on it`,
              suggestion: `add them to \`install:\` of the set, for ${host.roles.join(", ")}`,
            },
          ]
        : []),
      ...other.map(({ version }) => ({
        check: "kubernetes" as const,
        severity: "error" as const,
        host: host.name,
        message: `the set ${set.name} has kubeadm ${version}, but the cluster file says ${cluster.kubernetes.version}`,
        suggestion: `name the version in the spec: kubeadm-${cluster.kubernetes.version.slice(1)}`,
      })),
    ];
  });
}

/** A load balancer has its two programs from the bundle, or already. */
function balancerPackages(context: Context): Finding[] {
  const { bundle, cluster, factsOf, facts } = context;
  const moving = movingAddresses(cluster).length > 0;
  const programs = ["haproxy", ...(moving ? ["keepalived"] : [])];
  return balancersOf(cluster).flatMap((host): Finding[] => {
    if (facts[host.name] === undefined) return [];
    const set = setFor(bundle, factsOf(host));
    const wanted = set ? wantedOn(set, host).map(({ name }) => name) : [];
    const lacking = programs.filter((name) => !wanted.includes(name) && !factsOf(host).tools.includes(name));
    if (lacking.length === 0) return [];
    const names = systemNames(factsOf(host));
    return [
      {
        check: "bundle-packages",
        severity: "error",
        host: host.name,
        message: `neither the host nor ${set ? `the set ${set.name}` : `a set of ${localName(bundle)} for ${names.join(" or ")}`} has ${lacking.join(" and ")}`,
        suggestion: "in the spec: install: { load-balancer: [keepalived, haproxy] }",
      },
    ];
  });
}

/** kube-proxy works without ipvsadm; people who look for a fault, and `reset`, do not. */
function ipvsadm({ bundle, cluster, nodes, factsOf }: Context): Finding[] {
  if (cluster.kubernetes.proxyMode !== "ipvs") return [];
  return nodes.flatMap((host): Finding[] => {
    const set = setFor(bundle, factsOf(host));
    const wanted = set !== undefined && wantedOn(set, host).some(({ name }) => name === "ipvsadm");
    if (wanted || factsOf(host).tools.includes("ipvsadm")) return [];
    return [
      {
        check: "bundle-packages",
        severity: "warning",
        host: host.name,
        message:
          "neither the host nor the bundle has ipvsadm, which shows and clears what kube-proxy sets in ipvs mode",
        suggestion: "add ipvsadm to `install:` of the set",
      },
    ];
  });
}

/** kubelet on a host that nobody makes a node starts over and over, and nobody sees it. */
function kubeletForNobody({ bundle, reached, nodes, factsOf }: Context): Finding[] {
  return reached
    .filter((host) => !nodes.includes(host))
    .flatMap((host): Finding[] => {
      const set = setFor(bundle, factsOf(host));
      if (set === undefined || !wantedOn(set, host).some(({ name }) => name === "kubelet")) return [];
      return [
        {
          check: "bundle-packages",
          severity: "warning",
          host: host.name,
          message: `the set ${set.name} puts kubelet on it, and it is no node (${host.roles.join(", ")}): kubelet starts over and over there`,
          suggestion:
            "in the spec name kubelet and kubeadm under `control-plane:` and `worker:`, not under `all:`",
        },
      ];
    });
}

const installed = (facts: Facts, name: string): boolean =>
  name === "kubelet" ? facts.versions.kubelet !== undefined : facts.tools.includes(name);

function containerd(context: Context): Finding[] {
  const least = context.images.rules.containerd;
  if (context.cluster.runtime !== "containerd") return [];
  return context.nodes.flatMap((host): Finding[] => {
    const version = containerdVersion(context, host);
    if (version === undefined) {
      return [
        {
          check: "containerd-version",
          severity: "error",
          host: host.name,
          message: "neither the host nor the bundle's packages for it have containerd",
          suggestion: "add containerd or containerd.io to `install:` of the set",
        },
      ];
    }
    if (least === undefined || ordinal(version) >= ordinal(least)) return [];
    const message = `containerd ${version} is too old: Kubernetes ${context.cluster.kubernetes.version} needs ${least}`;
    return [{ check: "containerd-version", severity: "error", host: host.name, message }];
  });
}

function docker({ cluster, bundle, nodes, factsOf, images }: Context): Finding[] {
  if (cluster.runtime !== "docker") return [];
  return nodes.flatMap((host): Finding[] => {
    const facts = factsOf(host);
    const set = setFor(bundle, facts);
    const names = set ? wantedOn(set, host).map(({ name }) => name) : [];
    const engine =
      facts.versions.docker !== undefined || names.some((name) => /^docker(?:-ce|\.io|-engine)?$/.test(name));
    const shim =
      images.rules.dockershim ||
      facts.versions["cri-dockerd"] !== undefined ||
      names.includes("cri-dockerd") ||
      bundle.files["cri-dockerd.tgz"] !== undefined;
    return [
      ...(engine
        ? []
        : [
            {
              check: "bundle-packages" as const,
              severity: "error" as const,
              host: host.name,
              message: "neither the host nor the bundle's packages for it have Docker",
              suggestion: "add docker-ce or docker.io to `install:` of the set",
            },
          ]),
      ...(shim
        ? []
        : [
            {
              check: "bundle-packages" as const,
              severity: "error" as const,
              host: host.name,
              message: `Docker needs cri-dockerd from Kubernetes 1.24 on, and neither the bundle nor the host has it`,
              suggestion: "add the package cri-dockerd, or `files: [{ url: …, as: cri-dockerd.tgz }]`",
            },
          ]),
    ];
  });
}

/** What the bundle lacks for the plan. */
function named(context: Context): Finding[] {
  const { cluster } = context;
  const wanted = [
    ...(cluster.network ? [{ name: cluster.network.name, by: "network" }] : []),
    ...cluster.addons.flatMap((addon) => ("name" in addon ? [{ name: addon.name, by: "addons" }] : [])),
  ];
  const missing = wanted.flatMap(({ name, by }) =>
    failing("bundle-manifests", () => manifestOf(context, name, by)),
  );
  const serves = serversOf(cluster).some(({ name }) => context.facts[name] !== undefined);
  return [...missing, ...(serves ? failing("bundle-manifests", () => toolFor(context)) : [])];
}

function failing(check: Finding["check"], ask: () => unknown): Finding[] {
  try {
    ask();
    return [];
  } catch (error) {
    if (!isAirgapError(error)) throw error;
    const [suggestion] = error.suggestions;
    return [{ check, severity: "error", message: messageOf(error), ...(suggestion ? { suggestion } : {}) }];
  }
}

/** A rightly signed bundle may be an old one, which somebody brings again for its old faults. */
function older({ bundle, cluster, facts, allowOlder }: Context): Finding[] {
  const { name, sequence = 0 } = bundle.lock;
  const had = facts[cluster.repository.host]?.bundles;
  const last = had && Object.hasOwn(had, name) ? had[name] : undefined;
  if (last === undefined || last.lockDigest === bundle.lockDigest || sequence > last.sequence) return [];
  const same = sequence === last.sequence;
  // Without a demand for signatures nobody vouches for the number either, and separate builds may both begin with 1.
  if (same && !bundle.policy?.required) return [];
  const what = same
    ? `${localName(bundle)} and the bundle that the site has both have the number ${sequence}, and they differ: airgap cannot tell which one is older`
    : `${localName(bundle)} is older than the bundle that the site has: its number is ${sequence}, the site's is ${last.sequence}`;
  return [
    {
      check: "bundle-older",
      severity: allowOlder ? "warning" : "error",
      host: cluster.repository.host,
      message: what,
      suggestion: same
        ? "keep the lock beside the spec, so that every build counts up, or build with --sequence; --allow-older goes on"
        : "install the newest bundle, or add --allow-older to go back",
    },
  ];
}

export const BUNDLE_CHECKS: ((context: Context) => Finding[])[] = [
  images,
  userImages,
  platforms,
  packages,
  balancerPackages,
  ipvsadm,
  kubeletForNobody,
  containerd,
  docker,
  named,
  older,
];
