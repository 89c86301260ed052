import { must } from "./shell.ts";

/** A network that hosts share and nothing else: a bridge in a network namespace of its own that forwards nothing. */
export interface Network {
  /** Name of the network namespace. */
  namespace: string;
  bridge: string;
  /** First three numbers of its /24 network, such as `10.77.0`. */
  prefix: string;
  /** Address of the bridge itself, where the operator's machine stands. */
  operator: string;
}

/** Command and arguments that run another inside of the network. */
export const inside = (network: Network, command: string[]): [string, string[]] => [
  "nsenter",
  [`--net=/run/netns/${network.namespace}`, ...command],
];

async function ip(network: Network, ...args: string[]): Promise<void> {
  await must(...inside(network, ["ip", ...args]));
}

export async function makeNetwork(namespace: string, prefix: string): Promise<Network> {
  const network = { namespace, bridge: "br0", prefix, operator: `${prefix}.1` };
  await must("ip", ["netns", "add", namespace]);
  await ip(network, "link", "set", "lo", "up");
  await ip(network, "link", "add", network.bridge, "type", "bridge", "forward_delay", "0");
  await ip(network, "address", "add", `${network.operator}/24`, "dev", network.bridge);
  await ip(network, "link", "set", network.bridge, "up");
  // StepProtocol between hosts must not pass through this namespace's own packet filter, and none may leave.
  const settings = [
    "net.bridge.bridge-nf-call-iptables=0",
    "net.bridge.bridge-nf-call-ip6tables=0",
    "net.ipv4.ip_forward=0",
    "net.ipv6.conf.all.forwarding=0",
  ];
  await must(...inside(network, ["sysctl", "-qw", ...settings]));
  return network;
}

export async function removeNetwork(namespace: string): Promise<void> {
  await must("sh", ["-c", '[ ! -e "/run/netns/$0" ] || ip netns delete "$0"', namespace]);
}
