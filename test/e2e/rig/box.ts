import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
// @ts-expect-error: plain JavaScript, for Node before anything is installed.
import { isFresh, sourcesOf } from "../../../bin/freshness.mjs";
import type { ProcessResult } from "../../../src/host/process.ts";
import type { Host } from "./host.ts";
import { inside } from "./network.ts";
import type { Rig } from "./rig.ts";
import { must } from "./shell.ts";
import { SMALL_VERSION } from "./small.ts";

const CHECKOUT = join(import.meta.dirname, "../../..");
export const AIRGAP = join(CHECKOUT, "bin/airgap");

/** Packs the tool, unless it is packed as it is now. */
export async function packTool(): Promise<void> {
  const archive = join(CHECKOUT, `build/airgap-0.1.0-linux-${process.arch}.tar.gz`);
  if (!isFresh(archive, ...sourcesOf(CHECKOUT)))
    await must("npm", ["run", "pack", "--", process.arch], { cwd: CHECKOUT, timeoutMs: 600_000 });
}

interface HostEntry {
  name: string;
  address: string;
  roles: string[];
  hostKey?: string;
  ssh?: Record<string, unknown>;
}

/** A cluster file as a test may change it. */
export interface ClusterDocument extends Record<string, unknown> {
  ssh: Record<string, unknown>;
  hosts: HostEntry[];
}

/** A host with its role. */
export type Placed = [host: Host, role: string];

/** The operator's machine: this checkout's airgap in the hosts' network, with a folder and an ~/.ssh of its own. */
export class Box {
  readonly folder: string;
  readonly ssh: string;
  readonly env: Record<string, string>;
  readonly #rig: Rig;
  readonly #placed: Placed[];

