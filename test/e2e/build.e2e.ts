import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { command } from "../support/daemon.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
const airgap = join(import.meta.dirname, "../../bin/airgap");
const base = bytesOf("e2e base", 20_000_000);
const image = (name: string) => makeImage(name, [base, bytesOf(`e2e ${name}`, 3_000_000)]);
const index = makeIndex([image("amd64"), image("arm64")]);
let registry: DockerRegistry;

async function skopeo(...args: string[]): Promise<string> {
  return (await command("skopeo", ["--insecure-policy", ...args], { maxBuffer: 1 << 26 })).stdout;
}

const build = (output: string, ...more: string[]) =>
  command(airgap, ["build", scratch.path("site.yaml"), "-o", output, "--quiet", ...more], {
    env: { ...process.env, AIRGAP_CACHE_DIR: scratch.path("cache") },
  });

beforeAll(async () => {
  registry = await startDockerRegistry(scratch.dir);
  const layout = writeLayout(scratch.path("layout"), { index });
  for (let i = 0; i < 4; i++)
    await skopeo(
      "copy",
      "--all",
      "--dest-tls-verify=false",
      `oci:${layout}:index`,
      `docker://${registry.host}/site/app${i}:1`,
    );
  scratch.spec(
    `platforms: all\nimages:\n${[0, 1, 2, 3].map((i) => `- ${registry.host}/site/app${i}:1`).join("\n")}`,
  );
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

describe("a bundle", () => {
  it("is read by skopeo under its full names, and by tar", async () => {
    const output = scratch.path("whole.tar");
    await build(output);
    const name = `${registry.host}/site/app2:1`;
    const raw = await skopeo("inspect", "--raw", `oci-archive:${output}:${name}`);
    expect(raw).toBe(await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${name}`));
    await skopeo(
      "copy",
      "--all",
      "--preserve-digests",
      `oci-archive:${output}:${name}`,
      `dir:${scratch.path("out")}`,
    );
    const { stdout } = await command("tar", ["-tvf", output]);
    expect(
      stdout
        .split("\n")
        .filter(Boolean)
        .every((line) =>
          /^-rw-r--r-- 0\/0 .* blobs\/sha256\/[0-9a-f]{64}$|oci-layout$|index\.json$/.test(line),
        ),
    ).toBe(true);
  });

  it("ends with identical bytes after 30 kills at random moments", async () => {
    await build(scratch.path("plain.tar"), "--locked");
    const expected = digestOf(readFileSync(scratch.path("plain.tar")));
    const output = scratch.path("killed.tar");
    let kills = 0;
    let half = 0;
    while (kills < 30) {
      const child = spawn(airgap, ["build", scratch.path("site.yaml"), "-o", output, "--locked", "--quiet"], {
        stdio: "ignore",
        env: { ...process.env, AIRGAP_CACHE_DIR: scratch.path("cache") },
      });
      const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
      await Promise.race([ended, sleep(150 + Math.random() * 500)]);
      if (child.exitCode !== null) {
        expect(child.exitCode).toBe(0);
        expect(digestOf(readFileSync(output))).toBe(expected);
        rmSync(output);
        continue;
      }
      child.kill("SIGKILL");
      await ended;
      kills++;
      if (existsSync(`${output}.part`)) half++;
    }
    expect(half).toBeGreaterThan(0);
    await build(output, "--locked");
    expect(digestOf(readFileSync(output))).toBe(expected);
    await command(airgap, ["verify", output]);
  });
});
