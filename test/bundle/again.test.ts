import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { diffLocks, readLockOf } from "../../src/bundle/diff.ts";
import { listBundle } from "../../src/bundle/list.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { cli } from "../support/cli.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { packageSet, siteOf } from "../support/install/site.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const base = bytesOf("base", 200_000);
const image = (name: string) => makeImage(name, [base, bytesOf(name, 9000)]);
const blobsAsked = (registry: TestRegistry): string[] =>
  registry.seen
    .filter(({ path, method }) => method === "GET" && path.includes("/blobs/"))
    .map(({ path }) => path);

describe("a build where the output is there already", () => {
  it("fetches nothing and writes nothing when nothing is new", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    expect(await scratch.build()).toMatchObject({ unchanged: false });
    const before = statSync(scratch.path("site.tar"));
    registry.seen.length = 0;
    expect(await scratch.build()).toMatchObject({ unchanged: true, toFetch: 0, changes: [] });
    expect(blobsAsked(registry)).toEqual([]);
    expect(statSync(scratch.path("site.tar"))).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
    // Without the note it is hashed, and still not fetched.
    rmSync(scratch.path("cache"), { recursive: true });
    expect(await scratch.build()).toMatchObject({ unchanged: true });
    expect(scratch.events).toContainEqual(expect.objectContaining({ type: "phase", name: "Checking" }));
    expect(statSync(scratch.path("site.tar")).ino).toBe(before.ino);
  });

  it("takes what it has from the bundle that stands, and only the rest from the network", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    fill(registry.store, "a/two", image("two"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build();
    scratch.spec(`images: [${registry.host}/a/one:1, ${registry.host}/a/two:1]`);
    registry.seen.length = 0;
    const dry = await scratch.build({ dryRun: true });
    expect(dry.contents?.map(({ name, bytes }) => [name, (bytes ?? 0) > 209_000])).toEqual([
      [`${registry.host}/a/one:1`, true],
      [`${registry.host}/a/two:1`, true],
    ]);
    expect(dry.toFetch).toBeGreaterThan(9000);
    expect(dry.toFetch).toBeLessThan(200_000);
    await scratch.build();
    expect(blobsAsked(registry).filter((path) => path.endsWith(digestOf(base)))).toEqual([]);
    expect(blobsAsked(registry).filter((path) => path.endsWith(digestOf(bytesOf("two", 9000))))).toHaveLength(
      1,
    );
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
  });

  it("replaces a bundle that is damaged, and reuses what is right in it", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build();
    const tar = readFileSync(scratch.path("site.tar"));
    const at = tar.indexOf(base) + 1000;
    tar[at] = (tar[at] ?? 0) ^ 1;
    writeFileSync(scratch.path("site.tar"), tar);
    expect(await scratch.build()).toMatchObject({ unchanged: false });
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
    writeFileSync(scratch.path("site.tar"), "not a bundle");
    await scratch.build();
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
  });
});

describe("beside a bundle", () => {
  it("lie its checksums, and a text with lines that work", async () => {
    using scratch = new Scratch();
    scratch.write("hello.txt", "hello");
    scratch.write("SHA256SUMS", `${"a".repeat(64)}  other.iso\n`);
    scratch.spec("files: [{ path: hello.txt }]");
    const built = await scratch.build();
    expect(built.beside).toEqual([scratch.path("site.tar.README.txt"), scratch.path("SHA256SUMS")]);
    const text = readFileSync(scratch.path("site.tar.README.txt"), "utf8");
    expect(text).toContain(built.lockDigest);
    expect(text).toContain("airgap 离线包");
    const sums = readFileSync(scratch.path("SHA256SUMS"), "utf8");
    expect(sums.split("\n").map((line) => line.slice(66))).toEqual([
      "other.iso",
      "site.tar",
      "site.tar.README.txt",
      "",
    ]);
    execFileSync("sha256sum", ["-c", "SHA256SUMS", "--ignore-missing"], {
      cwd: scratch.dir,
      stdio: "ignore",
    });
    rmSync(scratch.path("site.tar.README.txt"));
    await scratch.build();
    expect(readFileSync(scratch.path("site.tar.README.txt"), "utf8")).toBe(text);
  });

  it("are not left over for a bundle that is not written", async () => {
    using scratch = new Scratch();
    scratch.write("hello.txt", "hello");
    scratch.spec("files: [{ path: hello.txt }]");
    await scratch.build({ lockOnly: true });
    await scratch.build({ dryRun: true });
    expect(existsSync(scratch.path("SHA256SUMS"))).toBe(false);
  });
});

