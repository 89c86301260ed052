import { type Document, isMap } from "yaml";
import { AirgapError } from "../../errors.ts";
import { interfaceOf } from "../../host/facts.ts";
import { isRecord } from "../../oci/descriptor.ts";
import type { Context } from "../context.ts";
import { containersOf, textAt, wordsOf } from "../manifest.ts";

const BACKENDS: Record<string, string> = { vxlan: "vxlan", "host-gw": "host-gw", ipip: "ipip" };

/**
 * flannel with the cluster's pod subnet, backend and interface.
 * https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md
 */
export function tuneFlannel(documents: Document[], context: Context): void {
  const net = documents.find(
    (document) =>
      textAt(document, "kind") === "ConfigMap" && textAt(document, "data", "net-conf.json") !== "",
  );
  const sets = documents.filter((document) => textAt(document, "kind") === "DaemonSet");
  if (net === undefined || sets.length === 0) {
    throw new AirgapError(
      "spec",
      `network: ${context.cluster.network?.name} of the bundle is not a flannel manifest: it has no net-conf.json or no DaemonSet`,
      {
        suggestions: [
          "give the manifest another name with `as:`, and use this name in the cluster file: then it is applied unchanged",
        ],
      },
    );
  }
  net.setIn(
    ["data", "net-conf.json"],
    `${JSON.stringify(netConf(textAt(net, "data", "net-conf.json"), context), undefined, 2)}\n`,
  );
  const choice = interfaceArguments(context);
  for (const document of sets) setInterface(document, choice);
}

function netConf(text: string, { cluster }: Context): Record<string, unknown> {
  let conf: unknown;
  try {
    conf = JSON.parse(text);
  } catch (cause) {
    throw new AirgapError("spec", "net-conf.json of the flannel manifest is not JSON", { cause });
  }
  const { backend = "vxlan" } = cluster.network ?? {};
  const type = BACKENDS[backend];
  if (type === undefined)
    throw new AirgapError("spec", `network.backend: flannel has no backend ${backend}`, {
      suggestions: ["backend: vxlan", "backend: host-gw"],
    });
  const before = isRecord(conf) && isRecord(conf["Backend"]) ? conf["Backend"] : {};
  // The settings of another backend do not apply to this one.
  const kept = before["Type"] === type ? before : { Type: type };
  return { ...(isRecord(conf) ? conf : {}), Network: cluster.kubernetes.podSubnet, Backend: kept };
}

/**
 * By default flannel uses the interface of the default route. airgap names it: by its name when all hosts
 * have the same one, otherwise by the network of their addresses.
 */
export function interfaceArguments(context: Context): string[] {
  const { cluster, nodes } = context;
  if (cluster.network?.interface) return [`--iface=${cluster.network.interface}`];
  const names = [...new Set(nodes.map((host) => interfaceOf(context.factsOf(host), host.address)))];
  if (names.length === 1 && names[0] !== undefined) return [`--iface=${names[0]}`];
  const networks = [...new Set(nodes.map(({ address }) => address.split(".").slice(0, 3).join(".")))];
  return networks.map((network) => `--iface-regex=^${network.replaceAll(".", "\\.")}\\.`);
}

function setInterface(document: Document, choice: string[]): void {
  for (const container of containersOf(document)) {
    const args = wordsOf(container, "args") ?? wordsOf(container, "command");
    if (args === undefined || !args.words.includes("--kube-subnet-mgr") || !isMap(container)) continue;
    args.list.items = args.list.items.filter(
      (_, i) => !/^--iface(?:-regex)?(?:=|$)/.test(args.words[i] ?? ""),
    );
    for (const word of choice) args.list.add(word);
  }
}
