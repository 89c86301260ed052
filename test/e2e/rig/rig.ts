import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ProcessOptions, ProcessResult } from "../../../src/host/process.ts";
import { run } from "../../../src/host/process.ts";
import { Host, type HostSettings, removeHost } from "./host.ts";
import { inside, makeNetwork, type Network, removeNetwork } from "./network.ts";
import { identityOf, livingProcess } from "./owner.ts";
import { must } from "./shell.ts";
import { debianTree } from "./system/debian.ts";

/** Where rigs keep their hosts' trees while they run; on the disk, since a runtime's layers need a real file system. */
const STATE = process.env["AIRGAP_RIG_STATE"] ?? "/var/tmp/airgap-rig";
const OWN = "airgap-rig-";

type NewHost = Omit<HostSettings, "tree" | "address"> & { tree?: string; address?: string };

/**
 * Isolated hosts on one machine. They reach each other and the operator's address (`network.operator`), and
 * nothing else; the operator's programs run in the same network by `rig.run`.
 */
export class Rig implements AsyncDisposable {
  readonly network: Network;
  readonly folder: string;
  readonly hosts: Host[] = [];
  readonly #id: string;
  #next = 11;

  private constructor(id: string, network: Network) {
    this.#id = id;
    this.network = network;
    this.folder = join(STATE, id);
  }

  /**
   * Makes an empty network, after removing rigs whose process is gone.
   * @param prefix first three numbers of the hosts' /24 network
   */
  static async create(prefix = "10.77.0"): Promise<Rig> {
    await Rig.sweep();
    await makeRoom();
    const id = `${OWN}${process.pid.toString(36)}${Math.floor(Math.random() * 1296).toString(36)}`;
    await mkdir(join(STATE, id), { recursive: true });
    await writeFile(join(STATE, id, "owner"), identityOf(process.pid));
    return new Rig(id, await makeNetwork(id, prefix));
  }

  /** Removes what runs left that ended without doing so. */
  static async sweep(): Promise<void> {
    for (const id of existsSync(STATE) ? await readdir(STATE) : []) {
      const owner = await readFile(join(STATE, id, "owner"), "utf8").catch(() => "");
      if (id.startsWith(OWN) && livingProcess(owner) === undefined) await removeRig(id);
    }
  }

  /** Makes a host and switches it on. Its address is given, or the next one from .11 on. */
  async host(settings: NewHost): Promise<Host> {
    const address = settings.address ?? `${this.network.prefix}.${this.#next++}`;
    const tree = settings.tree ?? (await debianTree());
    const host = new Host(
      { ...settings, address, tree },
      join(this.folder, "hosts", settings.name),
      this.network,
      this.#id,
    );
    this.hosts.push(host);
    await host.create();
    await host.boot();
    return host;
  }

  /** Runs a program on the operator's machine: this machine's files and programs, but only the hosts' network. */
  run(command: string[], options: Partial<ProcessOptions> = {}): Promise<ProcessResult> {
    return run(...inside(this.network, command), { timeoutMs: 60_000, ...options });
  }

  /** Removes all hosts and the network. */
  async destroy(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.unplug()));
    await removeRig(this.#id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }
}

/** Each root of these hosts counts as the machine's one: its limits have to do for all of them. They are raised, never lowered. */
async function makeRoom(): Promise<void> {
  const file = "/proc/sys/fs/inotify/max_user_instances";
  const wanted = 8192;
  if (Number(await readFile(file, "utf8")) < wanted) await writeFile(file, String(wanted));
}

async function removeRig(id: string): Promise<void> {
  const hosts = join(STATE, id, "hosts");
  for (const name of existsSync(hosts) ? await readdir(hosts) : []) await removeHost(join(hosts, name));
  await removeNetwork(id);
  await must("rm", ["-rf", "--one-file-system", join(STATE, id)]);
}
