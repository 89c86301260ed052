import { spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { AirgapError } from "../../../src/errors.ts";
import { factsScript } from "../../../src/host/facts.ts";
import type { Host, Output, RunOptions } from "../../../src/host/host.ts";
import { RAW, type System } from "./systems.ts";

/** Programs that only look at files, which are the machine's own. */
const REAL =
  "sh cat grep sed awk tr cut sort head tail wc sha256sum mkdir rm cp mv ln ls chmod touch mktemp dirname basename find dd od cmp id readlink tar gzip env base64 xargs tee printf test true false expr";
/** Programs that would touch a system: see stand-ins.sh. */
const PLAYED =
  "systemctl hostname hostnamectl uname modprobe swapoff swapon getenforce setenforce firewall-cmd ufw ip haproxy keepalived getsebool setsebool getent timeout sleep date install journalctl restorecon nsenter kubeadm kubectl stat chgrp groupadd useradd groupdel userdel";
const OF_FAMILY = {
  deb: "apt-get apt-mark dpkg dpkg-query update-ca-certificates",
  rpm: "rpm yum dnf update-ca-trust",
};
const OF_RUNTIME = { containerd: "ctr", docker: "docker" };

const FOLDERS = [
  "etc/sysctl.d",
  "etc/systemd/system",
  "etc/selinux",
  "etc/NetworkManager/conf.d",
  "etc/ssl/certs",
  "etc/pki/tls/certs",
  "etc/pki/ca-trust/source/anchors",
  "usr/local/share/ca-certificates",
  "usr/local/bin",
  "etc/yum.repos.d",
  "etc/chrony",
  "etc/dnf",
  "etc/cni/net.d",
  "proc/sys/net/ipv4",
  "proc/sys/vm",
  "proc/sys/fs",
  "proc/1/ns",
  "run",
  "root",
  "state",
  "usr/sbin",
  "usr/bin",
  "var/lib",
];

const FILES: Record<string, string> = {
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost",
  "etc/hostname": "bare\n",
  "etc/fstab": "# static file systems\n/dev/sda1 / ext4 defaults 0 1\n/dev/sda5 none swap sw 0 0\n",
  "etc/sysctl.conf": "# kernel settings\nnet.ipv4.ip_forward = 0\n",
  "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
  "etc/chrony.conf": "pool 2.pool.ntp.org iburst\ndriftfile /var/lib/chrony/drift\n",
  "etc/cni/net.d/87-podman-bridge.conflist": "{}\n",
  "etc/yum.conf": "[main]\ngpgcheck=1\n",
  "etc/dnf/dnf.conf": "[main]\ngpgcheck=1\nexclude=kernel*\n",
  "etc/ssl/certs/ca-certificates.crt": "theirs\n",
  "etc/pki/tls/certs/ca-bundle.crt": "theirs\n",
  "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/sda5 partition 4194300 0 -2\n",
  "proc/filesystems": "nodev\tproc\n",
  "proc/mounts": "/dev/sda1 / ext4 rw 0 0\n",
  "proc/sys/net/ipv4/ip_forward": "0\n",
  "proc/sys/vm/swappiness": "60\n",
  "state/hostname": "bare\n",
  "state/selinux": "Enforcing\n",
  "state/ca": "theirs\n",
  "state/packages": "",
};

/** What is the stand-ins' own; and modules and images, which stay when a host is taken back. */
const PASSED_OVER =
  /^(?:calls|unknown|dies-at|usr\/s?bin|state\/(?:swaps|images|slept|owned)|sys\/module|proc\/sys\/net\/bridge)$/;

/**
 * A host whose `/` is a folder: scripts run for real, by `sh`, with every absolute path put below
 * that folder. A program that has no stand-in does not exist.
 */
export class ScratchHost implements Host {
  readonly name: string;
  readonly root: string;
  /** Of every script that came, whether it could change something. */
  readonly modes: string[] = [];
  readonly #cluster: string;
  readonly #system: System;

  /** @param cluster a folder that all hosts of a cluster share, in the place of its API */
  constructor(
    name: string,
    system: System,
    dir: string,
    cluster: string,
    runtime: "containerd" | "docker" = "containerd",
  ) {
    this.name = name;
    this.#system = system;
    this.#cluster = cluster;
    this.root = join(dir, name);
    for (const folder of FOLDERS) mkdirSync(join(this.root, folder), { recursive: true });
    for (const [path, text] of Object.entries(FILES)) writeFileSync(join(this.root, path), text);
    symlinkSync("net:[1]", join(this.root, "proc/1/ns/net"));
    const raw = this.#raw();
    const units = [...raw.matchAll(/^active\|(.*)\.service$/gm)].map(([, unit]) => `${unit}\n`).join("");
    for (const name of ["units", "active", "enabled"]) writeFileSync(join(this.root, "state", name), units);
    const family = raw.includes("package-manager|apt-get") ? "deb" : "rpm";
    const where = (program: string): string =>
      ["/usr/bin", "/bin"].map((folder) => join(folder, program)).find(existsSync) ?? "/nowhere";
    for (const program of REAL.split(" ")) symlinkSync(where(program), join(this.root, "usr/bin", program));
    for (const program of `${PLAYED} ${OF_FAMILY[family]} ${OF_RUNTIME[runtime]}`.split(" "))
      symlinkSync(join(import.meta.dirname, "stand-ins.sh"), join(this.root, "usr/sbin", program));
  }

  #raw(): string {
    return readFileSync(join(RAW, `${this.#system}.txt`), "utf8");
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), "utf8");
  }

  /** What was asked of programs that would touch a system. */
  get calls(): string[] {
    const file = join(this.root, "calls");
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
  }

  /** What no stand-in knows. */
  get unknown(): string {
    const file = join(this.root, "unknown");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  /** Lets everything end at once when so many more programs have been called. */
  dieAfter(calls: number): void {
    writeFileSync(join(this.root, "dies-at"), String(this.calls.length + calls));
  }

  /** Every file with its mode and content, and every unit and package: what a host is. */
  snapshot(): Record<string, string> {
    const found: Record<string, string> = {};
    const walk = (folder: string): void => {
      for (const entry of readdirSync(join(this.root, folder), { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (PASSED_OVER.test(path)) continue;
        if (entry.isDirectory()) walk(path);
        else if (entry.isSymbolicLink()) found[path] = `-> ${readlinkSync(join(this.root, path))}`;
        else {
          const text = this.read(path);
          const sorted =
            path.startsWith("state/") && path !== "state/ca"
              ? text.split("\n").sort().join("\n").trim()
              : text;
          if (!path.startsWith("state/") || sorted !== "")
            found[path] = `${(statSync(join(this.root, path)).mode & 0o777).toString(8)} ${sorted}`;
        }
      }
    };
    walk("");
    return found;
  }

  /** What facts.sh would print: the system's own, and what has become of the host. */
  facts(address: string): string {
    const exists = (path: string): boolean => existsSync(join(this.root, path));
    const lines = (name: string, path: string): string[] =>
      exists(path)
        ? this.read(path)
            .trimEnd()
            .split("\n")
            .map((line) => `${name}|${line}`)
        : [];
    const packages = exists("state/packages") ? this.read("state/packages") : "";
    const version = (name: string): string | undefined =>
      new RegExp(`^${name}[ -](\\d+\\.\\d+\\.\\d+)`, "m").exec(packages)?.[1];
    const there = [
      "/etc/kubernetes/admin.conf",
      "/etc/kubernetes/kubelet.conf",
      "/var/lib/etcd/member",
      "/var/lib/airgap/kubeadm-began",
    ].filter((path) => exists(path));
    const more = [
      ...there.map((path) => `exists|${path}`),
      ...lines("owner", "var/lib/airgap/cluster"),
      ...lines("verified", "var/lib/airgap/verified"),
      ...lines("containerd-config", "etc/containerd/config.toml"),
      ...lines("docker-config", "etc/docker/daemon.json"),
      ...lines("kubernetes-ca", "etc/kubernetes/pki/ca.crt"),
      ...lines("site-ca", "etc/airgap/ca.crt"),
      ...lines("site-certificate", "etc/airgap/serve/tls.crt"),
      ...(version("kubelet") ? [`kubelet|v${version("kubelet")}`, "tool|kubeadm"] : []),
      ...(version("containerd(?:\\.io)?") ? [`containerd|${version("containerd(?:\\.io)?")}`] : []),
    ];
    return this.#raw()
      .replaceAll("10.0.0.12", address)
      .replace(/^machine-id\|.*$/m, `machine-id|${Buffer.from(this.name.padEnd(16, "0")).toString("hex")}`)
      .replace(/^(product-uuid|mac)\|.*\n/gm, "")
      .replace(/^end\|.*$/m, () => [...more, `end|${Math.round(Date.now() / 1000)}`].join("\n"));
  }

  /** Where this host is; facts are told with it. */
  address = "10.0.0.12";

  async run(script: string, { onStdout }: RunOptions = {}): Promise<Output> {
    if (script === factsScript()) return { code: 0, stdout: this.facts(this.address), stderr: "" };
    this.modes.push(/^airgap_mode=(\w+)$/m.exec(script)?.[1] ?? "other");
    return this.#execute(["-s"], below(script, this.root), onStdout);
  }

  async pipe(command: string, input: Readable): Promise<Output> {
    const chunks: Buffer[] = [];
    for await (const chunk of input) chunks.push(Buffer.from(chunk as Buffer));
    return this.#execute(["-c", below(command, this.root)], Buffer.concat(chunks));
  }

  async close(): Promise<void> {}

  #execute(args: string[], input: string | Buffer, onStdout?: (text: string) => void): Promise<Output> {
    return new Promise((resolve, reject) => {
      const env = {
        PATH: `${this.root}/usr/sbin:${this.root}/usr/bin`,
        ROOT: this.root,
        CLUSTER: this.#cluster,
        HOME: join(this.root, "root"),
      };
      // A group of its own, which may be killed.
      const child = spawn("/bin/sh", args, { env, stdio: "pipe", detached: true });
      const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (chunk: Buffer) => {
        stdout += chunk.toString();
        onStdout?.(chunk.toString());
      });
      child.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      child.stdin.on("error", () => {});
      child.on("error", reject);
      child.on("close", (code) => {
        clearTimeout(timer);
        for (const text of [stdout, stderr]) {
          const missing = /\bsh: \d+: (\S+): not found/.exec(text)?.[1];
          if (missing) appendFileSync(join(this.root, "unknown"), `${missing}: not found\n`);
        }
        if (code === null) reject(new AirgapError("network", `${this.name}: the connection broke`));
        else resolve({ code, stdout, stderr });
      });
      child.stdin.end(input);
    });
  }
}

const SCRIPTS = ["taken_back() {", "airgap_print_library() {"];
const ABSOLUTE = /(?<![\w@}$"'./~-])\/(?=(?:etc|var|run|proc|sys|usr|opt|root|home|s?bin)\b)/g;

/** A script with every absolute path put below a folder; what here-documents write stays as it is. */
function below(script: string, root: string): string {
  let mark: string | undefined;
  let previous = "";
  return script
    .split("\n")
    .map((line) => {
      const within = mark !== undefined;
      if (mark !== undefined && line === mark) mark = undefined;
      if (within) return line;
      const opened = /<<'(\w+)'$/.exec(line)?.[1];
      // The functions, and how a step is undone, are scripts in here-documents.
      if (opened !== undefined && !SCRIPTS.includes(previous)) mark = opened;
      previous = line;
      return line.replaceAll(ABSOLUTE, `${root}/`).replaceAll(/'\/(?=(?:etc|var|run|opt)\/)/g, `'${root}/`);
    })
    .join("\n");
}
