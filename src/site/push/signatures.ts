import type { AttachedCopy } from "../../copy.ts";
import { isAirgapError } from "../../errors.ts";
import { canonicalBytes } from "../../oci/canonical-json.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../../oci/manifest.ts";
import { EMPTY_JSON, MediaType } from "../../oci/media-types.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import { readBlob } from "../../transport/read.ts";
import type { RegistrySource } from "../../transport/registry/source.ts";
import { SIGNED_IMAGE, signImage, whyNotSigned } from "../../trust/image-signature.ts";
import type { Signer } from "../../trust/key.ts";
import { BUNDLE_TYPE, MAX_SIGNATURE_FILE } from "../../trust/sigstore-bundle.ts";
import { type Found, type ImageState, isPresent } from "./inventory.ts";
import type { PushRoot } from "./plan.ts";

/** Signatures of this run's key, as artifacts that are attached to images. */
export interface ImageSignatures {
  states: ImageState[];
  /** Their content, by digest. */
  blobs: ReadonlyMap<Digest, Buffer>;
}

interface Made {
  root: PushRoot & AttachedCopy;
  blobs: [Digest, Buffer][];
  present: boolean;
}

export interface SigningOptions {
  signer: Signer;
  /** A repository of the target, to be read. */
  open(repository: string): RegistrySource;
  /** The images of an index that need signatures of their own. */
  below(root: PushRoot): Promise<Descriptor[]>;
  signal?: AbortSignal | undefined;
}

/**
 * Signs images under the digest that their names get at the target. A signature of the same key that is
 * there already is kept: one more with every push would be noise, since ECDSA never gives the same bytes twice.
 */
export async function signImages(states: ImageState[], options: SigningOptions): Promise<ImageSignatures> {
  const groups = Map.groupBy(states, ({ image: { root } }) => `${root.repository} ${root.descriptor.digest}`);
  const made = new Map<string, Made[]>();
  await mapConcurrent(
    groups,
    async ([key, group], stop) => {
      const [{ image }] = group as [ImageState, ...ImageState[]];
      const asked = group.some(({ found }) => isPresent(found));
      const { repository } = image.root;
      const below = (await options.below(image.root)).map(
        (descriptor): PushRoot => ({ repository, reference: descriptor.digest, descriptor }),
      );
      const signatures: Made[] = [];
      for (const root of [image.root, ...below]) {
        const found = asked ? await signatureThere(root, options, stop) : undefined;
        signatures.push(found ?? signatureOf(root, options.signer));
      }
      made.set(key, signatures);
    },
    options.signal,
  );
  return {
    blobs: new Map([...made.values()].flat().flatMap(({ blobs }) => blobs)),
    states: states.map((state) => {
      const { repository, descriptor } = state.image.root;
      const signatures = made.get(`${repository} ${descriptor.digest}`) as Made[];
      const found = signatures.map(
        ({ root, present }): Found => ({ root, digest: present ? root.descriptor.digest : undefined }),
      );
      return {
        ...state,
        image: { ...state.image, attached: [...state.image.attached, ...signatures.map(({ root }) => root)] },
        attached: [...state.attached, ...found],
      };
    }),
  };
}

const described = (mediaType: string, bytes: Buffer): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

/** The artifact that `cosign sign` pushes: a Sigstore bundle as the only layer, the image as its subject. */
function signatureOf({ repository, descriptor }: PushRoot, signer: Signer): Made {
  const bundle = Buffer.from(signImage(signer, descriptor.digest));
  const { mediaType, digest, size } = descriptor;
  const manifest = canonicalBytes({
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    artifactType: BUNDLE_TYPE,
    config: described(MediaType.ociEmpty, EMPTY_JSON),
    layers: [described(BUNDLE_TYPE, bundle)],
    subject: { mediaType, digest, size },
    annotations: {
      "dev.sigstore.bundle.content": "dsse-envelope",
      "dev.sigstore.bundle.predicateType": SIGNED_IMAGE,
    },
  });
  return asMade(repository, descriptor, described(MediaType.ociManifest, manifest), [
    manifest,
    bundle,
    EMPTY_JSON,
  ]);
}

const asMade = (
  repository: string,
  subject: Descriptor,
  descriptor: Descriptor,
  blobs: Buffer[],
  present = false,
): Made => ({
  root: { repository, reference: descriptor.digest, descriptor, subject: subject.digest },
  blobs: blobs.map((bytes) => [digestOf(bytes), bytes]),
  present,
});

/** A signature of this key that the target has of an image that is there. */
async function signatureThere(
  { repository, descriptor }: PushRoot,
  { signer, open }: SigningOptions,
  signal: AbortSignal,
): Promise<Made | undefined> {
  const source = open(repository);
  const referrers = await source.referrers(descriptor.digest, signal);
  for (const each of referrers.filter(({ artifactType }) => artifactType === BUNDLE_TYPE)) {
    const found = await readSignature(source, each, signal);
    const { digest } = descriptor;
    if (found && whyNotSigned(signer.publicKey, found.bundle, digest) === undefined)
      return asMade(repository, descriptor, found.descriptor, found.blobs, true);
  }
  return undefined;
}

/** Undefined where it is not a signature's artifact, or its content is gone or damaged. */
async function readSignature(
  source: RegistrySource,
  { mediaType, digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<{ descriptor: Descriptor; bundle: Buffer; blobs: Buffer[] } | undefined> {
  const descriptor = { mediaType, digest, size };
  try {
    const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE, signal);
    const manifest = parseManifest(bytes, mediaType, `${digest} of ${source.name}`);
    const [layer, ...others] = manifest.kind === "manifest" ? manifest.layers : [];
    if (manifest.kind !== "manifest" || layer === undefined || others.length > 0) return undefined;
    const bundle = await readBlob(source, layer, MAX_SIGNATURE_FILE, signal);
    const config = await readBlob(source, manifest.config, MAX_SIGNATURE_FILE, signal);
    return { descriptor, bundle, blobs: [bytes, bundle, config] };
  } catch (error) {
    if (isAirgapError(error, "not-found", "protocol", "corrupt", "unsupported")) return undefined;
    throw error;
  }
}
