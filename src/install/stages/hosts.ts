import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { interfaceOf } from "../../host/facts.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { blockStep, fileStep, type Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { firewallStep } from "./firewall.ts";
import { moduleSteps, sysctlSteps } from "./kernel.ts";
import { resolvConfStep } from "./resolv-conf.ts";
import { swapSteps } from "./swap.ts";

/** The settings of every host, before anything is installed on it. */
export function hostsStage(context: Context): Wave[] {
  const nodes = new Set(context.nodes.map(({ name }) => name));
  return [
    wave(context.reached, (host) => {
      const facts = context.factsOf(host);
      const common = [
        ownerStep(context.cluster),
        hostnameStep(host),
        hostsFileStep(context, host),
        ...machineIdStep(context, host),
        ...firewallStep(context, host),
      ];
      return nodes.has(host.name) ? [...common, ...nodeSteps(context, host, facts)] : common;
    }),
  ];
}

function nodeSteps({ cluster }: Context, host: ClusterHost, facts: Facts): Step[] {
  return [
    ...(toleratesSwap(cluster) ? [] : swapSteps(facts)),
    ...moduleSteps(cluster, facts),
    ...sysctlSteps(facts),
    ...selinuxStep(facts),
    ...networkManagerStep(facts),
    ...routeStep(cluster, host, facts),
    ...resolvConfStep(facts, host),
  ];
}

/** kubelet can be configured to allow swap; then swap stays on. */
const toleratesSwap = ({ kubeadm }: Cluster): boolean =>
  kubeadm.KubeletConfiguration?.["failSwapOn"] === false;

function ownerStep({ name }: Cluster): Step {
  return {
    id: "owner",
    title: `The host is marked as part of the cluster ${name}`,
    check: call("belongs_to", name),
    apply: call("claim", name),
    undo: call("release"),
  };
}

function hostnameStep({ name }: ClusterHost): Step {
  return {
    id: "hostname",
    title: `The host's name is ${name}`,
    check: call("hostname_is", name),
    apply: call("set_hostname", name),
    undo: call("restore_hostname"),
  };
}

/** One line for each host, with the registry's name. */
function hostsLines(cluster: Cluster): { host: string; line: string }[] {
  const { hosts, registry } = cluster;
  const known = hosts.some(({ address }) => address === registry.address);
  const lines = hosts.map(({ name, address }) => {
    const names = [name, ...(address === registry.address && registry.host !== name ? [registry.host] : [])];
    return { host: name, line: `${address} ${names.join(" ")}` };
  });
  return [
    ...lines,
    ...(registry.address && !known ? [{ host: "", line: `${registry.address} ${registry.host}` }] : []),
  ];
}

/**
 * A host must know itself and the hosts that all depend on. The block names the others too, but a
 * worker that is added later is not a reason to change the existing hosts.
 */
function hostsFileStep({ cluster }: Context, host: ClusterHost): Step {
  const lines = hostsLines(cluster);
  const workersOnly = new Set(
    cluster.hosts.filter(({ roles }) => roles.every((role) => role === "worker")).map(({ name }) => name),
  );
  const needed = lines.filter((line) => line.host === host.name || !workersOnly.has(line.host));
  return blockStep({
    id: "hosts-file",
    title: "/etc/hosts names the cluster's hosts",
    path: "/etc/hosts",
    lines: lines.map(({ line }) => line),
    needed: needed.map(({ line }) => line),
  });
}

/** A clone has the machine-id of the host that it was copied from; the first host with an id keeps it. */
function machineIdStep({ cluster, facts }: Context, host: ClusterHost): Step[] {
  const own = facts[host.name]?.machineId ?? "";
  const firstWith = cluster.hosts.find(({ name }) => facts[name]?.machineId === own);
  const inCluster = facts[host.name]?.exists.includes("/etc/kubernetes/kubelet.conf") === true;
  if ((own !== "" && firstWith?.name === host.name) || inCluster) return [];
  return [
    {
      id: "machine-id",
      title: "The host has its own machine-id",
      check: call("machine_id_differs_from", own),
      apply: call("make_machine_id"),
    },
  ];
}

/** Permissive, as kubeadm's documentation says, and not disabled: files keep their labels. */
function selinuxStep(facts: Facts): Step[] {
  if (facts.selinux === undefined || facts.selinux === "Disabled") return [];
  return [
    {
      id: "selinux",
      title: "SELinux is permissive, now and after a reboot",
      check: call("selinux_is_permissive"),
      apply: call("make_selinux_permissive"),
      undo: call("restore_selinux"),
    },
  ];
}

/** Calico's documentation asks for this; the interfaces of other networks are excluded too. */
function networkManagerStep(facts: Facts): Step[] {
  if (!facts.active.includes("NetworkManager")) return [];
  const devices = [
    "cali*",
    "tunl*",
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "flannel*",
    "cni*",
    "veth*",
  ];
  const content = `[keyfile]\nunmanaged-devices=${devices.map((name) => `interface-name:${name}`).join(";")}\n`;
  const reload = call("reload_service", "NetworkManager");
  return [
    fileStep({
      id: "network-manager",
      title: "NetworkManager does not manage the pods' interfaces",
      path: "/etc/NetworkManager/conf.d/airgap.conf",
      content,
      after: reload,
      undone: reload,
    }),
  ];
}

/**
 * Without a matching route, the kernel refuses a connection to a service before kube-proxy can translate
 * it. Any route for the service range is enough.
 */
function routeStep(cluster: Cluster, host: ClusterHost, facts: Facts): Step[] {
  const device = interfaceOf(facts, host.address);
  const { serviceSubnet } = cluster.kubernetes;
  if (facts.routes.some(({ to }) => to === "default") || device === undefined || serviceSubnet.includes(":"))
    return [];
  const unit = `[Unit]
Description=Route for the services of Kubernetes, where there is no default route
After=network.target network-online.target
Wants=network-online.target
Before=kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until ip route replace ${serviceSubnet} dev ${device}; do sleep 1; done'
TimeoutStartSec=60

[Install]
WantedBy=multi-user.target
`;
  const name = "airgap-service-route.service";
  return [
    fileStep({
      id: "route-unit",
      title: "A unit sets a route for services at boot",
      path: `/etc/systemd/system/${name}`,
      content: unit,
      undone: call("systemctl", "daemon-reload"),
    }),
    {
      id: "route",
      title: `Services have a route, because the host has no default route: ${serviceSubnet} through ${device}`,
      check: call("route_is_set", serviceSubnet, device, name),
      apply: call("set_route", name),
      undo: call("unset_route", serviceSubnet, device, name),
    },
  ];
}
