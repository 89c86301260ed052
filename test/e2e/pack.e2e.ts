import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BuildResult } from "../../src/bundle/build.ts";
import { readLockOf } from "../../src/bundle/diff.ts";
import { startContainerd } from "../support/containerd.ts";
import { command, Daemon } from "../support/daemon.ts";
import { fill } from "../support/fill.ts";
import { realImage } from "../support/real-image.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const checkout = join(import.meta.dirname, "../..");
const scratch = new Scratch();
const NAMESPACE = `airgap-pack-${process.pid}`;
const inside = ["ip", "netns", "exec", NAMESPACE];
const root = scratch.path("root");
let extract = "";
let digest = "";

const exec = async (program: string, ...args: string[]): Promise<string> =>
  (await command(program, args, { maxBuffer: 1 << 26 })).stdout;

/** A root file system with a shell, tar, gzip, readlink and the C libraries that Node links to; nothing else. */
async function makeRoot(node: string): Promise<void> {
  const programs = [
    "/bin/sh",
    "/bin/tar",
    "/bin/gzip",
    "/usr/bin/readlink",
    "/usr/bin/dirname",
    "/bin/cat",
    "/bin/sed",
    "/usr/bin/getconf",
  ];
  const libraries = new Set<string>();
  // Bare systems have no libatomic: the archive brings it.
  for (const program of [...programs, node])
    for (const [path] of (await exec("ldd", program)).matchAll(/\/\S+\.so\S*/g))
      if (!path.includes("libatomic")) libraries.add(path);
  for (const path of [...programs, ...libraries]) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), readFileSync(path), { mode: 0o755 });
  }
  for (const dir of ["tmp", "proc", "dev"]) mkdirSync(join(root, dir), { recursive: true });
}

beforeAll(async () => {
  await exec("npm", "run", "pack", "--prefix", checkout, "--", process.arch);
  await using registry = await startRegistry();
  const image = await realImage([{ pause: "pause" }]);
  digest = image.root.digest;
  fill(registry.store, "pause", image, "3.9");
  const spec = scratch.spec(
    `sources: { registry.k8s.io: { mirrors: ["${registry.host}"] } }\nimages: [registry.k8s.io/pause:3.9]\nfiles: [{ self: true }]`,
  );
  const { stdout } = await command(
    join(checkout, "bin/airgap"),
    ["build", spec, "-o", scratch.path("site.tar"), "--json"],
    {
      env: { ...process.env, AIRGAP_CACHE_DIR: scratch.path("cache") },
    },
  );
  [extract = ""] = (JSON.parse(stdout) as BuildResult).extract;
  await makeRoot(process.execPath);
  cpSync(scratch.path("site.tar"), join(root, "site.tar"));
  await exec("ip", "netns", "add", NAMESPACE);
  await exec(...(inside as [string]), "ip", "link", "set", "lo", "up");
});
afterAll(async () => {
  await exec("ip", "netns", "del", NAMESPACE).catch(() => "");
  scratch[Symbol.dispose]();
});

describe("the packed tool", () => {
  it("is carried in the bundle", () => {
    expect(readLockOf(scratch.path("site.tar")).items).toContainEqual(
      expect.objectContaining({
        kind: "self",
        name: expect.stringMatching(/^airgap-.*-linux-x64\.tar\.gz$/),
      }),
    );
  });

  it("comes out by the line that build prints, verifies its bundle and serves it to containerd, where nothing else is", async () => {
    await exec(
      "chroot",
      root,
      "/bin/sh",
      "-c",
      `cd / && ${extract.replace(scratch.path("site.tar"), "/site.tar")}`,
    );
    const [folder = ""] = readdirSync(root).filter((name) => name.startsWith("airgap-"));
    expect(existsSync(join(root, folder, "node/bin/node"))).toBe(true);
    const airgap = [...inside, "chroot", root, `/${folder}/bin/airgap`];
    const [program = "", ...args] = airgap;
    expect(await exec(program, ...args, "verify", "/site.tar")).toContain("is whole");

    const ready = async (): Promise<boolean> =>
      (await exec(...(inside as [string]), "curl", "-sf", "http://127.0.0.1:5000/healthz")) !== "x";
    await using _server = await Daemon.start(program, [...args, "serve", "/site.tar"], ready);
    await using containerd = await startContainerd(scratch.path("containerd"), inside);
    const hosts = join(containerd.certs, "registry.k8s.io");
    mkdirSync(hosts, { recursive: true });
    writeFileSync(
      join(hosts, "hosts.toml"),
      'server = "http://127.0.0.1:5000"\n[host."http://127.0.0.1:5000"]\n  capabilities = ["pull", "resolve"]\n',
    );
    await containerd.ctr(
      "images",
      "pull",
      "--hosts-dir",
      containerd.certs,
      "--snapshotter",
      "native",
      "registry.k8s.io/pause:3.9",
    );
    expect(await containerd.ctr("images", "ls")).toContain(digest);
  });
});
