import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ProcessOptions, ProcessResult } from "../../../src/host/process.ts";
import { run } from "../../../src/host/process.ts";
import { endGroups, makeGroups, removeGroups } from "./cgroups.ts";
import { inside, type Network } from "./network.ts";
import { identityOf, livingProcess } from "./owner.ts";
import { eventually, must, output } from "./shell.ts";

/** systemd's signal for "power off" to an init in a container: SIGRTMIN+4. */
const POWER_OFF = 38;
/** How systemd-nspawn ends when what is inside asked for a reboot. */
const REBOOT = 133;
/** Runs a command after moving into the cgroups. */
const inGroups = (groups: string[], command: string[]): string[] => [
  ...[
    "sh",
    "-c",
    'for group; do shift; [ "$group" != -- ] || break; echo $$ >"$group/cgroup.procs"; done; exec "$@"',
    "sh",
  ],
  ...[...groups, "--", ...command],
];
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface HostSettings {
  name: string;
  address: string;
  /** The tree that this host's own is copied from. */
  tree: string;
  /** Root's password; none means that no password lets anybody in. */
  password?: string;
  /** Lines for root's authorized_keys. */
  authorizedKeys?: string[];
  /** Another account, who may use sudo. */
  user?: { name: string; password: string; sudo: "password" | "free"; authorizedKeys?: string[] };
  /** Lines of sshd's configuration that come before the usual ones. */
  sshd?: string[];
  /** A default route to nowhere, as many sites have one. Default none. */
  gateway?: string;
  machineId?: string;
  /** Name that the host has before anybody names it. Default `bare-NAME`. */
  hostname?: string;
}

/** Whether a process is the first of a process namespace of its own, and no longer the one that makes it ready. */
function isInit(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return /^Name:\s+systemd$/m.test(status) && /^NSpid:.*\s1$/m.test(status);
  } catch {
    return false;
  }
}

function kill(pid: number, signal: number | NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself.
  }
}

/** One booted machine with its own init, sshd, address and cgroups. */
export class Host {
  readonly settings: HostSettings;
  readonly folder: string;
  readonly root: string;
  readonly #network: Network;
  readonly #id: string;
  #groups: string[] = [];
  /** The machine's init, as this machine numbers it; undefined while it is off. */
  #leader: number | undefined;
  #boots = 0;

  constructor(settings: HostSettings, folder: string, network: Network, id: string) {
    this.settings = settings;
    this.folder = folder;
    this.root = join(folder, "root");
    this.#network = network;
    this.#id = `${id}-${settings.name}`;
  }

  get name(): string {
    return this.settings.name;
  }

  get address(): string {
    return this.settings.address;
  }

  get running(): boolean {
    return this.#leader !== undefined;
  }

  /** How often it was switched on, reboots from inside included. */
  get boots(): number {
    return this.#boots;
  }

  /** Lays a fresh tree with an identity of its own. */
  async create(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await this.#layTree();
    const {
      address,
      gateway = "",
      machineId,
      hostname = `bare-${this.name}`,
      password,
      authorizedKeys = [],
      user,
      sshd = [],
    } = this.settings;
    await mkdir(join(this.root, "etc/rig"), { recursive: true });
    await writeFile(
      join(this.root, "etc/rig/boot.env"),
      `ADDRESS=${address}\nPREFIX=24\nGATEWAY=${gateway}\n`,
    );
    await writeFile(join(this.root, "etc/hostname"), `${hostname}\n`);
    await writeFile(join(this.root, "etc/hosts"), `127.0.0.1 localhost\n127.0.1.1 ${hostname}\n`);
    await writeFile(join(this.root, "etc/resolv.conf"), `nameserver ${this.#network.operator}\n`);
    await writeFile(
      join(this.root, "etc/machine-id"),
      `${machineId ?? crypto.randomUUID().replaceAll("-", "")}\n`,
    );
    await must("ssh-keygen", [
      "-q",
      "-t",
      "ed25519",
      "-N",
      "",
      "-C",
      this.name,
      "-f",
      join(this.root, "etc/ssh/ssh_host_ed25519_key"),
    ]);
    const lines = [
      ...sshd,
      "PermitRootLogin yes",
      "PasswordAuthentication yes",
      "UseDNS no",
      "HostKey /etc/ssh/ssh_host_ed25519_key",
    ];
    await mkdir(join(this.root, "etc/ssh/sshd_config.d"), { recursive: true });
    await writeFile(join(this.root, "etc/ssh/sshd_config.d/rig.conf"), `${lines.join("\n")}\n`);
    await this.#account("root", password, authorizedKeys, "/root");
    if (user === undefined) return;
    await must("chroot", [this.root, "useradd", "-m", "-s", "/bin/bash", user.name]);
    await this.#account(user.name, user.password, user.authorizedKeys ?? [], `/home/${user.name}`);
    await writeFile(
      join(this.root, `etc/sudoers.d/${user.name}`),
      `${user.name} ALL=(ALL) ${user.sudo === "free" ? "NOPASSWD: " : ""}ALL\n`,
      { mode: 0o440 },
    );
  }

