import { canonicalAddress } from "../address.ts";
import type { Cluster, ClusterHost } from "../cluster/cluster.ts";
import { type Facts, interfaceOf } from "../host/facts.ts";

/** Load balancers of the cluster's endpoint, the one that usually holds the API's address first. */
export function balancersOf(cluster: Cluster): ClusterHost[] {
  const names = cluster.endpoint?.loadBalancers ?? [];
  return names.flatMap((name) => cluster.hosts.find((host) => host.name === name) ?? []);
}

/** An address at which load balancers are asked. */
export interface SharedAddress {
  /** Also the name of haproxy's frontend and of keepalived's instance. */
  name: "api" | "ingress";
  address: string;
  port: number;
  /** VRRP's id of those who share it. */
  routerId: number;
  /** Who holds it, while all are well, first; then who takes over. */
  order: ClusterHost[];
  /** Whether VRRP moves it; the only load balancer's own address stays where it is. */
  moves: boolean;
}

/** The ingress is usually held by the last load balancer, so that each has something to do. */
export function sharedAddresses(cluster: Cluster): SharedAddress[] {
  const { endpoint } = cluster;
  const order = balancersOf(cluster);
  if (endpoint === undefined || order.length === 0) return [];
  const { address, port, routerId, ingress } = endpoint;
  const next = (routerId % 255) + 1;
  const shared = [
    { name: "api" as const, address, port, routerId, order },
    ...(ingress
      ? [
          {
            ...{ name: "ingress" as const, address: ingress.address, port: ingress.port },
            ...{ routerId: ingress.routerId ?? next, order: order.toReversed() },
          },
        ]
      : []),
  ];
  const own = new Set(order.map((host) => canonicalAddress(host.address)));
  return shared.map((each) => ({ ...each, moves: !own.has(canonicalAddress(each.address)) }));
}

/** Addresses that VRRP moves. */
export const movingAddresses = (cluster: Cluster): SharedAddress[] =>
  sharedAddresses(cluster).filter(({ moves }) => moves);

/** Where a load balancer holds shared addresses. */
export const balancerInterface = (
  { endpoint }: Cluster,
  { address }: ClusterHost,
  facts: Facts,
): string | undefined => endpoint?.interface ?? interfaceOf(facts, address);

/** Ports that haproxy takes on a host. */
export function balancerPorts({ name }: ClusterHost, cluster: Cluster): number[] {
  const { endpoint } = cluster;
  if (endpoint === undefined || !endpoint.loadBalancers.includes(name)) return [];
  return [...new Set([...sharedAddresses(cluster).map(({ port }) => port), endpoint.statusPage.port])];
}

/** What a load balancer sees of the shared addresses before anything is changed. */
export interface BalancerView {
  /** Of the interface that holds addresses. */
  mac: string;
  /** Shared addresses that it has. */
  holds: string[];
  /** Who answers at the others, by the neighbour protocol of the network. */
  neighbors: { address: string; mac: string }[];
  /** VRRP routers that were heard on the network. */
  routers: { address: string; id: number }[];
  /** Why nobody could listen. */
  deaf?: string;
}
