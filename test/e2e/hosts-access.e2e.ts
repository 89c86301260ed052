import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scratch } from "../support/scratch.ts";
import { AIRGAP, Box, type ClusterDocument, changesOn, mark, packTool } from "./rig/box.ts";
import type { Host } from "./rig/host.ts";
import { installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { must } from "./rig/shell.ts";
import { hostsArePossible, smallBundle } from "./rig/small.ts";

const word = (name: string): string => `${name}-${Math.random().toString(36).slice(2)}`;
const ROOT = word("root");
const ADMIN = word("admin");
const PASSPHRASE = word("phrase");
const PLAIN = word("plain");
const scratch = new Scratch();

let rig: Rig;
let box: Box;
let bundle = "";
let hosts: Host[] = [];
let [register, node]: Host[] = [];

/** Asks for a whole installation, which must not get as far as the first change. */
async function refused(
  code: number,
  change: (document: ClusterDocument) => void,
  patterns: RegExp[],
  env: Record<string, string> = {},
  flags: string[] = [],
) {
  const cluster = await box.cluster(change);
  await mark(hosts);
  await box.expect(
    code,
    ["install", cluster, "--bundle", bundle, "--skip", "verify", ...flags],
    patterns,
    env,
  );
  expect(await changesOn(hosts)).toEqual([]);
}

/** What a login finds, or why there is none. */
async function check(
  code: number,
  change: (document: ClusterDocument) => void,
  patterns: RegExp[],
  env: Record<string, string> = {},
  flags: string[] = [],
) {
  await box.expect(code, ["hosts", "check", await box.cluster(change), ...flags], patterns, env);
}

const withoutKeys = ({ hosts }: ClusterDocument): void => {
  for (const host of hosts) delete host.hostKey;
};

const asUser =
  (user: string, more: Record<string, unknown>) =>
  (document: ClusterDocument): void => {
    for (const host of document.hosts) if (host.name === "d1") host.ssh = { user, ...more };
  };

async function newKey(name: string, passphrase = ""): Promise<string> {
  const file = join(box.ssh, name);
  if (!existsSync(file))
    await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-C", "operator", "-f", file]);
  return readFileSync(`${file}.pub`, "utf8").trim();
}

const letIn = (host: Host, line: string): Promise<string> =>
  host.sh(
    `mkdir -p -m 700 /root/.ssh && printf '%s\n' '${line}' >>/root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys`,
  );

describe.runIf(hostsArePossible)("ways into hosts", () => {
  beforeAll(async () => {
    await installPrograms();
    await packTool();
    bundle = await smallBundle(scratch.path("connected"), AIRGAP);
    rig = await Rig.create("10.81.0");
    hosts = await Promise.all([
      rig.host({ name: "register", password: ROOT }),
      rig.host({ name: "d1", password: ROOT, user: { name: "admin", password: ADMIN, sudo: "password" } }),
    ]);
    [register, node] = hosts as [Host, Host];
    await node.sh(`
      useradd -m -s /bin/bash free; useradd -m -s /bin/bash plain
      printf 'free:${ADMIN}\nplain:${PLAIN}\n' | chpasswd
      echo 'free ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/free; chmod 440 /etc/sudoers.d/free`);
    box = new Box(
      rig,
      scratch.path("site"),
      [
        [node, "control-plane"],
        [register, "registry"],
      ],
      { AIRGAP_SSH_PASSWORD: ROOT },
    );
  });

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]();
  });

  it("a wrong password: each host is named, and the way to try it by hand", async () => {
    await refused(
      1,
      () => {},
      [
        /Cannot work on 2 hosts:/,
        /d1: root@10\.81\.0\.12 cannot log in: the password was refused \(the host takes publickey,password\)/,
        /register: root@10\.81\.0\.11 cannot log in/,
        /try it by hand: ssh root@10\.81\.0\.12/,
      ],
      { AIRGAP_SSH_PASSWORD: "wrong-one" },
    );
  });

  it("no password where the cluster file names its variable", async () => {
    await refused(1, () => {}, [/no key was accepted/, /export AIRGAP_SSH_PASSWORD=/], {
      AIRGAP_SSH_PASSWORD: "",
    });
  });

  it("a host key that nobody has accepted, and nobody to ask", async () => {
    const fingerprint = await node?.fingerprint();
    const literal = fingerprint?.replace(/[+/]/g, "\\$&");
    const patterns = [
      /d1: .*is not accepted yet/,
      new RegExp(`hostKey: "${literal}"`),
      /--accept-new-host-keys/,
    ];
    await refused(1, withoutKeys, patterns);
    await refused(1, withoutKeys, patterns, { AIRGAP_YES: "true" });
    await refused(1, withoutKeys, patterns, {}, ["--yes"]);
    const shown = new RegExp(`d1 \\(10\\.81\\.0\\.12\\) has the ED25519 key ${literal}`);
    await refused(1, withoutKeys, patterns, { AIRGAP_ACCEPT_NEW_HOST_KEYS: "true" });
    await check(0, withoutKeys, [/d1: Debian/, shown], {}, ["--accept-new-host-keys"]);
    // What was accepted once is known.
    await check(0, withoutKeys, [/d1: Debian/]);
  });

  it("a host key that is another than before", async () => {
    const cluster = await box.cluster();
    await node?.changeHostKey();
    await box.expect(
      3,
      ["install", cluster, "--bundle", bundle],
      [
        /d1: .*the host key of 10\.81\.0\.12 has changed to SHA256:/,
        /write it into the cluster file: hostKey: "SHA256:/,
      ],
    );
    await refused(3, withoutKeys, [
      /d1: unreachable: the host key of 10\.81\.0\.12 has changed to SHA256:/,
      /ssh-keygen -R 10\.81\.0\.12/,
    ]);
    expect((await box.run(["ssh-keygen", "-R", "10.81.0.12"])).code).toBe(0);
    await check(0, () => {}, [/d1: Debian/]);
  });

  it("a user with sudo and a password for it", async () => {
    const env = { ADMIN_PASSWORD: ADMIN };
    const admin = (more: Record<string, unknown>) =>
      asUser("admin", { passwordEnv: "ADMIN_PASSWORD", ...more });
    await check(0, admin({ sudo: true, sudoPasswordEnv: "ADMIN_PASSWORD" }), [/d1: Debian/], env);
    await refused(
      3,
      admin({ sudo: true, sudoPasswordEnv: "WRONG" }),
      [
        /d1: unreachable: sudo refused the password/,
        /correct the password in the variable that `sudoPasswordEnv` names/,
      ],
      {
        ...env,
        WRONG: "wrong",
      },
    );
    await refused(
      3,
      admin({ sudo: true }),
      [/d1: unreachable: sudo asks for a password/, /sudoPasswordEnv: NAME/],
      env,
    );
    await refused(3, admin({}), [/d1: unreachable: commands would not run as root/, /sudo: true/], env);
    await refused(
      2,
      admin({ sudo: true, sudoPasswordEnv: "UNSET" }),
      [/names the variable UNSET, which is not set/, /export UNSET=/],
      env,
    );
  });

  it("a user with sudo without a password, and one who may not use it", async () => {
    await check(0, asUser("free", { passwordEnv: "ADMIN_PASSWORD", sudo: true }), [/d1: Debian/], {
      ADMIN_PASSWORD: ADMIN,
    });
    const plain = asUser("plain", {
      passwordEnv: "PLAIN_PASSWORD",
      sudo: true,
      sudoPasswordEnv: "PLAIN_PASSWORD",
    });
    await refused(
      3,
      plain,
      [/d1: unreachable: the user may not use sudo/, /log in as root, or add the user to the host's sudoers/],
      { PLAIN_PASSWORD: PLAIN },
    );
  });

  it("what a sudo user installs is root's, and can be taken back", async () => {
    const env = { ADMIN_PASSWORD: ADMIN };
    const cluster = await box.cluster(
      asUser("admin", { passwordEnv: "ADMIN_PASSWORD", sudo: true, sudoPasswordEnv: "ADMIN_PASSWORD" }),
    );
    await box.expect(
      0,
      ["install", cluster, "--bundle", bundle, "--only", "hosts", "--only", "trust"],
      [/steps were applied/],
      env,
    );
    expect(await node?.sh("stat -c '%U:%G %a' /etc/airgap/ca.crt /etc/hosts")).toBe(
      "root:root 644\nroot:root 644",
    );
    await box.expect(0, ["reset", cluster, "--yes"], [/d1: \d+ steps undone/], env);
  });

  it("a key with a passphrase", async () => {
    const line = await newKey("locked", PASSPHRASE);
    for (const host of hosts) await letIn(host, line);
    const locked = (more: Record<string, unknown>) => (document: ClusterDocument) => {
      document.ssh = { user: "root", identityFile: "~/.ssh/locked", ...more };
    };
    await check(0, locked({ passphraseEnv: "PHRASE" }), [/d1: Debian/], { PHRASE: PASSPHRASE });
    await refused(1, locked({}), [/the key has a passphrase/, /passphraseEnv: NAME/]);
    await refused(1, locked({ passphraseEnv: "PHRASE" }), [/the key's passphrase is wrong/], {
      PHRASE: "wrong",
    });
  });

  it("a key in an agent", async () => {
    const line = await newKey("in-agent");
    for (const host of hosts) await letIn(host, line);
    const cluster = await box.cluster((document) => {
      document.ssh = { user: "root" };
    });
    // The agent ends with the command that it is there for.
    const script =
      'ssh-add -q "$1"; mv "$1" "$1.away"; "$2" hosts check "$3"; code=$?; mv "$1.away" "$1"; exit "$code"';
    const { code, stdout, stderr } = await box.run([
      "ssh-agent",
      "sh",
      "-c",
      script,
      "sh",
      box.path("in-agent"),
      AIRGAP,
      cluster,
    ]);
    expect(`${code} ${stdout}${stderr}`).toMatch(/^0 d1: Debian/);
    await box.expect(1, ["hosts", "check", cluster], [/no key was accepted/]);
  });

  it("through a host in between, as ~/.ssh/config has it", async () => {
    const line = await newKey("jump");
    await letIn(register as Host, line);
    const key = box.path("jump");
    box.sshFile(
      "config",
      `Host 10.81.0.12\n  ProxyJump root@10.81.0.11\nHost 10.81.0.11\n  IdentityFile ${key}\n  IdentitiesOnly yes\n  StrictHostKeyChecking accept-new\n`,
    );
    const file = await box.cluster();
    const [, before] =
      /^-- cursor: (.+)$/m.exec(
        (await node?.sh("journalctl --sync; journalctl -u ssh --no-pager -n 1 --show-cursor")) ?? "",
      ) ?? [];
    await box.expect(0, ["hosts", "check", file, "--hosts", "d1"], [/d1: Debian/]);
    const journal = await node?.sh(
      `journalctl --sync; journalctl -u ssh --no-pager -o cat --after-cursor '${before}'`,
    );
    expect(journal).toMatch(/Accepted password for root from 10\.81\.0\.11/);
    expect(journal).not.toMatch(/from 10\.81\.0\.1 /);
    box.sshFile("config", "");
  });

  it("by password once, and by key from then on", async () => {
    const keyed = (document: ClusterDocument): void => {
      document.ssh = { user: "root", identityFile: "~/.ssh/site", passwordEnv: "AIRGAP_SSH_PASSWORD" };
    };
    const cluster = await box.cluster(keyed);
    await box.expect(1, ["hosts", "check", cluster], [/cannot log in/], { AIRGAP_SSH_PASSWORD: "" });
    await box.expect(
      0,
      ["hosts", "authorize", cluster],
      [/d1: \S+\/site is now installed for root/, /register: \S+\/site is now installed for root/],
    );
    await box.expect(0, ["hosts", "authorize", cluster], [/d1: \S+\/site was already installed for root/]);
    await box.expect(0, ["hosts", "check", cluster], [/d1: Debian/], { AIRGAP_SSH_PASSWORD: "" });
    expect(await node?.sh("stat -c %a /root/.ssh /root/.ssh/authorized_keys")).toBe("700\n600");
    expect(await node?.sh("sort /root/.ssh/authorized_keys | uniq -d")).toBe("");
  });

  it("for a user with sudo too", async () => {
    const user = asUser("admin", {
      identityFile: "~/.ssh/site",
      passwordEnv: "ADMIN_PASSWORD",
      sudo: true,
      sudoPasswordEnv: "ADMIN_PASSWORD",
    });
    const cluster = await box.cluster(user);
    await box.expect(
      0,
      ["hosts", "authorize", cluster, "--hosts", "d1"],
      [/d1: \S+\/site is now installed for admin/],
      { ADMIN_PASSWORD: ADMIN },
    );
    expect(await node?.sh("stat -c '%U %a' /home/admin/.ssh /home/admin/.ssh/authorized_keys")).toBe(
      "admin 700\nadmin 600",
    );
  });

  it("as the user whom ~/.ssh/config names", async () => {
    box.sshFile("config", "Host 10.81.0.12\n  User admin\n");
    const cluster = await box.cluster((document) => {
      document.ssh = { identityFile: "~/.ssh/site", sudo: true, sudoPasswordEnv: "ADMIN_PASSWORD" };
    });
    await box.expect(
      0,
      ["hosts", "authorize", cluster, "--hosts", "d1"],
      [/d1: \S+\/site was already installed for admin/],
      { ADMIN_PASSWORD: ADMIN },
    );
    box.sshFile("config", "");
  });

  it("no password and no key is where it does not belong", async () => {
    const secrets = [ROOT, ADMIN, PLAIN, PASSPHRASE];
    for (const name of ["locked", "in-agent", "jump", "site"])
      secrets.push(...readFileSync(join(box.ssh, name), "utf8").split("\n").slice(3, -2));
    const patterns = secrets.map((secret) => `${secret}\n`).join("");
    for (const host of hosts) {
      const found = await host.must(
        [
          "sh",
          "-c",
          "cat >/run/secrets; grep -rlsF -f /run/secrets /etc /var /root /home /opt || :; journalctl --no-pager | grep -F -f /run/secrets || :; rm /run/secrets",
        ],
        { input: patterns },
      );
      expect(found).toBe("");
    }
    const { stdout } = await must(
      "sh",
      [
        "-c",
        'grep -rlsF -f - "$0" "$1" || :',
        join(scratch.dir, "site", ".airgap"),
        scratch.path("connected"),
      ],
      {
        input: patterns,
      },
    );
    expect(stdout).toBe("");
  });
});
