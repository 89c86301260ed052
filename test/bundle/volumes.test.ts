import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BundleReader } from "../../src/bundle/reader.ts";
import { splitBundle } from "../../src/bundle/split.ts";
import { verifyVolume } from "../../src/bundle/sums.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { parseVolumeSize } from "../../src/bundle/volume-size.ts";
import type { AirgapError } from "../../src/errors.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { bytesOf } from "../support/images.ts";
import { Scratch } from "../support/scratch.ts";
import { makeKey, sign, trustOf } from "../support/trust.ts";

const SIZE = 50_000;
let scratch: Scratch;
let whole: Buffer;
let bundle: string;

beforeEach(async () => {
  scratch = new Scratch();
  scratch.write("large.bin", bytesOf("large", 160_000));
  scratch.write("small.txt", "small");
  scratch.spec(
    "files: [path: large.bin, path: small.txt]".replace(
      "path: large.bin, path: small.txt",
      "{ path: large.bin }, { path: small.txt }",
    ),
  );
  await scratch.build();
  bundle = scratch.path("site.tar");
  whole = readFileSync(bundle);
});
afterEach(() => scratch[Symbol.dispose]());

const split = (more = {}) => splitBundle({ bundle, volumeSize: SIZE, emit: () => {}, ...more });
/** Volumes alone, in a folder of their own. */
async function alone(): Promise<string> {
  await split({ to: scratch.path("out") });
  return scratch.path("out/site.tar");
}
const failureOf = (path: string): Promise<AirgapError> =>
  verifyBundle(path, { quick: false, emit: () => {} }).then(
    () => {
      throw new Error("it was accepted");
    },
    (error) => error as AirgapError,
  );
const volumes = (folder: string) =>
  readdirSync(folder)
    .filter((name) => /\.\d{3}$/.test(name))
    .toSorted();
const joined = (folder: string) =>
  Buffer.concat(volumes(folder).map((name) => readFileSync(`${folder}/${name}`)));

describe("split", () => {
  it("gives what cat joins, with sums that sha256sum reads, and keeps what is right already", async () => {
    const first = await split({ to: scratch.path("out") });
    expect(joined(scratch.path("out"))).toEqual(whole);
    expect(first.volumes.map(({ state, size }) => [state, size])).toEqual([
      ["written", SIZE],
      ["written", SIZE],
      ["written", SIZE],
      ["written", whole.length - 3 * SIZE],
    ]);
    const sums = readFileSync(scratch.path("out/SHA256SUMS"), "utf8");
    expect(sums.split("\n")).toHaveLength(5);
    for (const { path, sha256 } of first.volumes) {
      expect(digestOf(readFileSync(path))).toBe(`sha256:${sha256}`);
      expect(sums).toContain(`${sha256}  ${path.replace(/^.*\//, "")}\n`);
    }
    writeFileSync(scratch.path("out/site.tar.001"), "damaged");
    expect((await split({ to: scratch.path("out") })).volumes.map(({ state }) => state)).toEqual([
      "present",
      "written",
      "present",
      "present",
    ]);
  });

  it("writes the volumes that are asked for, and refuses sizes that no set of names fits", async () => {
    expect((await split({ to: scratch.path("one"), only: [2] })).volumes).toHaveLength(1);
    expect(volumes(scratch.path("one"))).toEqual(["site.tar.002"]);
    await expect(split({ only: [7] })).rejects.toMatchObject({ exit: 2 });
    await expect(split({ volumeSize: 128 })).rejects.toMatchObject({ exit: 2 });
  });

  it("reads sizes as people write them", () => {
    expect(["4480MiB", "1k", "650MB", "4.7GB", "1000"].map(parseVolumeSize)).toEqual([
      4480 * 1024 ** 2,
      1024,
      650_000_000,
      4_700_000_000,
      1000,
    ]);
    for (const wrong of ["", "0", "big", "-1", "1PB", "100"])
      expect(() => parseVolumeSize(wrong)).toThrow(expect.objectContaining({ exit: 2 }));
  });
});

