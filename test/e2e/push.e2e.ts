import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hash } from "bcryptjs";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { command } from "../support/daemon.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";
import { startTally } from "../support/tally.ts";

const scratch = new Scratch();
const airgap = join(import.meta.dirname, "../../bin/airgap");
const base = bytesOf("push base", 12_000_000);
const image = (name: string) => makeImage(name, [base, bytesOf(`push ${name}`, 2_000_000)]);
const index = makeIndex([image("amd64"), image("arm64")]);
const subject = image("signed");
const sbom = makeImage("sbom", [bytesOf("sbom", 1000)], {
  artifactType: "application/spdx",
  subject: subject.root,
});
const signature = makeImage("signature", [bytesOf("signature", 500)]);
const docker = makeImage("docker", [base], {}, true);
let origin: DockerRegistry;
const names: string[] = [];

async function skopeo(...args: string[]): Promise<string> {
  return (await command("skopeo", ["--insecure-policy", ...args], { maxBuffer: 1 << 26 })).stdout;
}
const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  AIRGAP_CACHE_DIR: scratch.path("cache"),
  HOME: scratch.dir,
  ...more,
});
async function run(args: string[], env: NodeJS.ProcessEnv = {}) {
  return await command(airgap, args, { env: environment(env), maxBuffer: 1 << 26 });
}
const push = async (...args: string[]) =>
  JSON.parse((await run(["push", scratch.path("site.tar"), ...args, "--json"])).stdout);
const digestAt = async (name: string): Promise<string> =>
  JSON.parse(await skopeo("inspect", "--tls-verify=false", "--no-tags", `docker://${name}`)).Digest;

