import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readLockOf } from "../../src/bundle/diff.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { signable } from "../../src/bundle/sign.ts";
import { splitBundle } from "../../src/bundle/split.ts";
import { verifyVolume } from "../../src/bundle/sums.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import type { Context } from "../../src/install/context.ts";
import { BUNDLE_CHECKS } from "../../src/install/preflight/bundle.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { signStatement } from "../../src/trust/attestation.ts";
import { readPublicKey } from "../../src/trust/key.ts";
import { signContent } from "../../src/trust/sigstore.ts";
import { bytesOf } from "../support/images.ts";
import { Scratch } from "../support/scratch.ts";
import { signerFrom } from "../support/signatures.ts";
import { makeKey, sign, trustOf } from "../support/trust.ts";

/**
 * One site, one key, one policy: what comes over the gap is the newest bundle, rightly signed. Everything else that
 * somebody may put in its place is told apart, each time for its own reason.
 */

const made = new Scratch();
const SITE = "requireSignature: true\nkeys:\n  - { name: site, file: site.pub }\n";
/** What each case begins with: a copy of this folder. */
const at = (name: string): string => made.path(name);
let site: ReturnType<typeof makeKey>;
let evil: ReturnType<typeof makeKey>;
let here: Scratch;

beforeAll(async () => {
  [site, evil] = [makeKey(made, "site"), makeKey(made, "evil", "ed25519")];
  made.write("a.bin", bytesOf("a", 60_000));
  made.write("b.bin", bytesOf("b", 60_000));
  made.spec("files: [{ path: a.bin }, { path: b.bin }]");
  await made.build();
  renameSync(at("site.tar"), at("old.tar"));
  await sign(at("old.tar"), site.key);
  made.write("a.bin", bytesOf("newer", 60_000));
  await made.build();
  await sign(at("site.tar"), site.key);
  await splitBundle({ bundle: at("site.tar"), volumeSize: 40_000, to: at("volumes"), emit: () => {} });
  await splitBundle({ bundle: at("old.tar"), volumeSize: 40_000, to: at("old-volumes"), emit: () => {} });
  using other = new Scratch();
  other.write("a.bin", bytesOf("evil", 60_000));
  other.spec("files: [{ path: a.bin }]");
  await other.build();
  copyFileSync(other.path("site.tar"), at("evil.tar"));
});
afterAll(() => made[Symbol.dispose]());

beforeEach(() => {
  here = new Scratch();
  for (const name of ["site.tar", "site.tar.sigstore.json", "site.pub", "evil.pub"])
    copyFileSync(at(name), here.path(name));
  return () => here[Symbol.dispose]();
});

const tar = () => here.path("site.tar");
const signature = () => here.path("site.tar.sigstore.json");
const verify = (policy = SITE, options = {}) =>
  verifyBundle(tar(), { quick: false, emit: () => {}, opening: { trust: trustOf(here, policy, options) } });

/** Flips a bit of the bundle. */
function flip(offset: number): void {
  const bytes = readFileSync(tar());
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  writeFileSync(tar(), bytes);
}
/** Where the content of an entry begins. */
function entry(index: number): { offset: number; size: number } {
  const reader = BundleReader.open(tar());
  reader.close();
  const found = reader.layout.entries[index];
  if (found === undefined) throw new Error(`no entry ${index}`);
  return found;
}
const last = (): number => {
  const reader = BundleReader.open(tar());
  reader.close();
  return reader.layout.entries.length - 1;
};
const put = (name: string): void => copyFileSync(at(name), tar());
const signedBy = async (key: string): Promise<void> => {
  rmSync(signature());
  await sign(tar(), key);
};
const cut = (size: number): void => writeFileSync(tar(), readFileSync(tar()).subarray(0, size));

type Case = [name: string, change: () => unknown, why: RegExp, policy?: string];

