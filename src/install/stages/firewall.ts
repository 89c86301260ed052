import { type ClusterHost, serversOf } from "../../cluster/cluster.ts";
import { interfaceOf } from "../../host/facts.ts";
import { call } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import { balancerPorts, movingAddresses } from "../balancers.ts";
import type { Context } from "../context.ts";
import { timeServer } from "./time.ts";

/** Ports that a host's roles need, in firewalld's notation. */
export function openPorts({ cluster }: Context, host: ClusterHost): string[] {
  const has = (role: ClusterHost["roles"][number]): boolean => host.roles.includes(role);
  const node = has("control-plane") || has("worker");
  const calico = cluster.network?.name.includes("calico") === true;
  const overlay =
    cluster.network === undefined ? [] : calico ? ["4789/udp", "179/tcp", "5473/tcp"] : ["8472/udp"];
  const repository = serversOf(cluster).includes(host);
  const showsStatus = cluster.endpoint?.statusPage.address === "0.0.0.0";
  return [
    ...(has("control-plane") ? ["6443/tcp", "2379-2380/tcp", "10257/tcp", "10259/tcp"] : []),
    ...(has("etcd") && !has("control-plane") ? ["2379-2380/tcp"] : []),
    ...(node ? ["10250/tcp", "30000-32767/tcp", "30000-32767/udp", ...overlay] : []),
    ...balancerPorts(host, cluster)
      .filter((port) => port !== cluster.endpoint?.statusPage.port || showsStatus)
      .map((port) => `${port}/tcp`),
    ...(repository ? [`${cluster.repository.port}/tcp`] : []),
    ...(host === timeServer(cluster.hosts, cluster.time.servers) ? ["123/udp"] : []),
  ];
}

/** VRRP has a protocol of its own, and no name in the tables of small systems. https://www.iana.org/assignments/protocol-numbers */
const VRRP = 112;

function openProtocols({ cluster }: Context, { name }: ClusterHost): number[] {
  const shares = movingAddresses(cluster).some(({ order }) => order.some((host) => host.name === name));
  return shares ? [VRRP] : [];
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

const titleOf = (ports: string[], protocols: number[]): string =>
  `The firewall allows ${[...ports, ...protocols.map((number) => `protocol ${number}`)].join(", ") || "what is needed"}`;

function firewalldStep(context: Context, host: ClusterHost, ports: string[]): Step {
  const device = interfaceOf(context.factsOf(host), host.address) ?? "";
  const sources = trusted(context, host);
  const protocols = openProtocols(context, host);
  const wanted = [device, ports, sources, ...(protocols.length > 0 ? [protocols] : [])] as const;
  return {
    id: "firewall",
    title: titleOf(ports, protocols),
    check: call("firewalld_lets_through", ...wanted),
    apply: call("firewalld_open", ...wanted),
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
  const protocols = openProtocols(context, host);
  const [check, apply, undo] =
    protocols.length === 0
      ? [[], [], []]
      : [
          [call("ufw_has_protocols", ...protocols)],
          [call("ufw_add_protocols", ...protocols)],
          [call("ufw_remove_protocols")],
        ];
  return {
    id: "firewall",
    title: titleOf(ports, protocols),
    check: [call("ufw_has", ...rules), ...check].join("\n"),
    apply: [call("ufw_add", ...rules), ...apply].join("\n"),
    undo: [call("ufw_remove"), ...undo].join("\n"),
  };
}
