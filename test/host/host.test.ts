import { spawnSync } from "node:child_process";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, it, test } from "vitest";
import {
  type Become,
  type Output,
  prefixed,
  proveRoot,
  quote,
  shell,
  wholeScript,
} from "../../src/host/host.ts";
import { LocalHost } from "../../src/host/local.ts";
import { run } from "../../src/host/process.ts";
import { shipped, shippedPath } from "../../src/host/shipped.ts";
import { Scratch } from "../support/scratch.ts";

const WORDS = [
  "",
  "plain",
  "two words",
  "it's",
  "''",
  '"',
  "$HOME",
  "`id`",
  "\\",
  "a\nb",
  "*",
  "~",
  "-n",
  "ünïcode 🦜",
  "!",
  "#",
  "a=b",
  ";rm",
  "\t",
];

describe("a word for sh", () => {
  test.each(WORDS)("%j comes back as it was", (word) => {
    for (const program of ["sh", "bash"]) {
      expect(spawnSync(program, ["-c", `printf '%s|' ${quote(word)} end`], { encoding: "utf8" }).stdout).toBe(
        `${word}|end|`,
      );
    }
  });

  it("is bare where that is the same", () => {
    for (const word of ["a-b_c.d/e:f,g@h%i+j=k", "10.0.0.0/8"]) expect(quote(word)).toBe(word);
    expect(quote("a b")).toBe("'a b'");
  });
});

/** sudo in the place of the real one: asks for a password on its stdin when it is told to. */
const SUDO = `#!/bin/sh
while :; do case $1 in -n) n=1 ;; -S) s=1 ;; -p) shift ;; *) break ;; esac; shift; done
if [ "$WANTS" = yes ]; then
  [ -z "\${n-}" ] || { echo 'sudo: a password is required' >&2; exit 1; }
  IFS= read -r p
  [ "$p" = 'right one' ] || { echo 'Sorry, try again.' >&2; echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }
fi
if [ "$1 $2" = 'id -u' ]; then echo 0; else exec "$@"; fi
`;

describe("commands that become root's", () => {
  const withSudo = (
    become: Become,
    script: string,
    wants: "yes" | "no",
  ): { stdout: string; status: number | null } => {
    using scratch = new Scratch();
    spawnSync("mkdir", [scratch.path("bin")]);
    scratch.write("bin/sudo", SUDO);
    spawnSync("chmod", ["755", scratch.path("bin/sudo")]);
    const { line, before } = shell(become);
    const { stdout, status } = spawnSync("sh", ["-c", line], {
      input: before + script,
      encoding: "utf8",
      env: { PATH: `${scratch.path("bin")}:${process.env["PATH"]}`, WANTS: wants },
    });
    return { stdout, status };
  };
  const script = "read x || echo 'no stdin'\necho \"$0 done\"\nexit 3\n";

  test.each<[string, Become, "yes" | "no"]>([
    ["without sudo", { sudo: false }, "no"],
    ["with sudo that asks nothing", { sudo: true }, "no"],
    ["with sudo that asks", { sudo: true, password: "right one" }, "yes"],
    ["with a password that sudo does not want this time", { sudo: true, password: "right one" }, "no"],
  ])("%s: the whole script, with an empty stdin, and its exit code", (_, become, wants) => {
    const { stdout, status } = withSudo(become, wholeScript(script), wants);
    // What arrives in part is not begun.
    expect(withSudo(become, script, wants)).toEqual({ stdout: "", status: 96 });
    expect(stdout).toMatch(/^no stdin\n\S+ done\n$/);
    expect(status).toBe(3);
  });

  it("are not run when sudo refuses", () => {
    expect(withSudo({ sudo: true, password: "wrong" }, wholeScript("echo ran"), "yes").stdout).toBe("");
  });

  it("have nothing of password or script on the command line", () => {
    const { line } = shell({ sudo: true, password: "right one" });
    expect(line).not.toContain("right one");
  });

  const prove = (become: Become, output: Partial<Output>): Promise<void> =>
    proveRoot("node1", become, async () => ({ code: 0, stdout: "", stderr: "", ...output }));

  it.each([
    ["sudo: 1 incorrect password attempt", "sudo refused the password"],
    ["sudo: a password is required", "sudo asks for a password"],
    ["sudo: sorry, you must have a tty to run sudo", "sudo requires a terminal"],
    ["ops is not in the sudoers file.", "the user may not use sudo"],
    ["sh: 1: sudo: not found", "sudo is not installed"],
    ["something else", "commands would not run as root: something else"],
  ])("are proved beforehand: %s", async (stderr, message) => {
    await expect(prove({ sudo: true }, { stderr })).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining(`node1: ${message}`),
      suggestions: [expect.any(String)],
    });
  });

  it("are root's when id says 0, whatever else is printed at login", async () => {
    await prove({ sudo: false }, { stdout: "Welcome to this host\n0\n" });
    await expect(prove({ sudo: false }, { stdout: "1000\n" })).rejects.toMatchObject({
      code: "unauthorized",
    });
  });
});

describe("a stream with something before it", () => {
  it("is whole", async () => {
    expect(await text(Readable.from(prefixed("one\n", Readable.from([Buffer.from("two")]))))).toBe(
      "one\ntwo",
    );
    expect(await text(Readable.from(prefixed("", Readable.from([Buffer.from("two")]))))).toBe("two");
  });
});

describe("programs of this machine", () => {
  it("give what they print, and their exit code", async () => {
    expect(await run("sh", ["-c", "cat; echo err >&2; exit 4"], { input: "in", timeoutMs: 5000 })).toEqual({
      code: 4,
      stdout: "in",
      stderr: "err\n",
    });
    let heard = "";
    await run("printf", ["%s", "ünï"], {
      timeoutMs: 5000,
      onStdout: (part) => {
        heard += part;
      },
    });
    expect(heard).toBe("ünï");
  });

  it("are stopped when they take too long or print too much, and missed when they are not there", async () => {
    await expect(run("sleep", ["10"], { timeoutMs: 50 })).rejects.toThrow(
      "sleep gave no answer within 50 ms",
    );
    await expect(run("yes", [], { timeoutMs: 5000, maxOutput: 10_000 })).rejects.toThrow(
      "yes printed more than 10000 bytes",
    );
    await expect(run("there-is-no-such-program", [], { timeoutMs: 1000 })).rejects.toThrow(
      "spawn there-is-no-such-program",
    );
    const stop = new AbortController();
    const running = run("sleep", ["10"], { timeoutMs: 5000, signal: stop.signal });
    stop.abort();
    await expect(running).rejects.toThrow();
  });

  it("need not read what they are given", async () => {
    expect(await run("true", [], { input: "x".repeat(1 << 20), timeoutMs: 5000 })).toMatchObject({ code: 0 });
  });

  it.runIf(process.getuid?.() === 0)("are a host, when one is root here", async () => {
    const host = await LocalHost.open("here", { sudo: true, password: "not needed" });
    expect(await host.run("read x || echo nothing\nid -u")).toMatchObject({
      code: 0,
      stdout: "nothing\n0\n",
    });
    expect(await host.pipe("cat", Readable.from(["piped"]))).toMatchObject({ stdout: "piped" });
    expect(await host.run("sleep 5", { timeoutMs: 50 })).toMatchObject({ code: null });
    await host.close();
  });
});

describe("files that reach hosts", () => {
  it("are found", () => {
    expect(shipped("host/lib/steps.sh")).toContain("airgap_begin()");
    expect(shippedPath("host/facts.sh")).toMatch(/\/manifests\/host\/facts\.sh$/);
  });
});
