import { canonicalBytes } from "../oci/canonical-json.ts";
import { type Descriptor, isRecord } from "../oci/descriptor.ts";
import { isMediaType } from "../oci/media-types.ts";
import { type Platform, tryParsePlatform } from "../oci/platform.ts";
import { formatReference, isHost, isTag, tryParseReference } from "../oci/reference.ts";
import { carriedFacts, fileFacts, reference } from "./carried-facts.ts";
import { LOCK_LIMITS, parseLimitedJson } from "./json.ts";
import type { Attached, Item, ItemKind, ItemOf, Lock, LockedBlob, VerifiedSignature } from "./lock.ts";
import { NAMES } from "./names.ts";
import { packageSetFacts } from "./package-facts.ts";
import {
  Cursor,
  count,
  digest,
  line,
  lines,
  listOf,
  mapOf,
  named,
  object,
  oneOf,
  parsed,
  type Shape,
  title,
  yes,
} from "./shape.ts";

const platformName = parsed(
  (text) => (text === "all" ? text : tryParsePlatform(text)),
  "a platform like linux/amd64",
);

const mediaType = parsed((text) => (isMediaType(text) ? text : undefined), "a media type");

/** Of a manifest; other keys beside these three are kept, since the same lock must give the same bytes. */
const descriptor = object<Descriptor>(
  { mediaType, digest, size: count },
  {
    urls: listOf(line, 100),
    annotations: mapOf(line, lines, 1000),
    data: lines,
    artifactType: line,
    platform: object<Platform>(
      { os: line, architecture: line },
      { variant: line, "os.version": line, "os.features": listOf(line, 100) },
    ),
  },
);

const tag = parsed((text) => (isTag(text) ? text : undefined), "a tag");
const attached = object<Attached>({ descriptor, subject: digest }, { tag });

const fingerprint = parsed(
  (text) => (/^SHA256:[A-Za-z0-9+/]{43}$/.test(text) ? text : undefined),
  "the fingerprint of a key",
);
const verified = object<VerifiedSignature>({ key: fingerprint, signature: digest }, {});

const imageName = parsed((text) => {
  const found = tryParseReference(text);
  return found && formatReference(found) === text ? text : undefined;
}, "an image reference in full");

const entryName = named(NAMES.entry);

/** Keys that every item has. */
const common = { root: descriptor, origins: listOf(line, 10_000), wantedBy: listOf(line, 10_000) };
/** Keys that artifacts never have. */
const imagesOnly: Shape<never> = (_, at) => at.fail("is a key of images only");
const artifact = { original: imagesOnly, exact: imagesOnly, attached: imagesOnly, verified: imagesOnly };

const ITEMS: { [K in ItemKind]: Shape<ItemOf<K>> } = {
  image: object<ItemOf<"image">>(
    { ...common, kind: oneOf(["image"]), name: imageName },
    {
      original: descriptor,
      exact: yes,
      attached: listOf(attached, 10_000),
      verified: listOf(verified, 100),
      facts: imagesOnly,
    },
  ),
  file: object<ItemOf<"file">>(
    { ...common, kind: oneOf(["file"]), name: title },
    { ...artifact, facts: fileFacts },
  ),
  self: object<ItemOf<"self">>(
    { ...common, kind: oneOf(["self"]), name: named(NAMES.self) },
    { ...artifact, facts: fileFacts },
  ),
  manifests: object<ItemOf<"manifests">>(
    { ...common, kind: oneOf(["manifests"]), name: entryName, facts: carriedFacts },
    artifact,
  ),
  chart: object<ItemOf<"chart">>(
    { ...common, kind: oneOf(["chart"]), name: entryName, facts: carriedFacts },
    artifact,
  ),
  packages: object<ItemOf<"packages">>(
    { ...common, kind: oneOf(["packages"]), name: entryName, facts: packageSetFacts },
    artifact,
  ),
};

const item: Shape<Item> = (value, at) => {
  const kind = isRecord(value) ? value["kind"] : at.fail("is not an object");
  if (typeof kind !== "string" || !Object.hasOwn(ITEMS, kind))
    return at.fail(`has a kind that this version of airgap does not know: ${shown(kind)}`);
  return ITEMS[kind as ItemKind](value, at);
};

const shown = (value: unknown): string => (JSON.stringify(value) ?? "nothing").slice(0, 80);

/** @param key tells entries apart; no two entries may have the same key */
function once<T>(list: Shape<T[]>, key: (entry: T) => string): Shape<T[]> {
  return (value, at) => {
    const seen = new Set<string>();
    for (const name of list(value, at).map(key))
      if (seen.size === seen.add(name).size) return at.fail(`has ${name} twice`);
    return value as T[];
  };
}

const version = named(NAMES.kubernetes);
const siteName = parsed(
  (text) => (isHost(text) && text.length <= 255 ? text : undefined),
  "a host, with or without a port",
);

const lock = object<Lock>(
  {
    apiVersion: oneOf(["airgap/v1"]),
    kind: oneOf(["Lock"]),
    name: entryName,
    platforms: listOf(platformName, 100),
    items: once(listOf(item, LOCK_LIMITS.items), ({ kind, name }) => `${kind} ${name}`),
    blobs: once(
      listOf(object<LockedBlob>({ digest, size: count }, {}), LOCK_LIMITS.blobs),
      (blob) => blob.digest,
    ),
  },
  {
    sequence: count,
    siteName,
    kubernetes: listOf(version, 100),
    kubeadm: mapOf(version, listOf(reference, 1000), 100),
  },
);

/**
 * Parses and checks a lock: every name by its grammar, every fact by its shape.
 * @param where names it in messages: `site.lock.json`, `of bundle site.tar`
 * @throws AirgapError `corrupt`, with exit code 3
 */
export function parseLock(bytes: Uint8Array, where: string): Lock {
  const what = `The lock ${where}`;
  return lock(parseLimitedJson(bytes, what), new Cursor(what));
}

/**
 * Checks that a lock that was just made can be read again.
 * @throws AirgapError `corrupt`
 */
export function checkLock(made: Lock): void {
  parseLock(canonicalBytes(made), `of ${made.name}`);
}
