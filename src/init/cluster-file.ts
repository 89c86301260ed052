import type { Answers } from "./answers.ts";

/**
 * The cluster file that these answers ask for, with comments.
 * @param schema where editors find the JSON Schema, from the file's own folder
 */
export function clusterText(answers: Answers, schema: string): string {
  const { name, kubernetes, runtime, network, more, system } = answers;
  const proxy = more?.proxyMode ? [`  proxyMode: ${more.proxyMode}`] : [];
  const lines = [
    `# yaml-language-server: $schema=${schema}`,
    ...(more?.title ?? [`Kubernetes ${kubernetes} on ${system.title}, ${runtime}, ${network}.`]).map(
      (line) => `# ${line}`,
    ),
    "# Change the names and addresses of the hosts. Keys that are not here: `airgap schema cluster`.",
    "apiVersion: airgap/v1",
    "kind: Cluster",
    `name: ${name}`,
    "kubernetes:",
    `  version: ${kubernetes}`,
    "  podSubnet: 10.244.0.0/16 # pods, services and hosts need ranges of their own",
    "  serviceSubnet: 10.96.0.0/12",
    ...proxy,
    `runtime: ${runtime}`,
    `network: { name: ${network} } # an \`as:\` of the bundle`,
    ...registry(answers),
    ...endpoint(answers),
    ...(more?.cluster ?? []),
    "ssh: { user: root, passwordEnv: AIRGAP_SSH_PASSWORD } # then a key: airgap hosts authorize CLUSTER",
    "hosts:",
    ...answers.hosts.map(
      (host) => `  - { name: ${host.name}, address: ${host.address}, roles: [${host.roles.join(", ")}] }`,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

function registry({ registry: mode, registryHost, hosts }: Answers): string[] {
  const first = hosts.find(({ roles }) => roles.includes("registry")) ?? hosts[0];
  if (mode === "serve")
    return [
      "registry:",
      `  host: ${registryHost} # siteName of the bundle`,
      "  mode: serve # airgap serves images and packages straight from the bundle, on the host with the role registry",
    ];
  const lines = ["registry:", `  host: ${registryHost} # siteName of the bundle`];
  if (mode === "harbor")
    return [...lines, "  mode: harbor # installed from the bundle, on the host with the role registry"];
  return [
    ...lines,
    "  mode: external # your own registry; fill it before: airgap push BUNDLE HOST --create-projects private",
    "  # caFile: ca.crt",
    "  # user: robot$nodes",
    "  # passwordEnv: REGISTRY_PASSWORD",
    `repository: { host: ${first?.name} } # serves packages and files from the bundle`,
  ];
}

function endpoint({ endpoint: address, hosts }: Answers): string[] {
  const balancers = hosts.filter(({ roles }) => roles.includes("load-balancer")).map(({ name }) => name);
  if (address === undefined) return [];
  return balancers.length > 0
    ? [
        "endpoint: # the address that control planes share: keepalived and haproxy hold it",
        `  address: ${address}`,
        `  loadBalancers: [${balancers.join(", ")}]`,
      ]
    : [
        "endpoint: # the address that control planes share; your own load balancer holds it: docs/high-availability.md",
        `  address: ${address}`,
      ];
}
