import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { command, Daemon } from "../support/daemon.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { makeIndex, type TestImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { realImage, tarOf } from "../support/real-image.ts";
import { Scratch } from "../support/scratch.ts";

const airgap = join(import.meta.dirname, "../../bin/airgap");
const scratch = new Scratch();
const socket = `unix://${scratch.path("docker.sock")}`;
const env = { ...process.env, AIRGAP_CACHE_DIR: scratch.path("cache"), DOCKER_HOST: socket };
let registry: DockerRegistry;
let engine: Daemon;
let image: TestImage;
let index: TestImage;

async function run(program: string, ...args: string[]): Promise<string> {
  return (await command(program, args, { maxBuffer: 1 << 26, env })).stdout;
}
const skopeo = (...args: string[]): Promise<string> => run("skopeo", "--insecure-policy", ...args);
const docker = (...args: string[]): Promise<string> => run("docker", ...args);
const copy = (...args: string[]): Promise<string> => run(airgap, "copy", "--quiet", ...args);
const raw = (reference: string): Promise<string> =>
  skopeo("inspect", "--raw", "--tls-verify=false", reference);
const diffIds = async (reference: string): Promise<string[]> =>
  (
    JSON.parse(await skopeo("inspect", "--config", "--tls-verify=false", reference)) as {
      rootfs: { diff_ids: string[] };
    }
  ).rootfs.diff_ids;