beforeAll(async () => {
  origin = await startDockerRegistry(scratch.dir);
  const layout = writeLayout(scratch.path("layout"), { index, docker, subject, sbom, signature });
  const put = async (from: string, to: string): Promise<void> => {
    await skopeo(
      "copy",
      "--all",
      "--preserve-digests",
      "--dest-tls-verify=false",
      `oci:${layout}:${from}`,
      `docker://${origin.host}/${to}`,
    );
  };
  await put("index", "team/multi:v1");
  for (let i = 0; i < 6; i++) {
    const own = writeLayout(scratch.path(`layout-${i}`), { own: image(`app${i}`) });
    await skopeo(
      "copy",
      "--dest-tls-verify=false",
      `oci:${own}:own`,
      `docker://${origin.host}/team/app${i}:v1`,
    );
    names.push(`${origin.host}/team/app${i}:v1`);
  }
  await put("subject", "team/signed:v1");
  await put("signature", `team/signed:${subject.root.digest.replace(":", "-")}.sig`);
  await run(["copy", `oci:${layout}:sbom`, `docker://${origin.host}/team/signed@${sbom.root.digest}`]);
  names.push(`${origin.host}/team/signed:v1`);
  const images = [...names, `${origin.host}/team/multi@${index.root.digest}`];
  scratch.spec(`images:\n${images.map((name) => `- ${name}`).join("\n")}`);
  await run(["build", scratch.path("site.yaml"), "-o", scratch.path("site.tar"), "--quiet"]);
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

afterEach(() => vi.unstubAllEnvs());

describe("a push into docker-registry", () => {
  it("lands what the bundle says, readable by skopeo, index pins and signatures included", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    await using tally = await startTally(registry.host);
    const result = await push(tally.host, "--layout", "path");
    for (const name of names) {
      const path = name.slice(origin.host.length + 1);
      expect(await digestAt(`${registry.host}/${path}`)).toBe(await digestAt(name));
    }
    const raw = await skopeo(
      "inspect",
      "--raw",
      "--tls-verify=false",
      `docker://${registry.host}/team/multi@${index.root.digest}`,
    );
    expect(raw).toBe(index.blobs.get(index.root.digest)?.toString());
    await skopeo(
      "copy",
      "--all",
      "--src-tls-verify=false",
      `docker://${registry.host}/team/multi@${index.root.digest}`,
      `dir:${scratch.path("whole")}`,
    );
    expect(await digestAt(`${registry.host}/team/signed:${subject.root.digest.replace(":", "-")}.sig`)).toBe(
      signature.root.digest,
    );
    const referrers = JSON.parse(
      await skopeo(
        "inspect",
        "--raw",
        "--tls-verify=false",
        `docker://${registry.host}/team/signed:${subject.root.digest.replace(":", "-")}`,
      ),
    );
    expect(referrers.manifests).toMatchObject([
      { digest: sbom.root.digest, artifactType: "application/spdx" },
    ]);
    // Every layer went over the wire once, whatever asked for it.
    const puts = tally.seen.filter((line) => line.startsWith("PUT") && line.includes("/blobs/"));
    expect(new Set(puts.map((line) => /digest=([^&]+)/.exec(line)?.[1])).size).toBe(puts.length);
    expect(result.totals.mounted.blobs).toBeGreaterThan(6);
    expect(tally.sent).toBeLessThan(12_000_000 + 9 * 2_000_000 + 100_000);
  });

  it("asks only for the roots the second time", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    await using tally = await startTally(registry.host);
    await push(tally.host);
    const before = tally.seen.length;
    const result = await push(tally.host);
    expect(result.images.every(({ state }: { state: string }) => state === "present")).toBe(true);
    const asked = tally.seen.slice(before);
    expect(asked.filter((line) => !/^(HEAD|GET) /.test(line))).toEqual([]);
    expect(asked.filter((line) => line.startsWith("HEAD")).length).toBe(8 + 2);
    expect(asked.length).toBeLessThanOrEqual(10 + 3);
  });

  it("goes on after kill -9 at any moment", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    for (let i = 0; i < 8; i++) {
      const child = spawn(airgap, ["push", scratch.path("site.tar"), registry.host, "--quiet"], {
        stdio: "ignore",
        env: environment(),
      });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      await Promise.race([ended, sleep(250 + Math.random() * 300)]);
      child.kill("SIGKILL");
      await ended;
    }
    await push(registry.host);
    for (const name of names)
      expect(
        await digestAt(
          `${registry.host}/${origin.host.replace(":", "-")}/${name.slice(origin.host.length + 1)}`,
        ),
      ).toBe(await digestAt(name));
  });

  it("logs in with what docker login left, and says what to do without", async () => {
    const htpasswd = scratch.path("htpasswd");
    writeFileSync(htpasswd, `robot$ci:${(await hash("s3cr$t", 4)).replace(/^\$2[ab]\$/, "$2y$")}\n`);
    await using registry = await startDockerRegistry(
      scratch.dir,
      `auth:\n  htpasswd: {realm: test, path: ${htpasswd}}\n`,
    );
    const config = scratch.path("docker");
    mkdirSync(config, { recursive: true });
    const auth = Buffer.from("robot$ci:s3cr$t").toString("base64");
    writeFileSync(join(config, "config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    const failed = await run(["push", scratch.path("site.tar"), registry.host, "--json"]).catch(
      (error: { code: number; stdout: string }) => error,
    );
    expect(failed).toMatchObject({ code: 3 });
    expect(JSON.parse(failed.stdout).error).toMatchObject({
      code: "unauthorized",
      suggestions: [`docker login ${registry.host}`],
    });
    const { stdout, stderr } = await run(["push", scratch.path("site.tar"), registry.host, "--verbose"], {
      DOCKER_CONFIG: config,
    });
    expect(stdout.split("\n").filter((line) => line.startsWith("pushed "))).toHaveLength(8);
    for (const secret of ["s3cr$t", auth]) expect(stdout + stderr).not.toContain(secret);
  });

  it.each(["no cache", "inmemory"])(
    "repairs what is gone below roots that are there, with the registry's cache: %s",
    async (cache) => {
      // The registry reads its settings from the environment too; with a cache it goes on saying that it has the blob.
      vi.stubEnv("REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR", cache === "inmemory" ? cache : undefined);
      await using registry = await startDockerRegistry(scratch.dir);
      await push(registry.host);
      // What a garbage collection that went wrong leaves behind.
      const blobs = scratch.path(`registry-${registry.host.split(":")[1]}/docker/registry/v2/blobs/sha256`);
      const [, layer] = [...subject.blobs.entries()].find(([, bytes]) => bytes.length === 2_000_000) ?? [];
      const digest = [...subject.blobs.keys()].find((each) => subject.blobs.get(each) === layer) as string;
      const hex = digest.slice(7);
      expect(readdirSync(join(blobs, hex.slice(0, 2)))).toContain(hex);
      rmSync(join(blobs, hex.slice(0, 2), hex), { recursive: true });
      const repository = `${origin.host.replace(":", "-")}/team/signed`;
      const { status } = await fetch(`http://${registry.host}/v2/${repository}/blobs/${digest}`, {
        method: "HEAD",
      });
      expect(status).toBe(cache === "inmemory" ? 200 : 404);
      const name = `${registry.host}/${repository}:v1`;
      await expect(
        skopeo(
          "copy",
          "--src-tls-verify=false",
          `docker://${name}`,
          `dir:${scratch.path(`broken-${cache}`)}`,
        ),
      ).rejects.toThrow();
      expect((await push(registry.host)).totals.sent.blobs).toBe(0);
      expect((await push(registry.host, "--repair")).totals.sent.blobs).toBe(1);
      await skopeo(
        "copy",
        "--src-tls-verify=false",
        `docker://${name}`,
        `dir:${scratch.path(`mended-${cache}`)}`,
      );
    },
  );

  it("says what the registry still does not give out after a repair: it keeps a truncated file", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    await push(registry.host);
    const [digest] = [...subject.blobs.entries()].find(([, bytes]) => bytes.length === 2_000_000) ?? [];
    const hex = String(digest).slice("sha256:".length);
    const blobs = scratch.path(`registry-${registry.host.split(":")[1]}/docker/registry/v2/blobs/sha256`);
    const file = join(blobs, hex.slice(0, 2), hex, "data");
    truncateSync(file, 1000);
    const repair = ["push", scratch.path("site.tar"), registry.host, "--repair", "--json"];
    const failed = await run(repair).catch((error: { code: number; stdout: string }) => error);
    expect(failed).toMatchObject({ code: 1 });
    expect(JSON.parse(failed.stdout).error).toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(String(digest)),
      data: { broken: [{ digest }] },
    });
    // As the suggestion says.
    rmSync(file);
    expect((await push(registry.host, "--repair")).totals.sent.blobs).toBe(1);
    expect(statSync(file).size).toBe(2_000_000);
  });

  it("stops before the first byte for an index with missing children", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    const spec = scratch.path("exact.yaml");
    writeFileSync(
      spec,
      `apiVersion: airgap/v1\nkind: Bundle\nname: exact\nimages:\n- { ref: "${origin.host}/team/multi@${index.root.digest}", platforms: exact }\n`,
    );
    await run(["build", spec, "-o", scratch.path("exact.tar"), "--quiet"]);
    const failed = await run(["push", scratch.path("exact.tar"), registry.host, "--json"]).catch(
      (error: { code: number; stdout: string }) => error,
    );
    expect(failed).toMatchObject({ code: 3 });
    expect(JSON.parse(failed.stdout).error).toMatchObject({
      code: "check-failed",
      data: { images: [`${origin.host}/team/multi@${index.root.digest}`] },
    });
  });

  it("changes nothing in a dry run", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    await using tally = await startTally(registry.host);
    const result = await push(tally.host, "--dry-run");
    expect(result.images.every(({ state }: { state: string }) => state === "would-push")).toBe(true);
    expect(result.totals.sent.bytes).toBeGreaterThan(12_000_000);
    expect(tally.seen.filter((line) => !/^(HEAD|GET) /.test(line))).toEqual([]);
  });
});

