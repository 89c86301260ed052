import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeLock, layOut } from "../../src/bundle/layout.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { padded } from "../../src/bundle/tar.ts";
import { type Defect, verifyBundle } from "../../src/bundle/verify.ts";
import { AirgapError } from "../../src/errors.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { parseLock } from "../../src/lock/parse.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
const layer = bytesOf("layer", 20_001);
const index: TestImage = makeIndex([
  makeImage("one", [layer]),
  makeImage("two", [layer, bytesOf("second", 777)]),
]);
let whole: Buffer;

beforeAll(async () => {
  await using registry = await startRegistry();
  fill(registry.store, "a/one", index, "1");
  scratch.write("notes.txt", "a file");
  scratch.spec(`platforms: all\nimages: [${registry.host}/a/one:1]\nfiles: [path: notes.txt]`);
  await scratch.build();
  whole = readFileSync(scratch.path("site.tar"));
});
afterAll(() => scratch[Symbol.dispose]());

async function findings(bytes: Buffer, quick = false): Promise<Defect[]> {
  const path = scratch.write("changed.tar", bytes);
  try {
    await verifyBundle(path, { quick, emit: () => {} });
    return [];
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    expect(error).toMatchObject({ code: "check-failed", exit: 3 });
    return error.data?.["findings"] as Defect[];
  }
}

/** A lock of one image with these blobs. */
function craftedLock(blobs: { digest: Digest; size: number }[], root: Descriptor): Lock {
  const items: Lock["items"] = [{ kind: "image", name: "h.site/a:1", root, origins: [], wantedBy: [] }];
  return { apiVersion: "airgap/v1", kind: "Lock", name: "crafted", platforms: ["all"], items, blobs };
}

/** A bundle as somebody could write it by hand: right in every byte, and nothing that `build` makes. */
function craft(
  contents: Buffer[],
  root: Descriptor,
  lock = craftedLock(
    contents.map((bytes) => ({ digest: digestOf(bytes), size: bytes.length })),
    root,
  ),
): Buffer {
  const { entries } = layOut(lock);
  const known = new Map(contents.map((bytes) => [digestOf(bytes), bytes]));
  const parts = entries.flatMap(({ header, bytes, digest, size }) => {
    const content = bytes ?? (digest && known.get(digest)) ?? Buffer.alloc(0);
    return [header, content, Buffer.alloc(content.length === size ? padded(size) - size : 0)];
  });
  return Buffer.concat([...parts, Buffer.alloc(contents.length > 0 ? 1024 : 0)]);
}

const changedAt = (offset: number, bit = 0): Buffer => {
  const bytes = Buffer.from(whole);
  bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
  return bytes;
};

function layout() {
  const bundle = BundleReader.open(scratch.path("site.tar"));
  bundle.close();
  return bundle;
}

