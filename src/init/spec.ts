import { minorOf, rulesOf } from "../kubernetes/rules.ts";
import type { Answers } from "./answers.ts";
import { networkUrl } from "./networks.ts";
import { type Arch, MACHINE, type Repository } from "./systems.ts";

const HARBOR =
  "https://github.com/goharbor/harbor/releases/download/v2.13.2/harbor-offline-installer-v2.13.2.tgz";
const CRI_DOCKERD = "0.3.20";

/** Mirrors in China of the registries that Kubernetes and its networks use. */
const CHINA: [string, string][] = [
  ["registry.k8s.io", '["registry.aliyuncs.com/google_containers/*", registry.k8s.io]'],
  ["docker.io", '["m.daocloud.io/docker.io", docker.io]'],
  ["ghcr.io", '["m.daocloud.io/ghcr.io", ghcr.io]'],
  ["quay.io", '["m.daocloud.io/quay.io", quay.io]'],
];

/**
 * The spec that these answers ask for, with comments.
 * @param schema where editors find the JSON Schema, from the file's own folder
 */
export function specText(answers: Answers, schema: string): string {
  const { name, archs, registryHost, kubernetes, more, system } = answers;
  const lines = [
    `# yaml-language-server: $schema=${schema}`,
    ...(
      more?.title ?? [`Kubernetes ${kubernetes} for ${system.title}, ${answers.runtime}, ${answers.network}.`]
    ).map((line) => `# ${line}`),
    ...system.notes.map((line) => `# ${line}`),
    "# Mirrors move: look at every URL before you rely on it.",
    "apiVersion: airgap/v1",
    "kind: Bundle",
    `name: ${name}`,
    `platforms: [${archs.map((arch) => `linux/${arch}`).join(", ")}]`,
    `siteName: ${registryHost} # the site's own registry: images with this name are your own`,
    ...sources(answers),
    "kubernetes: # the images that kubeadm pulls",
    `  - version: ${kubernetes}`,
    ...(more?.images ? ["images:", ...more.images] : []),
    ...manifests(answers),
    "packages: # RPM or DEB packages with everything that they need; roles are those of the cluster file",
    ...archs.flatMap((arch) => packageSet(answers, arch)),
    "files:",
    "  - self: true # airgap itself: it serves the bundle on the site",
    ...files(answers),
  ];
  return `${lines.join("\n")}\n`;
}

function sources({ china }: Answers): string[] {
  if (china)
    return [
      "sources: # where to pull from; the names stay. `/*`: all images in one folder",
      ...CHINA.map(([host, mirrors]) => `  ${host}: { mirrors: ${mirrors} }`),
    ];
  return [
    "# sources: # where to pull from, if not from the registry itself; the names stay",
    `#   registry.k8s.io: { mirrors: ["registry.aliyuncs.com/google_containers/*", registry.k8s.io] }`,
  ];
}

function manifests({ network, kubernetes, china, more }: Answers): string[] {
  return [
    "manifests: # the images in them are carried too; the cluster file asks for them by `as:`",
    ...(china
      ? [
          "  # If raw.githubusercontent.com does not answer: download the file elsewhere and write its path here.",
        ]
      : []),
    `  - path: ${networkUrl(network, kubernetes)}`,
    `    as: ${network}`,
    ...(more?.manifests ?? []),
  ];
}

function files({ runtime, kubernetes, archs, registry }: Answers): string[] {
  const cri = runtime === "docker" && !rulesOf(kubernetes).dockershim;
  return [
    ...(cri
      ? [
          `  - url: https://github.com/Mirantis/cri-dockerd/releases/download/v${CRI_DOCKERD}/cri-dockerd-${CRI_DOCKERD}.${archs[0]}.tgz`,
          "    as: cri-dockerd.tgz # Docker needs it from Kubernetes 1.24 on",
        ]
      : []),
    ...(registry === "harbor"
      ? [`  - url: ${HARBOR}`, "    as: harbor # `registry.mode: harbor` installs it"]
      : []),
  ];
}