describe("volumes", () => {
  it("are read as one file, in one folder or in several", async () => {
    const path = await alone();
    expect(await verifyBundle(path, { quick: false, emit: () => {} })).toMatchObject({
      items: 2,
      hashed: true,
    });
    mkdirSync(scratch.path("second"));
    for (const name of ["site.tar.001", "site.tar.003"])
      renameSync(scratch.path(`out/${name}`), scratch.path(`second/${name}`));
    expect(() => BundleReader.open(path)).toThrow(/site\.tar\.001 is missing/);
    const reader = BundleReader.open(path, { volumes: [scratch.path("second")] });
    for (const { digest } of reader.lock.blobs) expect(digestOf(reader.read(digest))).toBe(digest);
    reader.close();
    const elsewhere = BundleReader.open("site.tar", {
      volumes: [scratch.path("second"), scratch.path("out")],
    });
    elsewhere.close();
    expect(elsewhere.layout.lockDigest).toBe(reader.layout.lockDigest);
  });

  it("carry the signatures of the bundle", async () => {
    const { key, pub } = makeKey(scratch, "site");
    await sign(bundle, key);
    const path = await alone();
    const reader = BundleReader.open(path, { trust: trustOf(scratch, undefined, { keys: [pub] }) });
    reader.close();
    expect(reader.proof.signedBy).toEqual([pub]);
  });

  it.each([0, 1, 2, 3])("name the one that is missing: %i", async (number) => {
    const path = await alone();
    rmSync(`${path}.00${number}`);
    const error = await failureOf(path);
    expect(error).toMatchObject({ exit: 3 });
    expect(error.message).toContain(`site.tar.00${number}`);
    expect(() => BundleReader.open(path)).toThrow(expect.objectContaining({ exit: 3 }));
  });

  it.each([0, 1, 2, 3])("name the one that is damaged: %i", async (number) => {
    const path = await alone();
    const file = `${path}.00${number}`;
    const bytes = readFileSync(file);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const error = await failureOf(path);
    expect(error).toMatchObject({ exit: 3 });
    expect(error.message).toContain(`${file} is damaged`);
    rmSync(scratch.path("out/SHA256SUMS"));
    expect(await failureOf(path)).toMatchObject({ exit: 3 });
  });

  it.each([0, 1, 2, 3])("name the one that was cut short: %i", async (number) => {
    const path = await alone();
    truncateSync(`${path}.00${number}`, 1000);
    const error = await failureOf(path);
    expect(error).toMatchObject({ exit: 3 });
    expect(error.message).toContain(`site.tar.00${number}`);
  });

  it("that were mixed up are found, and named", async () => {
    const path = await alone();
    renameSync(`${path}.001`, `${path}.x`);
    renameSync(`${path}.002`, `${path}.001`);
    renameSync(`${path}.x`, `${path}.002`);
    const error = await failureOf(path);
    expect(error.message).toContain("site.tar.001 has the content of site.tar.002");
    expect(error).toMatchObject({ exit: 3 });
  });

  it("that are too many or too long are refused", async () => {
    const path = await alone();
    copyFileSync(`${path}.000`, `${path}.004`);
    expect(await failureOf(path)).toMatchObject({ exit: 3 });
    rmSync(`${path}.004`);
    appendFileSync(`${path}.003`, "more");
    expect(await failureOf(path)).toMatchObject({ exit: 3 });
  });

  it("are verified alone, by the sums beside them", async () => {
    const path = await alone();
    expect(await verifyVolume(`${path}.002`)).toMatchObject({ size: SIZE, proven: ["sums"] });
    writeFileSync(`${path}.002`, "other");
    await expect(verifyVolume(`${path}.002`)).rejects.toMatchObject({ exit: 3 });
    rmSync(scratch.path("out/SHA256SUMS"));
    expect(await verifyVolume(`${path}.001`)).toBeUndefined();
  });
});

describe("build --volume-size", () => {
  it("writes the volumes directly, with their sums and without the whole file", async () => {
    rmSync(bundle);
    const { volumes: made } = await scratch.build({ volumeSize: SIZE });
    expect(made?.map((path) => path.replace(/^.*\./, ""))).toEqual(["000", "001", "002", "003"]);
    expect(joined(scratch.dir)).toEqual(whole);
    expect(existsSync(bundle)).toBe(false);
    expect(readdirSync(scratch.dir).filter((name) => name.includes(".part"))).toEqual([]);
    expect(await verifyVolume(`${bundle}.001`)).toMatchObject({ proven: ["sums"] });
    expect(await verifyBundle(bundle, { quick: false, emit: () => {} })).toMatchObject({ items: 2 });
  });

  it("takes the place of what was there in another form, with other volumes, or whole", async () => {
    await scratch.build({ volumeSize: SIZE });
    expect(existsSync(bundle)).toBe(false);
    await scratch.build({ volumeSize: 2 * SIZE });
    expect(volumes(scratch.dir)).toEqual(["site.tar.000", "site.tar.001"]);
    expect(joined(scratch.dir)).toEqual(whole);
    await scratch.build();
    expect(volumes(scratch.dir)).toEqual([]);
    expect(readFileSync(bundle)).toEqual(whole);
  });

  it("resumes after it was stopped, and starts again for another size", async () => {
    const stop = new AbortController();
    stop.abort(new Error("stopped"));
    await scratch.build({ volumeSize: SIZE }).then(() => rmSync(`${bundle}.000`));
    const emit = (event: { type: string; name?: string }) => {
      if (event.type === "phase" && event.name === "Fetching") throw new Error("stopped");
    };
    await expect(scratch.build({ volumeSize: SIZE, emit: emit as never })).rejects.toThrow("stopped");
    expect(await scratch.build({ volumeSize: SIZE })).toMatchObject({ resumed: false });
    expect(joined(scratch.dir)).toEqual(whole);
  });
});
