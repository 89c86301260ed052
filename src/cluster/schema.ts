import { isIP } from "node:net";
import { parseSubnet } from "../address.ts";
import { parseMapRule } from "../names/map-rule.ts";
import { isHost, isRepository } from "../oci/reference.ts";
import {
  anything,
  boolean,
  either,
  type Infer,
  integer,
  list,
  map,
  mapped,
  object,
  oneOf,
  string,
  withDefault,
} from "../schema/schema.ts";

/** Roles of a host. One host may have several. */
export const ROLES = ["control-plane", "worker", "etcd", "load-balancer", "registry"] as const;
export type Role = (typeof ROLES)[number];

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** RFC 1123, as kubeadm requires for node names. */
const isName = (text: string): boolean =>
  text.length <= 63 && text.split(".").every((part) => LABEL.test(part));

const hostName = string({
  check: (text) =>
    isName(text) ? undefined : `'${text}' is not a host name of lower-case letters, digits and '-'`,
  description: "Host and node name",
});
const address = string({
  check: (text) => (isIP(text) ? undefined : `'${text}' is not an IP address`),
  description: "IP address",
});
const subnet = string({
  check: (text) =>
    text.includes("/") && parseSubnet(text) ? undefined : `'${text}' is not a range like 10.244.0.0/16`,
});
const variable = string({
  pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
  means: "the name of an environment variable",
});
const path = string({ means: "a path" });
const port = (description: string) => integer({ min: 1, max: 65_535, description });
const itemName = string({
  pattern: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/,
  means: "the `as:` name of manifests or a chart in the bundle",
});
const mapRule = mapped(
  string({
    check: (text) => {
      try {
        parseMapRule(text);
        return undefined;
      } catch (error) {
        return (error as Error).message;
      }
    },
    description: "FROM=TO, as push takes it",
  }),
  parseMapRule,
);

const kubernetes = object(
  {
    version: mapped(
      string({ pattern: /^v?1\.\d+\.\d+(?:[-+][\w.+-]+)?$/, means: "a patch release like v1.28.2" }),
      (text) => text.replace(/^v?/, "v"),
    ),
  },
  {
    podSubnet: withDefault(subnet, "10.244.0.0/16"),
    serviceSubnet: withDefault(subnet, "10.96.0.0/12"),
    dnsDomain: withDefault(
      string({
        check: (text) =>
          text.split(".").every((part) => LABEL.test(part)) ? undefined : `'${text}' is not a domain`,
      }),
      "cluster.local",
    ),
    proxyMode: oneOf(["iptables", "ipvs", "nftables"]),
    extraSans: withDefault(
      list(string(), { description: "Additional names and addresses of the API server" }),
      [],
    ),
    dnsHosts: withDefault(
      map(address, {
        key: /^[a-z0-9*.-]+$/,
        keyMeans: "a DNS name",
        description: "Names that the cluster's DNS resolves",
      }),
      {},
    ),
  },
);

const network = either(
  oneOf(["none"]),
  object(
    { name: itemName },
    {
      backend: withDefault(
        oneOf(["vxlan", "host-gw", "ipip", "none"], "How pods on different hosts reach each other"),
        "vxlan",
      ),
      interface: string({
        pattern: /^[A-Za-z0-9_.-]{1,15}$/,
        means: "a network interface",
        description: "Default: the one with the host's address",
      }),
    },
  ),
);

const registry = object(
  {
    host: mapped(
      string({
        check: (text) =>
          isHost(text) && !text.includes(":") ? undefined : `'${text}' is not a host name without a port`,
      }),
      (text) => text.toLowerCase(),
    ),
  },
  {
    port: port("Default: 443 with https, 80 with http"),
    address,
    scheme: withDefault(oneOf(["https", "http"]), "https"),
    mode: withDefault(
      oneOf(
        ["serve", "harbor", "external"],
        "serve: airgap serves the bundle on the registry host; external: airgap push filled the registry before",
      ),
      "serve",
    ),
    layout: withDefault(oneOf(["host", "path", "flat"]), "host"),
    prefix: withDefault(
      string({
        check: (text) =>
          text === "" || isRepository(text) ? undefined : `'${text}' is not a path in a registry`,
      }),
      "",
    ),
    map: withDefault(list(mapRule), []),
    caFile: path,
    user: string(),
    passwordEnv: variable,
  },
);

const ssh = object(
  {},
  {
    user: string({ pattern: /^[A-Za-z_][\w.@-]*\$?$/, means: "a user name" }),
    port: port("Default: the one of ssh_config, else 22"),
    identityFile: path,
    passphraseEnv: variable,
    passwordEnv: variable,
    sudo: boolean("Become root with sudo"),
    sudoPasswordEnv: variable,
  },
);

const taint = string({
  pattern: /^[^\s=:]+(?:=[^\s:]*)?:(?:NoSchedule|PreferNoSchedule|NoExecute)$/,
  means: "a taint like key=value:NoSchedule",
});

const host = object(
  { name: hostName, address, roles: list(oneOf(ROLES), { min: 1 }) },
  {
    hostKey: string({
      pattern: /^SHA256:[A-Za-z0-9+/]{43}$/,
      means: "a fingerprint SHA256:…, as ssh prints it",
    }),
    connection: withDefault(oneOf(["ssh", "local"]), "ssh"),
    labels: withDefault(map(string()), {}),
    taints: withDefault(list(taint), []),
    ssh,
  },
);

const endpoint = object(
  { address },
  {
    port: withDefault(port("Where the API server answers"), 6443),
    loadBalancers: withDefault(list(hostName), []),
    ingress: object({ address, nodePort: port("Where the ingress controller listens on its nodes") }, {}),
  },
);

const kubeadm = object(
  {},
  {
    ClusterConfiguration: anything(),
    InitConfiguration: anything(),
    JoinConfiguration: anything(),
    KubeletConfiguration: anything(),
    KubeProxyConfiguration: anything(),
  },
  "Merged into the kubeadm configuration, for settings that have no key here",
);

export type Addon = { name: string } | { manifest: string };
const spelled = (addon: string | { manifest: string }): Addon =>
  typeof addon === "string" ? { name: addon } : addon;

/** The cluster file. */
export const clusterSchema = object(
  {
    apiVersion: oneOf(["airgap/v1"]),
    kind: oneOf(["Cluster"]),
    name: string({
      pattern: /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
      means: "a name of lower-case letters, digits and '-'",
    }),
    kubernetes,
    registry,
    hosts: list(host, { min: 1 }),
  },
  {
    runtime: withDefault(oneOf(["containerd", "docker"]), "containerd"),
    network,
    repository: object(
      {},
      {
        host: hostName,
        port: port("The host that serves packages and files when the registry does not; default port 8443"),
      },
    ),
    endpoint,
    etcd: withDefault(oneOf(["stacked", "external"]), "stacked"),
    addons: withDefault(list(mapped(either(itemName, object({ manifest: path }, {})), spelled)), []),
    time: withDefault(object({}, { servers: withDefault(list(string()), []) }), { servers: [] }),
    ssh,
    kubeadm: withDefault(kubeadm, {}),
  },
  "The cluster that `airgap install` creates",
);

export type ClusterFile = Infer<typeof clusterSchema>;
