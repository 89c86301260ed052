import { AirgapError, Exit, isAirgapError } from "../../errors.ts";
import type { VerifiedSignature } from "../../lock/lock.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { attachedTag, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "../../oci/manifest.ts";
import { readBlob } from "../../transport/read.ts";
import type { Source } from "../../transport/types.ts";
import {
  SIGNED_IMAGE,
  SIMPLE_SIGNATURE,
  SIMPLE_SIGNING,
  whyNotSigned,
  whyNotSimplySigned,
} from "../../trust/image-signature.ts";
import type { PublicKey } from "../../trust/key.ts";
import { MAX_SIGNATURE_FILE } from "../../trust/sigstore-bundle.ts";
import { quietly } from "./attached.ts";

/** Artifacts, and signatures in one artifact, that are looked at for one image. */
const MAX_SIGNATURES = 200;
const SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle";

/** A key that must have signed an image, and where the spec has it. */
export interface RequiredKey {
  /** As the spec names it. */
  file: string;
  key: PublicKey;
}

interface Candidate {
  /** The artifact that holds it. */
  artifact: Digest;
  whyNot(key: PublicKey): string | undefined;
}

/**
 * Checks that every key signed an image: as cosign's tag `sha256-….sig`, or as a referrer, with a Sigstore bundle or
 * a payload of "simple signing".
 * @param image what its name stands for: of an index, the index as its publisher made it
 * @returns which signature was good, for the lock
 * @throws AirgapError `check-failed`
 */
export async function verifySigned(
  source: Source,
  image: Digest,
  keys: readonly RequiredKey[],
  signal?: AbortSignal,
): Promise<VerifiedSignature[]> {
  const candidates = await candidatesOf(source, image, signal);
  return keys.map(({ file, key }) => {
    const reasons = new Set<string>();
    for (const { artifact, whyNot } of candidates) {
      const why = whyNot(key);
      if (why === undefined) return { key: key.fingerprint, signature: artifact };
      reasons.add(`${artifact}: ${why}`);
    }
    throw unsigned(source, image, file, [...reasons]);
  });
}

function unsigned({ name }: Source, image: Digest, file: string, reasons: string[]): AirgapError {
  const found =
    reasons.length === 0
      ? `${name} has no signature of it`
      : `${reasons.slice(0, 5).join("; ")}${reasons.length > 5 ? `; and ${reasons.length - 5} more` : ""}`;
  return new AirgapError(
    "check-failed",
    `${image} is not signed by ${file}, which the spec asks for: ${found}`,
    {
      exit: Exit.check,
      suggestions: [
        "compare the key with its publisher's",
        "a mirror may lack signatures: name the registry that has them under sources:",
      ],
      ref: "docs/security.md",
      data: { digest: image, key: file, found: reasons },
    },
  );
}

async function candidatesOf(source: Source, image: Digest, signal?: AbortSignal): Promise<Candidate[]> {
  const [tagged, referrers = []] = await Promise.all([
    quietly(() => source.resolve(attachedTag(image, "sig"), signal)),
    quietly(() => source.referrers?.(image, signal) ?? Promise.resolve([])),
  ]);
  const artifacts = new Map(
    [...(tagged ? [tagged] : []), ...referrers].map((each) => [each.digest, each] as const),
  );
  const found: Candidate[] = [];
  for (const artifact of [...artifacts.values()].slice(0, MAX_SIGNATURES))
    found.push(...(await candidatesIn(source, image, artifact, signal)));
  return found;
}

async function candidatesIn(
  source: Source,
  image: Digest,
  artifact: Descriptor,
  signal?: AbortSignal,
): Promise<Candidate[]> {
  const manifest = await manifestOf(source, artifact, signal);
  const found: Candidate[] = [];
  for (const layer of (manifest?.layers ?? []).slice(0, MAX_SIGNATURES)) {
    const simple = layer.mediaType === SIMPLE_SIGNING;
    if (!simple && !layer.mediaType.startsWith(SIGSTORE_BUNDLE)) continue;
    const bytes = await held(() => readBlob(source, layer, MAX_SIGNATURE_FILE, signal));
    if (bytes === undefined) continue;
    const signature = layer.annotations?.[SIMPLE_SIGNATURE];
    found.push({
      artifact: artifact.digest,
      whyNot: (key) =>
        simple ? whyNotSimplySigned(key, bytes, signature, image) : whyNotSigned(key, bytes, image),
    });
  }
  return found;
}

async function manifestOf(
  source: Source,
  artifact: Descriptor,
  signal?: AbortSignal,
): Promise<Manifest | undefined> {
  const parsed = await held(async () =>
    parseManifest(
      await readBlob(source, artifact, MAX_MANIFEST_SIZE, signal),
      artifact.mediaType,
      `${artifact.digest} of ${source.name}`,
    ),
  );
  return parsed?.kind === "manifest" ? parsed : undefined;
}

/** What is listed may be gone or malformed: then it vouches for nothing, and another one may. */
async function held<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isAirgapError(error, "not-found", "protocol", "corrupt", "unsupported")) return undefined;
    throw error;
  }
}

/** Notation's signatures, and those of cosign before it wrote Sigstore bundles. */
const SIGNATURE_TYPES: readonly string[] = [
  "application/vnd.cncf.notary.signature",
  "application/vnd.dev.cosign.artifact.sig.v1+json",
];

/** Whether an attached artifact is a signature, and not an SBOM or another attestation. */
export function isSignature(tag: string | undefined, manifest: Manifest): boolean {
  if (tag !== undefined) return tag.endsWith(".sig");
  const { artifactType = manifest.config.mediaType, annotations = {} } = manifest;
  if (SIGNATURE_TYPES.includes(artifactType)) return true;
  if (!artifactType.startsWith(SIGSTORE_BUNDLE)) return false;
  const predicate = annotations["dev.sigstore.bundle.predicateType"];
  return predicate === undefined || predicate === SIGNED_IMAGE;
}
