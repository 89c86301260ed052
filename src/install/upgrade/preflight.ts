import { nodesOf } from "../../cluster/cluster.ts";
import { minorOf } from "../../kubernetes/rules.ts";
import { compareVersions, kubeletLag, removalOf } from "../../kubernetes/upgrade.ts";
import { localName } from "../bundle.ts";
import { type Context, makeContext } from "../context.ts";
import { parseManifests, textAt } from "../manifest.ts";
import { BUNDLE_CHECKS } from "../preflight/bundle.ts";
import type { Finding } from "../preflight/finding.ts";
import { preflightHosts } from "../preflight/preflight.ts";
import { lastMinor, type UpgradeCheck } from "./check.ts";
import { inputAt, pathOf, startOf, type UpgradeInput } from "./context.ts";
import { HOST_CHECKS } from "./host-checks.ts";
import { STATE_CHECKS } from "./state-checks.ts";

/** The way itself: where it begins, and what the bundle has of it. */
const way: UpgradeCheck = (input) => {
  const { cluster, bundle, state } = input;
  const to = cluster.kubernetes.version;
  const from = startOf(input);
  if (from === "")
    return [
      {
        check: "upgrade-from",
        severity: "error",
        message: "the cluster does not say which version it is",
        suggestion: `on ${state.by}: kubectl -n kube-system get configmap kubeadm-config -o yaml`,
      },
    ];
  const newer = state.nodes.filter(({ version }) => compareVersions(version, to) > 0);
  if (compareVersions(state.version, to) > 0 || newer.length > 0)
    return [
      {
        check: "upgrade-from",
        severity: "error",
        message: `the cluster is at ${state.version}, newer than ${to}: Kubernetes cannot go back`,
        suggestion: `set kubernetes.version: ${state.version} in the cluster file`,
      },
    ];
  const { missing } = pathOf(input);
  if (missing.length === 0) return [];
  return [
    {
      check: "upgrade-steps",
      severity: "error",
      message: `from ${from} to ${to} kubeadm stops at every minor, and ${localName(bundle)} does not have ${missing.join(", ")}`,
      suggestion: `at home: add them under \`kubernetes:\` of the spec, with a package set of each; \`upgradeFrom: ${from}\` makes build check it`,
    },
  ];
};

/** What installing each version would find wrong with hosts and bundle. */
const asInstalled: UpgradeCheck = (input, stones) => {
  const seen = new Set<string>();
  return stones.flatMap((stone) => {
    const context = makeContext(inputAt(input, stone));
    const found = [
      // The version that runs is not the one of the file: that is why one upgrades.
      ...preflightHosts(context).filter(({ check }) => check !== "kubernetes"),
      ...BUNDLE_CHECKS.flatMap((check) => check(context)),
    ];
    return found.filter(({ check, host, message }) => {
      const key = JSON.stringify([check, host, message]);
      return !seen.has(key) && seen.add(key);
    });
  });
};

/** Nodes that stay where they are, and how old the control plane lets them get. */
const lag: UpgradeCheck = (input, stones) => {
  const { asked, state, cluster } = input;
  const meant = new Set(asked ?? cluster.hosts.map(({ name }) => name));
  const planes = cluster.hosts.filter(({ roles }) => roles.includes("control-plane"));
  const some = planes.filter(({ name }) => meant.has(name));
  const halves: Finding[] =
    some.length === 0 || some.length === planes.length || stones.length === 0
      ? []
      : [
          {
            check: "node-versions",
            severity: "error",
            message: `control planes are upgraded together, and --hosts leaves out ${planes.flatMap(({ name }) => (meant.has(name) ? [] : [name])).join(", ")}`,
            suggestion: `--hosts ${[...new Set([...planes.map(({ name }) => name), ...meant])].join(",")}`,
          },
        ];
  const moving = some.length > 0;
  const old = state.nodes.filter(({ name, version }) => {
    const stays = !meant.has(name) || !cluster.hosts.some((host) => host.name === name);
    return (
      moving &&
      stays &&
      stones.some((stone) => minorOf(stone) - kubeletLag(minorOf(stone)) > minorOf(version))
    );
  });
  return [
    ...halves,
    ...old.map(({ name, version }): Finding => {
      const stop = stones.findLast(
        (stone) => minorOf(stone) - kubeletLag(minorOf(stone)) <= minorOf(version),
      );
      return {
        check: "node-versions",
        severity: "error",
        host: name,
        message: `it would stay at ${version}, which is too old for a control plane of ${stones.find((stone) => minorOf(stone) - kubeletLag(minorOf(stone)) > minorOf(version))}`,
        suggestion: stop
          ? `stop before it: --to ${stop}; or let the node come along, without --hosts`
          : "let the node come along: without --hosts, and with the node in the cluster file",
      };
    }),
  ];
};

