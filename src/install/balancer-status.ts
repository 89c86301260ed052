import type { Cluster, ClusterHost } from "../cluster/cluster.ts";
import { withLibrary } from "../plan/script.ts";
import type { Connections } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { balancersOf, sharedAddresses } from "./balancers.ts";
import { SERVERS } from "./stages/haproxy.ts";

/** A server of an address, as one haproxy sees it. */
export interface ServerStatus {
  address: "api" | "ingress";
  host: string;
  up: boolean;
  /** haproxy's own words: `UP`, `DOWN 1/2`, and the result of its last check: `L4TOUT`. */
  state: string;
  check: string;
}

export interface BalancerStatus {
  host: string;
  /** Whether these run. */
  haproxy: boolean;
  keepalived: boolean;
  servers: ServerStatus[];
}

/** The addresses of the load balancers, and what is behind them. */
export interface EndpointStatus {
  /** `heldBy` names one host while all is well. */
  addresses: { name: "api" | "ingress"; address: string; port: number; heldBy: string[] }[];
  loadBalancers: BalancerStatus[];
}

interface Answer extends BalancerStatus {
  holds: string[];
}

const NAMES = new Map<string, ServerStatus["address"]>([
  [SERVERS.api, "api"],
  [SERVERS.ingress, "ingress"],
]);

/** The rows of haproxy's statistics that are servers. https://docs.haproxy.org/2.6/management.html#9.1 */
function serversIn(lines: string[]): ServerStatus[] {
  const head = lines.findIndex((line) => line.startsWith("# "));
  if (head < 0) return [];
  const columns = (lines[head] ?? "").slice(2).split(",");
  return lines.slice(head + 1).flatMap((line) => {
    const values = line.split(",");
    const at = (name: string): string => values[columns.indexOf(name)] ?? "";
    const address = NAMES.get(at("pxname"));
    const host = at("svname");
    if (address === undefined || host === "BACKEND") return [];
    const state = at("status");
    return [{ address, host, up: /^UP\b/.test(state), state, check: at("check_status").replace(/^\* /, "") }];
  });
}

/** Reads what `show_balancer` prints. */
export function parseBalancer(host: string, output: string): Answer {
  const of = (kind: string): string[] =>
    output
      .split("\n")
      .flatMap((line) =>
        line.startsWith(`${kind} `) ? [line.slice(kind.length + 1).replace(/\r$/, "")] : [],
      );
  const runs = of("runs");
  return {
    host,
    haproxy: runs.includes("haproxy"),
    keepalived: runs.includes("keepalived"),
    servers: serversIn(of("csv")),
    holds: of("holds"),
  };
}

/**
 * Asks load balancers what they do. Changes nothing.
 * @param hosts those of the cluster's load balancers that are connected
 */
export async function endpointStatus(
  cluster: Cluster,
  hosts: ClusterHost[],
  connections: Connections,
  signal: AbortSignal | undefined,
): Promise<EndpointStatus | undefined> {
  const shared = sharedAddresses(cluster);
  if (shared.length === 0 || hosts.length === 0) return undefined;
  const asked = call(
    "show_balancer",
    cluster.endpoint?.statusPage.port ?? 9999,
    ...shared.map(({ address }) => address),
  );
  const answers = await Promise.all(
    hosts.map(async ({ name }) => {
      const { stdout } = await connections
        .get(name)
        .run(withLibrary(asked), { timeoutMs: 60_000, ...(signal ? { signal } : {}) });
      return parseBalancer(name, stdout);
    }),
  );
  return {
    addresses: shared.map(({ name, address, port }) => ({
      ...{ name, address, port },
      heldBy: answers.flatMap(({ host, holds }) => (holds.includes(address) ? [host] : [])),
    })),
    loadBalancers: answers.map(({ holds: _, ...answer }) => answer),
  };
}

/** What is wrong, a line each. */
export function endpointProblems(status: EndpointStatus, cluster: Cluster): string[] {
  const { addresses, loadBalancers } = status;
  const all = loadBalancers.length === balancersOf(cluster).length;
  const moves = new Map(sharedAddresses(cluster).map(({ address, moves }) => [address, moves]));
  const held = addresses.flatMap(({ address, heldBy }) => {
    if (heldBy.length > 1)
      return [
        `${heldBy.join(" and ")} hold ${address} at the same time: IP protocol 112 (VRRP) has to pass between them`,
      ];
    return heldBy.length === 0 && all ? [`no load balancer holds ${address}`] : [];
  });
  const stopped = loadBalancers.flatMap(({ host, haproxy, keepalived }) => [
    ...(haproxy ? [] : [`${host}: haproxy does not run`]),
    ...(keepalived || ![...moves.values()].includes(true) ? [] : [`${host}: keepalived does not run`]),
  ]);
  const down = loadBalancers.flatMap(({ host, servers }) =>
    servers.filter(({ up }) => !up).map((server) => ({ by: host, ...server })),
  );
  const byServer = Map.groupBy(down, ({ address, host }) => `${address} ${host}`);
  const failing = [...byServer.values()].map((seen) => {
    const [first] = seen;
    const what = first?.address === "ingress" ? "the ingress" : "the API";
    const how = [first?.state, first?.check].filter(Boolean).join(", ");
    return `${first?.host} does not serve ${what} for ${seen.map(({ by }) => by).join(", ")} (${how})`;
  });
  return [...held, ...stopped, ...failing];
}
