import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import { hostsOf } from "../../cluster/cluster.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { type SharedAddress, sharedAddresses } from "../balancers.ts";

/** haproxy's names for the servers of each address. */
export const SERVERS = { api: "control-planes", ingress: "ingress-nodes" } as const;

/** An argument of the API server as the cluster file gives it, in either form of kubeadm's files. */
function apiServerArgument({ kubeadm }: Cluster, name: string): unknown {
  const server = kubeadm.ClusterConfiguration?.["apiServer"];
  const given = isRecord(server) ? server["extraArgs"] : undefined;
  if (Array.isArray(given))
    return given.findLast((each) => isRecord(each) && each["name"] === name)?.["value"] as unknown;
  return isRecord(given) ? given[name] : undefined;
}

/** `/readyz` is read without a login, unless the API server refuses everybody who has none. */
const isAskable = (cluster: Cluster): boolean =>
  String(apiServerArgument(cluster, "anonymous-auth") ?? "true") !== "false";

const socket = (address: string, port: number): string =>
  `${address.includes(":") ? `[${address}]` : address}:${port}`;

/** Every address of the host; where both addresses have one port, the address itself. */
export function bindsOwn(shared: readonly SharedAddress[]): boolean {
  return new Set(shared.map(({ port }) => port)).size < shared.length;
}

function bindOf({ address, port }: SharedAddress, own: boolean): string {
  if (own) return `bind ${socket(address, port)}`;
  return address.includes(":") ? `bind :::${port} v4v6` : `bind *:${port}`;
}

/** A workload of the ingress runs on workers, or where there are none on control planes. */
function ingressNodes(cluster: Cluster): ClusterHost[] {
  const workers = hostsOf(cluster, "worker");
  return workers.length > 0 ? workers : hostsOf(cluster, "control-plane");
}

const server = ({ name, address }: ClusterHost, port: number, check: string): string =>
  `    server ${name} ${socket(address, port)} check ${check}inter 2s fall 2 rise 2 on-marked-down shutdown-sessions`;

/** Whether a server works: the API server's own word where it can be had, else that the port answers. */
function apiServers(cluster: Cluster): string[] {
  const asked = isAskable(cluster)
    ? ["    option httpchk GET /readyz", "    http-check expect status 200"]
    : [];
  return [
    ...asked,
    ...hostsOf(cluster, "control-plane").map((host) => server(host, 6443, "check-ssl verify none ")),
  ];
}

/**
 * Where no API server calls itself ready, one that is not is asked all the same: it may do much, and says why it does not do
 * the rest. Nobody checks these servers; a connection that fails goes on to the next.
 */
const UNREADY = "control-planes-unready";

function unreadyServers(cluster: Cluster): string[] {
  return hostsOf(cluster, "control-plane").map(
    ({ name, address }) => `    server ${name} ${socket(address, 6443)}`,
  );
}

function ingressServers(cluster: Cluster): string[] {
  const port = cluster.endpoint?.ingress?.nodePort ?? 0;
  return ingressNodes(cluster).map((host) => server(host, port, ""));
}

/**
 * haproxy's configuration: TCP is passed through, to control planes that are ready. Read by haproxy 1.5 (EL 7) and later.
 * Connections that nobody uses for a long time are watches and `kubectl logs -f`: they are kept, and dead ones are found by
 * TCP's own keep-alive. https://docs.haproxy.org/2.6/configuration.html
 */
export function haproxyConfig(cluster: Cluster): string {
  const shared = sharedAddresses(cluster);
  const own = bindsOwn(shared);
  const servers = { api: apiServers, ingress: ingressServers };
  const page = cluster.endpoint?.statusPage ?? { address: "127.0.0.1", port: 9999 };
  const parts = shared.map((each) =>
    [
      `frontend ${each.name}`,
      `    ${bindOf(each, own)}`,
      ...(each.name === "api" ? [`    use_backend ${UNREADY} if { nbsrv(${SERVERS.api}) lt 1 }`] : []),
      `    default_backend ${SERVERS[each.name]}`,
      "",
      `backend ${SERVERS[each.name]}`,
      "    balance leastconn",
      ...servers[each.name](cluster),
    ].join("\n"),
  );
  return `# Written by airgap from the cluster file; it replaces changes made here.
global
    log /dev/log local0 notice
    maxconn 8192
    user haproxy
    group haproxy

defaults
    log global
    mode tcp
    option dontlognull
    option redispatch
    option tcpka
    retries 3
    timeout connect 2s
    timeout check 3s
    timeout client 24h
    timeout server 24h

${parts.join("\n\n")}

backend ${UNREADY}
    balance leastconn
${unreadyServers(cluster).join("\n")}

listen status
    bind ${page.address}:${page.port}
    mode http
    timeout client 30s
    timeout server 30s
    stats enable
    stats uri /
    stats refresh 5s
`;
}