describe("verify", () => {
  it("finds nothing wrong with what build made", async () => {
    expect(await findings(whole)).toEqual([]);
    expect(await findings(whole, true)).toEqual([]);
  });

  it("covers every byte: each one of a small bundle, flipped, is found", async () => {
    using small = new Scratch();
    small.write("notes.txt", "a file");
    small.spec("files: [path: notes.txt]");
    await small.build();
    const path = small.path("site.tar");
    const bytes = readFileSync(path);
    const file = openSync(path, "r+");
    const missed: number[] = [];
    const write = (offset: number, flip: number): number =>
      writeSync(file, Uint8Array.of((bytes[offset] ?? 0) ^ flip), 0, 1, offset);
    try {
      for (let offset = 0; offset < bytes.length; offset++) {
        write(offset, 1 << (offset % 8));
        const error = await verifyBundle(path, { quick: false, emit: () => {} }).catch((thrown) => thrown);
        if (!(error instanceof AirgapError && error.exit === 3)) missed.push(offset);
        write(offset, 0);
      }
    } finally {
      closeSync(file);
    }
    expect(missed).toEqual([]);
    expect(await verifyBundle(path, { quick: false, emit: () => {} })).toMatchObject({ items: 1 });
  }, 120_000);

  it("finds each of 300 flipped bits, wherever it is", async () => {
    let state = 12345;
    for (let i = 0; i < 300; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      const offset = state % whole.length;
      expect(
        await findings(changedAt(offset, state >>> 29)),
        `bit ${state >>> 29} of byte ${offset}`,
      ).not.toEqual([]);
    }
  });

  it("names a bad blob with the images that use it", async () => {
    const { lock, layout: places } = layout();
    const entry = [...places.byDigest.values()].find(({ size }) => size === layer.length);
    const [finding, ...others] = await findings(changedAt((entry?.offset ?? 0) + 5000));
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      what: "content",
      digest: entry?.digest,
      items: [lock.items.find(({ kind }) => kind === "image")?.name],
    });
  });

  it("tells what is missing of a bundle that was cut, anywhere", async () => {
    for (const size of [
      0,
      100,
      512,
      3000,
      Math.floor(whole.length / 2),
      whole.length - 1024,
      whole.length - 1,
    ]) {
      const cut = await findings(whole.subarray(0, size));
      expect(cut, `${size} bytes`).not.toEqual([]);
    }
    const half = await findings(whole.subarray(0, whole.length - 30_000));
    expect(half.some(({ what, items }) => what === "missing" && items?.length)).toBe(true);
  });

  it("finds what was appended", async () => {
    expect(await findings(Buffer.concat([whole, Buffer.alloc(512)]))).toMatchObject([{ what: "size" }]);
    expect(await findings(Buffer.concat([whole, whole]))).toMatchObject([{ what: "size" }]);
  });

  it("finds entries in another order, twice, or that the format does not have", async () => {
    const { entries } = layout().layout;
    const at = (name: string) => entries.find((entry) => entry.name === name) ?? entries[4];
    const [a, b] = entries
      .slice(-2)
      .map((entry) => ({ start: entry.headerOffset, end: entry.offset + Math.ceil(entry.size / 512) * 512 }));
    if (!a || !b) throw new Error("too few entries");
    const swapped = Buffer.concat([
      whole.subarray(0, a.start),
      whole.subarray(b.start, b.end),
      whole.subarray(a.start, a.end),
      whole.subarray(b.end),
    ]);
    expect(await findings(swapped)).toMatchObject(
      expect.arrayContaining([expect.objectContaining({ what: "header" })]),
    );
    const twice = Buffer.concat([
      whole.subarray(0, b.end),
      whole.subarray(b.start, b.end),
      whole.subarray(b.end),
    ]);
    expect(await findings(twice)).not.toEqual([]);
    for (const [type, word] of [
      ["1", "hard link"],
      ["2", "symbolic link"],
      ["3", "device"],
      ["S", "sparse"],
      ["5", "directory"],
    ] as const) {
      const odd = Buffer.from(whole);
      const header = odd.subarray(at("")?.headerOffset, (at("")?.headerOffset ?? 0) + 512);
      header.write(type, 156, "latin1");
      reseal(header);
      const [first] = await findings(odd);
      expect(first?.message).toContain(word);
    }
    for (const name of ["../../etc/passwd", "/etc/passwd"]) {
      const odd = Buffer.from(whole);
      const header = odd.subarray(at("")?.headerOffset, (at("")?.headerOffset ?? 0) + 512);
      header.fill(0, 0, 100);
      header.write(name, 0, "latin1");
      reseal(header);
      expect((await findings(odd))[0]?.message).toContain(JSON.stringify(name));
    }
  });

  it("finds a lock that lies, though every digest is right", async () => {
    const { lock } = layout();
    for (const lie of [
      { ...lock, blobs: lock.blobs.slice(0, -1) },
      { ...lock, items: lock.items.slice(1) },
      {
        ...lock,
        items: lock.items.map((item) =>
          item.kind === "image" ? { ...item, root: { ...item.root, size: item.root.size + 1 } } : item,
        ),
      },
    ]) {
      const parsed = parseLock(encodeLock(lie), "of a test");
      const forged = layOut(parsed);
      const bytes = Buffer.alloc(forged.size);
      const honest = layout();
      for (const entry of forged.entries) {
        entry.header.copy(bytes, entry.headerOffset);
        const from = entry.digest && honest.layout.byDigest.get(entry.digest);
        (entry.bytes ?? whole.subarray(from?.offset, (from?.offset ?? 0) + entry.size)).copy(
          bytes,
          entry.offset,
        );
      }
      expect((await findings(bytes)).map(({ what }) => what)).toEqual(
        expect.arrayContaining([expect.stringMatching(/graph|unused/)]),
      );
    }
  });

  it("finds indexes nested without end, and a manifest that is none by its size alone", async () => {
    const empty = Buffer.from("{}");
    const config = { mediaType: MediaType.ociConfig, digest: digestOf(empty), size: empty.length };
    const chain = [
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociManifest, config, layers: [] })),
    ];
    const descriptor = (bytes: Buffer, i: number) => ({
      mediaType: i === 0 ? MediaType.ociManifest : MediaType.ociIndex,
      digest: digestOf(bytes),
      size: bytes.length,
    });
    for (let i = 0; i < 20_000; i++) {
      chain.push(
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: MediaType.ociIndex,
            manifests: [descriptor(chain.at(-1) as Buffer, i)],
          }),
        ),
      );
    }
    const root = descriptor(chain.at(-1) as Buffer, chain.length - 1);
    const nested = await findings(craft([...chain.slice(-20_000), chain[0] as Buffer, empty], root));
    expect(nested).toContainEqual(
      expect.objectContaining({ what: "graph", message: expect.stringContaining("nested") }),
    );

    const huge = { mediaType: MediaType.ociManifest, digest: digestOf("huge"), size: 12 * 1024 ** 3 };
    const lock = craftedLock([{ digest: huge.digest, size: huge.size }], huge);
    scratch.write("changed.tar", craft([], huge, lock));
    truncateSync(scratch.path("changed.tar"), layOut(lock).size);
    await expect(
      verifyBundle(scratch.path("changed.tar"), { quick: true, emit: () => {} }),
    ).rejects.toMatchObject({
      code: "check-failed",
      message: expect.stringMatching(/12884901888 bytes/),
    });
    await expect(
      verifyBundle(scratch.path("changed.tar"), {
        quick: false,
        emit: () => {},
        signal: AbortSignal.timeout(200),
      }),
    ).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });

  it("refuses a lock with names that would steer a terminal, and with tags that are none", () => {
    const lock = craftedLock([], { mediaType: MediaType.ociManifest, digest: digestOf("x"), size: 1 });
    const [item] = lock.items;
    const changed = (more: object) => Buffer.from(JSON.stringify({ ...lock, items: [{ ...item, ...more }] }));
    expect(() => parseLock(changed({ kind: "file", name: "a\u001b]0;b" }), "x")).toThrow(/control/);
    expect(() => parseLock(changed({ wantedBy: ["a\nb"] }), "x")).toThrow(/control/);
    expect(() =>
      parseLock(
        changed({ attached: [{ descriptor: item?.root, subject: item?.root.digest, tag: "../x" }] }),
        "x",
      ),
    ).toThrow(/tag/);
  });

  it("checks the structure only with --quick", async () => {
    const { layout: places } = layout();
    const entry = [...places.byDigest.values()].find(({ size }) => size === layer.length);
    expect(await findings(changedAt((entry?.offset ?? 0) + 5000), true)).toEqual([]);
    expect(await findings(changedAt(entry?.headerOffset ?? 0), true)).not.toEqual([]);
  });

  it("says what a file is that is no bundle", async () => {
    expect(await findings(Buffer.from("hello"))).toMatchObject([{ what: "header" }]);
    await expect(
      verifyBundle(scratch.path("none.tar"), { quick: false, emit: () => {} }),
    ).rejects.toMatchObject({ code: "disk" });
  });
});

describe("a bundle that is not whole", () => {
  it("is not opened by anything but verify", () => {
    const path = scratch.write("cut.tar", whole);
    truncateSync(path, whole.length - 512);
    expect(() => BundleReader.open(path)).toThrow(/512 bytes short/);
    writeFileSync(path, whole);
    appendFileSync(path, Buffer.alloc(1));
    expect(() => BundleReader.open(path)).toThrow(/1 bytes too long/);
  });
});

/** Makes the checksum of a changed header right again. */
function reseal(header: Buffer): void {
  header.write("        ", 148, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
