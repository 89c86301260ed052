import type { ClusterHost } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { type BalancerView, balancerInterface, balancersOf, movingAddresses } from "../balancers.ts";
import type { Context } from "../context.ts";
import type { Finding } from "./finding.ts";

type Found = Omit<Finding, "host">;

const seen = ({ cluster, balancers = {} }: Context): [ClusterHost, BalancerView][] =>
  balancersOf(cluster).flatMap((host) => {
    const view = balancers[host.name];
    return view ? [[host, view] as [ClusterHost, BalancerView]] : [];
  });

/** The addresses must be nobody's: two machines with one address are reached by turns. */
function strangers(context: Context): Finding[] {
  const views = seen(context);
  const ours = new Set(views.map(([, { mac }]) => mac));
  // Of one that could not be asked nobody knows what its hardware is called.
  if (views.length < balancersOf(context.cluster).length) return [];
  const found = views.flatMap(([, { neighbors }]) => neighbors.filter(({ mac }) => !ours.has(mac)));
  return [...new Map(found.map((each) => [`${each.address} ${each.mac}`, each])).values()].map(
    ({ address, mac }): Finding => ({
      check: "vip",
      severity: "error",
      message: `another machine answers at ${address}: ${mac}, which is no load balancer of this cluster`,
      suggestion: "give `endpoint` an address that nobody has, or take it from that machine",
    }),
  );
}

/** Hosts that are no load balancers must not have the addresses, and of those that are only one. */
function holders({ cluster, facts }: Context): Finding[] {
  const balancers = new Set(balancersOf(cluster).map(({ name }) => name));
  return movingAddresses(cluster).flatMap(({ address }) => {
    const holding = cluster.hosts
      .map(({ name }) => name)
      .filter((name) => facts[name]?.addresses.some(({ cidr }) => cidr.split("/")[0] === address));
    const others = holding.filter((name) => !balancers.has(name));
    const both = holding.filter((name) => balancers.has(name));
    return [
      ...others.map(
        (host): Finding => ({
          check: "vip",
          severity: "error",
          host,
          message: `it has the address ${address}, which load balancers are to share`,
          suggestion: `remove it there: ip address delete ${address} dev …`,
        }),
      ),
      ...(both.length > 1
        ? [
            {
              check: "vip" as const,
              severity: "warning" as const,
              message: `${both.join(" and ")} hold ${address} at the same time: they do not hear each other`,
              suggestion: "let IP protocol 112 (VRRP) through between them",
            },
          ]
        : []),
    ];
  });
}

/** Routers of one id take each other for the same router. */
function routers(context: Context): Finding[] {
  const { cluster } = context;
  const ours = new Set(balancersOf(cluster).map(({ address }) => address));
  const shared = movingAddresses(cluster);
  const heard = seen(context).flatMap(([, view]) => view.routers);
  const strangers = heard.filter(({ address }) => !ours.has(address));
  const used = new Set(strangers.map(({ id }) => id));
  const free = Array.from({ length: 255 }, (_, i) => i + 1).find((id) => !used.has(id) && id > 51);
  return shared.flatMap(({ name, routerId }): Finding[] => {
    const same = [...new Set(strangers.filter(({ id }) => id === routerId).map(({ address }) => address))];
    const key = name === "api" ? "endpoint.routerId" : "endpoint.ingress.routerId";
    return same.length === 0
      ? []
      : [
          {
            check: "router-id",
            severity: "error",
            message: `${same.join(", ")} on this network is a VRRP router with the id ${routerId} already`,
            suggestion: `choose another ${key}, such as ${free}`,
          },
        ];
  });
}

function deaf(context: Context): Finding[] {
  return seen(context).flatMap(([{ name }, view]): Finding[] =>
    view.deaf === undefined
      ? []
      : [
          {
            check: "router-id",
            severity: "notice",
            host: name,
            message: `other VRRP routers could not be looked for: ${view.deaf}`,
          },
        ],
  );
}

export const BALANCER_CHECKS: ((context: Context) => Finding[])[] = [strangers, holders, routers, deaf];

/** What one load balancer lacks, or has too much. */
export function balancer(host: ClusterHost, facts: Facts, { cluster }: Context): Found[] {
  if (!balancersOf(cluster).includes(host)) return [];
  const moving = movingAddresses(cluster).length > 0;
  const device = balancerInterface(cluster, host, facts);
  const known = facts.addresses.some(({ interface: name }) => name === device);
  const running = ["haproxy", "keepalived"].filter((unit) => facts.active.includes(unit));
  return [
    ...(moving && !known
      ? [
          {
            check: "address" as const,
            severity: "error" as const,
            message: `it has no address on the interface ${device ?? "of its own address"}, where shared addresses are held`,
            suggestion: `endpoint.interface; it has ${facts.addresses.map(({ interface: name, cidr }) => `${name} (${cidr})`).join(", ") || "none"}`,
          },
        ]
      : []),
    ...(running.length > 0 && facts.owner !== cluster.name
      ? [
          {
            check: "leftovers" as const,
            severity: "error" as const,
            message: `${running.join(" and ")} ${running.length > 1 ? "run" : "runs"} here for somebody, with a configuration that would be replaced`,
            suggestion: `use another host; or, when it is not needed any more: systemctl disable --now ${running.join(" ")}`,
          },
        ]
      : []),
  ];
}
