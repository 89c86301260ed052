import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build } from "../../src/bundle/build.ts";
import { readLockUnless } from "../../src/bundle/diff.ts";
import { exportPackages } from "../../src/bundle/export-packages.ts";
import { encodeLock, layOut } from "../../src/bundle/layout.ts";
import { listBundle } from "../../src/bundle/list.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { AirgapError } from "../../src/errors.ts";
import { readBundle } from "../../src/install/bundle.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { serve } from "../../src/site/serve/serve.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { pushTo } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
let registry: TestRegistry;
let whole: Buffer;
let lock: Lock;

beforeAll(async () => {
  registry = await startRegistry();
  fill(registry.store, "a/one", makeImage("one", [bytesOf("layer", 3000)]), "1");
  scratch.write("notes.txt", "a file");
  scratch.spec(`images: [${registry.host}/a/one:1]\nfiles: [path: notes.txt]`);
  await scratch.build();
  whole = readFileSync(scratch.path("site.tar"));
  lock = readBundleLock();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

function readBundleLock(): Lock {
  const bundle = BundleReader.open(scratch.path("site.tar"));
  bundle.close();
  return bundle.lock;
}

const emit = (): void => {};

/** What each command does first with a bundle. */
const COMMANDS: Record<string, (path: string) => Promise<unknown>> = {
  list: (path) => listBundle(path),
  diff: (path) => readLockUnless(undefined, path),
  verify: (bundle) => verifyBundle(bundle, { quick: false, emit }),
  "verify --quick": (bundle) => verifyBundle(bundle, { quick: true, emit }),
  push: async (path) => {
    const bundle = await BundleReader.openUnless(undefined, path);
    try {
      await using target = await startRegistry();
      return await pushTo(target, { name: path, lock: bundle.lock, source: bundle.source() });
    } finally {
      bundle.close();
    }
  },
  serve: (path) =>
    serve({
      bundles: [path],
      listen: "127.0.0.1:0",
      selfSigned: false,
      tlsNames: [],
      anonymousWrites: false,
      say: emit,
      line: () => {
        throw new Error("it listens");
      },
      emit,
      signal: new AbortController().signal,
    }),
  "packages export": (bundle) => exportPackages({ bundle, dir: scratch.path("out"), emit }),
  "install, hosts check": (path) => readBundle(path),
  "build --reuse": (path) =>
    build({
      spec: scratch.path("site.yaml"),
      output: scratch.path("again.tar"),
      locked: false,
      lockOnly: false,
      fresh: true,
      dryRun: true,
      reuse: [path],
      concurrency: 1,
      cacheDir: scratch.path("cache"),
      emit,
    }),
};

const flipped = (offset: number): Buffer => {
  const bytes = Buffer.from(whole);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x20;
  return bytes;
};

/** A bundle around any text as its lock, all digests and headers right. */
function around(text: string): Buffer {
  const lockBytes = encodeLock(lock);
  const layout = layOut(lock);
  const real = layout.entries.slice(0, 4).map(({ header, bytes }) => [header, bytes] as const);
  const json = Buffer.from(text);
  const swap = (bytes: Buffer): Buffer =>
    Buffer.from(
      bytes
        .toString()
        .replaceAll(digestOf(lockBytes), digestOf(json))
        .replaceAll(`"size":${lockBytes.length}`, `"size":${json.length}`),
    );
  const manifest = swap(real[2]?.[1] as Buffer);
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          artifactType: "application/vnd.airgap.bundle.v1",
          digest: digestOf(manifest),
          size: manifest.length,
          annotations: { "vnd.airgap.kind": "lock" },
        },
      ],
    }),
  );
  const blob = (bytes: Buffer): string => `blobs/sha256/${digestOf(bytes).slice(7)}`;
  const files: [string, Buffer][] = [
    ["oci-layout", real[0]?.[1] as Buffer],
    ["index.json", index],
    [blob(manifest), manifest],
    [blob(json), json],
  ];
  return Buffer.concat([...files.flatMap(([name, bytes]) => entry(name, bytes)), Buffer.alloc(1024)]);
}

