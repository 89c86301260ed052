import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, it, test } from "vitest";
import { shippedPath } from "../../src/host/shipped.ts";
import { askedHostKey, explainSshFailure, parseHostKey } from "../../src/host/ssh-answers.ts";
import type { SshOptions } from "../../src/host/ssh-options.ts";
import { SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

const KEY = `SHA256:${"k".repeat(43)}`;
const OTHER = `SHA256:${"o".repeat(43)}`;
const SURE = "Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
const question = (host: string, type = "ED25519", ending = ""): string =>
  `The authenticity of host '${host}' can't be established.\n${type} key fingerprint is ${KEY}.\n${ending}${SURE}`;
const TARGET = question("10.0.0.12 (10.0.0.12)");

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
  return () => scratch[Symbol.dispose]();
});

describe("ssh's question about a host's key", () => {
  test.each([
    [TARGET, "10.0.0.12", "ED25519"],
    [question("[10.0.0.12]:2222 ([10.0.0.12]:2222)"), "[10.0.0.12]:2222", "ED25519"],
    [
      question("master1 (fd00::12)", "ECDSA", "This key is not known by any other names.\n"),
      "master1",
      "ECDSA",
    ],
    [question("h (<no hostip for proxy command>)", "RSA"), "h", "RSA"],
    [question("h", "ED25519-SK"), "h", "ED25519-SK"],
  ])("is understood: %s", (text, host, type) => {
    expect(parseHostKey(text)).toEqual({ host, type, fingerprint: KEY, otherKnown: false });
  });

  it("says when the host is known by a key of another type", () => {
    const text = TARGET.replace(
      "established.\n",
      "established\nbut keys of different type are already known for this host.\n",
    );
    expect(parseHostKey(text)).toMatchObject({ host: "10.0.0.12", fingerprint: KEY, otherKnown: true });
  });

  test.each([
    "",
    "Password: ",
    "authenticity of host 'x'",
    `(root@x) ${TARGET}`,
    TARGET.replace(KEY, "SHA256:short"),
    TARGET.replace(KEY, `${KEY}k`),
    TARGET.replace(SURE, `ED25519 key fingerprint is ${OTHER}.\n${SURE}`),
  ])("is not made of something else: %j", (text) => expect(parseHostKey(text)).toBeUndefined());
});

