import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { stringify } from "yaml";
import type { ProcessResult } from "../../../src/host/process.ts";
import type { InstallResult } from "../../../src/install/install.ts";
import { type KubernetesVersion, kubernetes } from "./go/recipes.ts";
import type { Host } from "./host.ts";
import { built } from "./programs.ts";
import type { Rig } from "./rig.ts";
import { eventually } from "./shell.ts";

const AIRGAP = join(import.meta.dirname, "../../../bin/airgap");

/** Roots of this machine may lack what the kernel's own root has, and its disk is as full as it is. */
export const KUBEADM = {
  KubeletConfiguration: {
    failSwapOn: false,
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

/** A host with what it is for. */
export type Member = [host: Host, ...roles: string[]];

/** Writes a cluster file for hosts of the rig. @returns its path */
export async function clusterFile(
  folder: string,
  members: Member[],
  more: Record<string, unknown>,
): Promise<string> {
  const hosts = await Promise.all(
    members.map(async ([host, ...roles]) => ({
      name: host.name,
      address: host.address,
      roles,
      hostKey: await host.fingerprint(),
    })),
  );
  const document = {
    ...{ apiVersion: "airgap/v1", kind: "Cluster", name: "rig" },
    registry: { host: "register.rig.test" },
    network: { name: "flannel" },
    ssh: { user: "root", passwordEnv: "AIRGAP_SSH_PASSWORD" },
    ...{ hosts, kubeadm: KUBEADM },
    ...more,
  };
  await mkdir(folder, { recursive: true });
  const file = join(folder, "cluster.yaml");
  await writeFile(file, stringify(document));
  return file;
}

/** The operator's box behind the gap: this checkout's airgap, in the hosts' network. */
export class Operator {
  readonly #rig: Rig;
  readonly #env: NodeJS.ProcessEnv;

  constructor(rig: Rig, env: Record<string, string>) {
    this.#rig = rig;
    this.#env = { ...process.env, NO_COLOR: "1", ...env };
  }

  airgap(args: string[], timeoutMs = 900_000): Promise<ProcessResult> {
    return this.#rig.run([AIRGAP, ...args], { env: this.#env, timeoutMs });
  }

  /** The same with `--json`, where only success will do. @returns its result */
  async json<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.airgap([...args, "--json"]);
    if (code !== 0)
      throw new Error(`airgap ${args.join(" ")}: exit ${code}\n${`${stdout}\n${stderr}`.slice(-6000)}`);
    return JSON.parse(stdout) as T;
  }

  /** `images find --cluster` with the kubeconfig that `install` brought home, and a kubectl of the cluster's version. @returns its result */
  async cluster<T>(file: string, version: KubernetesVersion, ...args: string[]): Promise<T> {
    const env = {
      ...this.#env,
      KUBECONFIG: join(dirname(file), ".airgap", "rig", "kubeconfig"),
      PATH: `${await built(kubernetes(version))}:${this.#env["PATH"]}`,
    };
    const { stdout, stderr } = await this.#rig.run(
      [AIRGAP, "images", "find", "--cluster", "--json", ...args],
      {
        env,
        timeoutMs: 120_000,
      },
    );
    if (!stdout.startsWith("{") || stdout.startsWith('{"error'))
      throw new Error(`${stdout}\n${stderr}`.slice(-6000));
    return JSON.parse(stdout) as T;
  }

  /** The same, where only one exit code will do. @returns all that it printed */
  async expect(code: number, ...args: string[]): Promise<string> {
    const { code: got, stdout, stderr } = await this.airgap(args);
    const printed = `${stdout}\n${stderr}`;
    if (got !== code)
      throw new Error(`airgap ${args.join(" ")}: exit ${got}, not ${code}\n${printed.slice(-6000)}`);
    return printed;
  }
}

/** Steps that a run did not find as they should be. */
export const notSo = (steps: InstallResult["steps"]): string[] =>
  steps
    .filter(({ state }) => state !== "already")
    .map(({ host, stage, step, state }) => `${host} ${stage}/${step} ${state}`);

/** What took longest of a run, for the test's own output. */
export const slowest = (
  steps: { host: string; stage: string; step: string; state: string; ms?: number }[],
): string =>
  steps
    .filter(({ state }) => state === "done")
    .toSorted((a, b) => (b.ms ?? 0) - (a.ms ?? 0))
    .slice(0, 8)
    .map(({ host, stage, step, ms = 0 }) => `${host} ${stage}/${step} ${(ms / 1000).toFixed(0)} s`)
    .join(", ");

/** kubectl on a control plane. */
export const kubectl = (host: Host, ...args: string[]): Promise<string> =>
  host.must(["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", ...args], { timeoutMs: 200_000 });