const SWAPPED: Case[] = [
  [
    "another bundle under its name, with its signature",
    () => put("evil.tar"),
    /is a signature of other content|is of another|other/,
  ],
  ["another bundle, without a signature", () => [put("evil.tar"), rmSync(signature())], /is not signed/],
  ["a byte of content", () => flip(entry(last()).offset + 7), /content|digest/i],
  ["a byte of the lock", () => flip(entry(3).offset + 200), /the lock of .* does not match its digest/],
  ["a byte of the root manifest", () => flip(entry(2).offset + 30), /the root manifest .* does not match/],
  ["a byte of index.json", () => flip(entry(1).offset + 20), /index\.json|JSON|index/],
  ["a byte of oci-layout", () => flip(entry(0).offset + 25), /oci-layout/],
  ["a byte of a header in the middle", () => flip(entry(last()).offset - 412), /header|ustar|entry/i],
  ["a byte of padding", () => flip(entry(0).offset + entry(0).size + 9), /oci-layout|padding|zero/i],
  ["a byte of the end", () => flip(readFileSync(tar()).length - 5), /end|zero/i],
  [
    "two blobs of one size, exchanged",
    () => {
      const bytes = readFileSync(tar());
      const of = (name: string) => bytes.indexOf(readFileSync(at(name)).subarray(0, 60_000));
      const [a, b] = [of("a.bin"), of("b.bin")];
      const kept = Buffer.from(bytes.subarray(a, a + 60_000));
      bytes.copy(bytes, a, b, b + 60_000);
      kept.copy(bytes, b);
      writeFileSync(tar(), bytes);
    },
    /content|digest/i,
  ],
  [
    "a blob of the older bundle in the place of the newer one",
    () => {
      const bytes = readFileSync(tar());
      bytesOf("a", 60_000).copy(bytes, bytes.indexOf(bytesOf("newer", 60_000)));
      writeFileSync(tar(), bytes);
    },
    /content|digest/i,
  ],
  [
    "something behind its end",
    () => writeFileSync(tar(), Buffer.concat([readFileSync(tar()), Buffer.alloc(512)])),
    /bytes/,
  ],
];

const RESIGNED: Case[] = [
  [
    "content and lock of others, signed by their key",
    () => {
      put("evil.tar");
      return signedBy(evil.key);
    },
    /not signed by a key that counts/,
  ],
  ["the right bundle, signed by another key", () => signedBy(evil.key), /not signed by a key that counts/],
  [
    "another key's signature that says it is the site's",
    async () => {
      await signedBy(evil.key);
      const [own, theirs] = [readPublicKey(site.pub).hint, readPublicKey(evil.pub).hint];
      writeFileSync(signature(), readFileSync(signature(), "utf8").replace(theirs, own));
    },
    /signature/,
  ],
  [
    "the site's signature of the older bundle",
    () => copyFileSync(at("old.tar.sigstore.json"), signature()),
    /other|another/,
  ],
  [
    "the older signature with the digest of the newer lock",
    async () => {
      const { content } = await signable(tar(), {});
      const changed = JSON.parse(readFileSync(at("old.tar.sigstore.json"), "utf8"));
      changed.messageSignature.messageDigest.digest = Buffer.from(digestOf(content).slice(7), "hex").toString(
        "base64",
      );
      writeFileSync(signature(), JSON.stringify(changed));
    },
    /signature|damaged/,
  ],
  [
    "an attestation of the site's key over the lock",
    async () => {
      const signer = await signerFrom(site.key);
      const { content } = await signable(tar(), {});
      const subject = { algorithm: "sha256", hex: digestOf(content).slice(7) };
      writeFileSync(signature(), signStatement(signer, subject, "https://spdx.dev/Document", {}));
    },
    /holds an attestation, not a signature/,
  ],
  [
    "a signature of the lock as people read it",
    async () => {
      const signer = await signerFrom(site.key);
      const pretty = JSON.stringify(readLockOf(tar()), undefined, 2);
      writeFileSync(signature(), signContent(signer, Buffer.from(pretty)));
    },
    /other|another/,
  ],
  [
    "a signature of the bundle's own bytes",
    async () => writeFileSync(signature(), signContent(await signerFrom(site.key), readFileSync(tar()))),
    /other|another/,
  ],
  [
    "a signature that is cut short",
    () => writeFileSync(signature(), readFileSync(signature()).subarray(0, 200)),
    /not JSON/,
  ],
  [
    "a key whose time is over",
    () => {},
    /its last day was 2020-01-01/,
    SITE.replace("site.pub }", 'site.pub, notAfter: "2020-01-01" }'),
  ],
  [
    "a key for other bundles",
    () => {},
    /does not count/,
    SITE.replace("site.pub }", 'site.pub, bundles: ["apps-*"] }'),
  ],
  [
    "one signer where two are asked for, twice",
    () => copyFileSync(signature(), `${tar()}.again.sigstore.json`),
    /1 signature of known keys; 2 are required/,
    `threshold: 2\n${SITE}  - { name: evil, file: evil.pub }\n`,
  ],
];