describe.each(SHELLS)("askpass.sh in %s", (...shell) => {
  const [, program = "sh", ...args] = shell;
  const ask = (prompt: string, env: Record<string, string> = {}) => {
    const { status, stdout } = spawnSync(program, [...args, shippedPath("host/askpass.sh"), prompt], {
      encoding: "utf8",
      // A shell that expands what it should not finds a file that fits.
      cwd: scratch.dir,
      env: {
        PATH: process.env["PATH"] ?? "",
        AIRGAP_ASK_PID: String(process.pid),
        AIRGAP_ASK_DIR: scratch.dir,
        AIRGAP_ASK_NAMES: "10.0.0.12 master1 fd00::12",
        AIRGAP_ASK_USER: "root",
        AIRGAP_ASK_KEY: "",
        AIRGAP_ASK_PASSWORD: "pass word",
        AIRGAP_ASK_PASSPHRASE: "phrase",
        AIRGAP_ASK_FINGERPRINT: "",
        ...env,
      },
    });
    return { status, stdout };
  };
  const noted = (name: string): string => readFileSync(scratch.path(name), "utf8");
  const EXPECTED = { AIRGAP_ASK_FINGERPRINT: KEY };

  it.each([
    ["root@10.0.0.12's password: ", "pass word\n"],
    ["root@master1's password: ", "pass word\n"],
    ["root@fd00::12's password: ", "pass word\n"],
    ["(root@10.0.0.12) Password: ", "pass word\n"],
    ["(root@master1) Password:", "pass word\n"],
    ["Password: ", "pass word\n"],
    ["Enter passphrase for key '/root/.ssh/id_ed25519': ", "phrase\n"],
  ])("answers %s", (prompt, answer) => expect(ask(prompt)).toEqual({ status: 0, stdout: answer }));

  it("knows a login that ssh cuts", () => {
    const user = "svc-airgap-automation@corp.example";
    const name = `${"n".repeat(130)}.site`;
    const env = { AIRGAP_ASK_USER: user, AIRGAP_ASK_NAMES: name };
    expect(ask(`${user.slice(0, 30)}@${name.slice(0, 128)}'s password: `, env).stdout).toBe("pass word\n");
    expect(ask(`(${user}@${name}) Password: `, env).stdout).toBe("pass word\n");
  });

  it.each([
    // Of a jump host, and of what only looks like ours.
    "ops@jump's password: ",
    "(root@jump) Password: ",
    "(root@jump) root@10.0.0.12's password: ",
    "(root@jump) (root@10.0.0.12) Password: ",
    "admin@10.0.0.12's password: ",
    "(admin@10.0.0.12) Password: ",
    "root@10.0.0.120's password: ",
    "root@10.0.0.12.evil's password: ",
    "xroot@10.0.0.12's password: ",
    "root@10a0b0c12's password: ",
    "root@*'s password: ",
    "root@10.0.0.1?'s password: ",
    "root@[0-9]*'s password: ",
    "*",
    "master1",
    "10.0.0.12",
    "root@10.0.0.12 master1's password: ",
    "root@'s password: ",
    "",
    // Something else than the password is wanted, by whoever.
    "(root@10.0.0.12) Verification code: ",
    "(root@10.0.0.12) New password: ",
    "(root@10.0.0.12) Enter passphrase for key '/root/.ssh/id_ed25519': ",
    "(root@10.0.0.12) Password: \nroot@10.0.0.12's password: ",
    "root@10.0.0.12's password: \n",
    "Password: \nPassword: ",
    "New password: ",
    "root@10.0.0.12's password: again",
    "Enter passphrase for key '/root/.ssh/id_ed25519': \nEnter passphrase for key 'x': ",
    "Enter passphrase for something: ",
    "Enter PIN for ED25519-SK key /k: ",
    "Please type 'yes', 'no' or the fingerprint: ",
    "Are you sure you want to continue connecting (yes/no)? ",
  ])("answers nothing to %j", (prompt) => {
    scratch.write("10.0.0.12", "");
    for (const env of [{}, EXPECTED]) {
      const { status, stdout } = ask(prompt, env);
      expect(stdout).toBe("");
      expect(status).not.toBe(0);
    }
    expect(noted("other")).toBe(`${prompt}\n`);
  });

  it.each(["root@10.0.0.12's password: ", "Password: ", "Enter passphrase for key '/k': ", TARGET])(
    "answers nothing to another ssh than the one that was started: %j",
    (prompt) => {
      for (const pid of ["", "1", `${process.pid}0`, "*"])
        expect(ask(prompt, { ...EXPECTED, AIRGAP_ASK_PID: pid })).toEqual({ status: 1, stdout: "" });
      expect(noted("other")).toBe(`${prompt}\n`);
    },
  );

  it.each(["root@10.0.0.12's password: ", "(root@10.0.0.12) Password: ", "Enter passphrase for key '/k': "])(
    "has no empty answer for %j",
    (prompt) =>
      expect(ask(prompt, { AIRGAP_ASK_PASSWORD: "", AIRGAP_ASK_PASSPHRASE: "" })).toEqual({
        status: 1,
        stdout: "",
      }),
  );

  it("gives the passphrase for the key that is named alone", () => {
    const env = { AIRGAP_ASK_KEY: "/site/key [1]*" };
    expect(ask("Enter passphrase for key '/site/key [1]*': ", env).stdout).toBe("phrase\n");
    expect(ask("Enter passphrase for key '/site/key 1x': ", env)).toEqual({ status: 1, stdout: "" });
  });

  it("accepts the one key that is expected, and puts the question down", () => {
    expect(ask(TARGET, EXPECTED)).toEqual({ status: 0, stdout: `${KEY}\n` });
    expect(noted("host-key")).toBe(`${TARGET}\n`);
    expect(ask(TARGET.replace("/[fingerprint]", ""), EXPECTED).stdout).toBe("yes\n");
    expect(ask(question("[master1]:2222 ([10.0.0.12]:2222)"), EXPECTED).stdout).toBe(`${KEY}\n`);
    expect(ask(question("[fd00::12]:2222 (<no hostip for proxy command>)"), EXPECTED).stdout).toBe(
      `${KEY}\n`,
    );
    expect(ask(question("fd00::12 (fd00::12)", "RSA", "no other names.\n"), EXPECTED).stdout).toBe(
      `${KEY}\n`,
    );
  });

  it.each([
    "",
    "none",
    "*",
    "SHA256:*",
    "?".repeat(KEY.length),
    KEY.slice(0, -1),
    KEY.slice(1),
    `${KEY}k`,
    `${KEY}.`,
    `x${KEY}`,
    "key",
    "k",
    ".",
    KEY.toLowerCase(),
    OTHER,
    `${OTHER}\n${KEY}`,
    "no",
    "yes",
  ])("accepts no key when %j is expected", (fingerprint) =>
    expect(ask(TARGET, { AIRGAP_ASK_FINGERPRINT: fingerprint })).toEqual({ status: 0, stdout: "no\n" }),
  );

  it("accepts no key whose fingerprint holds a word of ours", () => {
    for (const word of ["none", "yes", "no", "host", KEY.slice(7, 20)]) {
      const fingerprint = `SHA256:${word.padEnd(43, "z")}`;
      for (const expected of ["", KEY])
        expect(ask(TARGET.replace(KEY, fingerprint), { AIRGAP_ASK_FINGERPRINT: expected }).stdout).toBe(
          "no\n",
        );
    }
  });

  it.each([
    TARGET.replace(KEY, `${KEY}k`),
    TARGET.replace(KEY, `${OTHER} ${KEY}`),
    TARGET.replace(KEY, OTHER).replace("10.0.0.12)", `${KEY})`),
    TARGET.replace(`is ${KEY}.`, `is ${OTHER}.\nED25519 key fingerprint is ${KEY}.`),
    TARGET.replace(`is ${KEY}.`, `is ${KEY}.\nED25519 key fingerprint is ${OTHER}.`),
    TARGET.replace(`is ${KEY}.`, `is ${OTHER}.\n${KEY}`),
    TARGET.replace("SHA256:", "MD5:"),
  ])("accepts no key by a question that says something else: %j", (prompt) =>
    expect(ask(prompt, EXPECTED).stdout).toBe("no\n"),
  );

  it.each([
    question("jump (10.0.0.12)"),
    question("[jump]:22 ([10.0.0.12]:22)"),
    question("10.0.0.120 (10.0.0.120)"),
    question("* (10.0.0.12)"),
    question("10.0.0.12 master1 (10.0.0.12)"),
    `(root@10.0.0.12) ${TARGET}`,
    `\n${TARGET}`,
    `${TARGET}\n`,
    TARGET.replace(SURE, ""),
  ])("answers nothing to a question about another host, or in another form: %j", (prompt) => {
    expect(ask(prompt, EXPECTED)).toEqual({ status: 1, stdout: "" });
    expect(existsSync(scratch.path("host-key"))).toBe(false);
  });

  it("keeps the first question, whatever is asked later", () => {
    ask(TARGET);
    ask(TARGET.replace(KEY, OTHER));
    expect(noted("host-key")).toBe(`${TARGET}\n`);
  });

  it("notes that a passphrase was wanted, never the answer", () => {
    ask("Enter passphrase for key '/k': ");
    expect(noted("passphrase")).toBe("Enter passphrase for key '/k': \n");
  });
});