  constructor(rig: Rig, folder: string, placed: Placed[], env: Record<string, string> = {}) {
    this.folder = folder;
    this.ssh = join(folder, "dot-ssh");
    this.env = env;
    this.#rig = rig;
    this.#placed = placed;
    for (const path of [this.ssh, join(homedir(), ".ssh")]) mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** Writes a cluster file. @returns its path */
  async cluster(change: (document: ClusterDocument) => void = () => {}, name = "cluster"): Promise<string> {
    const hosts = await Promise.all(
      this.#placed.map(async ([host, role]) => ({
        name: host.name,
        address: host.address,
        roles: [role],
        hostKey: await host.fingerprint(),
      })),
    );
    const document = {
      ...{
        apiVersion: "airgap/v1",
        kind: "Cluster",
        name: "bare",
        kubernetes: { version: SMALL_VERSION },
        network: "none",
      },
      registry: { host: "register.rig.test" },
      ssh: { user: "root", passwordEnv: "AIRGAP_SSH_PASSWORD" } as Record<string, unknown>,
      hosts,
    };
    change(document);
    const file = join(this.folder, `${name}.yaml`);
    writeFileSync(file, stringify(document));
    return file;
  }

  /** Puts a file into ~/.ssh. */
  sshFile(name: string, text: string): void {
    writeFileSync(join(this.ssh, name), text, { mode: 0o600 });
  }

  /** Where a file of ~/.ssh is for programs that run here. */
  path(name: string): string {
    return join(homedir(), ".ssh", name);
  }

  #command(args: string[]): string[] {
    // ssh looks into the home folder of the user's entry, whatever HOME says.
    const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
    return ["unshare", "--mount", "sh", "-c", script, "sh", this.ssh, join(homedir(), ".ssh"), ...args];
  }

  #environment(env: Record<string, string>): NodeJS.ProcessEnv {
    const { SSH_AUTH_SOCK: _, ...own } = process.env;
    return { ...own, NO_COLOR: "1", ...this.env, ...env };
  }

  /** Any program. */
  run(command: string[], env: Record<string, string> = {}): Promise<ProcessResult> {
    return this.#rig.run(this.#command(command), { env: this.#environment(env), timeoutMs: 400_000 });
  }

  airgap(args: string[], env: Record<string, string> = {}): Promise<ProcessResult> {
    return this.run([AIRGAP, ...args], env);
  }

  /**
   * The same, where only one exit code will do, and all of `patterns` have to be met by what it printed, with each
   * stretch of white space as one blank.
   */
  async expect(
    code: number,
    args: string[],
    patterns: RegExp[] = [],
    env: Record<string, string> = {},
  ): Promise<string> {
    const { code: got, stdout, stderr } = await this.airgap(args, env);
    const printed = `${stdout}\n${stderr}`;
    const told = printed.replace(/\s+/g, " ");
    const missing = patterns
      .filter((pattern) => !pattern.test(told))
      .map((pattern) => `\nnot said: ${pattern}`);
    const wrong = got === code ? "" : `\nexit ${got}, not ${code}`;
    if (missing.length > 0 || wrong)
      throw new Error(`airgap ${args.join(" ")}:${wrong}${missing.join("")}\n${printed.slice(-4000)}`);
    return told;
  }

  /** Starts it and goes on; `ended` gives what it printed. */
  start(args: string[]): { child: ChildProcess; printed: () => string; ended: Promise<number | null> } {
    const [program, rest] = inside(this.#rig.network, this.#command([AIRGAP, ...args]));
    const child = spawn(program, rest, { env: this.#environment({}), stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
    return { child, printed: () => text, ended };
  }
}

/** From now on; for `changesOn`. */
export const mark = (hosts: Host[]): Promise<unknown> =>
  Promise.all(hosts.map((host) => host.sh("touch /run/mark")));

/** What a login, a look into a package database and the passing of time change by themselves. */
const RESTLESS =
  /^\/(?:run|tmp|var)$|^\/var\/(?:log|tmp|cache\/ldconfig|lib\/(?:systemd|private|rpm\/rpmdb\.sqlite-(?:shm|wal)|containerd\/io\.containerd\.(?:metadata|gc)))/;

/** Files and folders, of all that outlive a reboot, that were touched since `mark`. */
export async function changesOn(hosts: Host[]): Promise<string[]> {
  const found = await Promise.all(
    hosts.map(async (host) => {
      const list = (await host.sh("find / /var -xdev -cnewer /run/mark")).split("\n");
      return list.filter((path) => path !== "" && !RESTLESS.test(path)).map((path) => `${host.name} ${path}`);
    }),
  );
  return found.flat();
}

/** What a host is told to be, a line each: files with owner, mode and content, links, services, packet filter, routes, kernel settings. */
export async function settingsOf(host: Host): Promise<string[]> {
  const text = await host.sh(`
    cd /
    find etc opt root usr/local -xdev -type f ! -name '*.old' ! -path 'etc/firewalld/*' ! -path 'etc/ufw/*' ! -name ld.so.cache ! -path 'etc/passwd-' ! -path 'etc/group-' ! -path 'etc/*shadow-' -print0 |
      sort -z | xargs -0 -r stat -c 'file %n %a %U:%G' | while read -r kind name rest; do echo "$kind $name $rest $(sha256sum <"/$name" | cut -c 1-16)"; done
    find etc opt root usr/local -xdev -type l -printf 'link %p %l\\n' | sort
    systemctl list-units --type=service --state=active --no-legend --plain | awk '{ print "active " $1 }' | grep -vE 'hostnamed|systemd-timedated|polkit|user|session' | sort
    hostname | sed 's/^/name /'
    ip -4 route | sed 's/^/route /'
    for key in net/ipv4/ip_forward vm/swappiness; do echo "sysctl $key $(cat /proc/sys/$key)"; done
    if command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
      for way in '' --permanent; do firewall-cmd $way --list-all-zones | grep -v '^ *$' | sed "s/^/firewalld $way/"; done
    fi
    if command -v ufw >/dev/null; then ufw show added | sed 's/^/ufw /'; fi`);
  return text.split("\n");
}

/** Of these lines of `settingsOf`, those about files that no package has brought. */
export async function nobodysPackages(host: Host, lines: string[]): Promise<string[]> {
  const asked = host.settings.tree.includes("/el-") ? "rpm -qf" : "dpkg -S";
  const owned = await Promise.all(
    lines.map(async (line) => {
      const [kind, path = ""] = line.split(" ");
      return (
        (kind === "file" || kind === "link") &&
        (await host.exec([...asked.split(" "), `/${path.replace(/\.rpmnew$/, "")}`])).code === 0
      );
    }),
  );
  return lines.filter((_, i) => !owned[i]);
}