/** Kubernetes' own packages: pkgs.k8s.io has those from 1.24 on, the old repository those before. */
function kubernetesRepository({ kubernetes, system, china }: Answers): Repository {
  const minor = minorOf(kubernetes);
  const kind = system.format;
  const old = "https://mirrors.aliyun.com/kubernetes/yum";
  if (kind === "rpm" && (minor < 24 || (system.name === "el7" && minor <= 28)))
    return {
      id: "kubernetes",
      url: `${old}/repos/kubernetes-el7-ARCH/`,
      keys: [`${old}/doc/yum-key.gpg`, `${old}/doc/rpm-package-key.gpg`],
      note: "its packages are signed with rpm-package-key.gpg (ID 3e1ba8d5), so both keys are named",
    };
  const tree = (release: number): string =>
    china
      ? `https://mirrors.aliyun.com/kubernetes-new/core/stable/v1.${release}/${kind}/`
      : `https://pkgs.k8s.io/core:/stable:/v1.${release}/${kind}/`;
  // The copies of the key in the repositories up to 1.27 expired in 2024, and apt refuses expired keys.
  const keys = tree(kind === "deb" && minor < 28 ? 31 : minor);
  return {
    id: "kubernetes",
    url: tree(minor),
    keys: [`${keys}${kind === "rpm" ? "repodata/repomd.xml.key" : "Release.key"}`],
    ...(kind === "deb" ? { suites: ["/"] } : {}),
  };
}

function repositories(answers: Answers, arch: Arch): Repository[] {
  const { system, runtime, china, registry } = answers;
  const needsDocker =
    system.docker !== undefined &&
    (runtime === "docker" || registry === "harbor" || system.containerd.includes("containerd.io"));
  const own = kubernetesRepository(answers);
  return [
    ...system.base(arch, china),
    ...(needsDocker && system.docker ? [system.docker(arch, china)] : []),
    { ...own, url: own.url.replace("ARCH", MACHINE[arch]) },
  ];
}

const list = (words: string[]): string => `[${words.map(word).join(", ")}]`;
const word = (text: string): string => (/^[A-Za-z][\w.-]*$/.test(text) ? text : JSON.stringify(text));

function repositoryLines({ id, url, keys, suites, components, note }: Repository): string[] {
  const first = `      - id: ${id}${note ? ` # ${note}` : ""}`;
  if (suites === undefined) return [first, `        baseurl: ${url}`, `        gpgkey: [${keys.join(", ")}]`];
  return [
    first,
    `        uris: ${url}`,
    `        suites: ${list(suites)}`,
    ...(components ? [`        components: ${list(components)}`] : []),
    `        signedBy: ${keys[0]}`,
  ];
}

/** The exact release, in any build of it. */
function pinned({ system, kubernetes }: Answers, ...names: string[]): string[] {
  const version = kubernetes.slice(1);
  return names.map((name) => (system.format === "rpm" ? `${name}-${version}` : `${name}=${version}-*`));
}

function packageSet(answers: Answers, arch: Arch): string[] {
  const { system, archs, runtime, hosts, registry } = answers;
  const deb = system.format === "deb";
  const engine = runtime === "docker" ? system.dockerEngine : system.containerd;
  const hasRole = (role: string): boolean => hosts.some(({ roles }) => roles.includes(role));
  const harborEngine = system.docker
    ? ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
    : system.dockerEngine;
  // From 1.24 on kubeadm's and kubelet's packages come with these two beside them, and need them less and less.
  const beside = ["kubernetes-cni", "cri-tools"];
  const suffix = archs.length > 1 ? `-${arch}` : "";
  return [
    `  - name: ${system.name.replace(/[^a-z0-9]/g, "")}${suffix}`,
    `    format: ${system.format}`,
    `    for: [${system.for.join(", ")}] # ID and VERSION_ID of the hosts' /etc/os-release`,
    `    arch: ${deb ? arch : MACHINE[arch]}`,
    "    repositories:",
    ...repositories(answers, arch).flatMap(repositoryLines),
    "    install:",
    `      all: ${list(system.tools)}`,
    `      control-plane: ${list([...engine, ...pinned(answers, "kubelet", "kubeadm", "kubectl"), ...beside])}`,
    `      worker: ${list([...engine, ...pinned(answers, "kubelet", "kubeadm"), ...beside])}`,
    ...(hasRole("load-balancer") ? ["      load-balancer: [keepalived, haproxy]"] : []),
    ...(registry === "harbor" ? [`      registry: ${list(harborEngine)}`] : []),
  ];
}