/** A lock with a set of packages. */
function lockWith(packages: string[]): Lock {
  const { cluster, bundle } = siteOf({});
  const { name, facts } = packageSet("rocky-9.4", cluster, { packages: { all: packages } });
  const root = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: bundle.lockDigest,
    size: 1,
  };
  return { ...bundle.lock, items: [{ kind: "packages", name, facts, root, origins: [], wantedBy: [] }] };
}

describe("diff", () => {
  it("names packages and their versions", () => {
    const before = lockWith(["socat 1.7.4-5", "chrony 4.3-1", "kubelet 1.28.2-1"]);
    const after = lockWith(["socat 1.7.4-6", "kubelet 1.28.2-1", "ipset 7.11-8"]);
    expect(diffLocks(before, after).packages).toEqual([
      { set: "el9", name: "chrony", arch: "x86_64", from: "4.3-1" },
      { set: "el9", name: "ipset", arch: "x86_64", to: "7.11-8" },
      { set: "el9", name: "socat", arch: "x86_64", from: "1.7.4-5", to: "1.7.4-6" },
    ]);
    expect(diffLocks(before, before).packages).toEqual([]);
  });
});

it("list has sizes, platforms and files; --why knows similar names; diff has an exit code", async () => {
  await using registry = await startRegistry();
  using scratch = new Scratch();
  fill(registry.store, "a/hello", image("one"), "1");
  scratch.write("a,b.txt", "hello");
  scratch.spec(`images: [${registry.host}/a/hello:1]\nfiles: [{ path: "a,b.txt" }]`);
  await scratch.build();
  const bundle = scratch.path("site.tar");
  const listing = await listBundle(bundle);
  expect(listing).toMatchObject({
    lockDigest: expect.stringMatching(/^sha256:/),
    tarBytes: statSync(bundle).size,
    files: [{ kind: "file", name: "a,b.txt", bytes: 5 }],
  });
  const item = listing.items.find(({ kind }) => kind === "image");
  expect(item?.bytes).toBe([...image("one").blobs.values()].reduce((sum, { length }) => sum + length, 0));
  expect(readLockOf(bundle).blobs.length).toBe(listing.blobs);
  const csv = await cli(["list", bundle, "--files", "--format", "csv"]);
  expect(csv.stdout).toMatch(/^kind,item,name,bytes,digest\nfile,"a,b\.txt","a,b\.txt",5,sha256:/);
  expect(csv.stderr).toContain(listing.lockDigest);
  expect((await cli(["list", bundle, "--why", "helo"])).stderr).toContain(`--why ${registry.host}/a/hello:1`);
  expect(await cli(["diff", bundle, bundle, "--exit-code"])).toMatchObject({
    code: 0,
    stderr: "No changes\n",
  });
  const old = scratch.path("old.lock.json");
  writeFileSync(old, readFileSync(scratch.path("site.lock.json"), "utf8"));
  scratch.spec(`images: [${registry.host}/a/hello:1]`);
  await scratch.build();
  expect(await cli(["diff", old, bundle, "--exit-code"])).toMatchObject({
    code: 1,
    stdout: expect.stringContaining("- file\ta,b.txt"),
  });
});

describe("--keep-going and --limit-rate", () => {
  it("names everything that cannot be had, and not only the first", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(
      `images: [${registry.host}/a/one:1, ${registry.host}/a/none:1]\nfiles: [{ path: no-1.txt }, { path: no-2.txt }]\nmanifests: [no-3.yaml]`,
    );
    const failed = scratch.build({ keepGoing: true });
    await expect(failed).rejects.toMatchObject({
      message: expect.stringMatching(
        /things failed:[\s\S]*no-3\.yaml[\s\S]*no-1\.txt[\s\S]*no-2\.txt[\s\S]*a\/none/,
      ),
    });
    expect(existsSync(scratch.path("site.tar"))).toBe(false);
    await expect(scratch.build()).rejects.not.toMatchObject({
      message: expect.stringContaining("things failed"),
    });
  });

  it("gives the same lock as without, where nothing fails", async () => {
    using scratch = new Scratch();
    for (const name of ["1.txt", "2.txt"]) scratch.write(name, name);
    scratch.spec("files: [{ path: 1.txt }, { path: 2.txt }]");
    const plain = await scratch.build({ lockOnly: true });
    expect((await scratch.build({ lockOnly: true, keepGoing: true })).lockDigest).toBe(plain.lockDigest);
  });

  it("fetches no faster than it may", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    const started = performance.now();
    await scratch.build({ limitRate: 150_000 });
    expect(performance.now() - started).toBeGreaterThan(1200);
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
  });
});
