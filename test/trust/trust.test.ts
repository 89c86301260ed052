import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectedLocks } from "../../src/bundle/expected.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { attach, signable } from "../../src/bundle/sign.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import type { Event } from "../../src/events.ts";
import { addKey, removeKey, voucherOf } from "../../src/trust/edit.ts";
import { makeKeyPair, openSigner, parsePublicKey, readPublicKey } from "../../src/trust/key.ts";
import { readPolicy } from "../../src/trust/policy.ts";
import { signaturePaths } from "../../src/trust/signature-files.ts";
import { signContent } from "../../src/trust/sigstore.ts";
import { Scratch } from "../support/scratch.ts";
import { makeKey, sign, trustOf } from "../support/trust.ts";

let scratch: Scratch;
let bundle: string;

beforeEach(async () => {
  scratch = new Scratch();
  scratch.write("notes.txt", "a file");
  scratch.spec("files: [path: notes.txt]");
  await scratch.build();
  bundle = scratch.path("site.tar");
});
afterEach(() => scratch[Symbol.dispose]());

const refused = { code: "check-failed", exit: 3 };
const open = (policy?: string, options = {}) => {
  const reader = BundleReader.open(bundle, { trust: trustOf(scratch, policy, options) });
  reader.close();
  return reader.proof;
};
/** A policy with keys of the scratch folder. */
const policy = (keys: string[], more = "") =>
  `${more}\nkeys:\n${keys.map((each) => `  - ${each}`).join("\n")}\n`;
const site = "{ name: site, file: site.pub }";

