import { type Cluster, hostsOf } from "../cluster/cluster.ts";
import type { Facts } from "../host/facts.ts";
import { withLibrary } from "../plan/script.ts";
import type { Connections } from "../plan/session.ts";
import { call } from "../plan/shell.ts";

/**
 * Tries the endpoint from a control plane, where it is an address that the user's own load balancers are to hold.
 * @returns the name of the control plane that got no answer
 */
export async function silentEndpoint(
  cluster: Cluster,
  facts: Record<string, Facts>,
  connections: Connections,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { endpoint } = cluster;
  const asking = hostsOf(cluster, "control-plane").find(({ name }) => facts[name]?.tools.includes("bash"));
  if (endpoint === undefined || endpoint.loadBalancers.length > 0 || asking === undefined) return undefined;
  if (cluster.hosts.some(({ address }) => address === endpoint.address)) return undefined;
  const { code } = await connections
    .get(asking.name)
    .run(withLibrary(call("endpoint_answers", endpoint.address, endpoint.port)), {
      timeoutMs: 30_000,
      ...(signal ? { signal } : {}),
    });
  return code === 0 ? undefined : asking.name;
}