/** Waits until every node is Ready. @returns their names */
export async function nodesReady(host: Host, count: number): Promise<string[]> {
  return eventually(`${count} nodes to be Ready`, 180, async () => {
    const lines = (await kubectl(host, "get", "nodes", "--no-headers").catch(() => ""))
      .split("\n")
      .filter((line) => /\sReady\s/.test(line));
    return lines.length === count ? lines.map((line) => line.split(/\s+/)[0] ?? "") : undefined;
  });
}

/** What a pod hears from an address, once it hears anything: a service refuses for a moment after its pod is ready. */
export const heardByPod = (host: Host, url: string): Promise<string> =>
  eventually(`a pod to reach ${url}`, 120, () =>
    kubectl(host, "exec", "client", "--", "probe", url).catch(() => undefined),
  );

/** What a pod hears from the pod of the tests on some node; its address is asked each time, since a node that was off gives it another. */
const heardFromPodOn = (host: Host, node: string): Promise<string> =>
  eventually(`a pod to reach the pod on ${node}`, 120, async () => {
    const which = [
      "get",
      "pods",
      "-l",
      "app=web",
      "--field-selector",
      `spec.nodeName=${node}`,
      "-o",
      "jsonpath={.items[*].status.podIP}",
    ];
    const address = await kubectl(host, ...which).catch(() => "");
    return address === ""
      ? undefined
      : await kubectl(host, "exec", "client", "--", "probe", `http://${address}:8080/`).catch(
          () => undefined,
        );
  });

/** What the operator hears from outside of the cluster. */
export const heardOutside = (rig: Rig, url: string): Promise<string> =>
  eventually(`the operator to reach ${url}`, 60, async () => {
    const { code, stdout } = await rig.run(["curl", "-fsS", "-m", "5", url]);
    return code === 0 ? stdout.trim() : undefined;
  });

/** The workloads of the rig: pods on every worker, asked by service name, from pod to pod, and at a port of every node. */
export async function workloadsAnswer(rig: Rig, control: Host, workers: Host[]): Promise<void> {
  const answers = workers.map(({ name }) => `web on ${name}`);
  await kubectl(control, "rollout", "status", "daemonset/web", "--timeout=150s");
  await kubectl(control, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s");
  expect(answers).toContain(await heardByPod(control, "http://web.default.svc.cluster.local/"));
  for (const { name } of workers) expect(await heardFromPodOn(control, name)).toBe(`web on ${name}`);
  for (const { address } of [control, ...workers])
    expect(answers).toContain(await heardOutside(rig, `http://${address}:30080/`));
}

/** Leaves a host's containerd configured as by somebody who wants to see every request. */
export async function debugContainerd(host: Host): Promise<void> {
  await host.sh(
    "mkdir -p /etc/containerd && printf 'version = 2\n[debug]\nlevel = \"debug\"\n' >/etc/containerd/config.toml",
  );
}

/** Hosts that a containerd which tells every request has asked for images, and how many images it has pulled. */
export async function askedForImages(host: Host): Promise<{ hosts: string[]; pulled: number }> {
  const journal = await host.sh("journalctl --no-pager -o cat -u containerd");
  const urls = [...journal.matchAll(/\burl="?(https?:\/\/[^"\s]+)/g)].flatMap(
    ([, url = ""]) => new URL(url).host,
  );
  return {
    hosts: [...new Set(urls)],
    pulled: journal.match(/PullImage .* returns image reference/g)?.length ?? 0,
  };
}

/** What is left on a host that was reset; which packages came with the cluster it still knows. */
export async function leftOn(host: Host, ...more: string[]): Promise<string> {
  const paths = [
    "/etc/airgap",
    "/opt/airgap",
    "/sys/class/net/cni0",
    "/sys/class/net/flannel.1",
    ...more,
  ].join(" ");
  const found = await host.sh(
    `ls -d ${paths} 2>/dev/null; find /var/lib/airgap -mindepth 1 ! -name installed-packages 2>/dev/null || true`,
  );
  return `${found}${await host.sh("grep -l airgap /etc/hosts /etc/systemd/system/*.service 2>/dev/null || true")}`;
}

/** A host's settings and programs, one file a line with its digest: the same before and after means untouched. */
export async function stateOf(host: Host): Promise<string[]> {
  const folders = "/etc /opt/cni/bin /usr/lib/systemd/system /root";
  const listing = await host.sh(
    `find ${folders} -xdev -type f ! -name '*.lock' ! -path '/root/.kube/cache/*' -exec sha256sum {} + | sort -k2`,
  );
  return listing.split("\n").map((line) => `${host.name} ${line}`);
}
