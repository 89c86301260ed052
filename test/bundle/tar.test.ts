import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { describe, expect, it } from "vitest";
import { blobName, layOut } from "../../src/bundle/layout.ts";
import { END_OF_ARCHIVE, entryHeader, padded, readHeader } from "../../src/bundle/tar.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { digestOf } from "../../src/oci/digest.ts";

async function namesIn(tar: Buffer): Promise<{ name: string; size: number }[]> {
  const found: { name: string; size: number }[] = [];
  for await (const entry of Readable.from([tar]).pipe(extract())) {
    found.push({ name: entry.header.name, size: entry.header.size ?? 0 });
    entry.resume();
  }
  return found;
}

describe("tar entries", () => {
  it("are read by others, long names too", async () => {
    const long = blobName(digestOf("x", "sha512"));
    const short = blobName(digestOf("x"));
    const entry = (name: string): Buffer =>
      Buffer.concat([entryHeader(name, 5), Buffer.from("hello".padEnd(padded(5), "\0"))]);
    expect(await namesIn(Buffer.concat([entry(short), entry(long), END_OF_ARCHIVE]))).toEqual([
      { name: short, size: 5 },
      { name: long, size: 5 },
    ]);
  });

  it("tell sizes of 8 GiB and more", () => {
    for (const size of [0, 8 ** 11 - 1, 8 ** 11, 50 * 2 ** 30, 2 ** 50])
      expect(readHeader(entryHeader("x", size))).toMatchObject({ name: "x", type: "0", size });
  });

  it("are told from what is no header", () => {
    const header = entryHeader("x", 1);
    header[0] = 0x79;
    expect(readHeader(header)).toBeUndefined();
  });
});

describe("the layout", () => {
  it("knows where everything lies from the lock alone, beyond 8 GiB too", () => {
    const big = digestOf("big");
    const after = digestOf("after");
    const lock: Lock = {
      apiVersion: "airgap/v1",
      kind: "Lock",
      name: "x",
      platforms: [],
      items: [],
      blobs: [
        { digest: big, size: 9 * 2 ** 30 + 1 },
        { digest: after, size: 3 },
      ],
    };
    const layout = layOut(lock);
    const [first, second] = [layout.byDigest.get(big), layout.byDigest.get(after)];
    expect(second?.headerOffset).toBe((first?.offset ?? 0) + padded(9 * 2 ** 30 + 1));
    expect(layout.size).toBe((second?.offset ?? 0) + 512 + 1024);
  });
});
