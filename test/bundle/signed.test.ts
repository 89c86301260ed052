import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readLockOf } from "../../src/bundle/diff.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { itemsOf } from "../../src/lock/lock.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { readPublicKey, type Signer } from "../../src/trust/key.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";
import { bundleReferrer, signerFrom, simpleSignature } from "../support/signatures.ts";
import { makeKey } from "../support/trust.ts";

const index = makeIndex([makeImage("amd", [bytesOf("amd", 900)]), makeImage("arm", [bytesOf("arm", 900)])]);
const plain = makeImage("plain", [bytesOf("plain", 900)]);
const { digest } = index.root;

let scratch: Scratch;
let registry: TestRegistry;
let site: Signer;
let other: Signer;

beforeEach(async () => {
  scratch = new Scratch();
  registry = await startRegistry();
  site = await signerFrom(makeKey(scratch, "site").key);
  other = await signerFrom(makeKey(scratch, "other", "ed25519").key);
  fill(registry.store, "a/app", index, "1");
  fill(registry.store, "a/app", plain, "plain");
});
afterEach(async () => {
  await registry.close();
  scratch[Symbol.dispose]();
});

const attach = (image: TestImage, tag?: string) => fill(registry.store, "a/app", image, tag);
const sigTag = attachedTag(digest, "sig");
const spec = (more = "", head = "", tag = "1") =>
  scratch.spec(
    `${head}\nimages: [{ ref: "${registry.host}/a/app:${tag}", verify: { key: site.pub } ${more} }]`,
  );
const item = () => itemsOf(readLockOf(scratch.path("site.tar")), "image")[0];
const fingerprint = () => readPublicKey(scratch.path("site.pub")).fingerprint;

