import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { quote } from "../../src/host/host.ts";
import { libraryIn, type Ran, runShell, SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const NAMES = [
  "plain.conf",
  "with space",
  "it's",
  '"quoted"',
  "-n",
  "star*[a]",
  "$HOME",
  "back\\slash",
  "ünïcode 🦜",
  ".hidden",
  "a/deeper/one",
];

describe.each(SHELLS)("steps.sh by %s", (...shell) => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = new Scratch();
    mkdirSync(scratch.path("etc"));
    return () => scratch[Symbol.dispose]();
  });
  const path = (name: string): string => scratch.path(`etc/${name}`);
  const kept = (file: string): string => scratch.path(`kept/before${file}`);
  const sh = (script: string, mode?: "check"): Ran =>
    runShell(shell, `${libraryIn(scratch.dir, mode)}${script}\n`);
  const good = (script: string): string => {
    const { code, output } = sh(`set -e\n${script}`);
    expect(code, output).toBe(0);
    return output;
  };
  const there = (name: string, text: string, mode = 0o644): string => {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), text);
    chmodSync(path(name), mode);
    return path(name);
  };
  const read = (name: string): string => readFileSync(path(name), "utf8");
  const mode = (name: string): number => statSync(path(name)).mode & 0o777;
  const put = (name: string, text: string, octal = "644"): string =>
    good(`put ${quote(path(name))} ${octal} <<'AIRGAP'\n${text}AIRGAP`);

  describe("put, same and give_back", () => {
    const file = (name: string): string => quote(path(name));
    /** The same for every name, in one script. */
    const each = (script: (name: string) => string): string => good(NAMES.map(script).join("\n"));
    const putting = (text: string, octal: string) => (name: string) =>
      `put ${file(name)} ${octal} <<'AIRGAP'\n${text}AIRGAP`;
    const states = (): [string, number][] => NAMES.map((name) => [read(name), mode(name)]);
    const all = (text: string, octal: number): [string, number][] => NAMES.map(() => [text, octal]);

    it("of names of every kind", () => {
      const [one, two] = ["one\n\n  $two `three` \\n 'four'\n", "other\n"];
      for (const name of NAMES) there(name, "theirs\n", 0o640);
      each(putting(one, "600"));
      expect(states()).toEqual(all(one, 0o600));
      each(
        (name) =>
          `same ${file(name)} 600 ${sha256(one)}\n! same ${file(name)} 644 ${sha256(one)} || exit 1\n! same ${file(name)} 600 ${sha256(two)} || exit 1`,
      );
      each(putting(two, "644"));
      each(putting(two, "644"));
      expect(states()).toEqual(all(two, 0o644));
      // What was there before our first change, not before the last one.
      each((name) => `give_back ${file(name)}`);
      expect(states()).toEqual(all("theirs\n", 0o640));
      each((name) => `give_back ${file(name)}`);
      expect(states()).toEqual(all("theirs\n", 0o640));
      for (const name of NAMES) expect(existsSync(kept(path(name)))).toBe(false);
    });

    it("of files that were not there", () => {
      for (const text of ["ours\n", "ours again\n"]) each(putting(text, "644"));
      for (const _ of [1, 2]) {
        each((name) => `give_back ${file(name)}`);
        for (const name of NAMES) expect(existsSync(path(name))).toBe(false);
      }
      each((name) => `${putting("ours\n", "644")(name)}\ngive_back ${file(name)}`);
      for (const name of NAMES) expect(existsSync(path(name))).toBe(false);
    });

    it("keep bytes as they are: no line feed at the end, none at all", () => {
      for (const [name, text] of [
        ["open", "no line feed"],
        ["empty", ""],
        ["zeros", "a\0b\r\n"],
      ] as const) {
        there(name, text);
        put(name, "ours\n");
        good(`give_back ${quote(path(name))}`);
        expect(read(name)).toBe(text);
      }
    });

    it("leave nobody a moment to read a secret, and nothing half written", () => {
      there("secret", "theirs\n", 0o644);
      put("secret", "ours\n", "600");
      expect(readdirSync(scratch.path("etc"))).toEqual(["secret"]);
      expect(statSync(scratch.path("kept/before")).mode & 0o777).toBe(0o700);
      // A try that was cut off left this behind; a link there must not be followed.
      symlinkSync(path("victim"), path("secret.airgap"));
      there("victim", "untouched\n");
      put("secret", "again\n", "600");
      expect([read("secret"), read("victim")]).toEqual(["again\n", "untouched\n"]);
    });

    it("put a file where a link was, and give the link back", () => {
      there("real", "theirs\n");
      symlinkSync("real", path("link"));
      symlinkSync("nowhere", path("broken"));
      for (const name of ["link", "broken"]) {
        put(name, "ours\n");
        expect(lstatSync(path(name)).isSymbolicLink()).toBe(false);
        put(name, "ours again\n");
        good(`give_back ${quote(path(name))}`);
        expect(readlinkSync(path(name))).toBe(name === "link" ? "real" : "nowhere");
      }
      expect(read("real")).toBe("theirs\n");
    });

    it("fail where they can't write, and leave what was there", () => {
      there("file", "theirs\n");
      const { code, output } = sh(`set -e\nput ${quote(path("file/below"))} 644 </dev/null`);
      expect(code, output).not.toBe(0);
      expect(read("file")).toBe("theirs\n");
    });
  });

  describe("close and closed", () => {
    const GROUP = runShell(["sh", "sh"], "id -gn").stdout.trim();

    it("let nobody in, or a group", () => {
      for (const [name, group, octal] of [
        ["for root/a b", "", 0o700],
        ["for a group", GROUP, 0o750],
      ] as const) {
        const words = [path(name), ...(group ? [group] : [])].map(quote).join(" ");
        expect(sh(`closed ${words}`).code).toBe(1);
        good(`mkdir -p ${quote(path(name))}\n! (closed ${words}) || exit 1\nclose ${words}\nclosed ${words}`);
        expect(mode(name)).toBe(octal);
        chmodSync(path(name), 0o755);
        expect(sh(`closed ${words}`)).toMatchObject({
          code: 1,
          output: `other users can enter ${path(name)}\n`,
        });
        good(`close ${words}\nclosed ${words}`);
        expect(mode(name)).toBe(octal);
      }
    });

    it("tell another group's", () => {
      const folder = quote(path("another"));
      good(`close ${folder} ${quote(GROUP)}\n! (closed ${folder} nobodys) || exit 1`);
      good(`put ${folder}/f 640 <<'AIRGAP'\ntext\nAIRGAP`);
      const asked = `same ${folder}/f 640 ${sha256("text\n")}`;
      good(`${asked} ${quote(GROUP)}\n! ${asked} nobodys || exit 1`);
    });
  });

  describe("put_block, block and drop_block", () => {
    const block = (name: string, lines: string): string =>
      good(`put_block ${quote(path(name))} <<'AIRGAP'\n${lines}\nAIRGAP`);

    it.each([
      ["a file of lines", "127.0.0.1 localhost\n::1 localhost\n", "127.0.0.1 localhost\n::1 localhost\n"],
      ["no line feed at the end", "127.0.0.1 localhost", "127.0.0.1 localhost\n"],
      ["an empty file", "", ""],
      ["only a line feed", "\n", "\n"],
      ["backslashes and percents", "C:\\new %s \\1\n", "C:\\new %s \\1\n"],
    ])("with %s", (_, before, after) => {
      there("hosts", before, 0o640);
      block("hosts", "10.0.0.1 a\n10.0.0.2 b");
      const once = read("hosts");
      expect(once).toBe(`${after}# BEGIN airgap\n10.0.0.1 a\n10.0.0.2 b\n# END airgap\n`);
      expect(mode("hosts")).toBe(0o640);
      block("hosts", "10.0.0.1 a\n10.0.0.2 b");
      expect(read("hosts")).toBe(once);
      expect(good(`block ${quote(path("hosts"))}`)).toBe(
        "# BEGIN airgap\n10.0.0.1 a\n10.0.0.2 b\n# END airgap\n",
      );
      block("hosts", "10.0.0.9 z");
      expect(read("hosts")).toBe(`${after}# BEGIN airgap\n10.0.0.9 z\n# END airgap\n`);
      good(`drop_block ${quote(path("hosts"))}`);
      expect(read("hosts")).toBe(after);
      good(`drop_block ${quote(path("hosts"))}`);
      expect(read("hosts")).toBe(after);
    });

    it("keep lines that came after the block", () => {
      there("hosts", "first\n");
      block("hosts", "ours");
      writeFileSync(path("hosts"), `${read("hosts")}later\n# BEGIN airgap of somebody else\n`);
      block("hosts", "ours anew");
      expect(read("hosts")).toBe(
        "first\nlater\n# BEGIN airgap of somebody else\n# BEGIN airgap\nours anew\n# END airgap\n",
      );
    });

    it("make the file where there is none", () => {
      block("new one", "line");
      expect(read("new one")).toBe("# BEGIN airgap\nline\n# END airgap\n");
      expect(good(`block ${quote(path("none"))}`)).toBe("");
    });

    it("write through a link", () => {
      there("real hosts", "theirs\n");
      symlinkSync("real hosts", path("hosts"));
      block("hosts", "ours");
      good(`drop_block ${quote(path("hosts"))}`);
      block("hosts", "ours");
      expect(readlinkSync(path("hosts"))).toBe("real hosts");
      expect(read("real hosts")).toBe("theirs\n# BEGIN airgap\nours\n# END airgap\n");
    });
  });

  describe("run", () => {
    const step = (check: string, apply: string, undo = ""): string =>
      `check() {\n${check}\n}\napply() {\n${apply}\n}\n${undo ? `taken_back() {\ncat <<'U'\n${undo}\nU\n}\n` : ""}run a/b 'A title'\n`;
    const flag = (): string => quote(path("flag"));

    it("applies what is not so, and looks again", () => {
      const { code, stdout } = sh(step(`[ -e ${flag()} ]`, `: >${flag()}`));
      expect([code, stdout]).toEqual([0, `${"done".padEnd(14)} ${"a/b".padEnd(28)} A title\n`]);
      expect(sh(step(`[ -e ${flag()} ]`, "exit 9")).stdout).toMatch(/^already /);
    });

    it("changes nothing in check mode, and shows why", () => {
      const script = `show() { echo shown; }\n${step(`fail "no flag"`, `: >${flag()}`, "rm it")}`;
      expect(sh(script, "check")).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^no flag\nshown\nwould-change +a\/b/),
      });
      expect(existsSync(path("flag"))).toBe(false);
      expect(existsSync(scratch.path("kept"))).toBe(false);
    });

    it.each([
      ["a command in it fails", "false\necho not here", /failed/],
      ["it says so", 'fail "this is why"', /this is why\nfailed/],
      ["the check still fails", ":", /The change was made, but the check still fails: no flag/],
      ["a variable is not set", 'echo "$nobody_set_this"', /failed/],
    ])("ends with what was printed when %s", (_, apply, said) => {
      const { code, output } = sh(`${step(`[ -e ${flag()} ] || fail 'no flag'`, apply)}echo 'and so on'`);
      expect(code).toBe(1);
      expect(output).toMatch(said);
      expect(output).not.toMatch(/not here|and so on/);
    });

    it("keeps the way back before it applies, and goes it in the opposite order, each once", () => {
      const keep = (id: string): string =>
        step(
          `[ -e ${quote(path(id))} ]`,
          `: >${quote(path(id))}`,
          `rm ${quote(path(id))}\necho "back ${id}" >>${quote(path("log"))}`,
        ).replaceAll("a/b", `stage/${id}`);
      sh(`${keep("one")}${keep("two")}${keep("three")}`);
      const files = readdirSync(scratch.path("kept/undo"));
      expect(files).toEqual(["9997-stage+three", "9998-stage+two", "9999-stage+one"]);
      expect(sh("undo_all")).toMatchObject({ code: 0 });
      expect(read("log")).toBe("back three\nback two\nback one\n");
      expect(existsSync(scratch.path("kept"))).toBe(false);
    });

    it("keeps its place when it is made again, and remembers what could not be taken back", () => {
      const bad = step(`[ -e ${flag()} ]`, `: >${flag()}`, `[ -e ${quote(path("may"))} ]\nrm ${flag()}`);
      sh(bad);
      sh(`rm ${flag()}\n${bad}`);
      expect(readdirSync(scratch.path("kept/undo"))).toEqual(["9999-a+b"]);
      const { code, output } = sh("undo_all\nexit $airgap_failed");
      expect([code, existsSync(path("flag"))]).toEqual([1, true]);
      expect(output).toMatch(/failed +a\/b +A title/);
      writeFileSync(path("may"), "");
      expect(sh("undo_all\nexit $airgap_failed").code).toBe(0);
      expect(existsSync(path("flag"))).toBe(false);
    });

    it("undoes what an earlier run applied under the same name with other arguments", () => {
      for (const name of ["one", "two", "two", "one"])
        sh(step(`[ -e ${quote(path(name))} ]`, `: >${quote(path(name))}`, `rm -f ${quote(path(name))}`));
      expect(readdirSync(scratch.path("kept/undo"))).toEqual(["9999-a+b"]);
      expect([existsSync(path("one")), existsSync(path("two"))]).toEqual([true, true]);
      expect(sh("undo_all\nexit $airgap_failed").code).toBe(0);
      expect([existsSync(path("one")), existsSync(path("two"))]).toEqual([false, false]);
    });

    it("gives each step an empty stdin, and a shell of its own", () => {
      good(
        `${step('[ -e /nowhere ] || [ -n "${set-}" ] || exit 1', "cat; set=1; cd /; umask 0").replace("exit 1", ":")}[ -z "\${set-}" ]\n[ "$(umask)" = 0022 ] || [ "$(umask)" = 022 ]`,
      );
    });
  });

  describe("airgap_begin", () => {
    it("waits for nobody that is gone, and keeps others out while it works", () => {
      mkdirSync(scratch.path("lock"));
      writeFileSync(scratch.path("lock/pid"), "99999999");
      expect(sh('airgap_begin\n[ -e "$airgap_lock/pid" ] && echo mine').stdout).toBe("mine\n");
      expect(existsSync(scratch.path("lock"))).toBe(false);
      expect(sh("airgap_begin", "check").code).toBe(0);
    });

    it("lets others in when whoever listened is gone", () => {
      const told = quote(path("told"));
      const listening = `mkfifo ${told}; head -n 1 <${told} >/dev/null &\nexec >${told}\n`;
      sh(`${listening}airgap_begin\nwhile :; do echo working; done`);
      expect(existsSync(scratch.path("lock"))).toBe(false);
    });
  });

  describe("wait_for", () => {
    it("tries until it succeeds, and says the last words when it does not", () => {
      const tries = quote(path("tries"));
      expect(
        sh(`try() { echo x >>${tries}; [ "$(wc -l <${tries})" -ge 2 ]; }\nwait_for 10 try && echo yes`)
          .stdout,
      ).toBe("yes\n");
      expect(sh("never() { fail 'last words'; }\nwait_for 0 never")).toMatchObject({
        code: 1,
        stdout: "last words\n",
      });
    });
  });
});

describe("the shells", () => {
  it("are two at least", () => {
    expect(SHELLS.map(([name]) => name)).toEqual(expect.arrayContaining(["dash", "bash"]));
  });
});
