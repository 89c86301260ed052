import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { basicAuth, basicHeader } from "../support/auth.ts";
import { AIRGAP, cli, startCli } from "../support/cli.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const image = makeImage("one", [bytesOf("layer", 50_000)]);

describe("the commands", () => {
  it("build, verify, list and diff, with data on stdout and progress on stderr", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    const spec = scratch.spec(`images: [${registry.host}/a/one:1]`);
    const bundle = scratch.path("site.tar");
    const env = { AIRGAP_CACHE_DIR: scratch.path("cache") };
    const built = await cli(["build", spec, "-o", bundle], env);
    expect(built).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/site\.tar: 1 item, 3 blobs, .*; lock sha256:[0-9a-f]{64}\n$/),
    });
    expect(built.stderr).toContain(`airgap verify ${bundle}`);
    expect(await cli(["verify", bundle])).toMatchObject({ code: 0 });
    expect((await cli(["list", bundle])).stdout).toMatch(
      new RegExp(`^image\t${registry.host}/a/one:1\t${image.root.digest}\t\\d+\t[^\t\n]+\n$`),
    );
    expect((await cli(["list", bundle, "--why", `${registry.host}/a/one`])).stdout).toContain(
      "wanted by images[0]",
    );
    const diff = JSON.parse((await cli(["diff", bundle, bundle, "--json"])).stdout) as unknown;
    expect(diff).toEqual({ changes: [], packages: [], bytesAdded: 0, bytesRemoved: 0 });
    const again = JSON.parse(
      (await cli(["build", spec, "-o", bundle, "--json", "--locked"], env)).stdout,
    ) as Record<string, unknown>;
    expect(again).toMatchObject({ bundle, items: 1, changes: [], resumed: false });
  });

  it("exit with 2 for usage and spec, 3 for a failed check, and say what to type", async () => {
    using scratch = new Scratch();
    const spec = scratch.spec("imagez: []");
    const wrong = await cli(["build", spec, "-o", scratch.path("x.tar")]);
    expect(wrong).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining(`${spec}:4:1: unknown key 'imagez'; did you mean 'images'?`),
    });
    expect(await cli(["build", spec])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Try this: airgap build"),
    });
    expect(await cli(["build", spec, "--nonsense"])).toMatchObject({ code: 2 });
    expect(await cli(["build"])).toMatchObject({ code: 2 });
    const json = await cli(["build", spec, "-o", scratch.path("x.tar"), "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: { code: "spec", suggestions: expect.any(Array) },
    });
    scratch.write("no.tar", "hello");
    expect(await cli(["verify", scratch.path("no.tar")])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("Code: check-failed"),
    });
    expect(await cli(["verify", scratch.path("none.tar")])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Code: disk"),
    });
  });

  it("name the spec or the folder where a spec is missing, not another bundle's", async () => {
    using scratch = new Scratch();
    scratch.spec("files: []");
    for (const args of [
      ["build", "--dry-run"],
      ["packages", "resolve"],
    ]) {
      const missing = await cli([...args, scratch.path("nothing-like-it.yaml")]);
      expect([missing.code, missing.stderr]).toEqual([
        2,
        expect.stringContaining(`Try this: ls ${scratch.dir}`),
      ]);
      expect(missing.stderr).not.toContain("quickstart");
    }
    expect((await cli(["build", "--dry-run", scratch.path("siet.yaml")])).stderr).toContain(
      `Try this: airgap build ${scratch.path("site.yaml")} -o site.tar`,
    );
    expect((await cli(["build", "--dry-run", scratch.path("quickstart.yaml")])).stderr).toContain(
      "build bundles/quickstart.yaml",
    );
  });

  it.each([
    ["help", 0, "USAGE"],
    ["-h", 0, "USAGE"],
    ["--help", 0, "USAGE"],
    ["", 0, "USAGE"],
    ["help list", 0, "airgap list BUNDLE"],
    ["list -h", 0, "airgap list BUNDLE"],
    ["help images", 0, "airgap images COMMAND"],
    ["help images list", 0, "airgap images list"],
    ["images", 0, "airgap images COMMAND"],
    ["version", 0, "airgap/"],
    ["-v", 0, "airgap/"],
    ["--version", 0, "airgap/"],
    ["-V", 0, "airgap/"],
    ["-x", 2, "-x is not a flag of airgap itself"],
    ["-q schema bundle", 2, "Try this: airgap schema bundle -q"],
    ["pakages", 2, "Try this: airgap packages --help"],
    ["pakages resolv site.yaml", 2, "Try this: airgap packages resolve site.yaml"],
    ["help pakages", 2, "Try this: airgap packages --help"],
    ["images list2", 2, "Try this: airgap images list"],
  ])("'%s' exits with %i", async (words, code, said) => {
    const { stdout, stderr, ...rest } = await cli(words === "" ? [] : words.split(" "));
    expect([rest.code, code === 0 ? stdout : stderr]).toEqual([code, expect.stringContaining(said)]);
  });

  it("say which command, item or address may be meant", async () => {
    expect(await cli(["biuld", "site.yaml"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no command 'biuld'\nCode: usage\nTry this: airgap build site.yaml"),
    });
    expect(await cli(["images", "lst"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Try this: airgap images list"),
    });
    expect(JSON.parse((await cli(["xxxxxxxxx", "--json"])).stdout)).toMatchObject({
      error: { code: "usage", suggestions: ["airgap --help"] },
    });
    using scratch = new Scratch();
    scratch.spec("files: [path: site.yaml]");
    const env = { AIRGAP_CACHE_DIR: scratch.path("cache"), AIRGAP_QUIET: "1", AIRGAP_JSON: "true" };
    const built = await cli(["build", scratch.path("site.yaml"), "-o", scratch.path("site.tar")], env);
    expect(built).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(built.stdout)).toMatchObject({ items: 1 });
    expect((await cli(["list", scratch.path("site.tar"), "--why", "site.yam"])).stderr).toContain(
      `airgap list ${scratch.path("site.tar")} --why site.yaml`,
    );
    expect(
      (await cli(["serve", scratch.path("site.tar"), "--listen", "no.such.host.invalid:5000"])).stderr,
    ).toContain("--listen 127.0.0.1:5000");
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "stop cleanly at %s with 4 and say how to go on",
    async (signal) => {
      await using registry = await startRegistry();
      using scratch = new Scratch();
      fill(registry.store, "a/one", image, "1");
      const reached = new Promise<void>((resolve) => {
        registry.hooks.push(({ target, method }) => {
          if (target.kind !== "blob" || method !== "GET") return false;
          resolve();
          return true;
        });
      });
      const bundle = scratch.path("site.tar");
      const running = startCli(
        ["build", scratch.spec(`images: [${registry.host}/a/one:1]\nplatforms: all`), "-o", bundle],
        {
          AIRGAP_CACHE_DIR: scratch.path("cache"),
        },
      );
      await reached;
      running.child.kill(signal);
      expect(await running.ended).toMatchObject({
        code: 4,
        stderr: expect.stringContaining("run the same command again"),
      });
      expect(existsSync(bundle)).toBe(false);
      registry.hooks.length = 0;
      expect(await cli(["build", scratch.path("site.yaml"), "-o", bundle])).toMatchObject({
        code: 0,
        stderr: expect.stringContaining("Resuming the interrupted build"),
      });
    },
  );

  it("say what is wrong on a Node that is too old", async () => {
    const script = join(import.meta.dirname, "../../bin/airgap.mjs");
    const old = `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})`;
    await expect(promisify(execFile)(process.execPath, ["--import", old, script])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("airgap needs Node 22.19 or newer; this is Node 20.20.2"),
    });
  });

  it("print a completion script that a shell takes: commands, flags, values, items of a bundle", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build();
    const script = scratch.write("completion", (await cli(["completion", "bash"])).stdout);
    const complete = async (...words: string[]): Promise<string[]> => {
      const line = [AIRGAP, ...words].map((word) => `'${word}'`).join(" ");
      const { stdout } = await promisify(execFile)(
        "bash",
        [
          "-c",
          `. ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _airgap; printf '%s\\n' "\${COMPREPLY[@]}"`,
        ],
        { cwd: scratch.dir },
      );
      return stdout.split("\n").filter(Boolean);
    };
    expect(await complete("ver")).toEqual(["verify"]);
    expect(await complete("")).not.toContain("site.tar");
    expect(await complete("images", "")).toEqual(["find", "list"]);
    expect(await complete("build", "--lo")).toEqual(["--locked", "--lock-only"]);
    expect(await complete("push", "--layout", "")).toEqual(["host", "path", "flat"]);
    expect(await complete("push", "--layout", "flat", "site.t")).toContain("site.tar");
    expect(await complete("schema", "c")).toEqual(["cluster"]);
    expect(await complete("install", "cluster.yaml", "--only", "ho")).toEqual(["hosts"]);
    expect(await complete("list", "site.tar", "--why", registry.host)).toEqual([`${registry.host}/a/one:1`]);
    const fish = (await cli(["completion", "fish"])).stdout;
    expect(fish).toContain("-n '__fish_seen_subcommand_from push' -l layout -x -a 'host path flat'");
  });
});