describe("verify: of an image", () => {
  it.each([
    ["a Sigstore bundle as referrer", () => bundleReferrer(site, index.root), undefined],
    ["a simple signature under its tag", () => simpleSignature(site, digest), sigTag],
    [
      "a simple signature as referrer",
      () =>
        simpleSignature(site, digest, {
          more: { subject: index.root, artifactType: "application/vnd.dev.cosign.artifact.sig.v1+json" },
        }),
      undefined,
    ],
  ])("accepts %s, and keeps in the lock which one", async (_, make, tag) => {
    const signature = make();
    attach(bundleReferrer(other, index.root));
    attach(signature, tag);
    spec();
    await scratch.build();
    expect(item()).toMatchObject({
      original: { digest },
      verified: [{ key: fingerprint(), signature: signature.root.digest }],
    });
    expect(item()?.attached).toContainEqual(
      expect.objectContaining({ descriptor: expect.objectContaining({ digest: signature.root.digest }) }),
    );
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
    // With the lock nobody is asked again: also when the signature was deleted since.
    registry.store.repository("a/app").tags.delete(sigTag);
    await scratch.build({ locked: true });
    expect(item()?.verified).toHaveLength(1);
  });

  it.each<[string, () => void, RegExp]>([
    ["is missing", () => {}, /has no signature of it/],
    ["is another key's", () => attach(bundleReferrer(other, index.root)), /another key made it/],
    [
      "is another key's, under the tag",
      () => attach(simpleSignature(other, digest), sigTag),
      /another key made it/,
    ],
    [
      "is of another image",
      () => attach(bundleReferrer(site, index.root, { digest: plain.root.digest })),
      /of other content/,
    ],
    [
      "is of another image, under the tag",
      () => attach(simpleSignature(site, plain.root.digest), sigTag),
      /of other content/,
    ],
    [
      "is of one platform alone",
      () => {
        const child = makeImage("amd", [bytesOf("amd", 900)]);
        attach(simpleSignature(site, child.root.digest), attachedTag(child.root.digest, "sig"));
      },
      /has no signature of it/,
    ],
    [
      "is an attestation of the right key",
      () => attach(bundleReferrer(site, index.root, { predicateType: "https://spdx.dev/Document" })),
      /an attestation \(https:\/\/spdx\.dev\/Document\), not a signature/,
    ],
    [
      "is for another purpose",
      () => attach(simpleSignature(site, digest, { type: "atomic container signature" }), sigTag),
      /not of an image's signature/,
    ],
    [
      "was changed",
      () =>
        attach(
          bundleReferrer(site, index.root, {
            change: (text) =>
              text.replace(
                /"payload":"(.{40})./,
                (all, head) => `"payload":"${head}${all.at(-1) === "A" ? "B" : "A"}`,
              ),
          }),
        ),
      /not JSON|another key made it|in-toto/,
    ],
    [
      "is not a signature at all",
      () => attach(bundleReferrer(site, index.root, { change: () => "{}" })),
      /Sigstore/,
    ],
    [
      "is damaged",
      () => attach(bundleReferrer(site, index.root, { change: (text) => text.slice(9) })),
      /not JSON/,
    ],
  ])("refuses one that %s", async (_, prepare, message) => {
    prepare();
    spec();
    await expect(scratch.build()).rejects.toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringMatching(message),
    });
  });

  it("takes every key that its entries name, and a key that is missing is an error of the spec", async () => {
    attach(bundleReferrer(site, index.root));
    const entry = (key: string) => `{ ref: "${registry.host}/a/app:1", verify: { key: ${key} } }`;
    scratch.spec(`images: [${entry("site.pub")}, ${entry("other.pub")}]`);
    await expect(scratch.build()).rejects.toMatchObject({ message: expect.stringContaining("other.pub") });
    attach(simpleSignature(other, digest), sigTag);
    await scratch.build();
    expect(item()?.verified).toHaveLength(2);
    scratch.spec(`images: [${entry("gone.pub")}]`);
    await expect(scratch.build()).rejects.toMatchObject({
      exit: 2,
      message: expect.stringContaining("gone.pub"),
    });
  });

  it("is asked of the lock too: a lock without it does not fit", async () => {
    attach(bundleReferrer(site, index.root));
    scratch.spec(`images: ["${registry.host}/a/app:1"]`);
    await scratch.build();
    expect(item()?.verified).toBeUndefined();
    spec();
    await expect(scratch.build({ locked: true })).rejects.toMatchObject({
      code: "spec",
      message: expect.stringContaining("does not say that"),
    });
  });
});

describe("attachments:", () => {
  const sbom = () =>
    makeImage("sbom", [bytesOf("s", 9)], { subject: index.root, artifactType: "application/spdx+json" });

  it.each<[string, string, number]>([
    ["none", "attachments: none", 0],
    ["signatures", "attachments: signatures", 3],
    ["all", "attachments: all", 6],
    ["false", "attachments: false", 0],
    ["true", "attachments: true", 6],
  ])("%s carries what it says, for the bundle and for one image", async (word, head, count) => {
    const signature = bundleReferrer(site, index.root);
    const overSbom = bundleReferrer(site, sbom().root);
    attach(signature);
    attach(simpleSignature(site, digest), sigTag);
    // A signature over a signature goes along; one over an SBOM stays with that.
    attach(bundleReferrer(other, signature.root));
    attach(sbom());
    attach(overSbom);
    attach(bundleReferrer(site, index.root, { predicateType: "https://spdx.dev/Document" }));
    for (const [more, above] of [
      ["", head],
      [`, attachments: ${word}`, ""],
    ]) {
      spec(more, above);
      await scratch.build({ fresh: true });
      expect(item()?.attached ?? []).toHaveLength(count);
      expect(item()?.verified).toHaveLength(1);
      const carried = item()?.attached?.map(({ descriptor }) => descriptor.digest) ?? [];
      expect(carried.includes(overSbom.root.digest)).toBe(count === 6);
    }
  });

  it("takes no other word", async () => {
    spec(", attachments: some");
    await expect(scratch.build()).rejects.toMatchObject({ exit: 2 });
  });
});
