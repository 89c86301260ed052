import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeyedGate } from "../../registry/store/gate.ts";
import { Store } from "../../registry/store/store.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { Serving } from "../support/serve.ts";
import { pushImage } from "../support/serving-push.ts";

const DAY = 24 * 3600 * 1000;
const base = bytesOf("base", 5000);
const one = makeImage("one", [base, bytesOf("one", 3000)]);
const two = makeImage("two", [base, bytesOf("two", 2000)]);
const index = makeIndex([makeImage("amd", [bytesOf("amd", 500)]), makeImage("arm", [bytesOf("arm", 500)])]);
const signatureOf = (image: TestImage) =>
  makeImage("sig", [bytesOf("sig", 90)], { subject: image.root, artifactType: "x/sig" });

let serving: Serving;
let store: Store;
beforeEach(async () => {
  serving = await Serving.start();
  store = await Store.open(serving.storePath);
});
afterEach(() => serving[Symbol.asyncDispose]());

const push = (name: string, image: TestImage, tag?: string): Promise<void> =>
  pushImage(serving, name, image, tag);

const onDisk = (): Digest[] =>
  readdirSync(join(serving.storePath, "blobs/sha256"))
    .map((hex): Digest => `sha256:${hex}`)
    .toSorted();
const digests = (...images: TestImage[]) =>
  [...new Set(images.flatMap(({ blobs }) => [...blobs.keys()]))].toSorted();
const later = (untagged = false) => store.collect({ untagged, now: Date.now() + DAY + 60_000 });
const status = async (path: string) => (await serving.call("GET", path)).status;

describe("a store", () => {
  it("keeps everything that is in use, and everything that is young", async () => {
    await push("a/one", one, "1");
    await push("a/multi", index, "1");
    await push("a/one", signatureOf(one));
    await push("b/same", one, "1");
    const before = onDisk();
    expect(await later(true)).toEqual({ manifests: 0, blobs: 0, bytes: 0 });
    expect(onDisk()).toEqual(before);
    await serving.call("DELETE", `/v2/a/one/manifests/${one.root.digest}`);
    expect(await store.collect()).toEqual({ manifests: 0, blobs: 0, bytes: 0 });
  });

  it("collects blobs of a deleted manifest a day later, but not what others share", async () => {
    await push("a/one", one, "1");
    await push("b/two", two, "1");
    await serving.call("DELETE", `/v2/a/one/manifests/${one.root.digest}`);
    const gone = digests(one).filter((digest) => !digests(two).includes(digest));
    expect(await later()).toMatchObject({ manifests: 0, blobs: gone.length - 1 });
    expect(onDisk()).toEqual(digests(two));
    expect(await status(`/v2/b/two/blobs/${digestOf(base)}`)).toBe(200);
    // In its own repository the blob is gone, though another one has it.
    expect(await status(`/v2/a/one/blobs/${digestOf(base)}`)).toBe(404);
  });

  it("keeps what lost its tag, unless it is told otherwise; then its signatures go too", async () => {
    await push("a/app", one, "latest");
    await push("a/app", signatureOf(one));
    await push("a/app", two, "latest");
    expect(await later()).toMatchObject({ blobs: 0 });
    expect(await status(`/v2/a/app/manifests/${one.root.digest}`)).toBe(200);
    expect(await later(true)).toMatchObject({ manifests: 2 });
    expect(await status(`/v2/a/app/manifests/${one.root.digest}`)).toBe(404);
    expect(onDisk()).toEqual(digests(two));
  });

  it("keeps children of an index, and signatures of what only a bundle has", async () => {
    await push("a/multi", index, "1");
    await push("a/app", signatureOf(one));
    const before = onDisk();
    expect(await later(true)).toEqual({ manifests: 0, blobs: 0, bytes: 0 });
    expect(onDisk()).toEqual(before);
  });

  it("collects content that no repository has: what a crash left between two steps", async () => {
    await push("a/one", one, "1");
    const lost = bytesOf("lost", 700);
    const path = join(serving.storePath, "blobs/sha256", digestOf(lost).slice(7));
    writeFileSync(path, lost);
    expect(await store.collect()).toMatchObject({ blobs: 0 });
    utimesSync(path, new Date(0), new Date(0));
    expect(await store.collect()).toEqual({ manifests: 0, blobs: 1, bytes: 700 });
    expect(onDisk()).toEqual(digests(one));
  });

  it("collects blobs of a push that never got to its manifest", async () => {
    await serving.call("POST", `/v2/a/never/blobs/uploads/?digest=${digestOf(base)}`, { body: base });
    expect(onDisk()).toEqual([digestOf(base)]);
    expect(await later()).toEqual({ manifests: 0, blobs: 1, bytes: base.length });
  });

  it("leaves a repository alone whose manifest is damaged", async () => {
    await push("a/one", one, "1");
    await push("a/one", two, "2");
    await serving.call("DELETE", `/v2/a/one/manifests/${two.root.digest}`);
    const path = join(serving.storePath, "blobs/sha256", one.root.digest.slice(7));
    const bytes = readFileSync(path);
    writeFileSync(path, "{");
    const before = onDisk();
    expect(await later()).toMatchObject({ blobs: 0 });
    expect(onDisk()).toEqual(before);
    writeFileSync(path, bytes);
    expect(await later()).toMatchObject({ blobs: 2 });
  });

  it("tells the server's log what it removed at the start", async () => {
    await push("a/one", one, "1");
    await serving.call("DELETE", `/v2/a/one/manifests/${one.root.digest}`);
    await serving.server.close(0);
    const old = new Date(Date.now() - 2 * DAY);
    for (const folder of ["blobs/sha256", "repositories/a/one/_blobs"])
      for (const name of readdirSync(join(serving.storePath, folder)))
        utimesSync(join(serving.storePath, folder, name), old, old);
    const { promise, resolve } = Promise.withResolvers<object>();
    await serving.open({ collected: resolve });
    expect(await promise).toMatchObject({ blobs: digests(one).length - 1 });
    expect(onDisk()).toEqual([]);
  });
});

describe("a gate", () => {
  it("lets pushes run side by side, and a collection alone", async () => {
    const gate = new KeyedGate();
    const order: string[] = [];
    const wait = Promise.withResolvers<void>();
    const first = gate.shared("a", async () => {
      order.push("first");
      await wait.promise;
      order.push("first ends");
    });
    const second = gate.shared("a", async () => void order.push("second"));
    await second;
    const alone = gate.alone("a", async () => void order.push("alone"));
    const third = gate.shared("a", async () => void order.push("third"));
    await gate.alone("b", async () => void order.push("other"));
    wait.resolve();
    await Promise.all([first, alone, third]);
    expect(order).toEqual(["first", "second", "other", "first ends", "alone", "third"]);
    await expect(gate.alone("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await gate.shared("a", async () => 1)).toBe(1);
  });
});
