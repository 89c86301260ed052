import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliResult, cli } from "../../support/cli.ts";
import { startDockerRegistry } from "../../support/docker-registry.ts";
import { makeImage } from "../../support/images.ts";
import { layerOf } from "../../support/inside.ts";
import { writeLayout } from "../../support/layout.ts";
import { Scratch } from "../../support/scratch.ts";
import { Serving } from "../../support/serve.ts";

/**
 * cosign itself verifies what airgap signs, and airgap what cosign signs. Run by hand, since compiling cosign takes
 * longer than all of CI may spend on it: docs/security.md has the command and what was seen.
 */

const run = promisify(execFile);
const scratch = new Scratch();
const env = {
  AIRGAP_KEY_PASSPHRASE: "secret",
  COSIGN_PASSWORD: "secret",
  XDG_CONFIG_HOME: scratch.path("config"),
};
const at = (name: string): string => scratch.path(name);

/** @returns the exit code; what cosign said is shown where it is not the expected one */
async function cosign(...args: string[]): Promise<{ code: number; said: string }> {
  try {
    const { stderr } = await run("cosign", args, { env: { ...process.env, ...env }, cwd: scratch.dir });
    return { code: 0, said: stderr };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, said: stderr };
  }
}
const good = { code: 0 };

async function airgap(...args: string[]): Promise<CliResult> {
  const result = await cli(args, env);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result;
}

const OFFLINE = ["--insecure-ignore-tlog", "--allow-http-registry"];
const SIGNING = ["--tlog-upload=false", "--use-signing-config=false", "--yes"];
let digest = "";

beforeAll(async () => {
  scratch.write("notes.txt", "a file");
  writeLayout(at("layout"), { v1: makeImage("app", [layerOf(scratch.dir, "notes.txt")]) });
  scratch.spec('images: [{ ref: "x.site/app:v1", from: "oci:layout:v1" }]\nfiles: [path: notes.txt]');
  for (const type of ["p256", "ed25519"]) await airgap("keys", "make", at(type), "--type", type);
  await airgap("keys", "make", at("other"));
  await airgap("build", at("site.yaml"), "-o", at("site.tar"));
  digest = (await airgap("sign", at("site.tar"), "--print-digest")).stdout.trim();
  const { stdout } = await run("tar", ["-xOf", at("site.tar"), `blobs/sha256/${digest.slice(7)}`], {
    encoding: "buffer",
    maxBuffer: 1 << 24,
  });
  writeFileSync(at("lock.json"), stdout);
  writeFileSync(at("changed.json"), Buffer.concat([stdout, Buffer.from(" ")]));
  // cosign's own pair: made by it, or from a key of ours.
  expect(await cosign("generate-key-pair", "--output-key-prefix", at("cosign"))).toMatchObject(good);
});
afterAll(() => scratch[Symbol.dispose]());

