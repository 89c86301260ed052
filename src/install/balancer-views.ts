import { type Cluster, hostsOf } from "../cluster/cluster.ts";
import type { Facts } from "../host/facts.ts";
import { withLibrary } from "../plan/script.ts";
import type { Connections } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { type BalancerView, balancerInterface, movingAddresses } from "./balancers.ts";

/** Routers say something every second; some wait a little longer. */
const LISTENING_S = 4;

const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

/** Reads what `show_shared_addresses` prints. */
export function parseBalancerView(output: string): BalancerView {
  const words = output.split("\n").map((line) => line.trim().split(/\s+/));
  const of = (kind: string): string[][] => words.filter(([first]) => first === kind);
  const deaf = /^deaf (.+)$/m.exec(output)?.[1];
  return {
    mac: of("mac")[0]?.[1] ?? "",
    holds: of("holds").flatMap(([, address]) => address ?? []),
    neighbors: of("neighbor").flatMap(([, address = "", mac = ""]) =>
      MAC.test(mac) ? [{ address, mac }] : [],
    ),
    routers: of("vrrp").flatMap(([, address = "", id = ""]) =>
      /^\d{1,3}$/.test(id) ? [{ address, id: Number(id) }] : [],
    ),
    ...(deaf ? { deaf } : {}),
  };
}

/** Whether this host does the work already, for this cluster. */
const balances = (cluster: Cluster, facts: Facts): boolean =>
  facts.owner === cluster.name && facts.active.includes("keepalived");

/** Asks every load balancer that was reached. Changes nothing. */
export async function readBalancers(
  cluster: Cluster,
  facts: Record<string, Facts>,
  connections: Connections,
  signal: AbortSignal | undefined,
): Promise<Record<string, BalancerView>> {
  const addresses = movingAddresses(cluster).map(({ address }) => address);
  if (addresses.length === 0) return {};
  const read = hostsOf(cluster, "load-balancer").map(async (host) => {
    const own = facts[host.name];
    const device = own && balancerInterface(cluster, host, own);
    if (own === undefined || device === undefined) return [];
    // Those who share the addresses already would hear each other.
    const seconds = balances(cluster, own) || host.address.includes(":") ? 0 : LISTENING_S;
    const asked = call("show_shared_addresses", device, host.address, seconds, ...addresses);
    const { stdout } = await connections
      .get(host.name)
      .run(withLibrary(asked), { timeoutMs: 60_000, ...(signal ? { signal } : {}) });
    return [[host.name, parseBalancerView(stdout)] as const];
  });
  return Object.fromEntries((await Promise.all(read)).flat());
}
