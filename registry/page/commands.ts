import { containerdHosts, type HostsFile, hostsFolder } from "../../src/names/containerd-hosts.ts";
import type { OverviewSet } from "../overview.ts";

/** How a client reaches this server, as it came. */
export interface Address {
  scheme: "http" | "https";
  /** `register:8443` */
  host: string;
}

const isPlain = ({ scheme }: Address): boolean => scheme === "http";
export const urlOf = ({ scheme, host }: Address, path: string): string => `${scheme}://${host}/${path}`;

/** Lines that pull an image, for each program. @param path `registry.k8s.io/pause:3.9` */
export function pullLines(address: Address, path: string): string[] {
  const image = `${address.host}/${path}`;
  const plain = isPlain(address);
  return [
    `docker pull ${image}`,
    `nerdctl ${plain ? "--insecure-registry " : ""}pull ${image}`,
    `crictl pull ${image}`,
    `podman pull ${plain ? "--tls-verify=false " : ""}${image}`,
  ];
}

export const chartLines = (address: Address, name: string, version: string): string[] => [
  `helm pull oci://${address.host}/charts/${name} --version ${version}${isPlain(address) ? " --plain-http" : ""}`,
];

/** Lines that install from a package set: dnf's or apt's. `old` is for apt before 2.3.10. */
export function packageLines(
  address: Address,
  { name, format }: OverviewSet,
): { now: string[]; old?: string[] } {
  const at = (file: string): string => urlOf(address, `packages/${name}/${file}`);
  if (format === "rpm")
    return {
      now: [
        `curl -o /etc/yum.repos.d/airgap.repo ${at(`airgap-${name}.repo`)}`,
        `dnf -y --disablerepo='*' --enablerepo='airgap-${name}*' install PACKAGE`,
      ],
    };
  return {
    now: [
      `curl -o /etc/apt/sources.list.d/airgap.sources ${at(`airgap-${name}.sources`)}`,
      "apt-get -o Dir::Etc::sourcelist=sources.list.d/airgap.sources -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update",
      "apt-get install -y --no-install-recommends PACKAGE",
    ],
    old: [
      `curl -o /etc/apt/keyrings/airgap-${name}.asc ${at("keys/airgap.asc")}`,
      `curl -o /etc/apt/sources.list.d/airgap.list ${at(`airgap-${name}.list`)}`,
    ],
  };
}

/** Lines that make a host trust the authority of this server. */
export function trustLines(address: Address): string[] {
  const get = (file: string): string => `curl -k -o ${file} ${urlOf(address, "ca.crt")}`;
  return [
    `${get("/etc/pki/ca-trust/source/anchors/airgap.crt")} && update-ca-trust`,
    `${get("/usr/local/share/ca-certificates/airgap.crt")} && update-ca-certificates`,
  ];
}

/** containerd's files for the upstreams that are really here, as `install` writes them. */
export function containerdFiles(address: Address, upstreams: readonly string[], ca: boolean): HostsFile[] {
  const target = { host: address.host, prefix: "", layout: "host", byNamespace: true } as const;
  const file = `/etc/containerd/certs.d/${hostsFolder(address.host)}/ca.crt`;
  return containerdHosts(upstreams, target, { scheme: address.scheme, ...(ca ? { ca: file } : {}) });
}

/** Docker's daemon.json: a mirror for docker.io, and leave to speak plain http. */
export function dockerConfig(address: Address, upstreams: readonly string[]): string {
  return JSON.stringify(
    {
      ...(upstreams.includes("docker.io") ? { "registry-mirrors": [urlOf(address, "").slice(0, -1)] } : {}),
      ...(isPlain(address) ? { "insecure-registries": [address.host] } : {}),
    },
    undefined,
    2,
  );
}
