import { type Reference, tryParseReference } from "../../oci/reference.ts";
import { wordsOf } from "./vocabulary.ts";

/** `certain`: the schema says image. `likely`: carried too. `possible`: shown, and carried if the spec accepts it. */
export type Confidence = "certain" | "likely" | "possible";

/** Evidence that a string is an image, besides its form. */
export type Evidence =
  /** A container's image field. */
  | "schema"
  /** The name of the field, flag or variable says image. */
  | "named"
  /** Something near it is about images. */
  | "near"
  | "none"
  /** Text for people. */
  | "prose";

export interface Judged {
  reference: Reference;
  confidence: Confidence;
  /** An OCI artifact that is not a container image: `oci://…`. */
  artifact?: boolean;
}

/** Domains without registries: of labels and APIs, code hosts, services inside a cluster. */
const NO_REGISTRY =
  /(?:^|\.)(?:kubernetes\.io|k8s\.io|github\.com|githubusercontent\.com|golang\.org|w3\.org|svc|svc\.[a-z0-9.-]+|cluster\.local)(?::\d+)?$/;
const noRegistry = (host: string): boolean => host !== "registry.k8s.io" && NO_REGISTRY.test(host);
const REGISTRY_LABEL =
  /^(?:quay|cr|hub|xpkg|pkg|oci|ocir|nexus|artifactory|jfrog|mirrors?|lscr|ttl|.{0,12}cr|.*(?:registry|docker|harbor|container|image).*)$/;

const KNOWN_TAG =
  /^(?:latest|stable|main|master|edge|nightly|dev|devel|develop|canary|release|alpine|debug|nonroot|lts|current|head|snapshot|slim|test|testing|prod|production|beta|alpha|unstable|next|local|default)(?:[-_.].*)?$/i;
const EFFECTS =
  /^(?:NoSchedule|NoExecute|PreferNoSchedule|ro|rw|z|Z|rshared|rslave|shared|private|cached|delegated)$/;

/** Words that are not images but are found where images are. */
const WORDS = new Set([
  "true",
  "false",
  "none",
  "null",
  "auto",
  "default",
  "always",
  "never",
  "image",
  "images",
  "latest",
  "enabled",
  "disabled",
  "yes",
  "no",
  "sha256",
  "sha512",
  "container",
  "docker",
  "containerd",
  "tag",
  "name",
  "base64",
  "string",
  "object",
  "full",
  "minimal",
  "custom",
  "inherit",
  "undefined",
  "unknown",
  "external",
  "internal",
  "embedded",
]);
const FILE =
  /\.(?:png|jpe?g|svg|gif|ico|webp|bmp|tiff?|qcow2|iso|img|raw|vmdk|vhdx?|ova|tar|t?gz|xz|zip|bz2|zst|ya?ml|json|txt|md|html?|css|js|ts|go|py|sh|conf|cfg|ini|toml|pem|crt|key|log|sock|service|so|exe|jar|war|git|proto|wasm)$/i;

/**
 * The id of an image on one machine, as docker and kubelet print it. Docker reads no such name:
 * https://github.com/distribution/reference/blob/main/normalize.go
 */
const IMAGE_ID = /^(?:sha256:)?[0-9a-f]{64}$/;

/** Whether the text itself names a host, instead of using Docker's default. */
function namesHost(text: string, { host }: Reference): boolean {
  return host !== "docker.io" || /^(?:index\.)?docker\.io\//i.test(text);
}

/** Whether the name of a host looks like a registry's. */
export function isRegistryHost(host: string): boolean {
  if (noRegistry(host)) return false;
  return /^localhost(?::|$)/.test(host) || host.split(/[.:]/).some((label) => REGISTRY_LABEL.test(label));
}

/** Whether a first component can only be a host. */
export function couldBeHost(host: string): boolean {
  if (noRegistry(host)) return false;
  return (
    /:\d+$/.test(host) ||
    host === "localhost" ||
    /^\d+\.\d+\.\d+\.\d+$/.test(host) ||
    /\.[a-z]{2,}$/i.test(host)
  );
}

