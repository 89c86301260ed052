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
  check: (text) => {
    if (text.includes("/") && parseSubnet(text)) return undefined;
    return text.includes(",")
      ? `'${text}' is more than one range: this version of airgap cannot install dual stack`
      : `'${text}' is not a range like 10.244.0.0/16`;
  },
  description: "One IPv4 range; IPv6 and two ranges (dual stack) are not supported yet",
});
const variable = string({
  pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
  means: "the name of an environment variable",
});
const path = string({ means: "a path" });
const port = (description: string) => integer({ min: 1, max: 65_535, description });
const networkInterface = (description: string) =>
  string({ pattern: /^[A-Za-z0-9_.-]{1,15}$/, means: "a network interface", description });
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

/** A name alone, or none, or with settings. */
const network = mapped(
  either(
    itemName,
    object(
      { name: itemName },
      {
        backend: withDefault(
          oneOf(["vxlan", "host-gw", "ipip", "none"], "How pods on different hosts reach each other"),
          "vxlan",
        ),
        interface: networkInterface("Default: the one with the host's address"),
      },
    ),
  ),
  (given) => (typeof given === "string" ? { name: given, backend: "vxlan" as const } : given),
);

/** Roles of a member of a Harbor project, as Harbor's portal calls them. */
export const HARBOR_ROLES = ["projectAdmin", "maintainer", "developer", "guest", "limitedGuest"] as const;

const projectName = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;

const harborProject = object(
  { name: string({ pattern: projectName, means: "a project name of lower-case letters, digits and . _ -" }) },
  {
    public: withDefault(boolean("Everybody may pull without a login"), false),
    quota: string({
      pattern: /^(?:-1|[1-9]\d*(?:\.\d+)?\s*[KMGT]?i?B?)$/i,
      means: "a storage limit like 50GiB, or -1 for none",
    }),
  },
);

const harborUser = object(
  {
    name: string({ pattern: /^[A-Za-z0-9][\w.@-]{0,62}$/, means: "a user name" }),
    email: string({ pattern: /^[^\s@]+@[^\s@]+$/, means: "an e-mail address; Harbor requires one" }),
    passwordEnv: variable,
  },
  {
    projects: withDefault(
      map(oneOf(HARBOR_ROLES), {
        key: projectName,
        keyMeans: "the name of a project",
        description: "The user's role in each project",
      }),
      {},
    ),
  },
);

const harbor = object(
  {},
  {
    data: withDefault(
      string({
        pattern: /^(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/,
        means: "an absolute path of letters, digits and . _ -",
        description: "Folder of Harbor's images and database on the registry host",
      }),
      "/data",
    ),
    trivy: withDefault(
      boolean("Install the vulnerability scanner; the bundle must carry its database"),
      false,
    ),
    httpPort: port("Where Harbor answers plain http with https too, only to redirect; default 80"),
    certFile: path,
    keyFile: path,
    adminPasswordEnv: variable,
    projects: withDefault(list(harborProject), []),
    users: withDefault(list(harborUser), []),
  },
  "Harbor, which airgap installs on the registry host; with mode harbor",
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
        "serve: airgap serves the bundle on the registry host; harbor: airgap installs Harbor there and fills it; external: airgap push filled the registry before",
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
    harbor,
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

/** VRRP's name for routers that share an address: RFC 5798, 5.2.3. */
const routerId = (description: string) => integer({ min: 1, max: 255, description });

const endpoint = object(
  { address },
  {
    port: withDefault(port("Where the cluster's API is asked at this address"), 6443),
    loadBalancers: withDefault(
      list(hostName, {
        description:
          "Hosts with the role load-balancer, the one that usually holds the address first. Default: all of them, in the order of `hosts`. Without any, somebody else holds the address",
      }),
      [],
    ),
    routerId: withDefault(
      routerId("VRRP router id of the address: no other routers on this network may have it"),
      51,
    ),
    interface: networkInterface("Where load balancers hold the addresses. Default: the one with their own"),
    ingress: object(
      { address, nodePort: port("Where the ingress controller listens on its nodes") },
      {
        port: withDefault(port("Where load balancers take connections for it"), 80),
        routerId: routerId("Default: the next after endpoint.routerId"),
      },
    ),
    statusPage: withDefault(
      object(
        {},
        {
          address: withDefault(
            oneOf(["127.0.0.1", "0.0.0.0"], "0.0.0.0: whoever reaches the host reads it, without a login"),
            "127.0.0.1",
          ),
          port: withDefault(port("Its port"), 9999),
        },
        "The page on which haproxy shows the state of its servers",
      ),
      { address: "127.0.0.1", port: 9999 },
    ),
  },
);

const etcd = either(
  oneOf(
    ["stacked", "external"],
    "stacked: on the control planes, as kubeadm does it; external: on the hosts with the role etcd, from the bundle's `etcd` file",
  ),
  object(
    {},
    {
      endpoints: list(
        string({
          check: (text) =>
            /^https:\/\/(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/.test(text)
              ? undefined
              : `'${text}' is not an address like https://10.0.0.30:2379`,
        }),
        { min: 1, description: "An etcd that exists already: where its members listen for clients" },
      ),
      caFile: path,
      certFile: path,
      keyFile: path,
      certificateDays: integer({
        min: 1,
        max: 36_500,
        description: "Validity of the members' certificates that airgap makes; default 3650",
      }),
    },
    "An etcd that exists already, with `endpoints` and the three files; or settings of the one that airgap installs",
  ),
);

const backup = object(
  {
    every: string({
      pattern: /^[1-9]\d{0,3}(?:m|h|d)$/,
      means: "a time like 24h, 30m or 7d",
      description: "How often a control plane makes a backup of the cluster",
    }),
  },
  {
    keep: withDefault(
      integer({ min: 1, max: 1000, description: "How many backups stay on the control plane" }),
      7,
    ),
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
    etcd: withDefault(etcd, "stacked"),
    backup,
    addons: withDefault(list(mapped(either(itemName, object({ manifest: path }, {})), spelled)), []),
    time: withDefault(object({}, { servers: withDefault(list(string()), []) }), { servers: [] }),
    ssh,
    kubeadm: withDefault(kubeadm, {}),
  },
  "The cluster that `airgap install` creates",
);

export type ClusterFile = Infer<typeof clusterSchema>;
