import { serversOf } from "../../cluster/cluster.ts";
import type { Context } from "../context.ts";
import { ordinal } from "../ordinal.ts";
import type { Finding } from "./finding.ts";

/** Seconds that clocks may differ. Certificates and tokens are valid from an hour before, but logs and leases suffer. */
const MOST_SKEW = 30;

/** Hosts that share a value that must be unique. */
function shared(context: Context, value: (host: string) => string[]): { value: string; hosts: string[] }[] {
  const byValue = new Map<string, string[]>();
  for (const { name } of context.cluster.hosts)
    for (const each of value(name)) if (each !== "") byValue.set(each, [...(byValue.get(each) ?? []), name]);
  return [...byValue]
    .filter(([, hosts]) => hosts.length > 1)
    .map(([each, hosts]) => ({ value: each, hosts }));
}

function unique(context: Context): Finding[] {
  const facts = (host: string) => context.facts[host];
  const finding = (severity: Finding["severity"], message: string, suggestion?: string): Finding => ({
    check: "host-unique",
    severity,
    message,
    ...(suggestion ? { suggestion } : {}),
  });
  return [
    ...shared(context, (host) => [facts(host)?.machineId ?? ""]).map(({ hosts }) =>
      finding(
        "notice",
        `${hosts.join(", ")} have the same machine-id, as clones do: every host but the first gets a new one`,
      ),
    ),
    ...shared(context, (host) => [facts(host)?.productUuid ?? ""]).map(({ hosts }) =>
      finding(
        "error",
        `${hosts.join(", ")} have the same product_uuid: Kubernetes would take them for one node`,
        "give each clone its own UUID in the hypervisor",
      ),
    ),
    ...shared(context, (host) => [...new Set(facts(host)?.macs ?? [])]).map(({ value, hosts }) =>
      finding(
        "error",
        `${hosts.join(", ")} have the same MAC address ${value}`,
        "give each clone its own MAC address in the hypervisor",
      ),
    ),
  ];
}

function time(context: Context): Finding[] {
  const skews = context.cluster.hosts.flatMap(({ name }) => {
    const clock = context.facts[name]?.time;
    return clock ? [{ name, seconds: clock.host - clock.ours }] : [];
  });
  const all = skews.map(({ seconds }) => seconds);
  const spread = Math.max(...all) - Math.min(...all);
  if (!(spread > MOST_SKEW)) return [];
  const sorted = skews.toSorted((a, b) => a.seconds - b.seconds);
  const [last, first] = [sorted[0], sorted.at(-1)];
  return [
    {
      check: "time",
      severity: "error",
      message: `the clocks differ by ${Math.round(spread)} s: ${last?.name} is behind, ${first?.name} ahead`,
      suggestion: `set them by hand: ssh ${last?.name} date -s @$(date +%s)`,
    },
  ];
}

/** The address that load balancers share must not belong to a host. */
function vip({ cluster, facts }: Context): Finding[] {
  const { endpoint } = cluster;
  if (endpoint === undefined || endpoint.loadBalancers.length > 0) return [];
  const owner = cluster.hosts.find(({ name }) =>
    facts[name]?.addresses.some(({ cidr }) => cidr.split("/")[0] === endpoint.address),
  );
  return owner
    ? [
        {
          check: "vip",
          severity: "notice",
          message: `${endpoint.address} belongs to ${owner.name}: the API server is reachable only there`,
        },
      ]
    : [];
}

/** airgap's own Node needs glibc 2.28. */
function serving({ cluster, facts }: Context): Finding[] {
  return serversOf(cluster).flatMap(({ name: host }): Finding[] => {
    const glibc = facts[host]?.glibc;
    if (facts[host] === undefined) return [];
    if (glibc !== undefined && ordinal(glibc) >= ordinal("2.28")) return [];
    return [
      {
        check: "registry-glibc",
        severity: "error",
        host,
        message: `it serves the bundle, and airgap's own Node needs glibc 2.28; it has ${glibc ? `glibc ${glibc}` : "no glibc"}`,
        suggestion:
          "let another host serve: `repository: { host: NAME }`; it can be this machine (connection: local)",
      },
    ];
  });
}

/** The tool and the bundle are the same on each of them. */
function servers({ cluster, facts }: Context): Finding[] {
  const [first, ...others] = serversOf(cluster).filter(({ name }) => facts[name] !== undefined);
  const machine = first && facts[first.name]?.machine;
  return others.flatMap(({ name }): Finding[] =>
    facts[name]?.machine === machine
      ? []
      : [
          {
            check: "machine",
            severity: "error",
            host: name,
            message: `it serves the bundle beside ${first?.name}, and has another architecture: ${facts[name]?.machine}, not ${machine}`,
            suggestion: "give the role registry to hosts of one architecture",
          },
        ],
  );
}

/** A key that only another operator's machine has cannot be sent to a server that came later. */
function serverKeys({ cluster, facts, secrets }: Context): Finding[] {
  const { cert, key } = secrets.tls?.server ?? {};
  if (cert === undefined || key !== undefined) return [];
  return serversOf(cluster).flatMap(({ name }): Finding[] =>
    facts[name] === undefined || facts[name].siteCertificate?.trim() === cert.trim()
      ? []
      : [
          {
            check: "registry-certificate",
            severity: "error",
            host: name,
            message:
              "it does not have the site's certificate, and its key is on the other servers and on the machine that made it",
            suggestion: "run install from that machine, or copy its folder .airgap beside this cluster file",
          },
        ],
  );
}

/** containerd and Docker check an image only against a digest: a manifest pulled by tag can be anything. */
function plainHttp({ cluster: { registry } }: Context): Finding[] {
  if (registry.scheme !== "http") return [];
  const login = registry.user === undefined ? "" : `, and read the password of ${registry.user}`;
  return [
    {
      check: "registry-scheme",
      severity: "warning",
      message: `images come over plain http: anyone on the site's network can replace every image that is not named by its digest${login}`,
      suggestion:
        registry.mode === "serve"
          ? "remove `scheme: http`: airgap makes a certificate"
          : "give the registry a certificate: `registry: { scheme: https, caFile: … }`",
    },
  ];
}

export const CLUSTER_CHECKS: ((context: Context) => Finding[])[] = [
  unique,
  time,
  vip,
  serving,
  servers,
  serverKeys,
  plainHttp,
];