const likelyTag = (tag: string): boolean => !EFFECTS.test(tag) && (/\d/.test(tag) || KNOWN_TAG.test(tag));
const isPort = (tag: string): boolean => /^\d{3,5}$/.test(tag);

function believable(text: string, reference: Reference): boolean {
  const { repository, tag, digest } = reference;
  const base = repository.slice(repository.lastIndexOf("/") + 1);
  if (
    WORDS.has(text.toLowerCase()) ||
    /^(?:library\/)?(?:sha256|sha512|https?|file|git|tcp|udp|unix|arn|urn|spiffe)$/.test(repository)
  )
    return false;
  if (!/[a-z]/.test(base)) return false;
  if (digest === undefined && tag === undefined && FILE.test(base)) return false;
  return !(tag !== undefined && EFFECTS.test(tag));
}

/**
 * Two grades of evidence: a name with a registry host and a tag or digest is enough; a short
 * name needs other evidence of images.
 */
function grade(text: string, reference: Reference, evidence: Evidence): Confidence | undefined {
  const { host, repository, tag, digest } = reference;
  const hosted = namesHost(text, reference);
  const pinned = tag !== undefined || digest !== undefined;
  const alone =
    digest !== undefined ||
    (hosted &&
      couldBeHost(host) &&
      tag !== undefined &&
      (isRegistryHost(host) || (likelyTag(tag) && !isPort(tag))));
  if (evidence === "prose") return alone ? "possible" : undefined;
  if (alone) return "likely";
  if (hosted && noRegistry(host)) return undefined;
  const slashed = text.includes("/");
  if (evidence === "named") {
    if (pinned || (hosted && couldBeHost(host))) return "likely";
    return slashed && repository.split("/").length === 2 ? "likely" : "possible";
  }
  if (evidence === "near") {
    if (hosted && isRegistryHost(host)) return "likely";
    if (tag !== undefined && likelyTag(tag)) return slashed || !/^\d{4,5}$/.test(tag) ? "likely" : "possible";
    return digest !== undefined ? "possible" : undefined;
  }
  return hosted && isRegistryHost(host) && repository.includes("/") ? "possible" : undefined;
}

/**
 * A short name that is the whole value needs no other evidence when its tag is a version,
 * or when it repeats the name of the value: `--config-reloader=org/config-reloader:main`.
 */
function fits(text: string, reference: Reference, name: string): boolean {
  const { repository, tag } = reference;
  if (
    tag === undefined ||
    !likelyTag(tag) ||
    isPort(tag) ||
    namesHost(text, reference) ||
    !text.includes("/")
  )
    return false;
  const base = wordsOf(repository.slice(repository.lastIndexOf("/") + 1));
  const words = wordsOf(name);
  const echoes =
    words.length > 0 &&
    (words.every((word) => base.includes(word)) || base.every((word) => words.includes(word)));
  return echoes || /^v?\d+\.\d+/.test(tag);
}

/**
 * Decides whether a string is an image, and how sure that is.
 * @param name the name of the whole value `written`: a key, flag or variable
 * @returns undefined when it is not an image
 */
export function judge(written: string, evidence: Evidence, name = ""): Judged | undefined {
  const scheme = /^(docker|oci):\/\//.exec(written);
  const text = scheme ? written.slice(scheme[0].length) : written;
  if (text.length < 2 || text.length > 512 || IMAGE_ID.test(text)) return undefined;
  const reference = tryParseReference(text);
  if (reference === undefined) return undefined;
  if (scheme?.[1] === "oci") return { reference, confidence: "possible", artifact: true };
  if (evidence === "schema") return { reference, confidence: "certain" };
  if (!believable(text, reference)) return undefined;
  const confidence = grade(text, reference, scheme && evidence === "none" ? "named" : evidence);
  // Without a tag it is more often a part that a program makes a name from than an image at `latest`.
  if (confidence === "likely" && !scheme && reference.tag === undefined && reference.digest === undefined)
    return { reference, confidence: "possible" };
  if (confidence !== "likely" && evidence !== "prose" && name !== "" && fits(text, reference, name))
    return { reference, confidence: "likely" };
  return confidence && { reference, confidence };
}