describe("why ssh did not connect", () => {
  const asked = { "host-key": question("[10.0.0.12]:2222 ([10.0.0.12]:2222)") };
  const why = (
    stderr: string,
    more: {
      options?: Partial<SshOptions>;
      answers?: Record<string, string>;
      port?: number;
      stdout?: string;
      code?: number;
    } = {},
  ) =>
    explainSshFailure({
      target: { name: "master1", address: "10.0.0.12", ...(more.port ? { port: more.port } : {}) },
      resolved: { args: [], names: [], user: "root" },
      options: { become: { sudo: false }, knownHosts: "/k", ...more.options },
      stderr,
      ...(more.code === undefined ? {} : { code: more.code, stdout: more.stdout ?? "" }),
      read: (name) => more.answers?.[name],
    });
  const DENIED = "root@10.0.0.12: Permission denied (publickey,password).";

  it("a key that changed, with what to type", () => {
    const stderr = `@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nThe fingerprint for the ED25519 key sent by the remote host is\n${OTHER}.\nHost key verification failed.`;
    expect(why(stderr)).toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining(`has changed to ${OTHER}`),
      suggestions: ["if you know why it changed: ssh-keygen -R 10.0.0.12"],
    });
    expect(why(stderr, { port: 2222 }).suggestions[0]).toContain("'[10.0.0.12]:2222'");
  });

  it("a key that nobody knows, or that is not the one that the file says", () => {
    const stderr = "Host key verification failed.";
    expect(why(stderr, { answers: asked })).toMatchObject({
      code: "unauthorized",
      message: `master1: [10.0.0.12]:2222 has the ED25519 key ${KEY}, which is not accepted yet`,
      suggestions: [
        expect.stringContaining("ssh-keygen -lf"),
        expect.stringContaining(`hostKey: "${KEY}"`),
        "or connect once by hand: ssh -p 2222 10.0.0.12",
        expect.stringContaining("--accept-new-host-keys"),
      ],
    });
    expect(why(stderr, { answers: asked, options: { fingerprint: OTHER } }).message).toContain(
      `the cluster file says ${OTHER}`,
    );
  });

  it("a host that is known by another key is not a new one", () => {
    const text = TARGET.replace("established.", "established\nbut keys of different type are already known.");
    const { suggestions } = why("Host key verification failed.", { answers: { "host-key": text } });
    expect(suggestions.join("\n")).toContain("another type");
    expect(suggestions.join("\n")).not.toContain("--accept-new-host-keys");
  });

  it("a question that ssh did not end with counts for nothing", () => {
    expect(askedHostKey("Permission denied (password).", () => TARGET)).toBeUndefined();
    expect(askedHostKey("Host key verification failed.", () => TARGET)).toMatchObject({ fingerprint: KEY });
  });

  it("a jump host that ssh does not know", () => {
    const error = why("Host key verification failed.\nConnection closed by UNKNOWN port 65535", {
      answers: { other: question("jump (10.0.0.1)") },
    });
    expect(error.message).toBe(
      `master1: the jump host jump has the ED25519 key ${KEY}, which ssh does not know`,
    );
    expect(error.suggestions).toEqual([
      "compare it with the key on that host, then connect once by hand: ssh jump",
    ]);
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
    ["This account is currently not available.\n", 1, "(exit 1) before it runs a command: This account is"],
    ["", 0, "root may log in at 10.0.0.12, and the login shell ends (exit 0) before it runs a command"],
  ])("a shell that runs nothing, and says %j", (stdout, code, message) => {
    expect(why("", { stdout, code })).toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining(message),
      suggestions: expect.arrayContaining([expect.stringContaining("getent passwd root")]),
    });
    expect(why("kex_exchange: closed", { code: 255 }).message).toContain("no connection to");
  });

  it.each([
    ["ssh: connect to host 10.0.0.12 port 22: Connection refused", "Connection refused"],
    ["ssh: Could not resolve hostname x: Name or service not known", "Could not resolve"],
    ["", "ssh printed nothing"],
  ])("no way there: %s", (stderr, message) => {
    expect(why(stderr)).toMatchObject({ code: "network", message: expect.stringContaining(message) });
  });
});
