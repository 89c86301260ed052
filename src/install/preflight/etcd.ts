import type { ClusterHost } from "../../cluster/cluster.ts";
import { localName } from "../bundle.ts";
import { architecture, type Context } from "../context.ts";
import { listed } from "../etcd/found.ts";
import { compareEtcd } from "../etcd/release.ts";
import { DATA, hasData, isMember, peerUrl, registryPrefix } from "../etcd/topology.ts";
import { ETCD_FILE } from "../stages/etcd.ts";
import { hasJoined, standingPlanes } from "../standing.ts";
import type { Finding } from "./finding.ts";

const finding = (
  check: Finding["check"],
  severity: Finding["severity"],
  host: string | undefined,
  message: string,
  suggestion?: string,
): Finding => ({
  check,
  severity,
  ...(host ? { host } : {}),
  message,
  ...(suggestion ? { suggestion } : {}),
});

const minorOf = (version: string): string => version.split(".").slice(0, 2).join(".");

/** The bundle's release: there, for these machines, accepted by kubeadm, and a step that members can take. */
export function etcdRelease({ cluster, bundle, images, hosts, factsOf }: Context): Finding[] {
  if (cluster.etcd.mode !== "external") return [];
  const { etcd } = bundle;
  const least = images.rules.externalEtcd;
  const carry = `carry one that is new enough: \`files: [{ url: …/etcd-v${least}-linux-amd64.tar.gz, as: ${ETCD_FILE} }]\``;
  if (etcd === undefined)
    return [
      finding(
        "etcd",
        "error",
        undefined,
        `${localName(bundle)} has no file \`${ETCD_FILE}\`, from which etcd is installed`,
        carry,
      ),
    ];
  const old = compareEtcd(etcd.version, least) < 0;
  return [
    ...(old
      ? [
          finding(
            "etcd",
            "error",
            undefined,
            `${localName(bundle)} has etcd ${etcd.version}; kubeadm ${cluster.kubernetes.version} accepts an external etcd from ${least} on`,
            carry,
          ),
        ]
      : []),
    ...hosts("etcd").flatMap((host): Finding[] => {
      const facts = factsOf(host);
      const machine = architecture(facts).oci;
      const installed = facts.versions.etcd;
      if (machine !== etcd.arch)
        return [
          finding(
            "etcd",
            "error",
            host.name,
            `it is ${machine}, but ${localName(bundle)} has etcd for ${etcd.arch}`,
          ),
        ];
      if (installed === undefined || !hasData(facts)) return [];
      return step(installed, etcd.version)
        ? []
        : [
            finding(
              "etcd",
              "error",
              host.name,
              `its etcd is ${installed}, and ${localName(bundle)} has ${etcd.version}: members go up, and one minor version at a time`,
              `carry a release of ${minorOf(installed)} or the next`,
            ),
          ];
    }),
  ];
}

/** https://etcd.io/docs/v3.6/upgrades/ */
function step(from: string, to: string): boolean {
  if (compareEtcd(from, to) > 0) return false;
  const [a = 0, b = 0] = [from, to].map((version) => Number(version.split(".")[1]));
  return from.split(".")[0] === to.split(".")[0] && b - a <= 1;
}

/** A member that finds data of another etcd joins that one, or does not start. */
function oldData({ cluster, hosts, factsOf }: Context): Finding[] {
  if (cluster.etcd.mode !== "external") return [];
  return hosts("etcd").flatMap((host) => {
    const facts = factsOf(host);
    if (!hasData(facts) || facts.owner === cluster.name) return [];
    return [
      finding(
        "etcd-data",
        "error",
        host.name,
        `${DATA} has data of another etcd${facts.owner ? `, of the cluster ${facts.owner}` : ""}`,
        `if it is not needed any more: ssh ${host.address} rm -rf ${DATA}/member`,
      ),
    ];
  });
}

/** Keys of an own `kubeadm init` that did not finish, or was undone since, are in nobody's way: it begins again over them. */
const hasBegun = ({ cluster, planes, facts }: Context): boolean =>
  planes.some(({ name }) => {
    const own = facts[name];
    const marks = ["/var/lib/airgap/kubeadm-began", "/var/lib/airgap/kubeadm-discarded"];
    return own?.owner === cluster.name && marks.some((mark) => own.exists.includes(mark));
  });

/** Objects of an earlier cluster would come back to life in a new one. */
function oldKeys(context: Context): Finding[] {
  const { cluster, facts, etcd, reached } = context;
  const keys = etcd?.given?.keys ?? etcd?.keys ?? 0;
  const stands =
    standingPlanes(cluster, facts).length > 0 ||
    reached.some(({ name }) => facts[name] && facts[name].owner === cluster.name && hasJoined(facts[name]));
  if (keys === 0 || stands || hasBegun(context)) return [];
  return [
    finding(
      "etcd-data",
      "error",
      undefined,
      `etcd has ${keys} keys below ${registryPrefix(cluster)} of an earlier cluster, which would come back to life`,
      cluster.etcd.mode === "given"
        ? `if they are not needed any more: etcdctl del --prefix ${registryPrefix(cluster)}; or let several clusters share it: apiServer.extraArgs etcd-prefix`
        : "if they are not needed any more: airgap reset CLUSTER; if this cluster lost all of its control planes, continue: --ignore-check etcd-data",
    ),
  ];
}

