import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { AIRGAP, cli } from "../support/cli.ts";
import { commandIds } from "../support/commands.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const shell = (line: string): Promise<{ code: number; stdout: string; stderr: string }> =>
  promisify(execFile)("bash", ["-c", line], { env: { ...process.env, NO_COLOR: "1" } }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );

describe("output that cannot be written", () => {
  it.each(["schema bundle", "schema bundle --json", "--help", "completion"])(
    "'%s' on a full disk is one clear error, and exits with 1",
    async (words) => {
      const { code, stderr } = await shell(`${AIRGAP} ${words} > /dev/full`);
      expect(code).toBe(1);
      expect(stderr).toBe(
        "Error: Cannot write the result to stdout: no space is left on the device\nCode: disk\nTry this: send the output somewhere with space, and run the same command again\n",
      );
    },
  );

  it("a reader that has enough changes nothing", async () => {
    const { code, stdout, stderr } = await shell(
      `set -o pipefail; ${AIRGAP} completion | head -n 1; ${AIRGAP} schema cluster | true; echo "\${PIPESTATUS[*]}"`,
    );
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^# bash completion for airgap[^\n]*\n0 0\n$/);
  });

  it("a full stderr does not change the exit code", async () => {
    expect((await shell(`${AIRGAP} schema nothing 2> /dev/full`)).code).toBe(2);
  });
});

describe("mistakes in flags and arguments", () => {
  it.each([
    ["build", "Error: Missing: SPEC (The bundle spec (YAML))\nCode: usage\nTry this: airgap build --help\n"],
    [
      "push site.tar",
      "Error: Missing: TARGET (host[:port][/prefix])\nCode: usage\nTry this: airgap push --help\n",
    ],
    [
      "manifests rewrite x.yaml",
      "Error: Missing: --target\nCode: usage\nTry this: airgap manifests rewrite --help\n",
    ],
    [
      "build --reus x",
      "Error: There is no flag --reus\nCode: usage\nTry this:\n  * --reuse\n  * airgap build --help\n",
    ],
    ["list -x", "Error: There is no flag -x\nCode: usage\nTry this: airgap list --help\n"],
    ["build x.yaml -o", "Error: --output needs a value\nCode: usage\nTry this: airgap build --help\n"],
    [
      "list a --format xls",
      "Error: --format cannot be 'xls'; it is one of: text, csv\nCode: usage\nTry this: airgap list --help\n",
    ],
    [
      "completion tcsh",
      "Error: 'tcsh' must be one of: bash, zsh, fish\nCode: usage\nTry this: airgap completion --help\n",
    ],
    ["list a b c", "Error: Unexpected arguments: b, c\nCode: usage\nTry this: airgap list --help\n"],
    [
      "list a --images --packages",
      "Error: --packages and --images exclude each other\nCode: usage\nTry this: airgap list --help\n",
    ],
    [
      "images find --context k",
      "Error: --context works only with --cluster\nCode: usage\nTry this: airgap images find --help\n",
    ],
  ])("'%s' is said without the parser's own notes", async (words, said) => {
    expect(await cli(words.split(" "))).toEqual({ code: 2, stdout: "", stderr: said });
  });

  it("--json has the same", async () => {
    const { code, stdout } = await cli(["build", "--reus", "x", "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([
      2,
      {
        error: {
          code: "usage",
          message: "There is no flag --reus",
          suggestions: ["--reuse", "airgap build --help"],
        },
      },
    ]);
  });
});

