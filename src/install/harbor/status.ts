import { type Cluster, type ClusterHost, hostsOf, registryName } from "../../cluster/cluster.ts";
import type { Host } from "../../host/host.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { withLibrary } from "../../plan/script.ts";
import type { Connections } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";
import { REGISTRY_CA } from "../stages/trust.ts";

/** The Harbor that airgap installed. */
export interface HarborStatus {
  host: string;
  /** Of each component, as Harbor's API says it: `database`. Empty when it does not answer. */
  components: { name: string; healthy: boolean; error: string }[];
  /** Containers that do not run or are not healthy, with their state. */
  containers: { name: string; state: string }[];
  problems: string[];
}

/** Hosts that know how Harbor is: the one that it runs on, and the one that has airgap's own command. */
export function harborHosts(cluster: Cluster): ClusterHost[] {
  if (cluster.registry.harbor === undefined) return [];
  const asker = cluster.hosts.filter(({ name }) => name === cluster.repository.host);
  return [...new Set([...hostsOf(cluster, "registry"), ...asker])];
}

async function print(
  host: Host,
  script: string,
  signal?: AbortSignal,
): Promise<{ code: number | null; stdout: string }> {
  return host.run(withLibrary(script), { timeoutMs: 60_000, ...(signal ? { signal } : {}) });
}

/** What `airgap harbor health --json` prints on the host that has it. */
function parseComponents(output: string): HarborStatus["components"] {
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch {
    return [];
  }
  const components = isRecord(value) && Array.isArray(value.components) ? value.components : [];
  return components.filter(isRecord).map(({ name, healthy, error }) => ({
    name: String(name),
    healthy: healthy === true,
    error: typeof error === "string" ? error : "",
  }));
}

/** `NAME STATUS HEALTH` of the ill containers, one a line. */
const parseContainers = (output: string): HarborStatus["containers"] =>
  output.split("\n").flatMap((line) => {
    const [name, status, health] = line.trim().split(/\s+/);
    return name && status ? [{ name, state: status === "running" ? (health ?? "") : status }] : [];
  });

/** Asks for the state of Harbor, where those hosts were reached. Changes nothing. */
export async function harborStatus(
  cluster: Cluster,
  connections: Connections & { has(name: string): boolean },
  signal?: AbortSignal,
): Promise<HarborStatus | undefined> {
  const [host] = hostsOf(cluster, "registry");
  const asker = cluster.repository.host;
  if (cluster.registry.harbor === undefined || host === undefined || !connections.has(host.name))
    return undefined;
  const flags = cluster.registry.scheme === "http" ? ["--insecure"] : ["--ca-file", REGISTRY_CA];
  const name = registryName(cluster.registry);
  const health = connections.has(asker)
    ? (await print(connections.get(asker), call("show_harbor_health", name, ...flags), signal)).stdout
    : "";
  const found = await print(connections.get(host.name), call("show_ill_containers"), signal);
  const components = parseComponents(health);
  const containers = parseContainers(found.stdout);
  const ill = components.filter((each) => !each.healthy);
  return {
    ...{ host: host.name, components, containers },
    problems: [
      ...(found.code === 0 ? [] : [`${host.name}: Harbor is not installed, or Docker does not answer`]),
      ...(components.length === 0 && connections.has(asker) ? [`Harbor does not answer at ${name}`] : []),
      ...ill.map((each) => `Harbor's ${each.name} is not healthy${each.error ? `: ${each.error}` : ""}`),
      ...containers.map((each) => `${host.name}: Harbor's container ${each.name} is ${each.state}`),
    ],
  };
}
