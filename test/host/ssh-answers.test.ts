import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, it, test } from "vitest";
import { shippedPath } from "../../src/host/shipped.ts";
import type { SshOptions } from "../../src/host/ssh.ts";
import { explain, type HostKey, readHostKey } from "../../src/host/ssh-answers.ts";
import { Scratch } from "../support/scratch.ts";

const KEY = `SHA256:${"k".repeat(43)}`;
const OTHER = `SHA256:${"o".repeat(43)}`;
const question = (host: string, type = "ED25519", ending = ""): string =>
  `The authenticity of host '${host}' can't be established.\n${type} key fingerprint is ${KEY}.\n${ending}Are you sure you want to continue connecting (yes/no/[fingerprint])? `;

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
  return () => scratch[Symbol.dispose]();
});

describe("ssh's question about a host's key", () => {
  test.each([
    [question("10.0.0.12 (10.0.0.12)"), "10.0.0.12", "ED25519"],
    [question("[10.0.0.12]:2222 ([10.0.0.12]:2222)"), "[10.0.0.12]:2222", "ED25519"],
    [
      question("master1 (fd00::12)", "ECDSA", "This key is not known by any other names.\n"),
      "master1",
      "ECDSA",
    ],
    [question("h (<no hostip for proxy command>)", "RSA"), "h", "RSA"],
    [question("h").replace("SHA256:", "MD5:SHA256:"), "h", "ED25519"],
  ])("is understood: %s", (text, host, type) => {
    scratch.write("host-key", text);
    expect(readHostKey(scratch.dir)).toEqual({ host, type, fingerprint: KEY, question: text });
  });

  test.each(["", "Password: ", "authenticity of host 'x'", question("x").replace(KEY, "SHA256:short")])(
    "is not made of something else: %j",
    (text) => {
      scratch.write("host-key", text);
      expect(readHostKey(scratch.dir)).toBeUndefined();
    },
  );

  it("was perhaps never asked", () => expect(readHostKey(scratch.dir)).toBeUndefined());
});

describe("askpass.sh", () => {
  const ask = (prompt: string, env: Record<string, string> = {}) => {
    const { status, stdout } = spawnSync("sh", [shippedPath("host/askpass.sh"), prompt], {
      encoding: "utf8",
      env: {
        PATH: process.env["PATH"] ?? "",
        AIRGAP_ASK_DIR: scratch.dir,
        AIRGAP_ASK_FOR: "10.0.0.12 master1",
        AIRGAP_ASK_PASSWORD: "pass word",
        AIRGAP_ASK_PASSPHRASE: "phrase",
        AIRGAP_ASK_DIRECT: "yes",
        AIRGAP_ASK_FINGERPRINT: "",
        ...env,
      },
    });
    return { status, stdout };
  };

  it.each([
    ["root@10.0.0.12's password: ", "pass word\n"],
    ["root@master1's password: ", "pass word\n"],
    ["(root@10.0.0.12) Password: ", "pass word\n"],
    ["Password: ", "pass word\n"],
    ["Enter passphrase for key '/root/.ssh/id_ed25519': ", "phrase\n"],
  ])("answers %s", (prompt, answer) => expect(ask(prompt)).toEqual({ status: 0, stdout: answer }));

  it.each([
    "ops@jump's password: ",
    "root@10.0.0.120's password: ",
    "(root@jump) Password: ",
    "root@10.0.0.12.evil's password: ",
  ])("gives no other host the password: %s", (prompt) => {
    const { status, stdout } = ask(prompt);
    expect(stdout).not.toContain("pass");
    expect(status).not.toBe(0);
    expect(readFileSync(scratch.path("other"), "utf8")).toBe(`${prompt}\n`);
  });

  it("says nothing to a prompt without a name when a jump host is in between", () => {
    expect(ask("Password: ", { AIRGAP_ASK_DIRECT: "" }).stdout).toBe("");
  });

  it("accepts the one key that is expected, and puts every question down", () => {
    expect(ask(question("10.0.0.12 (10.0.0.12)")).stdout).toBe("no\n");
    expect(ask(question("10.0.0.12 (10.0.0.12)"), { AIRGAP_ASK_FINGERPRINT: OTHER }).stdout).toBe("no\n");
    expect(ask(question("10.0.0.12 (10.0.0.12)"), { AIRGAP_ASK_FINGERPRINT: KEY }).stdout).toBe("yes\n");
    expect(readHostKey(scratch.dir)).toMatchObject({ fingerprint: KEY });
  });

  it("notes that a passphrase was wanted, never the answer", () => {
    ask("Enter passphrase for key '/k': ");
    expect(existsSync(scratch.path("passphrase"))).toBe(true);
    expect(readFileSync(scratch.path("passphrase"), "utf8")).toBe("Enter passphrase for key '/k': \n");
  });
});

