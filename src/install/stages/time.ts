import type { ClusterHost } from "../../cluster/cluster.ts";
import { sh } from "../../plan/shell.ts";
import { blockStep, fileStep, type Step, serviceStep } from "../../plan/step.ts";
import { type Context, familyOf } from "../context.ts";
import { timeServer } from "./firewall.ts";

/**
 * One source of time: the servers named, else the first control plane, whose own clock counts.
 * chrony where it is or comes with the packages; systemd's timesyncd can ask, but not answer.
 */
export function timeSteps(context: Context, host: ClusterHost, installed: boolean): Step[] {
  const { cluster } = context;
  const facts = context.factsOf(host);
  if (!facts.setsClock) return [];
  const own = timeServer(cluster.hosts, cluster.time.servers);
  const servers =
    cluster.time.servers.length > 0 ? cluster.time.servers : own && own !== host ? [own.address] : [];
  const chrony = installed || facts.enabled.includes("chronyd") || facts.enabled.includes("chrony");
  if (chrony) return chronySteps(familyOf(facts) === "deb", servers, cluster.hosts, host === own);
  if (facts.active.includes("systemd-timesyncd") && servers.length > 0) return timesyncdSteps(servers);
  return [];
}

function chronySteps(deb: boolean, servers: string[], hosts: ClusterHost[], serves: boolean): Step[] {
  const path = deb ? "/etc/chrony/chrony.conf" : "/etc/chrony.conf";
  const unit = deb ? "chrony" : "chronyd";
  // Whoever comes later is of the same networks, so a new host is no reason to change this one.
  const networks = [
    ...new Set(
      hosts.map(({ address }) =>
        address.includes(":") ? address : `${address.split(".").slice(0, 2).join(".")}.0.0/16`,
      ),
    ),
  ];
  const lines = [
    ...servers.map((server) => `server ${server} iburst`),
    ...(serves ? ["local stratum 10", ...networks.map((network) => `allow ${network}`)] : []),
  ];
  const conf = blockStep({
    id: "time-conf",
    title:
      servers.length > 0
        ? `The time comes from ${servers.join(", ")}`
        : "This host tells the others the time",
    path,
    lines,
  });
  return [
    {
      ...conf,
      check: `${sh`
        ! sed '/^# BEGIN airgap$/,/^# END airgap$/d' ${path} | grep -qE '^(pool|server|sourcedir|peer) ' || fail "it has other sources of time"`}\n${conf.check}`,
      apply: `${sh`
        keep ${path}
        touch ${path}
        sed -i -E 's/^(pool|server|sourcedir|peer) /# airgap: &/' ${path}`}\n${conf.apply}`,
      undo: sh`give_back ${path}`,
    },
    serviceStep({
      id: "time",
      title: "chrony runs, and no other clock beside it",
      unit,
      reads: lines,
      before: sh`for rival in systemd-timesyncd ntpd ntp; do systemctl disable --now "$rival" 2>/dev/null || :; done`,
      undo: sh`systemctl restart ${unit} 2>/dev/null || :`,
    }),
  ];
}

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
      title: "systemd-timesyncd asks for the time",
      unit: "systemd-timesyncd",
      reads: [content],
      undo: "systemctl restart systemd-timesyncd 2>/dev/null || :",
    }),
  ];
}
