import { canonicalAddress } from "../address.ts";
import type { Cluster } from "./cluster.ts";

/** Ports of Kubernetes itself. */
const KUBELET_PORTS = [10_250, 10_256];
const CONTROL_PLANE_PORTS = [...KUBELET_PORTS, 2379, 2380, 6443, 10_257, 10_259];
/** A priority of VRRP for each; they lie ten apart below 100. */
const MOST_BALANCERS = 9;

type Rule = (cluster: Cluster) => string[];

const names: Rule = ({ hosts, endpoint }) =>
  (endpoint?.loadBalancers ?? []).flatMap((name, i) => {
    const roles = hosts.find((host) => host.name === name)?.roles;
    const problem = (what: string): string[] => [`endpoint.loadBalancers[${i}]: ${what}`];
    if (roles === undefined) return problem(`${name} is not among the hosts`);
    return roles.includes("load-balancer") ? [] : problem(`${name} does not have the role load-balancer`);
  });

const roles: Rule = ({ hosts, endpoint }) =>
  hosts.flatMap((host, i) => {
    if (!host.roles.includes("load-balancer") || endpoint?.loadBalancers.includes(host.name)) return [];
    const why = endpoint ? "endpoint.loadBalancers does not name it" : "there is no `endpoint: { address }`";
    return [`hosts[${i}].roles: ${host.name} has the role load-balancer, and ${why}`];
  });

const count: Rule = ({ endpoint }) =>
  (endpoint?.loadBalancers.length ?? 0) > MOST_BALANCERS
    ? [`endpoint.loadBalancers: at most ${MOST_BALANCERS} can share an address`]
    : [];

/** The address of a single load balancer may be its own; that of several is nobody's. */
const addresses: Rule = ({ hosts, endpoint }) => {
  if (endpoint === undefined || endpoint.loadBalancers.length === 0) return [];
  const { address, ingress, loadBalancers } = endpoint;
  const taken = (asked: string): string[] => {
    const owner = hosts.find((host) => canonicalAddress(host.address) === canonicalAddress(asked));
    const alone = loadBalancers.length === 1 && loadBalancers[0] === owner?.name;
    return owner === undefined || alone
      ? []
      : [`${asked} is the address of ${owner.name}: load balancers share one that no host has`];
  };
  return [
    ...taken(address).map((problem) => `endpoint.address: ${problem}`),
    ...(ingress ? taken(ingress.address).map((problem) => `endpoint.ingress.address: ${problem}`) : []),
  ];
};

const routers: Rule = ({ endpoint }) =>
  endpoint?.ingress?.routerId === endpoint?.routerId && endpoint?.ingress?.routerId !== undefined
    ? ["endpoint.ingress.routerId: each of the two addresses needs its own"]
    : [];

const ingress: Rule = ({ endpoint }) => {
  if (endpoint?.ingress === undefined) return [];
  const { loadBalancers, address, port, ingress: second } = endpoint;
  const same = canonicalAddress(second.address) === canonicalAddress(address);
  return [
    ...(loadBalancers.length === 0
      ? ["endpoint.ingress: there are no load balancers; give hosts the role load-balancer"]
      : []),
    ...(same && port === second.port
      ? [`endpoint.ingress.port: the API is asked at ${address}:${port} already`]
      : []),
  ];
};

function nodePorts(roles: Cluster["hosts"][number]["roles"]): number[] {
  if (roles.includes("control-plane")) return CONTROL_PLANE_PORTS;
  return roles.includes("worker") ? KUBELET_PORTS : [];
}

/** On a node haproxy shares the ports with Kubernetes' own programs. */
const ports: Rule = ({ hosts, endpoint }) => {
  if (endpoint === undefined) return [];
  const balancers = hosts.filter(({ name }) => endpoint.loadBalancers.includes(name));
  const wanted: [key: string, port: number | undefined][] = [
    ["port", endpoint.port],
    ["ingress.port", endpoint.ingress?.port],
    ["statusPage.port", endpoint.statusPage.port],
  ];
  return wanted.flatMap(([key, port = 0]) => {
    const taken = balancers.filter(({ roles }) => nodePorts(roles).includes(port)).map(({ name }) => name);
    if (taken.length === 0) return [];
    const why =
      port === 6443
        ? "the API server itself listens at 6443 there; choose another one, such as 8443"
        : "Kubernetes itself listens there";
    return [`endpoint.${key}: haproxy cannot listen at ${port} on ${taken.join(", ")}: ${why}`];
  });
};

/** Rules of `endpoint` and of hosts with the role load-balancer. */
export const ENDPOINT_RULES: Rule[] = [names, roles, count, addresses, routers, ingress, ports];
