import type { ClusterHost } from "../../cluster/cluster.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import { fileStep, type Step, serviceStep } from "../../plan/step.ts";
import type { Context } from "../context.ts";
import type { System } from "../systems/system.ts";

/** The host that serves time to the others, when the cluster file does not name a server. */
export function timeServer(hosts: ClusterHost[], servers: string[]): ClusterHost | undefined {
  return servers.length > 0 ? undefined : hosts.find(({ roles }) => roles.includes("control-plane"));
}

/**
 * One source of time: the servers of the cluster file, otherwise the clock of the first control plane.
 * chrony, if it is installed or in the packages; systemd's timesyncd can ask for time, but not serve it.
 */
export function timeSteps(context: Context, host: ClusterHost, installed: boolean): Step[] {
  const { cluster } = context;
  const facts = context.factsOf(host);
  if (!facts.setsClock) return [];
  const own = timeServer(cluster.hosts, cluster.time.servers);
  const servers =
    cluster.time.servers.length > 0 ? cluster.time.servers : own && own !== host ? [own.address] : [];
  const chrony = installed || facts.enabled.includes("chronyd") || facts.enabled.includes("chrony");
  if (chrony) return chronySteps(context.systemOf(host).chrony, servers, cluster.hosts, host === own);
  if (facts.active.includes("systemd-timesyncd") && servers.length > 0) return timesyncdSteps(servers);
  return [];
}

function chronySteps(
  { config, unit }: System["chrony"],
  servers: string[],
  hosts: ClusterHost[],
  serves: boolean,
): Step[] {
  const lines = [
    ...servers.map((server) => `server ${server} iburst`),
    ...(serves ? ["local stratum 10", ...networksOf(hosts).map((network) => `allow ${network}`)] : []),
  ];
  return [
    {
      id: "time-conf",
      title:
        servers.length > 0
          ? `The time comes from ${servers.join(", ")}`
          : "This host serves time to the others",
      check: call("chrony_reads", config, ...lines),
      apply: callWithInput(lines.join("\n"), "configure_chrony", config),
      undo: call("give_back", config),
    },
    serviceStep({
      id: "time",
      title: "chrony runs, and no other program sets the clock",
      unit,
      reads: lines,
      before: call("disable_other_clocks"),
      undo: call("restart_service", unit),
    }),
  ];
}

/** Networks instead of addresses: a host that joins later must not change this one. */
const networksOf = (hosts: ClusterHost[]): string[] => [
  ...new Set(
    hosts.map(({ address }) =>
      address.includes(":") ? address : `${address.split(".").slice(0, 2).join(".")}.0.0/16`,
    ),
  ),
];

function timesyncdSteps(servers: string[]): Step[] {
  const content = `[Time]\nNTP=${servers.join(" ")}\nFallbackNTP=\n`;
  return [
    fileStep({
      id: "time-conf",
      title: `The time comes from ${servers.join(", ")}`,
      path: "/etc/systemd/timesyncd.conf.d/airgap.conf",
      content,
    }),
    serviceStep({
      id: "time",
      title: "systemd-timesyncd runs",
      unit: "systemd-timesyncd",
      reads: [content],
      undo: call("restart_service", "systemd-timesyncd"),
    }),
  ];
}