const TRUNCATED: Case[] = [
  ["to nothing", () => cut(0), /ends at byte 0|empty|size/],
  ["within the first header", () => cut(100), /ends at byte 100/],
  ["within the lock", () => cut(entry(3).offset + 50), /ends|cut short/],
  ["within a blob", () => cut(entry(last()).offset + 30_000), /bytes/],
  ["between two entries", () => cut(entry(last()).offset - 512), /bytes/],
  ["before the end of the archive", () => cut(readFileSync(tar()).length - 1024), /bytes/],
  ["by one byte", () => cut(readFileSync(tar()).length - 1), /bytes/],
  [
    "and filled up with zeros",
    () => {
      const { length } = readFileSync(tar());
      const bytes = Buffer.alloc(length);
      readFileSync(tar()).copy(bytes, 0, 0, length - 70_000);
      writeFileSync(tar(), bytes);
    },
    /content|digest|header/i,
  ],
];

const volume = (number: number): string => here.path(`site.tar.${String(number).padStart(3, "0")}`);
function volumes(from = "volumes"): void {
  rmSync(tar());
  for (const name of readdirSync(at(from)))
    copyFileSync(at(`${from}/${name}`), here.path(name.replace(/^old\.tar/, "site.tar")));
  copyFileSync(at("site.tar.sigstore.json"), signature());
}
const inVolumes = (change: () => void): void => {
  volumes();
  change();
};
/** A volume, not the first one, in which the older bundle differs. */
function differing(): number {
  const found = [1, 2, 3].find(
    (i) =>
      !readFileSync(at(`volumes/site.tar.00${i}`)).equals(readFileSync(at(`old-volumes/old.tar.00${i}`))),
  );
  return found ?? expect.fail("the volumes are the same");
}
const takeOld = (i: number): void => copyFileSync(at(`old-volumes/old.tar.00${i}`), volume(i));
const exchange = (a: number, b: number): void => {
  renameSync(volume(a), here.path("x"));
  renameSync(volume(b), volume(a));
  renameSync(here.path("x"), volume(b));
};

const SHUFFLED: Case[] = [
  ["the first is missing", () => inVolumes(() => rmSync(volume(0))), /site\.tar\.000/],
  ["one in the middle is missing", () => inVolumes(() => rmSync(volume(1))), /site\.tar\.001/],
  ["the last is missing", () => inVolumes(() => rmSync(volume(3))), /site\.tar\.003/],
  ["two exchanged", () => inVolumes(() => exchange(1, 2)), /site\.tar\.00[12]/],
  ["the first and another exchanged", () => inVolumes(() => exchange(0, 2)), /header|tar|byte/],
  [
    "one twice, in the place of another",
    () => inVolumes(() => copyFileSync(volume(1), volume(2))),
    /site\.tar\.002/,
  ],
  ["one of the older bundle among them", () => inVolumes(() => takeOld(differing())), /site\.tar\.00[123]/],
  ["all of the older bundle, with the newer signature", () => volumes("old-volumes"), /other|another/],
  [
    "one cut short",
    () => inVolumes(() => writeFileSync(volume(1), readFileSync(volume(1)).subarray(0, 30_000))),
    /site\.tar\.001/,
  ],
  [
    "a byte in one changed",
    () => {
      volumes();
      const bytes = readFileSync(volume(2));
      bytes.writeUInt8(bytes.readUInt8(9) ^ 1, 9);
      writeFileSync(volume(2), bytes);
    },
    /site\.tar\.002/,
  ],
  ["one too many", () => inVolumes(() => writeFileSync(volume(4), "more")), /bytes|004/],
];

