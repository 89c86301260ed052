import { hostsOf, nodesOf } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import type { Context } from "../context.ts";
import { apiServer } from "../kubeadm.ts";
import { hasJoined, isBare, standingPlanes } from "../standing.ts";
import type { Finding } from "./finding.ts";

/** Hosts that did not answer. One that nobody asked for is only told. */
function unreachable({ cluster, unreachable: failures = {}, asked }: Context): Finding[] {
  const meant = new Set(asked ?? cluster.hosts.map(({ name }) => name));
  const others = cluster.hosts.filter(({ name }) => failures[name] === undefined && meant.has(name));
  const without = `to go on without it: --hosts ${others.map(({ name }) => name).join(",") || "NAME,…"}`;
  // Told once: it is as long as the cluster is large.
  let told = false;
  return Object.entries(failures).map(
    ([
      host,
      {
        message,
        suggestions: [own],
      },
    ]) => {
      const suggestion = own ?? (told ? undefined : without);
      if (meant.has(host)) told ||= own === undefined;
      return {
        check: "unreachable",
        severity: meant.has(host) ? "error" : "warning",
        host,
        message: message.startsWith(`${host}: `) ? message.slice(host.length + 2) : message,
        ...(meant.has(host) && suggestion !== undefined ? { suggestion } : {}),
      };
    },
  );
}

/** A first control plane is made only where no host shows a cluster, and where that is known. */
function founding({ cluster, facts, planes, unreachable: failures = {} }: Context): Finding[] {
  // Nobody was asked about some: then nothing is made either.
  if (planes.some(({ name }) => facts[name] === undefined && failures[name] === undefined)) return [];
  if (standingPlanes(cluster, facts).length > 0) return [];
  const finding = (message: string, suggestion: string): Finding => ({
    check: "member",
    severity: "error",
    message,
    suggestion,
  });
  // Where no control plane answers, there is nowhere to make one.
  const elsewhere = planes.some(({ name }) => facts[name] !== undefined);
  const unknown = hostsOf(cluster, "control-plane").flatMap(({ name }) =>
    elsewhere && failures[name] ? [name] : [],
  );
  const ours = ({ owner, kubeletServer = "" }: Facts): boolean =>
    owner === cluster.name || kubeletServer.endsWith(`//${apiServer(cluster)}`);
  const nodes = nodesOf(cluster).flatMap(({ name }) =>
    facts[name] && ours(facts[name]) && hasJoined(facts[name]) ? [name] : [],
  );
  return [
    ...(unknown.length === 0
      ? []
      : [
          finding(
            `${unknown.join(", ")} may be a control plane of a cluster that stands: while that is not known, none is made elsewhere`,
            `bring ${unknown.join(", ")} up; or, when lost for good, take it out of the cluster file`,
          ),
        ]),
    ...(nodes.length === 0
      ? []
      : [
          finding(
            `${nodes.join(", ")} ${nodes.length > 1 ? "are nodes" : "is a node"} of a cluster, and no control plane of it stands: a new one would be a second cluster`,
            `restore a control plane from its backup; or, when the cluster is to be made anew: airgap reset CLUSTER --hosts ${nodes.join(",")}`,
          ),
        ]),
  ];
}

/** What a lost host has left in the cluster is in the way of one that comes back empty under its name. */
function leftBehind({ cluster, facts, members, replace = [] }: Context): Finding[] {
  if (members === undefined) return [];
  const bare = nodesOf(cluster).filter(({ name }) => facts[name] && isBare(facts[name]));
  const found = bare.flatMap(({ name, address }): Finding[] => {
    const member = members.etcd.includes(address) || members.etcdNames.includes(name);
    const node = members.nodes.includes(name);
    if (!member && !node) return [];
    const what = [...(member ? ["a member of etcd"] : []), ...(node ? ["a node"] : [])].join(" and ");
    if (replace.includes(name))
      return [
        {
          check: "member",
          severity: "notice",
          host: name,
          message: `it is empty: the cluster forgets ${what} of that name, and it joins as a new host`,
        },
      ];
    return [
      {
        check: "member",
        severity: "error",
        host: name,
        message: `it is empty, and the cluster still knows it from before: ${what} of that name`,
        suggestion: `if the host that had the name is lost for good, run the same command with --replace ${name}`,
      },
    ];
  });
  if (members.unanswered === undefined) return found;
  const joins = bare.some(({ roles }) => roles.includes("control-plane"));
  return [
    ...found,
    {
      check: "member",
      severity: joins ? "error" : "warning",
      host: members.by,
      message: `it stands, and does not say who is in the cluster, which ${bare.map(({ name }) => name).join(", ")} is to join: ${members.unanswered}`,
      suggestion: `on ${members.by}: crictl ps -a, and journalctl -u kubelet -n 50`,
    },
  ];
}

/** `--replace` for a host that is in the cluster changes nothing. */
function replaced({ facts, replace = [] }: Context): Finding[] {
  return replace.flatMap((host): Finding[] =>
    facts[host] && hasJoined(facts[host])
      ? [
          {
            check: "member",
            severity: "notice",
            host,
            message: "it is part of the cluster already: --replace does nothing with it",
          },
        ]
      : [],
  );
}

/** An endpoint of the user's own must answer where a cluster stands; on the first day it may come yet. */
function endpoint({ cluster, facts, endpointSilentFor: asked }: Context): Finding[] {
  if (asked === undefined) return [];
  const stands = standingPlanes(cluster, facts).length > 0;
  return [
    {
      check: "vip",
      severity: stands ? "error" : "warning",
      message: `${asked} gets no answer at the endpoint ${apiServer(cluster)}${stands ? ", where the cluster's API is asked" : ": it has to be held before `kubeadm init`"}`,
      suggestion: "what an endpoint of your own must do: docs/high-availability.md",
    },
  ];
}

export const MEMBER_CHECKS: ((context: Context) => Finding[])[] = [
  unreachable,
  endpoint,
  founding,
  leftBehind,
  replaced,
];
