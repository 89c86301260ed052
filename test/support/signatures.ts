import type { Descriptor } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { EMPTY_JSON, MediaType } from "../../src/oci/media-types.ts";
import { signStatement } from "../../src/trust/attestation.ts";
import { SIGNED_IMAGE, SIMPLE_SIGNATURE, SIMPLE_SIGNING } from "../../src/trust/image-signature.ts";
import { openSigner, type Signer } from "../../src/trust/key.ts";
import { BUNDLE_TYPE } from "../../src/trust/sigstore-bundle.ts";
import type { TestImage } from "./images.ts";

export const signerFrom = (key: string): Promise<Signer> => openSigner(key, async () => undefined);

const described = (mediaType: string, bytes: Buffer, more: object = {}): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
  ...more,
});

function artifact(layer: Descriptor, layerBytes: Buffer, more: object): TestImage {
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config: described(MediaType.ociEmpty, EMPTY_JSON),
      layers: [layer],
      ...more,
    }),
  );
  const blobs = [manifest, layerBytes, EMPTY_JSON].map((bytes) => [digestOf(bytes), bytes] as const);
  return { root: described(MediaType.ociManifest, manifest), blobs: new Map(blobs) };
}

/** A referrer with a Sigstore bundle, as cosign v3 writes it. */
export function bundleReferrer(
  signer: Signer,
  subject: Descriptor,
  { digest = subject.digest, predicateType = SIGNED_IMAGE, change = (text: string) => text } = {},
): TestImage {
  const statement = signStatement(signer, { algorithm: "sha256", hex: digest.slice(7) }, predicateType, {});
  const bytes = Buffer.from(change(statement));
  return artifact(described(BUNDLE_TYPE, bytes), bytes, {
    artifactType: BUNDLE_TYPE,
    subject,
    annotations: { "dev.sigstore.bundle.predicateType": predicateType },
  });
}

/** What stands under `sha256-….sig`, as cosign wrote it before. */
export function simpleSignature(
  signer: Signer,
  digest: string,
  { type = "cosign container image signature", more = {} as object } = {},
): TestImage {
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": "registry.example/app" },
        image: { "docker-manifest-digest": digest },
        type,
      },
      optional: null,
    }),
  );
  const signature = signer.sign(payload).toString("base64");
  const layer = described(SIMPLE_SIGNING, payload, { annotations: { [SIMPLE_SIGNATURE]: signature } });
  return artifact(layer, payload, more);
}
