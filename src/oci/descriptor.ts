import { AirgapError } from "../errors.ts";
import { type Digest, isDigest } from "./digest.ts";
import { isMediaType } from "./media-types.ts";
import type { Platform } from "./platform.ts";

/** https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  urls?: string[];
  annotations?: Record<string, string>;
  data?: string;
  artifactType?: string;
  platform?: Platform;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStringMap(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((entry) => typeof entry === "string");
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((entry) => typeof entry === "string");

function readPlatform(value: unknown): Platform | undefined {
  if (!isRecord(value) || typeof value.os !== "string" || typeof value.architecture !== "string")
    return undefined;
  const platform: Platform = { os: value.os, architecture: value.architecture };
  if (typeof value.variant === "string" && value.variant !== "") platform.variant = value.variant;
  if (typeof value["os.version"] === "string") platform["os.version"] = value["os.version"];
  if (isStrings(value["os.features"])) platform["os.features"] = value["os.features"];
  return platform;
}

/**
 * Reads a descriptor from untrusted JSON; keeps only the fields of the spec.
 * @throws AirgapError `protocol`, with `where` (e.g. `layers[3] of sha256:…`) in the message
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const fail = (why: string): never => {
    throw new AirgapError("protocol", `${where}: ${why}`);
  };
  if (!isRecord(value)) return fail("is not a descriptor");
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== "string" || mediaType === "") return fail("a descriptor without mediaType");
  if (!isMediaType(mediaType)) return fail(`${JSON.stringify(mediaType.slice(0, 200))} is not a media type`);
  if (!isDigest(digest)) return fail(`${JSON.stringify(digest)} is not a sha256 or sha512 digest`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    return fail(`size ${JSON.stringify(size)} is not a number of bytes`);
  const descriptor: Descriptor = { mediaType, digest, size };
  if (isStrings(value.urls) && value.urls.length > 0) descriptor.urls = value.urls;
  if (isStringMap(value.annotations)) descriptor.annotations = value.annotations;
  if (typeof value.data === "string") descriptor.data = value.data;
  if (typeof value.artifactType === "string" && isMediaType(value.artifactType))
    descriptor.artifactType = value.artifactType;
  const platform = readPlatform(value.platform);
  if (platform) descriptor.platform = platform;
  return descriptor;
}
