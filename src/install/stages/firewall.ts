import type { ClusterHost } from "../../cluster/cluster.ts";
import { interfaceOf } from "../../host/facts.ts";
import { call } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import type { Context } from "../context.ts";
import { timeServer } from "./time.ts";

/** Ports that a host's roles need, in firewalld's notation. */
export function openPorts({ cluster }: Context, host: ClusterHost): string[] {
  const has = (role: ClusterHost["roles"][number]): boolean => host.roles.includes(role);
  const node = has("control-plane") || has("worker");
  const calico = cluster.network?.name.includes("calico") === true;
  const overlay =
    cluster.network === undefined ? [] : calico ? ["4789/udp", "179/tcp", "5473/tcp"] : ["8472/udp"];
  const repository = cluster.repository.host === host.name;
  return [
    ...(has("control-plane") ? ["6443/tcp", "2379-2380/tcp", "10257/tcp", "10259/tcp"] : []),
    ...(has("etcd") && !has("control-plane") ? ["2379-2380/tcp"] : []),
    ...(node ? ["10250/tcp", "30000-32767/tcp", "30000-32767/udp", ...overlay] : []),
    ...(has("load-balancer") ? [`${cluster.endpoint?.port ?? 6443}/tcp`] : []),
    ...(repository ? [`${cluster.repository.port}/tcp`] : []),
    ...(host === timeServer(cluster.hosts, cluster.time.servers) ? ["123/udp"] : []),
  ];
}

/** If a firewall is on, opens what is needed; the firewall is never switched off. */
export function firewallStep(context: Context, host: ClusterHost): Step[] {
  const facts = context.factsOf(host);
  const ports = openPorts(context, host);
  if (facts.firewall === "firewalld") return [firewalldStep(context, host, ports)];
  return facts.firewall === "ufw" ? [ufwStep(context, host, ports)] : [];
}

const isNode = ({ roles }: ClusterHost): boolean =>
  roles.includes("control-plane") || roles.includes("worker");

/** Addresses of pods and services are trusted on every interface. */
const trusted = ({ cluster }: Context, host: ClusterHost): string[] =>
  isNode(host) ? [cluster.kubernetes.podSubnet, cluster.kubernetes.serviceSubnet] : [];

const titleOf = (ports: string[]): string => `The firewall allows ${ports.join(", ") || "what is needed"}`;

function firewalldStep(context: Context, host: ClusterHost, ports: string[]): Step {
  const device = interfaceOf(context.factsOf(host), host.address) ?? "";
  const sources = trusted(context, host);
  return {
    id: "firewall",
    title: titleOf(ports),
    check: call("firewalld_lets_through", device, ports, sources),
    apply: call("firewalld_open", device, ports, sources),
    undo: call("firewalld_close"),
  };
}

function ufwStep(context: Context, host: ClusterHost, ports: string[]): Step {
  const rules = [
    ...ports.map((port) => `allow ${port.replace("-", ":")}`),
    ...trusted(context, host).flatMap((source) => [
      `allow from ${source}`,
      `route allow from ${source}`,
      `route allow to ${source}`,
    ]),
  ];
  return {
    id: "firewall",
    title: titleOf(ports),
    check: call("ufw_has", ...rules),
    apply: call("ufw_add", ...rules),
    undo: call("ufw_remove"),
  };
}