describe("why ssh did not connect", () => {
  const asked: HostKey = { host: "[10.0.0.12]:2222", type: "ED25519", fingerprint: KEY, question: "" };
  const why = (
    stderr: string,
    more: {
      options?: Partial<SshOptions>;
      asked?: HostKey;
      answers?: Record<string, string>;
      port?: number;
    } = {},
  ) =>
    explain({
      target: { name: "master1", address: "10.0.0.12", ...(more.port ? { port: more.port } : {}) },
      resolved: { args: [], names: [], user: "root", direct: true },
      options: { become: { sudo: false }, knownHosts: "/k", ...more.options },
      stderr,
      asked: more.asked,
      read: (name) => more.answers?.[name],
    });
  const DENIED = "root@10.0.0.12: Permission denied (publickey,password).";

  it("a key that changed, with what to type", () => {
    const stderr = `@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nThe fingerprint for the ED25519 key sent by the remote host is\n${OTHER}.\nHost key verification failed.`;
    expect(why(stderr)).toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining(`has changed to ${OTHER}`),
      suggestions: ["when you know why: ssh-keygen -R 10.0.0.12"],
    });
    expect(why(stderr, { port: 2222 }).suggestions[0]).toContain("'[10.0.0.12]:2222'");
  });

  it("a key that nobody knows, or that is not the one that the file says", () => {
    const stderr = "Host key verification failed.";
    expect(why(stderr, { asked })).toMatchObject({
      code: "unauthorized",
      message: `master1: [10.0.0.12]:2222 shows the ED25519 key ${KEY}, which nobody has accepted yet`,
      suggestions: [
        expect.stringContaining(`hostKey: "${KEY}"`),
        "or connect once by hand: ssh -p 2222 10.0.0.12",
      ],
    });
    expect(why(stderr, { asked, options: { fingerprint: OTHER } }).message).toContain(
      `the cluster file says ${OTHER}`,
    );
  });

  it.each([
    [{}, "no key was accepted", "`ssh: { identityFile: …, passwordEnv: NAME }`"],
    [{ options: { password: "x" } }, "the password was refused", "try it by hand"],
    [{ answers: { passphrase: "?" } }, "the key has a passphrase", "passphraseEnv"],
    [
      { answers: { passphrase: "?" }, options: { passphrase: "x" } },
      "the key's passphrase is wrong, or the key was refused",
      "try it by hand",
    ],
    [
      { answers: { other: "ops@jump's password: " } },
      'ssh asked "ops@jump\'s password: ", which is not about this host',
      "try it by hand",
    ],
  ])("a login that was refused: %j", (more, message, suggestion) => {
    const error = why(DENIED, more);
    expect(error).toMatchObject({ code: "unauthorized", message: expect.stringContaining(message) });
    expect(error.message).toContain("(the host takes publickey,password)");
    expect(error.suggestions.join("\n")).toContain(suggestion);
    expect(error.suggestions.at(-1)).toBe("try it by hand: ssh root@10.0.0.12");
  });

  it.each([
    ["ssh: connect to host 10.0.0.12 port 22: Connection refused", "Connection refused"],
    ["ssh: Could not resolve hostname x: Name or service not known", "Could not resolve"],
    ["", "ssh said nothing"],
  ])("no way there: %s", (stderr, message) => {
    expect(why(stderr)).toMatchObject({ code: "network", message: expect.stringContaining(message) });
  });
});