/** A member that was lost is replaced only when somebody says so: while it counts, it may come back. */
function lostMembers(context: Context): Finding[] {
  const { cluster, etcd, replace = [], hosts, facts, secrets } = context;
  if (cluster.etcd.mode !== "external") return [];
  const members = hosts("etcd");
  const stand = members.filter((host) => isMember(cluster, host, facts[host.name]));
  const bare = members.filter((host) => !stand.includes(host));
  const replaced = (host: ClusterHost): boolean => replace.includes(host.name);
  const wrong = stand.filter((host) => replaced(host) && listed(etcd?.members ?? [], host)?.learner !== true);
  const about = (host: ClusterHost, message: string, suggestion: string): Finding =>
    finding("member", "error", host.name, message, suggestion);
  return [
    ...wrong.map((host) =>
      about(
        host,
        `it has etcd's data, so it is not one that comes back empty`,
        `take ${host.name} out of --replace; or empty it first: airgap reset CLUSTER --hosts ${host.name}`,
      ),
    ),
    ...(stand.length === 0 ? [] : bare.flatMap((host) => lost(host, replaced(host), context, about))),
    ...(stand.length > 0 && bare.some(replaced) && etcd?.unanswered !== undefined
      ? [
          finding(
            "member",
            "error",
            etcd.by,
            `its member of etcd does not say who the members are: ${etcd.unanswered}`,
            `without a majority nobody can be replaced: docs/etcd.md. On ${etcd.by}: journalctl -u etcd -n 50`,
          ),
        ]
      : []),
    ...(secrets.ca !== "" && secrets.etcd === undefined && bare.length > 0
      ? [
          finding(
            "member",
            "error",
            bare[0]?.name,
            "it needs a certificate, and the key of etcd's authority is not on this machine",
            "install from the machine that made the cluster, or copy its .airgap/ folder here",
          ),
        ]
      : []),
    ...strangers(context, stand, bare.some(replaced)),
  ];
}

function lost(
  host: ClusterHost,
  replaced: boolean,
  { etcd }: Context,
  about: (host: ClusterHost, message: string, suggestion: string) => Finding,
): Finding[] {
  if (replaced) return [];
  const known = listed(etcd?.members ?? [], host) !== undefined;
  return [
    about(
      host,
      known
        ? "it is empty, and etcd still counts on the member that it was"
        : "it has no data, and etcd, which has members already, does not know it",
      `let it ${known ? "take its own place again" : "in"}: airgap install CLUSTER --bundle BUNDLE --replace ${host.name}`,
    ),
  ];
}

/** Members that the cluster file does not name count for the majority too. */
function strangers({ cluster, etcd }: Context, stand: ClusterHost[], replacing: boolean): Finding[] {
  const known = new Set(cluster.hosts.map(peerUrl));
  return (stand.length === 0 ? [] : (etcd?.members ?? []))
    .filter(({ peerUrls }) => !peerUrls.some((url) => known.has(url)))
    .map(({ id, name, peerUrls }) =>
      finding(
        "member",
        replacing ? "error" : "warning",
        etcd?.by,
        `etcd has a member that the cluster file does not name: ${name ?? id} at ${peerUrls.join(", ")}`,
        `if it is gone for good, on ${etcd?.by}: etcdctl member remove ${id}  # docs/etcd.md says with which certificates`,
      ),
    );
}

/** https://etcd.io/docs/v3.6/op-guide/hardware/: a write to the log should take less than 10 ms; at 100 ms heartbeats are missed. */
const SLOW_MS = 10;
const TOO_SLOW_MS = 100;

function disks({ etcd }: Context): Finding[] {
  return Object.entries(etcd?.sync ?? {}).flatMap(([host, { mean, slowest }]) => {
    if (mean < SLOW_MS) return [];
    return [
      finding(
        "etcd-disk",
        mean < TOO_SLOW_MS ? "warning" : "error",
        host,
        `a synchronised write to its disk takes ${mean} ms on average, and ${slowest} ms in the slowest group; etcd wants less than ${SLOW_MS} ms`,
        `give ${DATA} a disk of its own, an SSD: mount it there before installing`,
      ),
    ];
  });
}

/** Somebody else's etcd, as it answers this machine. */
function given({ cluster, etcd, images }: Context): Finding[] {
  const found = etcd?.given?.endpoints ?? [];
  const least = images.rules.externalEtcd;
  return found.flatMap(({ url, version, healthy, problem }): Finding[] => [
    ...(version !== undefined && compareEtcd(version, least) < 0
      ? [
          finding(
            "etcd",
            "error",
            undefined,
            `${url} is etcd ${version}; kubeadm ${cluster.kubernetes.version} accepts an external etcd from ${least} on`,
            "upgrade it first",
          ),
        ]
      : []),
    ...(healthy
      ? []
      : [
          finding(
            "etcd",
            "error",
            undefined,
            `${url} is not healthy, as asked from this machine: ${problem ?? "no answer"}`,
            "if only control planes can reach it, continue: --ignore-check etcd",
          ),
        ]),
  ]);
}

/** The timer works on a control plane, where only an etcd that is stacked is at hand. */
function backups({ cluster }: Context): Finding[] {
  if (cluster.backup === undefined || cluster.etcd.mode === "stacked") return [];
  return [
    finding(
      "etcd",
      "error",
      undefined,
      "a control plane makes backups by a timer only of an etcd that is on it",
      "take `backup:` out of the cluster file, and run `airgap backup` by a timer of your own machine",
    ),
  ];
}

export const ETCD_CHECKS: ((context: Context) => Finding[])[] = [
  oldData,
  oldKeys,
  lostMembers,
  disks,
  given,
  backups,
];
