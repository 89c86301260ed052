import { AirgapError } from "../errors.ts";
import { type Descriptor, isRecord, parseDescriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import { isIndexType, isManifestType, isMediaType, isSchema1Type, MediaType } from "./media-types.ts";

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests : 4 MiB is what registries must take. */
export const MAX_MANIFEST_SIZE = 4 * 1024 * 1024;

/** Indexes may hold indexes; real ones are never nested deeper than this. */
export const MAX_INDEX_DEPTH = 8;

interface Common {
  mediaType: string;
  artifactType?: string;
  subject?: Descriptor;
  annotations?: Record<string, string>;
}
export interface Manifest extends Common {
  kind: "manifest";
  config: Descriptor;
  layers: Descriptor[];
}
export interface Index extends Common {
  kind: "index";
  manifests: Descriptor[];
}

function list(value: unknown, name: string, where: string): Descriptor[] {
  if (!Array.isArray(value)) throw new AirgapError("protocol", `${where}: no list of ${name}`);
  return value.map((entry, i) => parseDescriptor(entry, `${name}[${i}] of ${where}`));
}

function parseJson(bytes: Uint8Array, where: string): Record<string, unknown> {
  if (bytes.length > MAX_MANIFEST_SIZE)
    throw new AirgapError(
      "protocol",
      `${where}: the manifest has ${bytes.length} bytes; at most ${MAX_MANIFEST_SIZE} are allowed`,
    );
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new AirgapError("protocol", `${where}: the manifest is not JSON`, { cause });
  }
  if (!isRecord(value)) throw new AirgapError("protocol", `${where}: the manifest is not a JSON object`);
  return value;
}

/** The media type in the content; for OCI content without `mediaType`, from its shape. */
function ownType(value: Record<string, unknown>): string | undefined {
  if (typeof value.mediaType === "string" && value.mediaType !== "") return value.mediaType;
  if (value.schemaVersion === 1) return MediaType.dockerSchema1;
  if (Array.isArray(value.manifests)) return MediaType.ociIndex;
  if (isRecord(value.config) && Array.isArray(value.layers)) return MediaType.ociManifest;
  return undefined;
}

/**
 * Parses an image manifest or index, OCI or Docker schema 2.
 * @param declared the type that the registry or the parent descriptor gave, if any
 * @throws AirgapError `unsupported` for schema 1, `protocol` for malformed content
 */
export function parseManifest(
  bytes: Uint8Array,
  declared: string | undefined,
  where: string,
): Manifest | Index {
  const value = parseJson(bytes, where);
  const own = ownType(value);
  const mediaType =
    declared && (isIndexType(declared) || isManifestType(declared) || isSchema1Type(declared))
      ? declared
      : own;
  if ((mediaType && isSchema1Type(mediaType)) || value.schemaVersion === 1) {
    throw new AirgapError(
      "unsupported",
      `${where} is a Docker schema 1 manifest, a format that registries and runtimes no longer support`,
      {
        suggestions: [
          "ask the image's owner to push it again with Docker 1.10 or newer, or convert it with `skopeo copy --format v2s2`",
        ],
      },
    );
  }
  if (mediaType === undefined)
    throw new AirgapError("protocol", `${where} is neither an image manifest nor an index`);
  if (!isMediaType(mediaType))
    throw new AirgapError("protocol", `${where}: ${JSON.stringify(mediaType)} is not a media type`);
  if (typeof value.mediaType === "string" && value.mediaType !== mediaType && value.mediaType !== "") {
    throw new AirgapError(
      "protocol",
      `${where}: served as ${mediaType}, but its content says ${value.mediaType}`,
    );
  }
  const common: Common = { mediaType };
  if (typeof value.artifactType === "string" && value.artifactType !== "") {
    if (!isMediaType(value.artifactType))
      throw new AirgapError(
        "protocol",
        `${where}: ${JSON.stringify(value.artifactType)} is not a media type (artifactType)`,
      );
    common.artifactType = value.artifactType;
  }
  if (value.subject !== undefined && value.subject !== null)
    common.subject = parseDescriptor(value.subject, `subject of ${where}`);
  if (isRecord(value.annotations)) common.annotations = value.annotations as Record<string, string>;
  if (isIndexType(mediaType))
    return { kind: "index", ...common, manifests: list(value.manifests ?? [], "manifests", where) };
  return {
    kind: "manifest",
    ...common,
    config: parseDescriptor(value.config, `config of ${where}`),
    layers: list(value.layers ?? [], "layers", where),
  };
}

/** The descriptors in a manifest: children of an index, config and layers of an image. The subject is not a child. */
export function childrenOf(content: Manifest | Index): Descriptor[] {
  return content.kind === "index" ? content.manifests : [content.config, ...content.layers];
}

/** The artifact type in the list of referrers. distribution-spec v1.1, "Listing Referrers". */
export function artifactTypeOf(content: Manifest | Index): string {
  return content.artifactType ?? (content.kind === "manifest" ? content.config.mediaType : "");
}

/** The entry of a manifest with a subject in the referrers API: it has the artifact type and annotations. */
export function referrerOf(descriptor: Descriptor, content: Manifest | Index): Descriptor {
  const { mediaType, digest, size } = descriptor;
  const artifactType = artifactTypeOf(content);
  const annotations = Object.fromEntries(
    Object.entries(content.annotations ?? {}).filter(([, value]) => typeof value === "string"),
  );
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === "" ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/** cosign's tag for an artifact attached to `digest`: `sha256-<hex>.sig`. */
export function attachedTag(digest: Digest, suffix: "sig" | "att" | "sbom"): string {
  return `${digest.replace(":", "-")}.${suffix}`;
}