describe("copy", () => {
  it("goes between registries, layouts and archives and keeps digests", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    const from = `docker://${origin.host}/team/multi:v1`;
    const hops = [
      `oci:${scratch.path("hop")}:multi`,
      `oci-archive:${scratch.path("hop.tar")}:multi`,
      `docker://${registry.host}/x/multi:v1`,
    ];
    let last = from;
    for (const hop of hops) {
      await run(["copy", "--all", last, hop]);
      last = hop;
    }
    expect(await skopeo("inspect", "--raw", "--tls-verify=false", last)).toBe(
      index.blobs.get(index.root.digest)?.toString(),
    );
  });

  it("takes signatures along, and of an index one platform unless told", async () => {
    await using registry = await startDockerRegistry(scratch.dir);
    await run(["copy", `docker://${origin.host}/team/signed:v1`, `docker://${registry.host}/x/signed:v1`]);
    expect(await digestAt(`${registry.host}/x/signed:${subject.root.digest.replace(":", "-")}.sig`)).toBe(
      signature.root.digest,
    );
    const { stdout } = await run([
      "copy",
      "--platform",
      "linux/arm64",
      `docker://${origin.host}/team/multi:v1`,
      `docker://${registry.host}/x/arm:v1`,
    ]);
    expect(stdout).toContain(image("arm64").root.digest);
  });
});
