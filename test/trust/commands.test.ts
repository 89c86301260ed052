import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli } from "../support/cli.ts";
import { loadCommands } from "../support/commands.ts";
import { Scratch } from "../support/scratch.ts";
import { makeKey, sign } from "../support/trust.ts";

const scratch = new Scratch();
const bundle = scratch.path("site.tar");
const env = { AIRGAP_CACHE_DIR: scratch.path("cache"), XDG_CONFIG_HOME: scratch.path("config") };
let key: { key: string; pub: string };

beforeAll(async () => {
  scratch.write("notes.txt", "a file");
  scratch.spec("files: [path: notes.txt]");
  await scratch.build();
  scratch.write(
    "cluster.yaml",
    "apiVersion: airgap/v1\nkind: Cluster\nname: c\nkubernetes: { version: v1.28.2 }\nregistry: { host: r.site }\nhosts:\n  - { name: a, address: 127.0.0.9, roles: [control-plane, registry] }\n",
  );
  key = makeKey(scratch, "site");
});
afterAll(() => scratch[Symbol.dispose]());

/** Every command that reads a bundle, with the arguments that make it read this one. */
const READERS: Record<string, string[]> = {
  build: [scratch.path("site.yaml"), "-o", scratch.path("new.tar"), "--reuse", bundle],
  check: [scratch.path("cluster.yaml"), "--bundle", bundle],
  diff: [bundle, bundle],
  extract: [bundle, scratch.path("out")],
  "hosts check": [scratch.path("cluster.yaml"), "--bundle", bundle],
  install: [scratch.path("cluster.yaml"), "--bundle", bundle],
  list: [bundle],
  merge: [bundle, bundle, "-o", scratch.path("merged.tar")],
  "packages export": [bundle, scratch.path("out")],
  push: [bundle, "127.0.0.1:1"],
  receipt: [bundle, "-o", scratch.path("receipt.json")],
  rehearse: [scratch.path("cluster.yaml"), "--bundle", bundle],
  report: [bundle, "-o", scratch.path("report.html")],
  sbom: [bundle],
  serve: [bundle, "--listen", "127.0.0.1:0"],
  split: [bundle, "--volume-size", "4096"],
  status: [scratch.path("cluster.yaml"), "--bundle", bundle],
  upgrade: [scratch.path("cluster.yaml"), "--bundle", bundle],
  verify: [bundle],
};

describe("every reader of a bundle", () => {
  it("takes --key, --require-signature and --volumes", async () => {
    const takes = [...(await loadCommands())]
      .filter(([, { flags }]) => "require-signature" in flags && "volumes" in flags && "key" in flags)
      .map(([id]) => id);
    expect(takes).toEqual(Object.keys(READERS).toSorted());
  });

  it.each(Object.entries(READERS))(
    "%s refuses an unsigned bundle where a signature is asked for",
    async (id, args) => {
      const answer = await cli([...id.split(" "), ...args, "--key", key.pub], env);
      expect(answer).toMatchObject({ code: 3, stderr: expect.stringContaining("is not signed") });
    },
    120_000,
  );

  it("refuses a bad signature though nobody asks for one", async () => {
    const file = await sign(bundle, key.key);
    const right = readFileSync(file, "utf8");
    writeFileSync(file, right.replace("SHA2_256", "SHA1"));
    for (const id of ["list", "verify", "push", "serve"])
      expect(await cli([id, ...(READERS[id] ?? [])], env)).toMatchObject({ code: 3 });
    writeFileSync(file, right);
    expect(await cli(["list", bundle, "--key", key.pub], env)).toMatchObject({ code: 0 });
    expect(await cli(["list", bundle], { ...env, AIRGAP_KEY: key.pub })).toMatchObject({ code: 0 });
  }, 120_000);
});

describe("keys, trust and sign", () => {
  it("go from a new key to a bundle that only this key can vouch for", async () => {
    const at = (name: string) => scratch.path(name);
    const secret = { ...env, AIRGAP_KEY_PASSPHRASE: "correct horse" };
    expect(await cli(["keys", "make", at("own")], env)).toMatchObject({ code: 2 });
    const made = await cli(["keys", "make", at("own"), "--json"], secret);
    const { fingerprint } = JSON.parse(made.stdout) as { fingerprint: string };
    expect(await cli(["keys", "make", at("own")], secret)).toMatchObject({ code: 2 });
    expect(await cli(["trust", "add", at("own.pub")], env)).toMatchObject({
      code: 3,
      stdout: expect.stringContaining(fingerprint),
    });
    expect(await cli(["trust", "add", at("own.pub"), "--fingerprint", "SHA256:x"], env)).toMatchObject({
      code: 3,
    });
    const add = ["trust", "add", at("own.pub"), "--fingerprint", fingerprint, "--require-signature"];
    expect(await cli(add, env)).toMatchObject({ code: 0 });
    expect((await cli(["trust", "list"], env)).stdout).toBe(`own\t${fingerprint}\t*\t-\n`);
    expect(await cli(["verify", bundle], env)).toMatchObject({ code: 3 });
    expect(await cli(["sign", bundle, "--key", at("own.key")], env)).toMatchObject({ code: 2 });
    expect(await cli(["sign", bundle, "--key", at("own.key")], secret)).toMatchObject({ code: 0 });
    const verified = await cli(["verify", bundle, "--json"], env);
    expect(JSON.parse(verified.stdout)).toMatchObject({ proven: ["signature"], signedBy: ["own"] });
    const digest = (await cli(["sign", bundle, "--print-digest"], env)).stdout.trim();
    expect(JSON.parse(verified.stdout)).toMatchObject({ lockDigest: digest });
    expect(await cli(["trust", "remove", "own"], env)).toMatchObject({ code: 0 });
    expect(await cli(["verify", bundle], env)).toMatchObject({ code: 3 });
  }, 120_000);
});
