import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const sh = (command: string): string => execFileSync("sh", ["-c", command], { encoding: "utf8" });

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/**
 * A real sshd on loopback in a mount namespace of its own: its users, passwords, sudo rules and
 * host keys are not the machine's. Needs root.
 */
export class Sshd implements AsyncDisposable {
  readonly dir: string;
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(dir: string, port: number, child: ChildProcess) {
    this.dir = dir;
    this.port = port;
    this.#child = child;
  }

  /** @param users name → password; all may use sudo, `free` without a password */
  static async start(users: Record<string, string>, config: string[] = []): Promise<Sshd> {
    const dir = mkdtempSync(join(tmpdir(), "airgap-sshd-"));
    const port = await freePort();
    Sshd.#newHostKey(dir);
    writeFileSync(join(dir, "empty"), "");
    const names = Object.keys(users);
    const homes = names.map(
      (name, i) =>
        `${name}:x:${name === "root" ? "0:0" : `${4242 + i}:4242`}::${join(dir, "home", name)}:/bin/sh`,
    );
    const rest = (file: string): string =>
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line && !names.includes(line.split(":")[0] ?? ""))
        .join("\n");
    writeFileSync(join(dir, "passwd"), `${rest("/etc/passwd")}\n${homes.join("\n")}\n`);
    const hashes = Object.entries(users).map(
      ([name, password]) => `${name}:${sh(`openssl passwd -6 '${password}'`).trim()}:20000:0:99999:7:::`,
    );
    writeFileSync(join(dir, "shadow"), `${rest("/etc/shadow")}\n${hashes.join("\n")}\n`, { mode: 0o600 });
    const rules = names
      .filter((name) => name !== "root" && name !== "powerless")
      .map((name) => `${name} ALL=(ALL) ${name === "free" ? "NOPASSWD: " : ""}ALL`);
    writeFileSync(join(dir, "sudoers"), `Defaults !lecture, timestamp_timeout=0\n${rules.join("\n")}\n`, {
      mode: 0o440,
    });
    for (const [i, name] of names.entries()) {
      mkdirSync(join(dir, "home", name, ".ssh"), { recursive: true, mode: 0o700 });
      if (name !== "root") sh(`chown -R ${4242 + i}:4242 '${join(dir, "home", name)}'`);
    }
    chmodSync(dir, 0o755);
    chmodSync(join(dir, "home"), 0o755);
    writeFileSync(
      join(dir, "config"),
      [
        `Port ${port}`,
        "ListenAddress 127.0.0.1",
        `HostKey ${join(dir, "host-key")}`,
        `PidFile ${join(dir, "pid")}`,
        "UsePAM no",
        "PermitRootLogin yes",
        "StrictModes no",
        "AuthorizedKeysFile .ssh/authorized_keys",
        ...config,
      ].join("\n"),
    );
    const mounts = ["passwd", "shadow", "sudoers"]
      .map((name) => `mount --bind '${join(dir, name)}' /etc/${name}`)
      .join(" && ");
    mkdirSync("/run/sshd", { recursive: true });
    const command = `mount --make-rprivate / && ${mounts} && exec /usr/sbin/sshd -D -e -f '${join(dir, "config")}'`;
    const child = spawn("unshare", ["--mount", "sh", "-c", command], { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => {
      log += chunk.toString();
    });
    for (let i = 0; !(await answers(port)); i++) {
      if (i > 100 || child.exitCode !== null) throw new Error(`sshd did not start: ${log}`);
      await sleep(50);
    }
    return new Sshd(dir, port, child);
  }

  static #newHostKey(dir: string): void {
    rmSync(join(dir, "host-key"), { force: true });
    sh(`ssh-keygen -q -t ed25519 -N '' -f '${join(dir, "host-key")}'`);
  }

  get fingerprint(): string {
    return /SHA256:\S+/.exec(sh(`ssh-keygen -lf '${join(this.dir, "host-key.pub")}'`))?.[0] ?? "";
  }

  /** Another machine at the same address. */
  changeHostKey(): void {
    Sshd.#newHostKey(this.dir);
    this.#child.kill("SIGHUP");
  }

  home(user: string): string {
    return join(this.dir, "home", user);
  }

  /** Makes a key and lets it in. */
  key(user: string, passphrase = ""): string {
    const file = join(this.dir, `key-${user}-${passphrase ? "locked" : "open"}`);
    sh(`ssh-keygen -q -t ed25519 -N '${passphrase}' -f '${file}'`);
    writeFileSync(join(this.home(user), ".ssh/authorized_keys"), readFileSync(`${file}.pub`), {
      flag: "a",
      mode: 0o644,
    });
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await closed;
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