describe("a signature", () => {
  it("of either kind of key is verified, and changes no byte of the bundle", async () => {
    const before = readFileSync(bundle);
    const [site, other] = [makeKey(scratch, "site"), makeKey(scratch, "other", "ed25519")];
    expect(await sign(bundle, site.key)).toBe(`${bundle}.sigstore.json`);
    const second = await sign(bundle, other.key);
    expect(second).toMatch(/site\.tar\.[0-9a-f]{12}\.sigstore\.json$/);
    expect(readFileSync(bundle)).toEqual(before);
    for (const { pub } of [site, other]) expect(open(undefined, { keys: [pub] }).signedBy).toEqual([pub]);
    expect(signaturePaths(bundle)).toHaveLength(2);
    expect(await sign(bundle, other.key)).toBe(second);
  });

  it("by another key is told, and refused where a key or a signature is asked for", async () => {
    const [site, evil] = [makeKey(scratch, "site"), makeKey(scratch, "evil")];
    await sign(bundle, evil.key);
    const events: Event[] = [];
    const emit = (event: Event) => void events.push(event);
    expect(open(undefined, { emit })).toMatchObject({ signedBy: [], signatures: [{}] });
    expect(events).toMatchObject([
      { type: "warning", message: expect.stringContaining(readPublicKey(evil.pub).fingerprint) },
    ]);
    expect(() => open(undefined, { keys: [site.pub] })).toThrow(expect.objectContaining(refused));
    expect(() => open(undefined, { requireSignature: true })).toThrow(expect.objectContaining(refused));
    expect(() => open(policy([`{ name: site, file: site.pub }`], "requireSignature: true"))).toThrow(
      expect.objectContaining(refused),
    );
  });

  it("that is absent is refused only where one is asked for", () => {
    makeKey(scratch, "site");
    expect(open().signedBy).toEqual([]);
    for (const options of [{ keys: [scratch.path("site.pub")] }, { requireSignature: true }])
      expect(() => open(undefined, options)).toThrow(expect.objectContaining(refused));
  });

  const damage: [string, (text: string) => string][] = [
    ["cut short", (text) => text.slice(0, -20)],
    ["empty", () => ""],
    ["null", () => "null"],
    ["another media type", (text) => text.replace("v0.3", "v0.9")],
    ["no signature", (text) => text.replace(/"signature":"[^"]*"/, '"signature":""')],
    ["an attestation", (text) => text.replace('"messageSignature"', '"dsseEnvelope":{},"messageSignature"')],
    ["another digest", (text) => text.replace(/"digest":"[^"]*"/, `"digest":"${"A".repeat(43)}="`)],
    ["a digest of another algorithm", (text) => text.replace("SHA2_256", "SHA2_512")],
    [
      "a signature of other bytes",
      (text) =>
        text.replace(/"signature":"(.{20})./, (_, head: string) => `"signature":"${head}~`.replace("~", "A")),
    ],
  ];
  it.each(damage)("with %s is always refused, also where nobody asks for one", async (_, change) => {
    const { key } = makeKey(scratch, "site");
    const file = await sign(bundle, key);
    const text = readFileSync(file, "utf8");
    writeFileSync(file, change(text));
    if (change(text) === text) return;
    expect(() => open(policy([site]))).toThrow(expect.objectContaining(refused));
  });

  it("of another bundle is refused, whatever is asked for", async () => {
    const { key } = makeKey(scratch, "site");
    const file = await sign(bundle, key);
    renameSync(file, scratch.path("kept.json"));
    scratch.write("notes.txt", "another file");
    await scratch.build();
    renameSync(scratch.path("kept.json"), file);
    expect(() => open()).toThrow(expect.objectContaining(refused));
  });

  it("with the hint of a known key that did not make it is refused", async () => {
    const [site, evil] = [makeKey(scratch, "site"), makeKey(scratch, "evil")];
    const file = await sign(bundle, evil.key);
    const hint = (pub: string) => readPublicKey(pub).hint;
    writeFileSync(file, readFileSync(file, "utf8").replace(hint(evil.pub), hint(site.pub)));
    expect(() => open(policy([`{ name: site, file: site.pub }`]))).toThrow(expect.objectContaining(refused));
  });

  it("is removed when a new build takes the bundle's place", async () => {
    const { key } = makeKey(scratch, "site");
    const file = await sign(bundle, key);
    await scratch.build();
    expect(signaturePaths(bundle)).toEqual([file]);
    scratch.write("notes.txt", "another file");
    const signer = await openSigner(key, async () => undefined);
    await scratch.build();
    expect(signaturePaths(bundle)).toEqual([]);
    expect(await scratch.build({ signer })).toMatchObject({ signature: file, sequence: 2 });
    expect(open(undefined, { keys: [scratch.path("site.pub")] }).signedBy).toHaveLength(1);
  });

  it("made elsewhere is attached: a Sigstore bundle, or a bare one with the key", async () => {
    const { key, pub } = makeKey(scratch, "site");
    const signer = await openSigner(key, async () => undefined);
    const what = await signable(bundle, {});
    const whole = scratch.write("whole.json", signContent(signer, what.content));
    const bare = scratch.write("bare.sig", signer.sign(what.content).toString("base64"));
    expect(attach(what, whole, undefined).fingerprint).toBe(readPublicKey(pub).fingerprint);
    expect(open(undefined, { keys: [pub] }).signedBy).toEqual([pub]);
    rmSync(`${bundle}.sigstore.json`);
    expect(() => attach(what, bare, undefined)).toThrow(expect.objectContaining({ exit: 2 }));
    attach(what, bare, readPublicKey(pub));
    expect(open(undefined, { keys: [pub] }).signedBy).toEqual([pub]);
    const other = readPublicKey(makeKey(scratch, "other").pub);
    expect(() => attach(what, bare, other)).toThrow(expect.objectContaining(refused));
  });
});

describe("a policy", () => {
  const required = "requireSignature: true";

  it("counts a key only for its bundles, and until its last day", async () => {
    await sign(bundle, makeKey(scratch, "site").key);
    const today = new Date("2027-06-30T12:00:00Z");
    const key = (more: string) => policy([`{ name: site, file: site.pub, ${more} }`], required);
    expect(open(key('bundles: ["si*", other]'), { today }).signedBy).toEqual(["site"]);
    expect(() => open(key('bundles: ["site-*"]'), { today })).toThrow(expect.objectContaining(refused));
    expect(open(key('notAfter: "2027-06-30"'), { today }).signedBy).toEqual(["site"]);
    expect(() => open(key('notAfter: "2027-06-29"'), { today })).toThrow(/its last day was 2027-06-29/);
    // The same key, named by hand, is still the policy's key.
    const keys = [scratch.path("site.pub")];
    expect(() => open(key('notAfter: "2027-06-29"'), { today, keys })).toThrow(
      expect.objectContaining(refused),
    );
  });

  it("asks for as many different keys as its threshold says", async () => {
    const [site, second] = [makeKey(scratch, "site"), makeKey(scratch, "second")];
    const both = policy(
      [`{ name: site, file: site.pub }`, `{ name: second, file: second.pub }`],
      `${required}\nthreshold: 2`,
    );
    const first = await sign(bundle, site.key);
    writeFileSync(`${bundle}.again.sigstore.json`, readFileSync(first));
    expect(() => open(both)).toThrow(/1 signature of known keys; 2 are required/);
    await sign(bundle, second.key);
    expect(open(both).signedBy).toEqual(["second", "site"]);
  });

  it.each([
    ["keys: [{ name: site, file: gone.pub }]", 2],
    ["keyz: []", 2],
    ["threshold: 0", 2],
    ['keys: [{ name: site, file: site.pub, notAfter: "2027-02-30" }]', 2],
    ["keys: [{ name: site, file: site.pub }, { name: twice, file: site.pub }]", 2],
    ["keys: [{ name: site, file: site.key }]", 2],
  ])("that is wrong stops everything: %s", (text, exit) => {
    makeKey(scratch, "site");
    expect(() => open(text)).toThrow(expect.objectContaining({ exit }));
  });

  it("of the system and of the user add up to the stricter demand", () => {
    using other = new Scratch();
    makeKey(scratch, "site");
    makeKey(other, "mine");
    scratch.write("trust.yaml", policy([`{ name: site, file: site.pub }`], "threshold: 2"));
    other.write("trust.yaml", policy([`{ name: mine, file: mine.pub }`], required));
    expect(readPolicy([scratch.dir, other.dir])).toMatchObject({
      requireSignature: true,
      threshold: 2,
      keys: [{ name: "site" }, { name: "mine" }],
    });
  });

  it("gets keys, one vouched for by another, and loses them", async () => {
    using home = new Scratch();
    const [old, next, third] = ["old", "next", "third"].map((name) => makeKey(scratch, name));
    if (!old || !next || !third) throw new Error("no keys");
    addKey(home.dir, "old", { pub: old.pub, bundles: ["site"] });
    expect(() => addKey(home.dir, "again", { pub: old.pub })).toThrow(expect.objectContaining({ exit: 2 }));
    const voucher = await sign(next.pub, old.key);
    expect(voucherOf(readPolicy([home.dir]), next.pub, voucher)).toMatchObject({
      name: "old",
      bundles: ["site"],
    });
    expect(() => voucherOf(readPolicy([home.dir]), third.pub, voucher)).toThrow(
      expect.objectContaining(refused),
    );
    const byStranger = await sign(third.pub, next.key);
    expect(() => voucherOf(readPolicy([home.dir]), third.pub, byStranger)).toThrow(
      expect.objectContaining(refused),
    );
    addKey(home.dir, "next", { pub: next.pub, require: true });
    expect(readPolicy([home.dir])).toMatchObject({
      requireSignature: true,
      keys: [{ name: "old" }, { name: "next" }],
    });
    expect(removeKey(home.dir, readPublicKey(old.pub).fingerprint).name).toBe("old");
    expect(readPolicy([home.dir]).keys.map(({ name }) => name)).toEqual(["next"]);
    expect(() => removeKey(home.dir, "old")).toThrow(expect.objectContaining({ exit: 2 }));
  });
});

describe("private keys", () => {
  it("open with their passphrase alone", async () => {
    const { secret, pub } = makeKeyPair("p256", "correct");
    const path = scratch.write("locked.key", secret);
    expect(secret).toContain("ENCRYPTED PRIVATE KEY");
    const signer = await openSigner(path, async () => "correct");
    expect(signer.publicKey.fingerprint).toBe(parsePublicKey(pub, "pub").fingerprint);
    for (const answer of ["wrong", undefined])
      await expect(openSigner(path, async () => answer)).rejects.toMatchObject({ exit: 2 });
    await expect(
      openSigner(
        scratch.write("c.key", secret.replaceAll("ENCRYPTED PRIVATE", "ENCRYPTED SIGSTORE PRIVATE")),
        async () => "x",
      ),
    ).rejects.toMatchObject({ exit: 2 });
    expect(() => parsePublicKey(secret, "locked.key")).toThrow(/is not a public key|is a private key/);
  });
});

describe("verify", () => {
  const verify = (more: Partial<Parameters<typeof verifyBundle>[1]> = {}) =>
    verifyBundle(bundle, { quick: false, emit: () => {}, ...more });

  it("says what was proven: nothing more, the lock, the signature", async () => {
    const { key, pub } = makeKey(scratch, "site");
    const plain = await verify();
    expect(plain).toMatchObject({ proven: [], signatures: [], sequence: 1 });
    await sign(bundle, key);
    const file = scratch.path("site.lock.json");
    for (const named of [{ file }, { digest: plain.lockDigest }])
      expect(await verify({ expected: expectedLocks(named) })).toMatchObject({ proven: ["lock"] });
    expect(await verify({ opening: { trust: trustOf(scratch, undefined, { keys: [pub] }) } })).toMatchObject({
      proven: ["signature"],
      signedBy: [pub],
    });
  });

  it("refuses a bundle of another lock, and names the difference", async () => {
    const { lockDigest } = await verify();
    renameSync(bundle, scratch.path("old.tar"));
    scratch.write("notes.txt", "another file");
    await scratch.build();
    const expected = expectedLocks({ file: scratch.path("site.lock.json") });
    await expect(
      verifyBundle(scratch.path("old.tar"), { quick: true, expected, emit: () => {} }),
    ).rejects.toMatchObject({ ...refused, message: expect.stringContaining("file notes.txt changed") });
    await expect(verify({ expected: expectedLocks({ digest: lockDigest }) })).rejects.toMatchObject(refused);
    expect(() => expectedLocks({ digest: "sha256:12" })).toThrow(expect.objectContaining({ exit: 2 }));
  });
});

describe("the number of a lock", () => {
  it("counts up when something changed, stays with --locked and with equal content, and can be given", async () => {
    expect(await scratch.build({ fresh: true })).toMatchObject({ sequence: 1 });
    scratch.write("notes.txt", "another file");
    expect(await scratch.build()).toMatchObject({ sequence: 2 });
    expect(await scratch.build({ locked: true })).toMatchObject({ sequence: 2 });
    expect(await scratch.build({ sequence: 9 })).toMatchObject({ sequence: 9 });
    expect(await scratch.build()).toMatchObject({ sequence: 9 });
  });
});
