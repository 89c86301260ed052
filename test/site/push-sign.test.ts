import { describe, expect, it } from "vitest";
import { parseManifest } from "../../src/oci/manifest.ts";
import { referrersTag } from "../../src/transport/registry/referrers.ts";
import { whyNotSigned } from "../../src/trust/image-signature.ts";
import { type KeyType, openSigner, type PublicKey, type Signer } from "../../src/trust/key.ts";
import { makeBundle } from "../support/bundle.ts";
import { startHarbor } from "../support/harbor.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { pushTo } from "../support/push.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";
import { makeKey } from "../support/trust.ts";

const one = makeImage("one", [bytesOf("base", 20_000), bytesOf("one", 10_000)]);
const platforms = [makeImage("amd", [bytesOf("amd", 500)]), makeImage("arm", [bytesOf("arm", 500)])];
const index = makeIndex(platforms);
const bundle = makeBundle({
  "quay.io/team/one:v1": { image: one },
  "quay.io/team/one:latest": { image: one },
  "quay.io/team/multi:v1": { image: index },
});

async function signerOf(type?: KeyType): Promise<Signer> {
  using scratch = new Scratch();
  return openSigner(makeKey(scratch, "images", type).key, async () => undefined);
}

/** Whether each Sigstore bundle that refers to an image is a signature of a key over it. */
function signaturesOf(registry: TestRegistry, repository: string, digest: string, key: PublicKey): unknown[] {
  return registry.store.referrers(repository, digest).map((entry) => {
    const { digest: referrer } = entry as { digest: string };
    const stored = registry.store.manifest(repository, referrer)?.manifest;
    const manifest = parseManifest(stored?.bytes ?? Buffer.alloc(0), undefined, referrer);
    if (manifest.kind === "index") throw new Error("an index");
    const layer = manifest.layers[0]?.digest ?? "sha256:";
    return whyNotSigned(
      key,
      registry.store.repository(repository).blobs.get(layer) ?? Buffer.alloc(0),
      digest,
    );
  });
}

const writes = (registry: TestRegistry) =>
  registry.seen.filter(({ method }) => !["GET", "HEAD"].includes(method)).length;

describe("push --sign-key", () => {
  it.each<KeyType>(["p256", "ed25519"])(
    "attaches one signature of a %s key to every image, indexes too, and keeps it the next time",
    async (type) => {
      const signer = await signerOf(type);
      await using registry = await startRegistry();
      const { result } = await pushTo(registry, bundle, { signer });
      expect(result.signedBy).toBe(signer.publicKey.fingerprint);
      for (const [name, { root }] of [
        ["quay.io/team/one", one] as const,
        ["quay.io/team/multi", index] as const,
      ]) {
        expect(signaturesOf(registry, name, root.digest, signer.publicKey)).toEqual([undefined]);
        expect(registry.store.referrers(name, root.digest)).toMatchObject([
          { artifactType: "application/vnd.dev.sigstore.bundle.v0.3+json" },
        ]);
      }
      const before = writes(registry);
      const second = await pushTo(registry, bundle, { signer });
      expect(writes(registry)).toBe(before);
      expect(second.result.images.map(({ state }) => state)).toEqual(["present", "present", "present"]);
      expect(second.result.images[0]?.attached).toEqual(result.images[0]?.attached);
    },
  );

  it.each([
    { project: { cosign: true }, signed: 1 },
    { project: {}, signed: 0 },
  ])(
    "signs the images of an index where a Harbor gives out only what is signed: %o",
    async ({ project, signed }) => {
      const signer = await signerOf();
      const credential = { username: "admin", password: "Harbor12345" };
      await using harbor = await startHarbor({ projects: { "quay.io": project } });
      const { result } = await pushTo(harbor, bundle, { signer, credential });
      expect(result.images.filter(({ withheld }) => withheld !== undefined)).toEqual([]);
      for (const { root } of platforms)
        expect(signaturesOf(harbor, "quay.io/team/multi", root.digest, signer.publicKey)).toEqual(
          Array(signed).fill(undefined),
        );
      const before = writes(harbor);
      await pushTo(harbor, bundle, { signer, credential });
      expect(writes(harbor)).toBe(before);
    },
  );

  it("signs images that are there already, and lets another key sign too", async () => {
    const [first, second] = [await signerOf(), await signerOf()];
    await using registry = await startRegistry();
    await pushTo(registry, bundle);
    const { result } = await pushTo(registry, bundle, { signer: first });
    expect(result.totals.sent.bytes).toBeLessThan(5000);
    await pushTo(registry, bundle, { signer: second });
    const found = (key: PublicKey) => signaturesOf(registry, "quay.io/team/one", one.root.digest, key);
    expect(found(first.publicKey).toSorted()).toEqual(["another key made it, or it was changed", undefined]);
    expect(found(second.publicKey).toSorted()).toEqual(["another key made it, or it was changed", undefined]);
  });

  it("is found by the tag that stands in for the referrers API, and kept there too", async () => {
    const signer = await signerOf();
    await using registry = await startRegistry({ referrersApi: false });
    await pushTo(registry, bundle, { signer });
    const list = registry.store.manifest("quay.io/team/one", referrersTag(one.root.digest))?.manifest;
    const { manifests } = JSON.parse(String(list?.bytes)) as { manifests: object[] };
    expect(manifests).toMatchObject([{ artifactType: "application/vnd.dev.sigstore.bundle.v0.3+json" }]);
    const before = writes(registry);
    await pushTo(registry, bundle, { signer });
    expect(writes(registry)).toBe(before);
  });

  it("is made again where the one that is listed was damaged", async () => {
    const signer = await signerOf();
    await using registry = await startRegistry();
    await pushTo(registry, bundle, { signer });
    const [entry] = registry.store.referrers("quay.io/team/one", one.root.digest) as { digest: string }[];
    registry.hooks.push((exchange) => {
      if (exchange.method !== "GET" || !exchange.url.pathname.endsWith(entry?.digest ?? "-"))
        return undefined;
      exchange.fail(404, "MANIFEST_UNKNOWN", "lost");
      return true;
    });
    await pushTo(registry, bundle, { signer });
    registry.hooks.pop();
    expect(signaturesOf(registry, "quay.io/team/one", one.root.digest, signer.publicKey)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("is counted in a dry run, and sends nothing there", async () => {
    const signer = await signerOf();
    await using registry = await startRegistry();
    const plain = await pushTo(registry, bundle, { dryRun: true });
    const { result } = await pushTo(registry, bundle, { dryRun: true, signer });
    // Two images, two signatures, and the empty config that both share.
    expect(result.totals.sent.blobs).toBe(plain.result.totals.sent.blobs + 3);
    expect(result.totals.manifests).toBe(plain.result.totals.manifests + 3);
    expect(result.totals.sent.bytes).toBeGreaterThan(plain.result.totals.sent.bytes);
    expect(writes(registry)).toBe(0);
  });

  it("is counted in a Harbor's quota", async () => {
    const signer = await signerOf();
    const credential = { username: "admin", password: "Harbor12345" };
    const only = makeBundle({ "quay.io/team/one:v1": { image: one } });
    const bytes = only.lock.blobs.reduce((sum, { size }) => sum + size, 0);
    await using harbor = await startHarbor({ projects: { "quay.io": { quota: bytes + 200 } } });
    await expect(pushTo(harbor, only, { credential, signer })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("of its quota of"),
    });
    expect(harbor.count("PUT upload")).toBe(0);
    await pushTo(harbor, only, { credential });
  });
});
