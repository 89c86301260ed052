import { isIP } from "node:net";
import { parseSubnet } from "../address.ts";
import { parseMapRule } from "../names/map-rule.ts";
import { isHost, isRepository } from "../oci/reference.ts";
import { anything, boolean, either, integer, list, map, object, oneOf, string } from "../schema/schema.ts";

/** What a host is for. One host may have several. */
export const ROLES = ["control-plane", "worker", "etcd", "load-balancer", "registry"] as const;
export type Role = (typeof ROLES)[number];

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** RFC 1123, as kubeadm wants node names. */
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
  means: "a name that the bundle's manifests or charts have by `as:`",
});
const mapRule = string({
  check: (text) => {
    try {
      parseMapRule(text);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  },
  description: "FROM=TO, as for push",
});

const kubernetes = object(
  { version: string({ pattern: /^v?1\.\d+\.\d+(?:[-+][\w.+-]+)?$/, means: "a patch release like v1.28.2" }) },
  {
    podSubnet: subnet,
    serviceSubnet: subnet,
    dnsDomain: string({
      check: (text) =>
        text.split(".").every((part) => LABEL.test(part)) ? undefined : `'${text}' is not a domain`,
    }),
    proxyMode: oneOf(["iptables", "ipvs", "nftables"]),
    extraSans: list(string(), { description: "Further names and addresses of the API server" }),
    dnsHosts: map(address, {
      key: /^[a-z0-9*.-]+$/,
      keyMeans: "a DNS name",
      description: "Names that the cluster's DNS answers",
    }),
  },
);

const network = either(
  oneOf(["none"]),
  object(
    { name: itemName },
    {
      backend: oneOf(["vxlan", "host-gw", "ipip", "none"], "How pods of different hosts reach each other"),
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
    host: string({
      check: (text) =>
        isHost(text) && !text.includes(":") ? undefined : `'${text}' is not a host name without a port`,
    }),
  },
  {
    port: port("Default: 443 with https, 80 with http"),
    address,
    scheme: oneOf(["https", "http"]),
    mode: oneOf(
      ["serve", "harbor", "external"],
      "serve: airgap serve on the registry host; external: filled by airgap push beforehand",
    ),
    layout: oneOf(["host", "path", "flat"]),
    prefix: string({
      check: (text) =>
        text === "" || isRepository(text) ? undefined : `'${text}' is not a path of a registry`,
    }),
    map: list(mapRule),
    caFile: path,
    user: string(),
    passwordEnv: variable,
  },
);

const ssh = object(
  {},
  {
    user: string({ pattern: /^[A-Za-z_][\w.@-]*\$?$/, means: "a user name" }),
    port: port("Default: 22"),
    identityFile: path,
    passphraseEnv: variable,
    passwordEnv: variable,
    sudo: boolean("Become root by sudo"),
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
      means: "a fingerprint SHA256:…, as ssh shows it",
    }),
    connection: oneOf(["ssh", "local"]),
    labels: map(string()),
    taints: list(taint),
    ssh,
  },
);

const endpoint = object(
  { address },
  {
    port: port("Default: 6443"),
    loadBalancers: list(hostName),
    ingress: object({ address, nodePort: port("Where the ingress controller listens") }, {}),
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
  "Merged into what is rendered, for what has no key here",
);

/** The cluster file, as interface.md promises it. */
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
    runtime: oneOf(["containerd", "docker"]),
    network,
    repository: object(
      {},
      {
        host: hostName,
        port: port("Where packages and files are served when that is not the registry itself; default 8443"),
      },
    ),
    endpoint,
    etcd: oneOf(["stacked", "external"]),
    addons: list(either(itemName, object({ manifest: path }, {}))),
    time: object({}, { servers: list(string()) }),
    ssh,
    kubeadm,
  },
  "What `airgap install` makes of the hosts",
);