describe("a bundle", () => {
  const verify = (pub: string, ...of: string[]) =>
    cosign(
      "verify-blob",
      "--key",
      at(pub),
      "--bundle",
      at("site.tar.sigstore.json"),
      "--insecure-ignore-tlog",
      ...of,
    );

  it.each(["p256", "ed25519"])(
    "that airgap signed with %s is verified by cosign, and no other lock or key is",
    async (type) => {
      await airgap("sign", at("site.tar"), "--key", at(`${type}.key`));
      if (type === "p256") {
        expect(await verify("p256.pub", at("lock.json"))).toMatchObject(good);
        expect(await verify("p256.pub", digest)).toMatchObject(good);
        expect((await verify("p256.pub", at("changed.json"))).code).not.toBe(0);
        expect((await verify("other.pub", at("lock.json"))).code).not.toBe(0);
        return;
      }
      const { signaturePaths } = await import("../../../src/trust/signature-files.ts");
      const own =
        signaturePaths(at("site.tar")).find((path) => !path.endsWith("site.tar.sigstore.json")) ?? "";
      const args = ["verify-blob", "--key", at("ed25519.pub"), "--bundle", own, "--insecure-ignore-tlog"];
      expect(await cosign(...args, at("lock.json"))).toMatchObject(good);
      expect((await cosign(...args, at("changed.json"))).code).not.toBe(0);
    },
  );

  it("that cosign signed is accepted by airgap", async () => {
    const bundle = at("by-cosign.sigstore.json");
    const args = ["sign-blob", "--key", at("cosign.key"), "--bundle", bundle, ...SIGNING, at("lock.json")];
    expect(await cosign(...args)).toMatchObject(good);
    await airgap("sign", at("site.tar"), "--attach", bundle, "--key", at("cosign.pub"));
    const { stdout } = await airgap("verify", at("site.tar"), "--key", at("cosign.pub"), "--json");
    expect(JSON.parse(stdout)).toMatchObject({ proven: ["signature"] });
    const wrong = at("wrong.sigstore.json");
    await cosign("sign-blob", "--key", at("cosign.key"), "--bundle", wrong, ...SIGNING, at("changed.json"));
    expect(
      await cli(["sign", at("site.tar"), "--attach", wrong, "--key", at("cosign.pub")], env),
    ).toMatchObject({ code: 3 });
  });

  it.each([
    ["spdx", "spdxjson"],
    ["cyclonedx", "cyclonedx"],
  ])("has an SBOM in %s whose attestation cosign verifies", async (format, type) => {
    const output = at(`site.${format}.json`);
    await airgap("sbom", at("site.tar"), "--format", format, "-o", output, "--sign-key", at("p256.key"));
    const args = [
      "verify-blob-attestation",
      "--bundle",
      `${output}.attestation.json`,
      "--type",
      type,
      "--insecure-ignore-tlog",
    ];
    const over = (hex: string) => ["--digest", hex, "--digestAlg", "sha256"];
    expect(await cosign(...args, "--key", at("p256.pub"), ...over(digest.slice(7)))).toMatchObject(good);
    expect((await cosign(...args, "--key", at("other.pub"), ...over(digest.slice(7)))).code).not.toBe(0);
    expect((await cosign(...args, "--key", at("p256.pub"), ...over("0".repeat(64)))).code).not.toBe(0);
  });
});

describe.each(["airgap serve --store", "docker-registry, without the referrers API"])(
  "images in %s",
  (kind) => {
    let host = "";
    let stop: () => Promise<void> = async () => {};
    beforeAll(async () => {
      if (kind.startsWith("airgap")) {
        const serving = await Serving.start();
        host = new URL(serving.server.url).host;
        stop = async () => serving[Symbol.asyncDispose]();
      } else {
        const registry = await startDockerRegistry(scratch.dir);
        host = registry.host;
        stop = async () => registry[Symbol.asyncDispose]();
      }
    });
    afterAll(() => stop());
    const image = () => `${host}/x.site/app:v1`;

    it.each(["p256", "ed25519"])(
      "that push signed with %s are verified by cosign, with this key alone",
      async (type) => {
        await airgap("push", at("site.tar"), host, "--sign-key", at(`${type}.key`), "--insecure");
        expect(await cosign("verify", "--key", at(`${type}.pub`), ...OFFLINE, image())).toMatchObject(good);
        expect((await cosign("verify", "--key", at("other.pub"), ...OFFLINE, image())).code).not.toBe(0);
      },
    );

    it.each([
      ["a Sigstore bundle", []],
      ["a tag", ["--new-bundle-format=false"]],
    ])("that cosign signed with %s are accepted by build", async (name, more) => {
      const tag = `${host}/team/app:${name.replace(/\W/g, "")}`;
      const layer = layerOf(scratch.dir, "notes.txt");
      writeLayout(at("own"), { v1: makeImage(`app ${kind} ${name}`, [layer]) });
      await airgap("copy", `oci:${at("own")}:v1`, `docker://${tag}`, "--insecure");
      const spec = `images: [{ ref: "${tag}", verify: { key: cosign.pub } }]\nsources: { "${host}": { insecure: true } }`;
      scratch.write("signed.yaml", `apiVersion: airgap/v1\nkind: Bundle\nname: signed\n${spec}\n`);
      const build = ["build", at("signed.yaml"), "-o", at("signed.tar"), "--fresh"];
      expect(await cli(build, env)).toMatchObject({ code: 3 });
      const signed = await cosign(
        "sign",
        "--key",
        at("cosign.key"),
        ...SIGNING,
        ...more,
        "--allow-http-registry",
        tag,
      );
      expect(signed, signed.said).toMatchObject(good);
      await airgap(...build);
      scratch.write(
        "signed.yaml",
        `apiVersion: airgap/v1\nkind: Bundle\nname: signed\n${spec.replace("cosign.pub", "p256.pub")}\n`,
      );
      expect(await cli(build, env)).toMatchObject({ code: 3 });
    });
  },
);
