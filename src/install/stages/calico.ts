import { type Document, isMap, isSeq, type YAMLMap } from "yaml";
import { AirgapError } from "../../errors.ts";
import { interfaceOf } from "../../host/facts.ts";
import type { Context } from "../context.ts";
import { containersOf, textAt } from "../manifest.ts";

/** How pods reach each other: IP in IP, VXLAN, or plain routes. */
const MODES: Record<string, { ipip: string; vxlan: string; backend: string }> = {
  vxlan: { ipip: "Never", vxlan: "Always", backend: "vxlan" },
  ipip: { ipip: "Always", vxlan: "Never", backend: "bird" },
  none: { ipip: "Never", vxlan: "Never", backend: "bird" },
};

/**
 * Calico's manifest with the cluster's pod subnet, encapsulation and interface.
 * https://docs.tigera.io/calico/latest/reference/configure-calico-node
 */
export function tuneCalico(documents: Document[], context: Context): void {
  const { cluster } = context;
  const node = documents.find(
    (document) =>
      textAt(document, "kind") === "DaemonSet" && textAt(document, "metadata", "name") === "calico-node",
  );
  const config = documents.find(
    (document) =>
      textAt(document, "kind") === "ConfigMap" && textAt(document, "metadata", "name") === "calico-config",
  );
  const container = node && containersOf(node).find((each) => each.get("name") === "calico-node");
  if (node === undefined || container === undefined) {
    throw new AirgapError(
      "spec",
      `network: ${cluster.network?.name} of the bundle is not a Calico manifest: it has no DaemonSet calico-node`,
      {
        suggestions: [
          "give the manifest another name with `as:`, and use this name in the cluster file: then it is applied unchanged",
        ],
      },
    );
  }
  const backend = cluster.network?.backend ?? "vxlan";
  const mode = MODES[backend];
  if (mode === undefined)
    throw new AirgapError("spec", `network.backend: Calico has no backend ${backend}`, {
      suggestions: ["backend: vxlan", "backend: ipip"],
    });
  setVariable(container, "CALICO_IPV4POOL_CIDR", cluster.kubernetes.podSubnet);
  setVariable(container, "CALICO_IPV4POOL_IPIP", mode.ipip);
  setVariable(container, "CALICO_IPV4POOL_VXLAN", mode.vxlan);
  setVariable(container, "IP_AUTODETECTION_METHOD", autodetection(context));
  config?.setIn(["data", "calico_backend"], mode.backend);
  if (mode.backend === "vxlan") withoutBird(container);
}

function autodetection(context: Context): string {
  const { cluster, nodes } = context;
  if (cluster.network?.interface) return `interface=${cluster.network.interface}`;
  const names = [...new Set(nodes.map((host) => interfaceOf(context.factsOf(host), host.address)))];
  if (names.length === 1 && names[0] !== undefined) return `interface=${names[0]}`;
  return `cidr=${[...new Set(nodes.map(({ address }) => `${address.split(".").slice(0, 3).join(".")}.0/24`))].join(",")}`;
}

function setVariable(container: YAMLMap, name: string, value: string): void {
  const env: unknown = container.get("env", true);
  if (!isSeq(env)) {
    container.set("env", [{ name, value }]);
    return;
  }
  const found = env.items.find((item) => isMap(item) && item.get("name") === name);
  if (isMap(found)) {
    found.delete("valueFrom");
    found.set("value", value);
  } else env.add({ name, value });
}

/** With VXLAN there is no BGP daemon, so probes must not check it. */
function withoutBird(container: YAMLMap): void {
  for (const probe of ["livenessProbe", "readinessProbe"]) {
    const command: unknown = container.getIn([probe, "exec", "command"], true);
    if (isSeq(command))
      command.items = command.items.filter(
        (item) => !/^-bird(?:-live|-ready)$/.test(String((item as { value?: unknown }).value)),
      );
  }
}
