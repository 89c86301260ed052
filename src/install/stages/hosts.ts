import { type Cluster, type ClusterHost, serversFor } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { interfaceOf } from "../../host/facts.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { blockCheck, blockStep, fileStep, type Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { firewallStep } from "./firewall.ts";
import { moduleSteps, sysctlSteps } from "./kernel.ts";
import { resolvConfStep } from "./resolv-conf.ts";
import { swapSteps } from "./swap.ts";

/** The settings of every host, before anything is installed on it. */
export function hostsStage(context: Context): Wave[] {
  const nodes = new Set(context.nodes.map(({ name }) => name));
  const hostsFile = hostsFileSteps(context.cluster);
  const firstWith = firstByMachineId(context);
  return [
    wave(context.reached, (host) => {
      const facts = context.factsOf(host);
      const common = [
        ownerStep(context.cluster),
        hostnameStep(host),
        hostsFile(host),
        ...machineIdStep(facts, firstWith.get(facts.machineId) === host.name),
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

interface Line {
  /** Empty for the registry's own line. */
  host: string;
  line: string;
}

/** One line for each host, with the registry's name. @param at  the registry's address */
function hostsLines({ hosts, registry }: Cluster, at: string | undefined): Line[] {
  const known = hosts.some(({ address }) => address === at);
  const lines = hosts.map(({ name, address }) => {
    const names = [name, ...(address === at && registry.host !== name ? [registry.host] : [])];
    return { host: name, line: `${address} ${names.join(" ")}` };
  });
  return [...lines, ...(at && !known ? [{ host: "", line: `${at} ${registry.host}` }] : [])];
}

/** Where a host finds the registry: of several servers each host has a first one of its own. */
function registryAddress(cluster: Cluster, host: ClusterHost): string | undefined {
  const { address } = cluster.registry;
  const servers = serversFor(cluster, host);
  return servers.some((server) => server.address === address) ? servers[0]?.address : address;
}

/**
 * A host must know itself and the hosts that all depend on. The block names the others too, but a
 * worker that is added later is not a reason to change the existing hosts.
 */
function hostsFileSteps(cluster: Cluster): (host: ClusterHost) => Step {
  // Made once for each address: the text is as long as the cluster is large.
  const byAddress = new Map<string | undefined, (host: ClusterHost) => Step>();
  return (host) => {
    const at = registryAddress(cluster, host);
    const known = byAddress.get(at) ?? hostsFileStep(cluster, at);
    byAddress.set(at, known);
    return known(host);
  };
}

function hostsFileStep(cluster: Cluster, at: string | undefined): (host: ClusterHost) => Step {
  const named = hostsLines(cluster, at);
  const lines = named.map(({ line }) => line);
  const workersOnly = new Set(
    cluster.hosts.filter(({ roles }) => roles.every((role) => role === "worker")).map(({ name }) => name),
  );
  const inOrder = (a: Line, b: Line): number => (place.get(a.host) ?? 0) - (place.get(b.host) ?? 0);
  const path = "/etc/hosts";
  const step = blockStep({ id: "hosts-file", title: "/etc/hosts names the cluster's hosts", path, lines });
  const few = named.filter(({ host }) => !workersOnly.has(host));
  const place = new Map(named.map(({ host }, i) => [host, i]));
  return ({ name }) => {
    const own = named[place.get(name) ?? -1];
    const needed = own === undefined || few.includes(own) ? few : [...few, own].toSorted(inOrder);
    return {
      ...step,
      check: blockCheck(
        path,
        needed.map(({ line }) => line),
      ),
    };
  };
}

/** The first host in the file with each machine-id: that one keeps it. */
function firstByMachineId({ cluster, facts }: Context): Map<string, string> {
  const ids = cluster.hosts.map(({ name }): [string, string] => [facts[name]?.machineId ?? "", name]);
  return new Map(ids.toReversed());
}

/** A clone has the machine-id of the host that it was copied from. */
function machineIdStep({ machineId: own, exists }: Facts, keeps: boolean): Step[] {
  const inCluster = exists.includes("/etc/kubernetes/kubelet.conf");
  if ((own !== "" && keeps) || inCluster) return [];
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
