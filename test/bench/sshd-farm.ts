import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/daemon.ts";
import { below } from "./processes.ts";
import { factsOf, type RecordedHost, SECONDS } from "./recorded-site.ts";

/**
 * A real sshd for each host, each at a loopback address of its own with a host key of its own. What it runs is a
 * recorded program in the host's folder. In a mount namespace with a /run of its own: nothing of the machine changes.
 * Needs root.
 */
export class SshdFarm implements AsyncDisposable {
  readonly port: number;
  readonly identityFile: string;
  readonly #dir: string;
  readonly #daemons = new Map<string, ChildProcess>();

  private constructor(dir: string, port: number) {
    this.#dir = dir;
    this.port = port;
    this.identityFile = join(dir, "key");
  }

  /** @param dir a new folder @param hosts get their host keys */
  static async start(dir: string, hosts: RecordedHost[]): Promise<SshdFarm> {
    const farm = new SshdFarm(dir, await freePort());
    mkdirSync(dir, { mode: 0o755 });
    keyAt(farm.identityFile);
    for (const name of ["recorded-host.sh", "recorded-host.awk"])
      copyFileSync(join(import.meta.dirname, name), join(dir, name));
    const times = Object.entries(SECONDS).map(([step, seconds]) => `${step} ${seconds}\n`);
    writeFileSync(join(dir, "times"), times.join(""));
    for (const [i, host] of hosts.entries()) {
      const folder = farm.folder(host.name);
      mkdirSync(folder);
      keyAt(join(folder, "host-key"));
      host.hostKey = fingerprint(join(folder, "host-key.pub"));
      writeFileSync(join(folder, "facts"), factsOf(host, i, "@NOW@"));
      writeFileSync(join(folder, "config"), farm.#config(host));
      farm.#start(host.name, folder);
    }
    try {
      for (const host of hosts) await farm.#answers(host);
    } catch (error) {
      await farm[Symbol.asyncDispose]();
      throw error;
    }
    return farm;
  }

  folder(name: string): string {
    return join(this.#dir, name);
  }

  /** Nothing is done on any host any more. */
  forget(): void {
    for (const name of this.#daemons.keys()) rmSync(join(this.folder(name), "done"), { force: true });
  }

  /** Steps that are done on a host. */
  done(name: string): string[] {
    const file = join(this.folder(name), "done");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }

  /** Makes a host slow: seconds that each of its steps takes longer. */
  slow(name: string, seconds: number): void {
    writeFileSync(join(this.folder(name), "extra"), `${seconds}\n`);
  }

  /** Ends a host's daemon and every connection to it, as a power cut does. */
  async kill(name: string): Promise<void> {
    const daemon = this.#daemons.get(name);
    if (daemon?.pid === undefined) return;
    this.#daemons.delete(name);
    const closed = new Promise((resolve) => daemon.once("close", resolve));
    for (const pid of [...below(daemon.pid), daemon.pid])
      try {
        process.kill(pid, "SIGKILL");
      } catch {}
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#daemons.keys()].map((name) => this.kill(name)));
  }

  #config({ name, address }: RecordedHost): string {
    const folder = this.folder(name);
    return [
      `ListenAddress ${address}:${this.port}`,
      `HostKey ${folder}/host-key`,
      "PidFile none",
      "UsePAM no",
      "PermitRootLogin yes",
      "PasswordAuthentication no",
      "StrictModes no",
      `AuthorizedKeysFile ${this.identityFile}.pub`,
      "PrintMotd no",
      "PermitUserRC no",
      `ForceCommand exec sh ${this.#dir}/recorded-host.sh ${folder}`,
      "",
    ].join("\n");
  }

  #start(name: string, folder: string): void {
    const run = `mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec setpriv --pdeathsig KILL /usr/sbin/sshd -D -E ${folder}/log -f ${folder}/config`;
    this.#daemons.set(
      name,
      spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", run], { stdio: "ignore" }),
    );
  }

  async #answers({ name, address }: RecordedHost): Promise<void> {
    for (let i = 0; i < 600; i++) {
      if (await isOpen(address, this.port)) return;
      await sleep(50);
    }
    throw new Error(
      `the sshd of ${name} does not answer: ${readFileSync(join(this.folder(name), "log"), "utf8")}`,
    );
  }
}

const keyAt = (file: string): Buffer =>
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file]);

const fingerprint = (file: string): string =>
  /SHA256:\S+/.exec(execFileSync("ssh-keygen", ["-lf", file], { encoding: "utf8" }))?.[0] ?? "";

function isOpen(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
