import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAirgapError } from "../../src/errors.ts";
import { SshHost } from "../../src/host/ssh.ts";
import type { HostKey, SshOptions } from "../../src/host/ssh-options.ts";
import { Sshd } from "../support/sshd.ts";

const PASSWORD = "s3cr3t 'with\"quotes$";
let sshd: Sshd;
let dir: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "airgap-known-"));
  sshd = await Sshd.start({ root: "rootpw", admin: "adminpw", free: "freepw", powerless: "powerlesspw" });
});

afterAll(async () => {
  await sshd[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

function open(user: string, options: Partial<SshOptions> = {}, identityFile?: string): Promise<SshHost> {
  return SshHost.open(
    {
      name: "master1",
      address: "127.0.0.1",
      user,
      port: sshd.port,
      ...(identityFile ? { identityFile } : {}),
    },
    { become: { sudo: false }, knownHosts: join(dir, "known"), fingerprint: sshd.fingerprint, ...options },
  );
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  if (!isAirgapError(error)) throw error;
  return `${error.code}: ${error.message}\n${error.suggestions.join("\n")}`;
}

describe("ssh, against a real sshd", () => {
  it("logs in by password, runs scripts from stdin and shows nothing of them to others", async () => {
    const host = await open("root", { password: "rootpw" });
    const { code, stdout } = await host.run(
      `secret='${PASSWORD.replaceAll("'", "'\\''")}'\nps -ef | grep -c 's3cr3[t]'\nprintf '%s\\n' "$secret"\ncat\nexit 7`,
    );
    expect(code).toBe(7);
    expect(stdout).toBe(`0\n${PASSWORD}\n`);
    expect(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })).not.toContain("rootpw");
    await host.close();
  });

  it("shares one connection, side by side, and streams", async () => {
    const host = await open("root", { password: "rootpw" });
    const outputs = await Promise.all(Array.from({ length: 6 }, (_, i) => host.run(`sleep 0.1; echo ${i}`)));
    expect(outputs.map(({ stdout }) => stdout.trim())).toEqual(["0", "1", "2", "3", "4", "5"]);
    const big = Buffer.alloc(5_000_000, "x");
    const { stdout } = await host.pipe(
      "wc -c",
      Readable.from([big.subarray(0, 3_000_000), big.subarray(3_000_000)]),
    );
    expect(stdout.trim()).toBe("5000000");
    const seen: string[] = [];
    await host.run("echo one; sleep 0.2; echo two", { onStdout: (text) => seen.push(text) });
    expect(seen).toEqual(["one\n", "two\n"]);
    await host.close();
  });

  it("gives a hardened host, which allows four sessions, as many commands as it takes", async () => {
    await using hardened = await Sshd.start({ root: "rootpw" }, ["MaxSessions 4"]);
    const host = await SshHost.open(
      { name: "master1", address: "127.0.0.1", user: "root", port: hardened.port },
      {
        ...{ become: { sudo: false }, knownHosts: join(dir, "hardened"), password: "rootpw" },
        fingerprint: hardened.fingerprint,
      },
    );
    const outputs = await Promise.all(Array.from({ length: 30 }, (_, i) => host.run(`sleep 0.1; echo ${i}`)));
    expect(outputs.map(({ code, stdout }) => `${code} ${stdout.trim()}`)).toEqual(
      Array.from({ length: 30 }, (_, i) => `0 ${i}`),
    );
    await host.close();
  });

  it("logs in by key, with and without a passphrase", async () => {
    const host = await open("root", {}, sshd.key("root"));
    expect((await host.run("id -u")).stdout).toBe("0\n");
    await host.close();
    const locked = sshd.key("root", "opens it");
    const second = await open("root", { passphrase: "opens it" }, locked);
    await second.close();
    expect(await failure(open("root", {}, locked))).toMatch(
      /unauthorized: .*the key has a passphrase[\s\S]*passphraseEnv/,
    );
    expect(await failure(open("root", { passphrase: "wrong" }, locked))).toMatch(/passphrase is wrong/);
  });

  it("logs in by an agent", async () => {
    const key = sshd.key("free");
    const agent = execFileSync("ssh-agent", ["-s"], { encoding: "utf8" });
    const socket = /SSH_AUTH_SOCK=([^;]+)/.exec(agent)?.[1] ?? "";
    const before = process.env["SSH_AUTH_SOCK"];
    process.env["SSH_AUTH_SOCK"] = socket;
    try {
      execFileSync("ssh-add", ["-q", key]);
      const host = await open("free", { become: { sudo: true } });
      expect((await host.run("id -u")).stdout).toBe("0\n");
      await host.close();
    } finally {
      if (before === undefined) delete process.env["SSH_AUTH_SOCK"];
      else process.env["SSH_AUTH_SOCK"] = before;
      process.kill(Number(/SSH_AGENT_PID=(\d+)/.exec(agent)?.[1]));
    }
  });

  it("becomes root by sudo with a password, and without one", async () => {
    const withPassword = await open("admin", {
      password: "adminpw",
      become: { sudo: true, password: "adminpw" },
    });
    expect((await withPassword.run("id -u; cat")).stdout).toBe("0\n");
    expect((await withPassword.pipe("cat", Readable.from([Buffer.from("data\n")]))).stdout).toBe("data\n");
    await withPassword.close();
    // What sudo does not ask for must not run as a command.
    const notAsked = await open("free", {
      password: "freepw",
      become: { sudo: true, password: "touch /tmp/airgap-must-not-exist" },
    });
    expect((await notAsked.run("id -u; cat")).stdout).toBe("0\n");
    expect((await notAsked.run("ls /tmp/airgap-must-not-exist")).code).not.toBe(0);
    await notAsked.close();
  });

  it("says why commands would not run as root", async () => {
    expect(
      await failure(open("admin", { password: "adminpw", become: { sudo: true, password: "wrong" } })),
    ).toMatch(/sudo refused the password[\s\S]*sudoPasswordEnv/);
    expect(await failure(open("admin", { password: "adminpw", become: { sudo: true } }))).toMatch(
      /sudo asks for a password[\s\S]*sudoPasswordEnv/,
    );
    expect(
      await failure(
        open("powerless", { password: "powerlesspw", become: { sudo: true, password: "powerlesspw" } }),
      ),
    ).toMatch(/may not use sudo/);
    expect(await failure(open("admin", { password: "adminpw" }))).toMatch(
      /would not run as root[\s\S]*sudo: true/,
    );
  });

  it("says why it can't log in", async () => {
    const message = await failure(open("root", { password: "wrong" }));
    expect(message).toMatch(
      /^unauthorized: master1: root@127.0.0.1 cannot log in: the password was refused \(the host takes publickey,password/,
    );
    expect(message).not.toContain("wrong");
    expect(await failure(open("root"))).toMatch(/no key was accepted[\s\S]*passwordEnv/);
  });

  it("asks about a host that it meets for the first time, and keeps what was accepted", async () => {
    const home = mkdtempSync(join(tmpdir(), "airgap-home-"));
    const asked: HostKey[] = [];
    const config = join(dir, "asked");
    const ask = (answer: boolean) => async (key: HostKey) => {
      asked.push(key);
      return answer;
    };
    // A fingerprint of undefined: known_hosts decides. ssh keeps it where its own configuration says.
    const target = { name: "master1", address: "127.0.0.1", user: "root", port: sshd.port };
    const options = (confirm: SshOptions["confirm"]): SshOptions => ({
      become: { sudo: false },
      knownHosts: config,
      password: "rootpw",
      ...(confirm ? { confirm } : {}),
    });
    const own = join(process.env["HOME"] ?? "/root", ".ssh/known_hosts");
    execFileSync("sh", [
      "-c",
      `touch '${own}' 2>/dev/null; ssh-keygen -R '[127.0.0.1]:${sshd.port}' >/dev/null 2>&1 || :`,
    ]);
    expect(await failure(SshHost.open(target, options(ask(false))))).toMatch(
      /is not accepted yet[\s\S]*hostKey: "SHA256:/,
    );
    expect(asked[0]).toMatchObject({
      host: `[127.0.0.1]:${sshd.port}`,
      type: "ED25519",
      fingerprint: sshd.fingerprint,
    });
    await (await SshHost.open(target, options(ask(true)))).close();
    expect(asked).toHaveLength(2);
    await (await SshHost.open(target, options(ask(false)))).close();
    expect(asked).toHaveLength(2);
    execFileSync("ssh-keygen", ["-q", "-R", `[127.0.0.1]:${sshd.port}`], { stdio: "ignore" });
    rmSync(home, { recursive: true });
  });

  it("takes no other key than the cluster file's, and notices a changed one", async () => {
    const before = sshd.fingerprint;
    await (await open("root", { password: "rootpw" })).close();
    expect(
      await failure(open("root", { password: "rootpw", fingerprint: `SHA256:${"A".repeat(43)}` })),
    ).toMatch(/the cluster file says SHA256:AAAA/);
    sshd.changeHostKey();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await (await open("root", { password: "rootpw" })).close();
    expect(await failure(open("root", { password: "rootpw", fingerprint: before }))).toContain(
      `has the ED25519 key ${sshd.fingerprint}, but the cluster file says ${before}`,
    );
    // The same fingerprint in the file, another key behind it.
    await (await open("root", { password: "rootpw" })).close();
    const pinned = sshd.fingerprint;
    sshd.changeHostKey();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await failure(open("root", { password: "rootpw", fingerprint: pinned }))).toMatch(/has changed/);
  });

  it("says when the connection breaks", async () => {
    const host = await open("root", { password: "rootpw" });
    expect(
      await failure(
        host.run(
          'p=$$; while [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(ps -o ppid= -p $p | tr -d " "); done; kill -9 $p; sleep 5',
        ),
      ),
    ).toMatch(/^network: master1: the connection broke/);
    await host.close();
  });

  it("makes no connection by itself when the shared one is gone, though a key would let it in", async () => {
    const become = { sudo: true, password: "adminpw" };
    const host = await open("admin", { become }, sshd.key("admin"));
    const [master = ""] = execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes("ssh -M -S ") && line.includes(` -p ${sshd.port} `));
    process.kill(Number.parseInt(master, 10));
    expect(await failure(host.run("id -u"))).toMatch(/^network: master1: the connection broke/);
    await host.close();
  });

  it("leaves no process and no file behind", async () => {
    const connections = (): string[] =>
      execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" })
        .split("\n")
        .filter((line) => line.includes("airgap-ssh-"));
    const others = connections();
    const host = await open("root", { password: "rootpw" });
    await host.close();
    expect(connections().filter((line) => !others.includes(line))).toEqual([]);
    expect(readFileSync(join(dir, "known"), "utf8")).toContain("ssh-ed25519");
  });
});
