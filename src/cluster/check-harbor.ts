import { type Cluster, type HarborSettings, hostsOf } from "./cluster.ts";
import { twice } from "./twice.ts";

/** harbor-log's port on the registry host; it cannot be moved. */
export const HARBOR_LOG_PORT = 1514;

type Rule = (cluster: Cluster, harbor: HarborSettings) => string[];

const rules: Rule[] = [
  (cluster) =>
    hostsOf(cluster, "registry").length === 0
      ? ["registry.mode: harbor needs a host with the role registry, where Harbor is installed"]
      : [],
  // Harbor's prepare refuses the first two; with the last, clients would ask themselves.
  ({ registry }) =>
    ["127.0.0.1", "reg.mydomain.com", "localhost"].includes(registry.host)
      ? [`registry.host: Harbor cannot be called ${registry.host}; take the name that its users type`]
      : [],
  certificate,
  ports,
  (_, { projects }) =>
    twice(projects.map(({ name }) => name)).map((name) => `registry.harbor.projects: two are called ${name}`),
  (_, { users }) =>
    twice(users.map(({ name }) => name)).map((name) => `registry.harbor.users: two are called ${name}`),
  (_, { users }) =>
    users.some(({ name }) => name === "admin")
      ? ["registry.harbor.users: admin is always there; its password is `adminPasswordEnv`"]
      : [],
  puller,
];

function certificate({ registry }: Cluster, { certFile, keyFile }: HarborSettings): string[] {
  const given = certFile !== undefined || keyFile !== undefined;
  if (given && registry.scheme === "http")
    return ["registry.harbor: certFile and keyFile are for https, and the scheme is http"];
  if ((certFile === undefined) !== (keyFile === undefined))
    return [
      `registry.harbor: certFile and keyFile belong together, ${certFile === undefined ? "certFile" : "keyFile"} is missing`,
    ];
  return registry.caFile !== undefined && !given
    ? [
        "registry.caFile: airgap makes Harbor's certificate itself: remove caFile, or give `harbor: { certFile, keyFile }` too",
      ]
    : [];
}

/** Harbor publishes its http port also with https, and its log port always. */
function ports({ registry, repository, hosts }: Cluster, { httpPort }: HarborSettings): string[] {
  const same = hosts.find(({ roles }) => roles.includes("registry"))?.name === repository.host;
  const used: [string, number][] = [
    ["registry.port", registry.port],
    ...(registry.scheme === "https" ? ([["registry.harbor.httpPort", httpPort]] as [string, number][]) : []),
    ["Harbor's log", HARBOR_LOG_PORT],
    ...(same ? ([["repository.port", repository.port]] as [string, number][]) : []),
  ];
  const clashing = twice(used.map(([, port]) => String(port)));
  return clashing.map(
    (port) =>
      `registry: ${used
        .filter(([, each]) => String(each) === port)
        .map(([name]) => name)
        .join(" and ")} cannot both be ${port} on one host`,
  );
}

/** The account with which nodes pull is one that airgap makes. */
function puller({ registry }: Cluster, { users }: HarborSettings): string[] {
  if (registry.user === undefined || users.some(({ name }) => name === registry.user)) return [];
  return [
    `registry.user: nodes would log in as ${registry.user}, who is not among registry.harbor.users: add the user there, or remove registry.user to let everybody on the site pull`,
  ];
}

/** Rules for a cluster whose registry is the Harbor that airgap installs. */
export const HARBOR_RULES: ((cluster: Cluster) => string[])[] = rules.map(
  (rule) => (cluster) => (cluster.registry.harbor ? rule(cluster, cluster.registry.harbor) : []),
);