/** Manifests of the bundle and of the user that the last version would not accept. */
const manifests: UpgradeCheck = (input, stones) => {
  const minor = lastMinor(stones);
  if (minor === 0 || !input.complete) return [];
  const { bundle, cluster, userManifests } = input;
  const names = [
    ...(cluster.network ? [cluster.network.name] : []),
    ...cluster.addons.flatMap((addon) => ("name" in addon ? [addon.name] : [])),
  ];
  const files = [
    ...names.flatMap((name) => bundle.manifests[name]?.files.map((file) => ({ ...file, of: name })) ?? []),
    ...Object.entries(userManifests.files).flatMap(([of, list]) => list.map((file) => ({ ...file, of }))),
  ];
  return files.flatMap((file) =>
    parseManifests([file]).flatMap((document): Finding[] => {
      const [api, kind] = [textAt(document, "apiVersion"), textAt(document, "kind")];
      const removal = removalOf(minor, api, kind);
      if (removal === undefined) return [];
      return [
        {
          check: "removed-apis",
          severity: "error",
          message: `${file.of}: ${file.path} has the ${kind} ${textAt(document, "metadata", "name")} as ${api}, which Kubernetes 1.${removal.minor} does not serve any more`,
          suggestion: removal.instead
            ? `carry a newer ${file.of}, or write it as ${removal.instead}`
            : `carry a newer ${file.of}, which does without ${kind}`,
        },
      ];
    }),
  );
};

/** From the two files and facts alone. */
const STATIC: UpgradeCheck[] = [way, asInstalled, lag, ...HOST_CHECKS, manifests];

/** The versions to pass, as far as the bundle has them: what is missing is a finding of its own. */
function knownStones(input: UpgradeInput): string[] {
  const carried = input.bundle.lock.kubernetes ?? [];
  return pathOf(input).stones.filter((stone) => carried.includes(stone));
}

/** Every problem of an upgrade, from facts, bundle and what the cluster says. Connects to nothing. */
export function upgradeFindings(input: UpgradeInput): Finding[] {
  const stones = knownStones(input);
  return [...STATIC, ...STATE_CHECKS].flatMap((check) => check(input, stones));
}

/** The state of a cluster as far as facts of its hosts tell: for checks where nothing can be asked. */
export function stateFromFacts({
  cluster,
  facts,
}: Pick<Context, "cluster" | "facts">): UpgradeInput["state"] {
  const nodes = nodesOf(cluster).flatMap(({ name, roles }) => {
    const own = facts[name];
    if (own?.versions.kubelet === undefined || !own.exists.includes("/etc/kubernetes/kubelet.conf"))
      return [];
    const remote = (own.kubeletFlags ?? []).some(({ line }) => line.includes("--container-runtime-endpoint"));
    const version = `v${own.versions.kubelet}`;
    return [
      {
        name,
        version,
        ready: true,
        plane: roles.includes("control-plane"),
        docker: own.versions.docker !== undefined && !remote && minorOf(version) <= 23,
        marked: false,
      },
    ];
  });
  const image = Object.values(facts).flatMap(({ components }) => components?.["kube-apiserver"] ?? [])[0];
  return {
    by: nodes.find(({ plane }) => plane)?.name ?? "",
    nodes,
    version: /:(v\d[\w.-]*)$/.exec(image ?? "")?.[1] ?? nodes.find(({ plane }) => plane)?.version ?? "",
    arguments: {},
    certSANs: [],
    coredns: { plugins: [], image: "" },
    unmanaged: [],
    blocking: [],
    deadMembers: [],
    outdated: [],
  };
}

/**
 * What an upgrade would find wrong, from a cluster file, a bundle and facts alone: for `airgap check`. Pure.
 * Nothing when the hosts are no cluster yet, or are at the file's version already.
 * @param input.bundle with the package sets of every version
 */
export function checkUpgrade(
  input: Pick<UpgradeInput, "cluster" | "bundle" | "facts" | "images" | "userManifests">,
): Finding[] {
  const whole: UpgradeInput = {
    ...input,
    secrets: { ca: "", joinToken: "" },
    ignored: [],
    state: stateFromFacts(input),
    workers: 1,
    drainSeconds: 300,
    complete: true,
  };
  if (whole.state.nodes.length === 0) return [];
  const stones = knownStones(whole);
  return STATIC.flatMap((check) => check(whole, stones));
}