describe("a file that is missing, or another one than is needed", () => {
  it.each([
    ["certs none.yaml", 2, "Error: Cannot read the cluster file none.yaml: no such file or folder\n"],
    ["trust add none.pub", 2, "Error: Cannot read the public key none.pub: no such file or folder\n"],
    ["build none.yaml --dry-run", 2, "Error: Cannot read the spec none.yaml: no such file\n"],
    ["verify none.tar", 2, "Error: Cannot read the bundle none.tar: no such file\n"],
    ["images find none.yaml", 2, "none.yaml: no such file or folder\n"],
  ])("'%s' says so without a system call's name", async (words, code, said) => {
    const result = await cli(words.split(" "));
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(said)]);
    expect(result.stderr).not.toMatch(/ENOENT|open '/);
  });

  it("a spec, a cluster file or a compressed tar instead of a bundle is called by its name", async () => {
    using scratch = new Scratch();
    const said = async (name: string, content: string | Buffer): Promise<string> => {
      const { code, stderr } = await cli(["list", scratch.write(name, content)]);
      expect(code).toBe(3);
      return stderr.replaceAll(`${scratch.dir}/`, "");
    };
    expect(await said("s.yaml", "apiVersion: airgap/v1\nkind: Bundle\nname: x\n")).toContain(
      "Error: s.yaml is a bundle's spec, not a bundle\nCode: corrupt\nTry this: airgap build s.yaml -o site.tar\n",
    );
    expect(await said("c.yaml", "# x\nkind: 'Cluster'\n")).toContain(
      "Error: c.yaml is a cluster file, not a bundle\n",
    );
    expect(await said("s.tar.gz", gzipSync(Buffer.alloc(4000)))).toContain(
      "Error: s.tar.gz is compressed with gzip; a bundle is a plain tar\nCode: corrupt\nTry this: gunzip s.tar.gz\n",
    );
    expect(await said("x.txt", "hello")).toContain("is not a bundle that airgap wrote");
  });
});

it("a file that is no certificate is not written as the site's authority", async () => {
  using scratch = new Scratch();
  const pod = scratch.write(
    "pod.yaml",
    "apiVersion: v1\nkind: Pod\nmetadata: { name: x }\nspec: { containers: [{ name: a, image: nginx:1 }] }\n",
  );
  const folder = scratch.path("etc");
  const words = [
    "manifests",
    "rewrite",
    pod,
    "--target",
    "register.site",
    "--runtime-config",
    folder,
    "--ca-file",
    pod,
  ];
  expect(await cli(words)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("has no certificate in PEM form"),
  });
  expect(existsSync(folder)).toBe(false);
});

it("copy says under which name it wrote, with --json too", async () => {
  await using registry = await startRegistry();
  using scratch = new Scratch();
  fill(registry.store, "z/hello", makeImage("one", [bytesOf("one", 900)]), "1");
  const to = `oci:${scratch.path("layout")}:v1`;
  const { stdout } = await cli(["copy", `docker://${registry.host}/z/hello:1`, to, "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({
    source: `docker://${registry.host}/z/hello:1`,
    destination: to,
  });
});

describe("the help", () => {
  it.each(["manifests rewrite", "images find"])("of '%s' names its arguments", async (command) => {
    const { stdout } = await cli([...command.split(" "), "--help"]);
    expect(stdout).toMatch(new RegExp(`\\$ airgap ${command} \\[PATH\\.\\.\\.\\]`));
    expect(stdout).toContain("ARGUMENTS\n  [PATH...]");
  });

  it.each(commandIds)("of '%s' calls nothing empty a default, and fits into 40 columns", async (id) => {
    const typed = `stty cols 40; ${AIRGAP} ${id} --help`;
    const { code, stdout } = await shell(`script -qec '${typed}' /dev/null < /dev/null`);
    expect([code, stdout.includes("[default: ]"), stdout.includes("[default: ,")]).toEqual([0, false, false]);
    // A command to copy stays on one line.
    const [, text = ""] = /\r\n(\r\nUSAGE[\s\S]*?)EXAMPLES/.exec(stdout) ?? [];
    expect(text.split("\r\n").filter((line) => line.length > 40)).toEqual([]);
    expect(text.length).toBeGreaterThan(300);
    expect(stdout).toContain("EXAMPLES");
  });
});
