import { readFileSync, writeFileSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { type Document, isMap, isScalar, isSeq, parseDocument, visit } from "yaml";
import type { Cluster } from "../cluster/cluster.ts";
import { AirgapError } from "../errors.ts";
import type { RehearsalNetwork } from "./network.ts";

/** kube-proxy may not set what belongs to the machine's kernel, and kubelet must not mind the machine's disk. */
const KUBEADM = {
  KubeletConfiguration: {
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      "nodefs.available": "0%",
      "nodefs.inodesFree": "0%",
      "imagefs.available": "0%",
      "imagefs.inodesFree": "0%",
    },
  },
  KubeProxyConfiguration: {
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  },
};

/** What the rehearsal sets otherwise than the cluster file; reports name it. */
export const ADJUSTED = [
  "kubelet: no eviction and no removal of images when the disk of this machine is full",
  "kube-proxy: the kernel's limits for connections stay as they are on this machine",
  "ssh: root with a key that was made for the rehearsal",
];

/**
 * Refuses what cannot be rehearsed, since somebody else has it.
 * @throws AirgapError `unsupported`
 */
export function checkRehearsable(cluster: Cluster): void {
  const why =
    cluster.registry.mode === "external"
      ? "registry.mode is external: images are in a registry that the rehearsal does not have"
      : cluster.etcd.mode === "given"
        ? "etcd.endpoints is an etcd that the rehearsal does not have"
        : isForeign(cluster) && cluster.endpoint?.port !== 6443
          ? "endpoint.port is a load balancer's, which the rehearsal does not have"
          : undefined;
  if (why === undefined) return;
  throw new AirgapError("unsupported", `This cluster file cannot be rehearsed: ${why}`, {
    suggestions: ["rehearse a copy of the cluster file in which airgap makes it"],
    ref: "docs/rehearse.md",
  });
}

/** Whether somebody else holds the address of the API; in a rehearsal the first control plane does. */
export const isForeign = ({ endpoint, hosts }: Cluster): boolean =>
  endpoint !== undefined &&
  endpoint.loadBalancers.length === 0 &&
  !hosts.some(({ address }) => address === endpoint.address);

/** Keys whose value is a path, relative to the folder of the cluster file. */
const PATHS = new Set(["caFile", "certFile", "keyFile", "manifest"]);

/**
 * Writes the cluster file of a rehearsal: the given one with its hosts' addresses here, a way to log in, and the
 * settings that a machine which lends its kernel asks for.
 * @returns its path
 */
export function writeClusterFile(
  original: string,
  folder: string,
  {
    network,
    identityFile,
    hostKeys,
  }: { network: RehearsalNetwork; identityFile: string; hostKeys: ReadonlyMap<string, string> },
): string {
  const document = parseDocument(readFileSync(original, "utf8"));
  const base = dirname(resolve(original));
  rename(document, network.addresses);
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || !PATHS.has(String(key.value)) || !isScalar(value)) return;
      const path = String(value.value).replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~");
      if (!isAbsolute(path)) value.value = resolve(base, path);
    },
  });
  document.set("ssh", { user: "root", identityFile });
  const hosts = document.get("hosts");
  if (isSeq(hosts))
    for (const host of hosts.items) {
      if (!isMap(host)) continue;
      for (const key of ["ssh", "connection"]) host.delete(key);
      const fingerprint = hostKeys.get(String(host.get("name")));
      if (fingerprint) host.set("hostKey", fingerprint);
    }
  for (const [part, settings] of Object.entries(KUBEADM))
    for (const [key, value] of Object.entries(settings))
      document.setIn(["kubeadm", part, key], document.createNode(value));
  const file = join(folder, "cluster.yaml");
  writeFileSync(file, document.toString(), { mode: 0o600 });
  return file;
}

/** Every address that has another here, wherever the file says it: alone, with a port, in a URL. */
function rename(document: Document, addresses: ReadonlyMap<string, string>): void {
  const others = [...addresses].filter(([from, to]) => from !== to);
  if (others.length === 0) return;
  const map = new Map(others);
  const alternatives = others.map(([from]) => from.replace(/[.]/g, "\\.")).join("|");
  const pattern = new RegExp(`(?<![0-9A-Fa-f.])(?:${alternatives})(?![0-9A-Fa-f.])`, "g");
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === "string")
        node.value = node.value.replace(pattern, (found) => map.get(found) ?? found);
    },
  });
}