  /** The tree below, shared by all hosts, with this one's changes above; /var is its own, since a runtime's layers can't lie on layers. */
  async #layTree(): Promise<void> {
    const [changes, work, own] = [
      join(this.folder, "changes"),
      join(this.folder, "work"),
      join(this.folder, "var"),
    ];
    for (const folder of [this.root, changes, work]) await mkdir(folder, { recursive: true });
    await must("cp", ["-a", "--reflink=auto", join(this.settings.tree, "var"), own]);
    await must("mount", [
      "-t",
      "overlay",
      "overlay",
      "-o",
      `lowerdir=${this.settings.tree},upperdir=${changes},workdir=${work}`,
      this.root,
    ]);
    await must("mount", ["--bind", own, join(this.root, "var")]);
  }

  async #account(name: string, password: string | undefined, keys: string[], home: string): Promise<void> {
    if (password !== undefined)
      await must("chroot", [this.root, "chpasswd"], { input: `${name}:${password}\n` });
    if (keys.length === 0) return;
    const ssh = join(this.root, home, ".ssh");
    await mkdir(ssh, { recursive: true, mode: 0o700 });
    await writeFile(join(ssh, "authorized_keys"), `${keys.join("\n")}\n`, { mode: 0o600 });
    await must("chroot", [this.root, "chown", "-R", name, `${home}/.ssh`]);
  }

  /** The host key's fingerprint as ssh-keygen and cluster files write it. */
  async fingerprint(): Promise<string> {
    const line = await output("ssh-keygen", [
      "-l",
      "-f",
      join(this.root, "etc/ssh/ssh_host_ed25519_key.pub"),
    ]);
    return line.split(" ")[1] ?? "";
  }

  /** Its line in a known_hosts file. */
  async knownHost(): Promise<string> {
    const [type = "", key = ""] = (
      await readFile(join(this.root, "etc/ssh/ssh_host_ed25519_key.pub"), "utf8")
    ).split(" ");
    return `${this.address} ${type} ${key}`;
  }

  /** Gives it another host key; sshd has to be started anew to use it. */
  async changeHostKey(): Promise<void> {
    const key = join(this.root, "etc/ssh/ssh_host_ed25519_key");
    await must("rm", ["-f", key, `${key}.pub`]);
    await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", this.name, "-f", key]);
    if (this.running) await this.must(["systemctl", "restart", "ssh"]);
  }

  /** Switches it on and waits until its init has started everything. */
  async boot(): Promise<void> {
    this.#groups = await makeGroups(this.#id);
    await writeFile(join(this.folder, "cgroups"), `${this.#groups.join("\n")}\n`);
    await mkdir("/run/systemd/nspawn", { recursive: true });
    await this.#start();
  }

  async #start(): Promise<void> {
    const nspawn = [
      "systemd-nspawn",
      "--quiet",
      `--directory=${this.root}`,
      `--machine=${this.#id}`,
      `--hostname=${await this.#hostname()}`,
    ];
    const [command, args] = inside(this.#network, [
      ...nspawn,
      ...[
        `--network-bridge=${this.#network.bridge}`,
        "--boot",
        "--register=no",
        "--keep-unit",
        "--capability=all",
        "--drop-capability=CAP_SYS_TIME",
        "--system-call-filter=@keyring bpf",
      ],
      ...["--bind=/dev/kmsg", "--link-journal=no", "--console=pipe", "--resolv-conf=off", "--timezone=off"],
    ]);
    const log = openSync(join(this.folder, "console.log"), "a");
    // The machine ends with the process that started it, even when that one is killed.
    const child = spawn(
      "setpriv",
      ["--pdeathsig", "KILL", "--", ...inGroups(this.#groups, [command, ...args])],
      { stdio: ["ignore", log, log] },
    );
    closeSync(log);
    const ended = new Promise<number | null>((resolve) => {
      child.once("error", () => resolve(null));
      child.once("exit", (code) => resolve(code));
    });
    let over = false;
    void ended.then(async (code) => {
      over = true;
      this.#leader = undefined;
      if (code === REBOOT)
        await this.#start().catch((error: Error) =>
          appendFile(join(this.folder, "console.log"), `\nno reboot: ${error.message}\n`),
        );
    });
    const leader = await eventually(`${this.name} to start`, 30, async () => {
      if (over) throw new Error(`${this.name} did not start:\n${await this.console()}`);
      const children = (await run("pgrep", ["-P", String(child.pid)], { timeoutMs: 5000 })).stdout
        .split("\n")
        .filter(Boolean);
      return children.map(Number).find(isInit);
    });
    await writeFile(join(this.folder, "leader"), identityOf(leader));
    this.#leader = leader;
    await this.#settled();
    this.#boots++;
  }

  async #hostname(): Promise<string> {
    return (await readFile(join(this.root, "etc/hostname"), "utf8")).trim();
  }

  async #settled(): Promise<void> {
    await eventually(`${this.name} to be up`, 90, async () => {
      if (this.#leader === undefined)
        throw new Error(`${this.name} ended while starting:\n${await this.console()}`);
      // Asked before the bus is there, it may never hear an answer.
      const { stdout } = await this.exec(["systemctl", "is-system-running"], { timeoutMs: 3000 }).catch(
        () => ({ stdout: "" }),
      );
      return /running|degraded/.test(stdout) || undefined;
    });
  }

  /** The end of what it printed on its console. */
  async console(): Promise<string> {
    return (await readFile(join(this.folder, "console.log"), "utf8").catch(() => ""))
      .split("\n")
      .slice(-40)
      .join("\n");
  }

  /** Runs a command inside, as root, beside whatever goes over SSH. */
  exec(command: string[], options: Partial<ProcessOptions> = {}): Promise<ProcessResult> {
    if (this.#leader === undefined) return Promise.reject(new Error(`${this.name} is switched off`));
    const enter = [
      "nsenter",
      "-t",
      String(this.#leader),
      "-a",
      "env",
      "-i",
      `PATH=${PATH}`,
      "HOME=/root",
      "LC_ALL=C.UTF-8",
      ...command,
    ];
    const [program = "", ...args] = inGroups(this.#groups, enter);
    return run(program, args, { timeoutMs: 60_000, ...options });
  }

  /** The same, where only success will do. @returns its stdout without the last line's end */
  async must(command: string[], options: Partial<ProcessOptions> = {}): Promise<string> {
    const { code, stdout, stderr } = await this.exec(command, options);
    if (code !== 0)
      throw new Error(
        `${this.name}: ${command.join(" ").slice(0, 300)}: exit ${code}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`,
      );
    return stdout.trimEnd();
  }

  /** A shell script inside, where only success will do. */
  sh(script: string, options: Partial<ProcessOptions> = {}): Promise<string> {
    return this.must(["sh", "-c", script], options);
  }

  /** Switches it off as its power button would; after a minute as pulling the plug would. */
  async powerOff(): Promise<void> {
    const leader = this.#leader;
    if (leader === undefined) return;
    kill(leader, POWER_OFF);
    await eventually(`${this.name} to be off`, 60, () => !this.running || undefined).catch(() =>
      this.unplug(),
    );
    await removeGroups(this.#groups);
  }

  /** Ends it at once, as when the power fails. */
  async unplug(): Promise<void> {
    if (this.#leader !== undefined) kill(this.#leader, "SIGKILL");
    await eventually(`${this.name} to be gone`, 20, () => !this.running || undefined);
    await endGroups(this.#groups);
    await removeGroups(this.#groups);
  }

  async reboot(): Promise<void> {
    await this.powerOff();
    await this.boot();
  }

  /** Removes it with everything that it was. */
  async destroy(): Promise<void> {
    await this.unplug();
    await removeHost(this.folder);
  }
}

/** Ends and removes the host whose folder this is, whoever started it; for what an ended run left behind. */
export async function removeHost(folder: string): Promise<void> {
  const lines = async (file: string): Promise<string[]> =>
    (await readFile(join(folder, file), "utf8").catch(() => "")).split("\n").filter(Boolean);
  const [leader] = await lines("leader");
  const living = leader === undefined ? undefined : livingProcess(leader);
  if (living !== undefined) kill(living, "SIGKILL");
  const groups = await lines("cgroups");
  await eventually(`the host of ${folder} to end`, 20, async () => {
    await endGroups(groups);
    return leader === undefined || livingProcess(leader) === undefined || undefined;
  });
  await removeGroups(groups);
  const root = join(folder, "root");
  for (const point of [join(root, "var"), root])
    await must("sh", ["-c", '! mountpoint -q "$0" || umount -l "$0"', point]);
  await must("rm", ["-rf", "--one-file-system", folder]);
}