function entry(name: string, bytes: Buffer): Buffer[] {
  const made = layOut({ ...lock, items: [], blobs: [{ digest: digestOf(bytes), size: bytes.length }] });
  const header = Buffer.from(made.entries.at(-1)?.header as Buffer);
  header.fill(0, 0, 100).write(name, 0, "latin1");
  header.write("        ", 148, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
}

const lockWith = (change: Record<string, unknown>): Buffer => around(JSON.stringify({ ...lock, ...change }));
const itemWith = (change: Record<string, unknown>): Buffer =>
  lockWith({ items: [{ ...lock.items[0], ...change }] });

const CORRUPTIONS: Record<string, () => Buffer> = {
  empty: () => Buffer.alloc(0),
  "one byte": () => Buffer.from("x"),
  text: () => Buffer.from("hello\n".repeat(500)),
  zeros: () => Buffer.alloc(20_480),
  "cut in the first header": () => whole.subarray(0, 300),
  "cut behind oci-layout": () => whole.subarray(0, 1024),
  "cut in the lock": () => whole.subarray(0, 5000),
  "no oci-layout": () => whole.subarray(1024),
  "a flipped header": () => flipped(3),
  "a flipped oci-layout": () => flipped(512 + 5),
  "a flipped index": () => flipped(1024 + 512 + 40),
  "a lock that is not JSON": () => around("{"),
  "a lock that is null": () => around("null"),
  "a lock that is a list": () => around("[]"),
  "a lock that is not UTF-8": () => around("\ud800"),
  "an empty lock": () => around("{}"),
  "a lock of another version": () => lockWith({ apiVersion: "airgap/v9" }),
  "items null": () => lockWith({ items: null }),
  "items of null": () => lockWith({ items: [null] }),
  "blobs nested deeply": () => around(`{"blobs":${"[".repeat(50_000)}${"]".repeat(50_000)}}`),
  "facts nested deeply": () =>
    around(
      JSON.stringify({ ...lock, items: [{ ...lock.items[0], facts: "@" }] }).replace(
        '"@"',
        `{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
      ),
    ),
  "a name with a line feed": () => itemWith({ name: "a\nb" }),
  "an image that is not a reference": () => itemWith({ kind: "image", name: "UPPER CASE" }),
  "a root that is a number": () => itemWith({ root: 5 }),
  "a root with a broken media type": () =>
    itemWith({ root: { ...lock.items[0]?.root, mediaType: "a\r\nb" } }),
  "a size that is negative": () => lockWith({ blobs: [{ ...lock.blobs[0], size: -1 }] }),
  "a size that is too large": () => lockWith({ blobs: [{ ...lock.blobs[0], size: 2 ** 53 - 1 }] }),
  "a size that is infinite": () =>
    around(
      encodeLock(lock)
        .toString()
        .replace(/"size":\d+/, '"size":1e999'),
    ),
  "a blob that is there twice": () => lockWith({ blobs: [lock.blobs[0], lock.blobs[0]] }),
  "a lock that is not canonical": () => around(JSON.stringify(lock, undefined, 2)),
};

const refusal = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof AirgapError) return error.exit;
    return error;
  }
  return "nothing";
};

describe.each(Object.keys(COMMANDS))("%s ends with 3", (command) => {
  const run = COMMANDS[command] as (path: string) => Promise<unknown>;

  it.each(Object.keys(CORRUPTIONS))("%s", async (name) => {
    const path = scratch.write("bad.tar", (CORRUPTIONS[name] as () => Buffer)());
    expect(await refusal(run(path))).toBe(3);
  });

  it("what is not a file", async () => {
    mkdirSync(scratch.path("dir.tar"), { recursive: true });
    execFileSync("sh", ["-c", '[ -p "$1" ] || mkfifo "$1"', "sh", scratch.path("pipe.tar")]);
    for (const path of [scratch.path("dir.tar"), scratch.path("pipe.tar"), "/dev/null"])
      expect([path, await refusal(run(path))]).toEqual([path, 3]);
  });

  it("but with 2 when there is no such file", async () => {
    for (const path of [scratch.path("none.tar"), scratch.path("site.yaml/none.tar")])
      expect([path, await refusal(run(path))]).toEqual([path, 2]);
  });
});

describe("a bundle whose content is damaged", () => {
  it.each(["push", "verify"])("%s ends with 3, whichever blob it is", async (command) => {
    const bundle = layOut(lock);
    for (const { offset, digest } of bundle.entries.filter((each) => each.digest && !each.bytes)) {
      const path = scratch.write("flipped.tar", flipped(offset));
      if (command === "push" && !reaches("image", String(digest))) continue;
      expect([
        digest,
        await refusal((COMMANDS[command] as (path: string) => Promise<unknown>)(path)),
      ]).toEqual([digest, 3]);
    }
  });
});

/** Whether a blob belongs to an item of this kind: push sends images. */
function reaches(kind: string, digest: string): boolean {
  const bundle = BundleReader.open(scratch.path("site.tar"));
  try {
    return bundle.lock.items.some((item) => {
      if (item.kind !== kind) return false;
      const manifest = bundle.manifest(item.root, item.name);
      const children = manifest.kind === "manifest" ? [manifest.config, ...manifest.layers] : [];
      return [item.root, ...children].some((each) => each.digest === digest);
    });
  } finally {
    bundle.close();
  }
}

describe("a signal while a bundle is being opened", () => {
  it("ends it with 4, and closes the file", async () => {
    const path = scratch.path("site.tar");
    const stopped = new AirgapError("interrupted", "Stopped");
    const open = (): number =>
      execFileSync("sh", ["-c", `ls -l /proc/${process.pid}/fd`], { encoding: "utf8" }).split("site.tar")
        .length;
    const before = open();
    for (const work of [
      BundleReader.openUnless(AbortSignal.abort(stopped), path),
      listBundle(path, AbortSignal.abort(stopped)),
      verifyBundle(path, { quick: true, emit, signal: AbortSignal.abort(stopped) }),
      readBundle(path, AbortSignal.abort(stopped)),
    ])
      expect(await refusal(work)).toBe(4);
    expect(open()).toBe(before);
  });
});