/** What install says of a bundle where the site has another one. */
function older(
  lock: Lock,
  had: { sequence: number; lockDigest: string },
  more: Partial<Context> = {},
): string[] {
  const context = {
    bundle: {
      lock,
      lockDigest: digestOf("its lock"),
      path: "site.tar",
      policy: { required: true, text: "", keys: [] },
    },
    cluster: { repository: { host: "register" } },
    facts: { register: { bundles: { site: had } } },
    ...more,
  } as unknown as Context;
  return BUNDLE_CHECKS.filter(({ name }) => name === "older").flatMap((check) =>
    check(context).map(({ severity, check: word, message }) => `${severity} ${word}: ${message}`),
  );
}
const newer = { sequence: 2, lockDigest: "sha256:newer" };
const DOWNGRADED: [string, () => string[], RegExp[]][] = [
  [
    "the older bundle, rightly signed",
    () => older(readLockOf(at("old.tar")), newer),
    [/^error bundle-older: .*its number is 1, the site's is 2/],
  ],
  [
    "the same with --allow-older",
    () => older(readLockOf(at("old.tar")), newer, { allowOlder: true }),
    [/^warning bundle-older/],
  ],
  [
    "another bundle with the same number",
    () => older(readLockOf(at("site.tar")), newer),
    [/^error bundle-older: .*both have the number 2, and they differ/],
  ],
  [
    "a bundle without a number",
    () => {
      const { sequence: _, ...without } = readLockOf(at("old.tar"));
      return older(without, newer);
    },
    [/^error bundle-older: .*its number is 0/],
  ],
];

const CASES = [...SWAPPED, ...RESIGNED, ...TRUNCATED, ...SHUFFLED];

describe("what comes over the gap", () => {
  it("is accepted as it was made, whole and in volumes; there are 40 other cases and more", async () => {
    expect(await verify()).toMatchObject({ proven: ["signature"], signedBy: ["site"], sequence: 2 });
    volumes();
    expect(await verify()).toMatchObject({ proven: ["signature"], signedBy: ["site"] });
    expect(older(readLockOf(at("site.tar")), { sequence: 1, lockDigest: "sha256:older" })).toEqual([]);
    expect(CASES.length + DOWNGRADED.length).toBeGreaterThanOrEqual(40);
  });

  const refused = async ([, change, why, policy]: Case): Promise<void> => {
    await change();
    const failure = await verify(policy).then(
      () => expect.fail("it was accepted"),
      (error: Error & { exit?: number }) => error,
    );
    expect(failure.exit, failure.message).toBe(3);
    expect(failure.message).toMatch(why);
  };
  it.each(SWAPPED)("swapped: %s", (...each) => refused(each as Case));
  it.each(RESIGNED)("signed again: %s", (...each) => refused(each as Case));
  it.each(TRUNCATED)("truncated %s", (...each) => refused(each as Case));
  it.each(SHUFFLED)("volumes: %s", (...each) => refused(each as Case));

  it.each(DOWNGRADED)("downgraded: %s", (_, ask, told) => {
    expect(ask()).toEqual(told.map((each) => expect.stringMatching(each)));
  });

  it("is asked for one lock alone, where its digest came by another way", async () => {
    const { lockDigest } = await verifyBundle(at("old.tar"), { quick: true, emit: () => {} });
    const { expectedLocks } = await import("../../src/bundle/expected.ts");
    await expect(
      verifyBundle(tar(), { quick: true, emit: () => {}, expected: expectedLocks({ digest: lockDigest }) }),
    ).rejects.toMatchObject({ exit: 3 });
  });

  it("in one volume alone is compared with its sum, and a forged sum does not help the whole", async () => {
    volumes();
    const i = differing();
    takeOld(i);
    await expect(verifyVolume(volume(i))).rejects.toMatchObject({ exit: 3 });
    const sums = here.path("SHA256SUMS");
    const own = digestOf(readFileSync(volume(i))).slice(7);
    writeFileSync(
      sums,
      readFileSync(sums, "utf8").replace(new RegExp(`^[0-9a-f]{64}(?= .site.tar.00${i}$)`, "m"), own),
    );
    expect(await verifyVolume(volume(i))).toBeDefined();
    await expect(verify()).rejects.toMatchObject({ exit: 3 });
  });
});