describe("secrets", () => {
  it("stand in no lock, bundle, event or message", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    const password = "s3cret-Pass/word+1";
    const basic = basicHeader("robot$ci", password).slice("Basic ".length);
    registry.hooks.push(basicAuth("robot$ci", password));
    scratch.write("auth.json", JSON.stringify({ auths: { [registry.host]: { auth: basic } } }));
    const env = { AIRGAP_CACHE_DIR: scratch.path("cache"), REGISTRY_AUTH_FILE: scratch.path("auth.json") };
    const args = [
      "build",
      scratch.spec(`images: [${registry.host}/a/one:1]`),
      "-o",
      scratch.path("site.tar"),
      "--verbose",
    ];
    const good = await cli(args, env);
    expect(good.code).toBe(0);
    scratch.write(
      "auth.json",
      JSON.stringify({
        auths: { [registry.host]: { auth: Buffer.from(`robot$ci:${password}x`).toString("base64") } },
      }),
    );
    const bad = await cli(args, env);
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining("Code: unauthorized") });
    const told = [
      good.stdout,
      good.stderr,
      bad.stdout,
      bad.stderr,
      ...["site.tar", "site.lock.json"].map((name) => readFileSync(scratch.path(name), "latin1")),
    ].join("\n");
    for (const secret of [password, basic, encodeURIComponent(password)]) expect(told).not.toContain(secret);
  });
});