beforeAll(async () => {
  image = await realImage([{ hello: "one", big: Buffer.alloc(2_000_000, "y") }, { more: "two" }]);
  index = makeIndex([image, await realImage([{ hello: "arm" }], { architecture: "arm64" })]);
  writeLayout(scratch.path("layout"), { "app:v1": image, index });
  registry = await startDockerRegistry(scratch.dir);
  const dir = scratch.path("docker");
  mkdirSync(dir);
  const options = [
    "--data-root",
    `${dir}/data`,
    "--exec-root",
    `${dir}/exec`,
    "-H",
    socket,
    "--pidfile",
    `${dir}/pid`,
    "--storage-driver",
    "vfs",
  ];
  engine = await Daemon.start(
    "dockerd",
    [...options, "--iptables=false", "--ip6tables=false", "--bridge=none"],
    async () => (await docker("info")).includes("Server Version"),
  );
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

describe("layouts and archives that other tools write", () => {
  it("are copied into a registry without a change", async () => {
    const layout = scratch.path("layout");
    await skopeo("copy", `oci:${layout}:app:v1`, `oci-archive:${scratch.path("skopeo.tar")}:app:v1`);
    await run("umoci", "init", "--layout", scratch.path("umoci"));
    await run("umoci", "new", "--image", `${scratch.path("umoci")}:made`);
    await run(
      "umoci",
      "insert",
      "--image",
      `${scratch.path("umoci")}:made`,
      "--rootless",
      scratch.write("inserted", "by umoci"),
      "/inserted",
    );
    for (const [from, name] of [
      [`oci:${layout}:app:v1`, "layout"],
      [`oci-archive:${scratch.path("skopeo.tar")}:app:v1`, "archive"],
      [`oci-archive:${scratch.path("skopeo.tar")}`, "only"],
      [`oci:${scratch.path("umoci")}:made`, "umoci"],
    ] as const) {
      await copy(from, `docker://${registry.host}/${name}/x:1`);
      const place = from.startsWith("oci:") || from.includes(":app") ? from : `${from}:app:v1`;
      expect(await raw(`docker://${registry.host}/${name}/x:1`)).toBe(
        await skopeo("inspect", "--raw", place),
      );
    }
    await copy("--all", `oci:${layout}:index`, `docker://${registry.host}/all/x:1`);
    expect(digestOf(await raw(`docker://${registry.host}/all/x:1`))).toBe(index.root.digest);
  });

  it("include docker-archive, skopeo's and compressed ones, whose layers stay their diffIDs", async () => {
    await skopeo(
      "copy",
      `oci:${scratch.path("layout")}:app:v1`,
      `docker-archive:${scratch.path("saved.tar")}:app:v1`,
    );
    scratch.write("saved.tar.gz", gzipSync(readFileSync(scratch.path("saved.tar"))));
    const digests = new Set<string>();
    for (const file of ["saved.tar", "saved.tar.gz"]) {
      await copy(`docker-archive:${scratch.path(file)}:app:v1`, `docker://${registry.host}/${file}/x:1`);
      const reference = `docker://${registry.host}/${file}/x:1`;
      digests.add(digestOf(await raw(reference)));
      const { layers } = JSON.parse(await raw(reference)) as { layers: { digest: string }[] };
      expect(layers.map(({ digest }) => digest)).toEqual(await diffIds(reference));
    }
    expect(digests.size).toBe(1);
  });
});

describe("layouts and archives that we write", () => {
  it("are read by skopeo, umoci, tar and docker load", async () => {
    await copy(`oci:${scratch.path("layout")}:app:v1`, `docker://${registry.host}/src/x:1`);
    const from = `docker://${registry.host}/src/x:1`;
    for (const place of [`oci:${scratch.path("out")}:v1`, `oci-archive:${scratch.path("out.tar")}:v1`]) {
      await copy(from, place);
      expect(digestOf(await skopeo("inspect", "--raw", place))).toBe(image.root.digest);
      await skopeo("copy", place, `dir:${scratch.path("dir")}`);
    }
    await run(
      "umoci",
      "unpack",
      "--rootless",
      "--image",
      `${scratch.path("out")}:v1`,
      scratch.path("unpacked"),
    );
    expect(readFileSync(scratch.path("unpacked/rootfs/more"), "utf8")).toBe("two");
    await copy(from, `docker-archive:${scratch.path("load.tar")}:loaded/by:hand`);
    expect(await docker("load", "-i", scratch.path("load.tar"))).toContain("loaded/by:hand");
    expect(await run("tar", "-tf", scratch.path("load.tar"))).toContain("manifest.json");
  });
});

describe("Docker's engine", () => {
  const idOf = async (name: string): Promise<string> =>
    (await docker("inspect", "--format", "{{.Id}}", name)).trim();

  it("gets images, and gives them back: same id, the same manifest every time", async () => {
    await copy(`oci:${scratch.path("layout")}:app:v1`, "docker-daemon:site/app:v1");
    const config = JSON.parse((image.blobs.get(image.root.digest) as Buffer).toString()) as {
      config: { digest: string };
    };
    expect(await idOf("site/app:v1")).toBe(config.config.digest);
    const first = `docker://${registry.host}/daemon/first:1`;
    await copy("docker-daemon:site/app:v1", first);
    const cached = readdirSync(scratch.path("cache/docker"));
    expect(cached).toEqual([`${config.config.digest.slice(7)}.tar`]);
    const { mtimeMs, ino } = statSync(scratch.path(`cache/docker/${cached[0]}`));
    await copy("docker-daemon:site/app:v1", `docker://${registry.host}/daemon/second:1`);
    expect(statSync(scratch.path(`cache/docker/${cached[0]}`)).ino).toBe(ino);
    expect(mtimeMs).toBeGreaterThan(0);
    expect(await raw(`docker://${registry.host}/daemon/second:1`)).toBe(await raw(first));
    await docker("save", "-o", scratch.path("docker-save.tar"), "site/app:v1");
    await copy(
      `docker-archive:${scratch.path("docker-save.tar")}:site/app:v1`,
      `docker://${registry.host}/daemon/third:1`,
    );
    expect(await raw(`docker://${registry.host}/daemon/third:1`)).toBe(await raw(first));
    const { layers } = JSON.parse(await raw(first)) as { layers: { digest: string }[] };
    expect(layers.map(({ digest }) => digest)).toEqual(await diffIds(first));
    await docker("rmi", "site/app:v1");
    await copy(first, "docker-daemon:site/app:back");
    expect(await idOf("site/app:back")).toBe(config.config.digest);
  });

  it("exports a large image in constant memory", async () => {
    const large = Buffer.alloc(150_000_000);
    for (let at = 0; at < large.length; at += 4096) large.writeUInt32LE(at, at);
    const tar = scratch.write("large.tar", await tarOf({ large }));
    await docker("import", tar, "large:1");
    const { stdout, stderr } = await command(
      "/usr/bin/time",
      [
        "-f",
        "%M",
        airgap,
        "copy",
        "--quiet",
        "docker-daemon:large:1",
        `oci-archive:${scratch.path("large-out.tar")}:large:1`,
      ],
      { env },
    );
    expect(stdout).toContain("sha256:");
    expect(Number(stderr.trim().split("\n").at(-1))).toBeLessThan(230_000);
    expect(existsSync(scratch.path("large-out.tar"))).toBe(true);
  });

  it("says what is wrong: no such image, no engine", async () => {
    await expect(copy("docker-daemon:no/such:image", `oci:${scratch.path("none")}`)).rejects.toThrow(
      /has no image no\/such:image[\s\S]*docker pull no\/such:image/,
    );
    const nobody = { ...env, DOCKER_HOST: `unix://${scratch.path("nobody.sock")}` };
    await expect(
      command(airgap, ["copy", "docker-daemon:x", `oci:${scratch.path("none")}`], { env: nobody }),
    ).rejects.toThrow(/Cannot reach the Docker engine[\s\S]*systemctl start docker/);
  });

  it("is where a spec's own images come from; the bundle is the same from the lock", async () => {
    await copy(`oci:${scratch.path("layout")}:app:v1`, "docker-daemon:nginx_web:v0.1");
    const name = "kubernetes-register.superopsmsb.com/superopsmsb/nginx_web:v0.1";
    const spec = scratch.spec(
      `siteName: kubernetes-register.superopsmsb.com\nimages: [{ ref: "${name}", from: "docker-daemon:nginx_web:v0.1" }]`,
    );
    await run(airgap, "build", spec, "-o", scratch.path("site.tar"), "--quiet");
    await run(airgap, "verify", scratch.path("site.tar"), "--quiet");
    await run(airgap, "build", spec, "-o", scratch.path("again.tar"), "--quiet", "--locked");
    expect(readFileSync(scratch.path("again.tar")).equals(readFileSync(scratch.path("site.tar")))).toBe(true);
    expect(await skopeo("inspect", "--config", `oci-archive:${scratch.path("site.tar")}:${name}`)).toContain(
      "rootfs",
    );
  });
});
