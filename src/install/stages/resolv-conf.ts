import type { ClusterHost } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { fileStep, type Step } from "../../plan/step.ts";

/** The file that kubelet gives to pods that use their host's name servers, most of all CoreDNS. */
export const RESOLV_CONF = "/etc/airgap/resolv.conf";

const loopback = (server: string): boolean => server.startsWith("127.") || server === "::1";

/**
 * CoreDNS forwards to its host's name servers: one at 127.x is CoreDNS itself ("Loop detected"), and without
 * any it does not start. kubeadm finds systemd-resolved's own list.
 */
export function needsResolvConf({ nameservers, resolvedNameservers, active }: Facts): boolean {
  if (nameservers.some((server) => !loopback(server))) return false;
  return !(active.includes("systemd-resolved") && resolvedNameservers.some((server) => !loopback(server)));
}

/** If there is no name server that pods can reach, the file names their host: it refuses at once, while another address would make them wait. */
export function resolvConfStep(facts: Facts, host: ClusterHost): Step[] {
  if (!needsResolvConf(facts)) return [];
  const servers = facts.resolvedNameservers.filter((server) => !loopback(server));
  const lines = (servers.length > 0 ? servers : [host.address]).map((server) => `nameserver ${server}\n`);
  return [
    fileStep({
      id: "resolv-conf",
      title: "Pods get name servers that they can reach",
      path: RESOLV_CONF,
      content: lines.join(""),
    }),
  ];
}
