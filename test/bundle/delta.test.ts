import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesOf as bytesOfBlobs, encodeDelta } from "../../src/bundle/delta.ts";
import { encodeLock, layOut } from "../../src/bundle/layout.ts";
import { mergeBundles } from "../../src/bundle/merge.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { makeReceipt, writeReceipt } from "../../src/bundle/receipt.ts";
import { END_OF_ARCHIVE, padded } from "../../src/bundle/tar.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import type { AirgapError } from "../../src/errors.ts";
import { canonicalBytes } from "../../src/oci/canonical-json.ts";
import { openSigner } from "../../src/trust/key.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";
import { makeKey, trustOf } from "../support/trust.ts";

const scratch = new Scratch();
const path = (name: string): string => scratch.path(name);
const [shared, first, second] = [
  bytesOf("shared", 30_000),
  bytesOf("first", 20_000),
  bytesOf("second", 25_000),
];
let registry: Awaited<ReturnType<typeof startRegistry>>;

/** Three builds: the old site, the new one whole, and the new one as a delta. */
beforeAll(async () => {
  registry = await startRegistry();
  fill(registry.store, "a/one", makeImage("one", [shared, first]), "1");
  fill(registry.store, "a/kept", makeImage("kept", [shared]), "1");
  fill(registry.store, "a/two", makeImage("two", [shared, second]), "2");
  scratch.write("notes.txt", "a file");
  const spec = (images: string[]) =>
    scratch.spec(
      `images: [${images.map((name) => `"${registry.host}/${name}"`).join(", ")}]\nfiles: [{ path: notes.txt }]`,
    );
  spec(["a/one:1", "a/kept:1"]);
  await scratch.build({ output: path("old.tar") });
  writeFileSync(path("old.lock.json"), readFileSync(path("site.lock.json")));
  const { key } = makeKey(scratch, "site");
  const signer = await openSigner(key, async () => undefined);
  spec(["a/two:2", "a/kept:1"]);
  await scratch.build({ output: path("full.tar"), signer });
  await scratch.build({ output: path("delta.tar"), since: path("old.tar"), signer });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const quiet = { emit: () => {} };
const verify = (name: string, bases: string[] = [], quick = false) =>
  verifyBundle(path(name), { quick, opening: { bases: bases.map(path) }, ...quiet });
const refusalOf = (work: Promise<unknown>): Promise<AirgapError> =>
  work.then(
    () => {
      throw new Error("it was accepted");
    },
    (error) => error as AirgapError,
  );

describe("a delta", () => {
  it("has the whole lock, only the new blobs, and the list of the others with their sizes", () => {
    const open = (name: string) => {
      const reader = BundleReader.open(path(name));
      reader.close();
      return reader;
    };
    const [old, full, delta] = [open("old.tar"), open("full.tar"), open("delta.tar")];
    expect(delta.lock).toEqual(full.lock);
    const had = new Set(old.lock.blobs.map(({ digest }) => digest));
    expect(delta.delta).toMatchObject({
      since: old.layout.lockDigest,
      blobs: full.lock.blobs.filter(({ digest }) => had.has(digest)),
      images: [`${registry.host}/a/kept:1`, `${registry.host}/a/one:1`],
    });
    for (const { digest } of full.lock.blobs)
      expect(delta.region(digest) === undefined).toBe(had.has(digest));
    expect(delta.layout.size).toBeLessThan(full.layout.size - 30_000);
  });

  it("is the same from a lock as from the bundle of it, and whole when nothing is had", async () => {
    await scratch.build({ output: path("again.tar"), since: path("old.lock.json") });
    expect(readFileSync(path("again.tar"))).toEqual(readFileSync(path("delta.tar")));
    writeReceipt(path("empty.json"), makeReceipt(["nothing"], [], []));
    await scratch.build({ output: path("all.tar"), since: path("empty.json") });
    expect(await verify("all.tar")).toMatchObject({ delta: { blobs: 0 } });
    const held = BundleReader.open(path("old.tar"));
    held.close();
    writeReceipt(path("receipt.json"), makeReceipt(["old"], held.lock.blobs, []));
    expect(
      await scratch.build({ output: path("by-receipt.tar"), since: path("receipt.json") }),
    ).toMatchObject({
      delta: {
        bytes: bytesOfBlobs(
          held.lock.blobs.filter(
            ({ digest }) =>
              !BundleReader.open(path("delta.tar")).region(digest) &&
              BundleReader.open(path("full.tar")).region(digest),
          ),
        ),
      },
    });
  });

  it("is verified alone, and with its base as a whole", async () => {
    expect(await verify("delta.tar")).toMatchObject({
      hashed: true,
      delta: { proven: false, blobs: expect.any(Number) },
    });
    expect(await verify("delta.tar", ["old.tar"])).toMatchObject({ delta: { proven: true } });
    expect(await verify("delta.tar", ["full.tar"])).toMatchObject({ delta: { proven: true } });
    expect(await verify("delta.tar", ["old.tar"], true)).toMatchObject({ delta: { proven: false } });
    await expect(verify("full.tar", ["old.tar"])).rejects.toMatchObject({ exit: 2 });
  });

  it("is signed as the full bundle is, and both signatures are the same kind of proof", () => {
    const trust = trustOf(scratch, undefined, { keys: [path("site.pub")] });
    for (const name of ["full.tar", "delta.tar"]) {
      const reader = BundleReader.open(path(name), { trust });
      reader.close();
      expect(reader.proof.signedBy).toHaveLength(1);
    }
  });

  it("finds a base that lacks something, or has it damaged", async () => {
    scratch.spec("files: [{ path: notes.txt }]");
    await scratch.build({ output: path("other.tar"), lockOnly: false });
    const lacking = await refusalOf(verify("delta.tar", ["other.tar"]));
    expect(lacking).toMatchObject({ exit: 3, message: expect.stringContaining("is in no base") });
    const old = BundleReader.open(path("old.tar"));
    const at = old.region(BundleReader.open(path("delta.tar")).delta?.blobs.at(-1)?.digest as never);
    old.close();
    const bytes = readFileSync(path("old.tar"));
    bytes[at?.offset ?? 0] = (bytes[at?.offset ?? 0] ?? 0) ^ 1;
    writeFileSync(path("bad.tar"), bytes);
    const damaged = await refusalOf(verify("delta.tar", ["bad.tar"]));
    expect(damaged).toMatchObject({ exit: 3, message: expect.stringContaining("wrong content in") });
  });

  it("covers every byte of its frame", async () => {
    const bytes = readFileSync(path("delta.tar"));
    const { entries } = (() => {
      const reader = BundleReader.open(path("delta.tar"));
      reader.close();
      return reader.layout;
    })();
    for (const entry of entries)
      for (const offset of [entry.headerOffset + 3, entry.offset, entry.offset + entry.size - 1]) {
        const changed = Buffer.from(bytes);
        changed[offset] = (changed[offset] ?? 0) ^ 4;
        writeFileSync(path("changed.tar"), changed);
        expect(await refusalOf(verify("changed.tar"))).toMatchObject({ exit: 3 });
      }
  });

  it.each<[string, (blobs: { digest: never; size: number }[]) => unknown[]]>([
    ["one that it has itself", (blobs) => blobs.slice(1)],
    ["another size", ([one, ...rest]) => [{ ...one, size: 1 }, ...rest]],
    ["a blob of no lock", (blobs) => [...blobs, { digest: `sha256:${"0".repeat(64)}`, size: 1 }]],
    ["another order", (blobs) => blobs.toReversed()],
    ["the same twice", ([one, ...rest]) => [one, one, ...rest]],
  ])("is refused when its list names %s", async (_, change) => {
    const reader = BundleReader.open(path("delta.tar"));
    reader.close();
    const { lock, delta } = reader;
    if (delta === undefined) throw new Error("not a delta");
    const list = { ...delta, blobs: change(delta.blobs as never) } as typeof delta;
    // Frames are right for the list as it is; blobs that it claims to lack or to have decide.
    let entries: ReturnType<typeof layOut>["entries"];
    try {
      ({ entries } = layOut(lock, list));
    } catch {
      return;
    }
    const parts = entries.flatMap(({ header, bytes, digest, size }) => {
      const region = digest && reader.layout.byDigest.get(digest);
      const content =
        bytes ??
        (region
          ? readFileSync(path("delta.tar")).subarray(region.offset, region.offset + region.size)
          : Buffer.alloc(size));
      return [header, content, Buffer.alloc(padded(size) - size)];
    });
    writeFileSync(path("forged.tar"), Buffer.concat([...parts, END_OF_ARCHIVE]));
    expect(await refusalOf(verify("forged.tar", ["old.tar"]))).toMatchObject({ exit: 3 });
    expect(canonicalBytes(list)).toEqual(encodeDelta(list));
  });
});

describe("merge", () => {
  it("gives the full bundle, byte for byte, with its signature", async () => {
    const result = await mergeBundles({
      bases: [path("old.tar")],
      delta: path("delta.tar"),
      output: path("merged.tar"),
      ...quiet,
    });
    expect(readFileSync(path("merged.tar"))).toEqual(readFileSync(path("full.tar")));
    expect(result.signatures).toEqual([path("merged.tar.sigstore.json")]);
    expect(readFileSync(path("merged.tar.sigstore.json")).length).toBeGreaterThan(100);
    const trust = trustOf(scratch, undefined, { keys: [path("site.pub")], requireSignature: true });
    BundleReader.open(path("merged.tar"), { trust }).close();
    const { volumes } = await mergeBundles({
      bases: [path("old.tar")],
      delta: path("delta.tar"),
      output: path("cut.tar"),
      volumeSize: 40_000,
      ...quiet,
    });
    expect(Buffer.concat((volumes ?? []).map((each) => readFileSync(each)))).toEqual(
      readFileSync(path("full.tar")),
    );
  });

  it("refuses what is missing before it writes anything, and a bundle that is no delta", async () => {
    scratch.spec("files: [{ path: notes.txt }]");
    await scratch.build({ output: path("little.tar") });
    const merge = (bases: string[], delta: string) =>
      mergeBundles({ bases: bases.map(path), delta: path(delta), output: path("none.tar"), ...quiet });
    const error = await refusalOf(merge(["little.tar"], "delta.tar"));
    expect(error).toMatchObject({ code: "check-failed", exit: 3 });
    expect(error.data?.["missing"]).not.toEqual([]);
    await expect(merge(["old.tar"], "full.tar")).rejects.toMatchObject({ exit: 2 });
    expect(readdirSync(scratch.dir).filter((name) => name.startsWith("none"))).toEqual([]);
  });

  it("does not take damaged content from a base", async () => {
    const old = BundleReader.open(path("old.tar"));
    const digest = BundleReader.open(path("delta.tar")).delta?.blobs.at(-1)?.digest;
    const at = digest && old.region(digest)?.offset;
    old.close();
    const bytes = readFileSync(path("old.tar"));
    bytes[at ?? 0] = (bytes[at ?? 0] ?? 0) ^ 1;
    writeFileSync(path("bad.tar"), bytes);
    await expect(
      mergeBundles({
        bases: [path("bad.tar")],
        delta: path("delta.tar"),
        output: path("none.tar"),
        ...quiet,
      }),
    ).rejects.toMatchObject({ code: "corrupt", exit: 3 });
  });

  it("stacks deltas: the next one is built on the one before", async () => {
    fill(registry.store, "a/three", makeImage("three", [second, bytesOf("third", 9000)]), "3");
    scratch.spec(`images: ["${registry.host}/a/three:3", "${registry.host}/a/kept:1"]`);
    await scratch.build({ output: path("third-full.tar") });
    await scratch.build({ output: path("third.tar"), since: path("delta.tar") });
    await mergeBundles({
      bases: [path("old.tar"), path("delta.tar")],
      delta: path("third.tar"),
      output: path("third-merged.tar"),
      ...quiet,
    });
    expect(readFileSync(path("third-merged.tar"))).toEqual(readFileSync(path("third-full.tar")));
    expect(encodeLock(BundleReader.open(path("third.tar")).lock).length).toBeGreaterThan(100);
    renameSync(path("third-merged.tar"), path("x.tar"));
  });
});
