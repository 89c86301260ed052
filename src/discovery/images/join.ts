import { isDigest } from "../../oci/digest.ts";
import { isTag, tryParseReference } from "../../oci/reference.ts";
import { isNull, isTyped, type Scalar } from "../documents/node.ts";
import type { Span } from "../documents/text.ts";
import { couldBeHost, isRegistryHost } from "./judge.ts";
import { wordsOf } from "./vocabulary.ts";

/** A name with a value: of a mapping, of a list of variables, of arguments. */
export interface Pair {
  key: string;
  value: Scalar;
}

/** The role of a part of a split image. `version` is a tag only when it cannot mean anything else. */
type Role =
  | "registry"
  | "path"
  /** Whether the registry has a path. */
  | "base"
  | "repository"
  | "image"
  | "name"
  /** `searchName`: counts when a registry and a version with the same prefix are beside it. */
  | "called"
  | "tag"
  | "version"
  | "digest";

/** The scalars that make one image together. */
export interface Parts {
  /** Joined by slashes: registry, path, name, as far as they exist. */
  names: Scalar[];
  tag?: Scalar;
  digest?: Scalar;
}

/** The stretches to change when the image gets another name. */
export interface Stretches {
  /** Joined by slashes; one with the whole reference when `whole`. */
  names: Span[];
  whole: boolean;
  tag?: Span;
  digest?: Span;
}

export interface Joined {
  written: string;
  parts: Parts;
  /** Its name is about images; the form is not the only evidence. */
  named: boolean;
  /** No tag is written: the default of an outer mapping is used. */
  guessed: boolean;
}

/** Registry and tag that outer mappings set for everything inside. */
export interface Inherited {
  registry?: Scalar;
  /** Between the registry and the names: an organisation. */
  path?: Scalar;
  tag?: Scalar;
  /** `version:` of an outer mapping in the same object. */
  version?: Scalar;
  /** The tag of an image without one: a chart's `appVersion`. */
  defaultTag?: string;
}

const ROLES: [RegExp, Role][] = [
  [
    /(?:^| )(?:registry|registry (?:host|url|server|address|prefix|name|domain)|(?:repo|repository) (?:url|host|prefix)|hub)$/,
    "registry",
  ],
  [/(?:^| )image (?:namespace|path|prefix|org|organization|project)$/, "path"],
  [/(?:^| )(?:repository|repo|repository name|repo name)$/, "repository"],
  [/(?:^| )tag$/, "tag"],
  [/(?:^| )(?:version|release)$/, "version"],
  [/(?:^| )(?:digest|sha|sha256)$/, "digest"],
  [/(?:^| )(?:image|img|image name|img name|image ref|base image)$/, "image"],
  [/^(?:image )?base$/, "base"],
  [/^name$/, "name"],
  [/(?:^| )name$/, "called"],
];
const SPEAKING = /\b(?:images?|imgs?|docker|containers?)\b/;
/** `defaultRegistry`, `globalTag`: set for everything inside. */
const FOR_ALL = /\b(?:default|global|common)\b/;

interface Labelled {
  role: Role;
  prefix: string;
  spoken: boolean;
}

function label(key: string): Labelled | undefined {
  const words = wordsOf(key).join(" ");
  for (const [pattern, role] of ROLES) {
    const match = pattern.exec(words);
    if (match === null) continue;
    const prefix = words
      .slice(0, match.index)
      .split(" ")
      .filter(
        (word) =>
          word !== "" &&
          !SPEAKING.test(word) &&
          !(
            FOR_ALL.test(word) &&
            (role === "registry" || role === "tag" || (role === "version" && SPEAKING.test(words)))
          ),
      )
      .join(" ");
    return { role, prefix, spoken: SPEAKING.test(words) };
  }
  return undefined;
}

/** Roles whose value may be a number. */
const TAGS = new Set<Role>(["tag", "version", "digest"]);

/** A registry, with or without a path, without a tag. */
const isRegistryPath = (text: string): boolean =>
  /^[^/\s:@]+(?::\d+)?(?:\/[^/\s:@]+)*\/?$/.test(text) && couldBeHost(text.split("/")[0] as string);

interface Group {
  parts: Partial<Record<Role, Scalar>>;
  spoken: boolean;
}

function groupsOf(pairs: Pair[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const { key, value } of pairs) {
    const found = label(key);
    if (found === undefined) continue;
    const prefixes = found.role === "path" || found.role === "base";
    const role = prefixes && isRegistryPath(textOf(value)) ? "registry" : found.role;
    if (role === "base") continue;
    if (isTyped(value) && !TAGS.has(role)) continue;
    const group = groups.get(found.prefix) ?? { parts: {}, spoken: false };
    if (textOf(group.parts[role]) === "") group.parts[role] = value;
    group.spoken ||= found.spoken;
    groups.set(found.prefix, group);
  }
  return groups;
}

const NAMING: Role[] = ["repository", "image", "name", "called"];
const hasName = ({ parts }: Group): boolean => NAMING.some((role) => textOf(parts[role]) !== "");
const hasTag = ({ parts }: Group): boolean =>
  [parts.tag, parts.version, parts.digest].some((part) => textOf(part) !== "");

/** `ACME_DATABASE_IMAGE` and `DATABASE_VERSION`: a version whose prefix ends another one's is meant for it. */
function shareVersions(groups: Map<string, Group>): void {
  for (const [prefix, group] of groups) {
    if (!hasName(group) || hasTag(group) || prefix === "") continue;
    const fitting = [...groups].filter(
      ([other, each]) =>
        other !== "" &&
        hasTag(each) &&
        !hasName(each) &&
        (prefix.endsWith(` ${other}`) || other.endsWith(` ${prefix}`)),
    );
    const [only] = fitting;
    if (fitting.length !== 1 || only === undefined) continue;
    const { tag, version, digest } = only[1].parts;
    Object.assign(group.parts, tag && { tag }, version && { version }, digest && { digest });
  }
}

const textOf = (scalar: Scalar | undefined): string =>
  scalar === undefined || isNull(scalar) ? "" : scalar.value.trim();
const NOT_A_NAME = /[\s{}$<>%*()\\]|:\/\/|\.git$/;

const isVersion = (text: string): boolean => isTag(text) && /^v?\d+\.\d+/.test(text);

/** What outer mappings set for everything inside them. */
export function inherit(outer: Inherited, pairs: Pair[]): Inherited {
  const own = groupsOf(pairs).get("")?.parts;
  const prefix =
    own && textOf(own.image ?? own.name ?? own.tag ?? own.digest) === "" ? own.repository : undefined;
  const given =
    textOf(own?.registry) !== "" ? own?.registry : isRegistryPath(textOf(prefix)) ? prefix : undefined;
  const registry = given && !NOT_A_NAME.test(textOf(given)) ? given : undefined;
  const path = textOf(own?.path) !== "" && !NOT_A_NAME.test(textOf(own?.path)) ? own?.path : undefined;
  const tag = isTag(textOf(own?.tag)) ? own?.tag : undefined;
  const version = isVersion(textOf(own?.version)) ? own?.version : undefined;
  return {
    ...outer,
    ...(registry ? { registry } : {}),
    ...(path ? { path } : {}),
    ...(tag ? { tag } : {}),
    ...(version ? { version } : {}),
  };
}

/** A tag field may also hold a digest, or both: `v1@sha256:…`, `sha256:…`. */
function suffix(tag: string, digest: string): string | undefined {
  const full = /^[0-9a-f]{64}$/.test(digest) ? `sha256:${digest}` : digest;
  const pinned = isDigest(full) ? `@${full}` : "";
  if (tag === "") return pinned;
  if (isDigest(tag.replace(/^@/, ""))) return `@${tag.replace(/^@/, "")}`;
  const [name, own] = tag.replace(/^:/, "").split("@") as [string, string?];
  if (!isTag(name)) return undefined;
  return own !== undefined && isDigest(own) ? `:${name}@${own}` : `:${name}${pinned}`;
}

/** Whether the repository's first component is already a host. */
function hosted(repository: string): boolean {
  return /^[^/]*[.:][^/]*\/|^localhost\//.test(repository);
}

/**
 * The images that are split over several names with one prefix: registry, repository, tag, digest.
 * @param pairs names of one mapping or list
 * @param near whether an outer mapping is about images
 * @param spokenOnly for lists of unrelated names: one of the names itself must be about images
 */
export function joinPairs(pairs: Pair[], near: boolean, inherited: Inherited, spokenOnly = false): Joined[] {
  const groups = groupsOf(pairs);
  if (spokenOnly) shareVersions(groups);
  return [...groups.values()].flatMap((group) => {
    if (spokenOnly && !group.spoken && called(group) === undefined) return [];
    const joined = joinGroup(group, near, inherited) ?? [];
    return spokenOnly && !Array.isArray(joined) && !joined.parts.tag && !joined.parts.digest
      ? { ...joined, named: false }
      : joined;
  });
}

/** `X_REPO_URL`, `X_NAME` and `X_VERSION` are an image even though no name says "image". */
function called({ parts }: Group): Scalar | undefined {
  const registry = parts.registry ?? parts.repository;
  const whole = isRegistryPath(textOf(registry)) && isVersion(textOf(parts.tag ?? parts.version));
  return whole && textOf(parts.image) === "" && !/[/:@]/.test(textOf(parts.called))
    ? parts.called
    : undefined;
}

/** The part between registry and tag: the repository, or a path and a name. */
function namesOf(parts: Group["parts"], about: boolean, inherited: Inherited): Scalar[] {
  const { repository, image, name, tag, registry } = parts;
  if (textOf(repository) === "") {
    if (textOf(image) !== "") return [image as Scalar];
    const only = called({ parts, spoken: about });
    if (only !== undefined) return [only];
    const inValues = inherited.registry !== undefined && inherited.defaultTag !== undefined;
    return about && name && (inValues || (tag ?? registry ?? parts.digest)) ? [name] : [];
  }
  const path = textOf(repository);
  const shortPath = path.split("/").length <= 2;
  const apart = shortPath ? called({ parts, spoken: about }) : undefined;
  const last =
    textOf(image) !== "" ? image : (apart ?? (about && shortPath && hosted(path) ? name : undefined));
  const text = textOf(last);
  const separate =
    last !== undefined &&
    text !== "" &&
    !hosted(text) &&
    !/[:@]/.test(text) &&
    path !== text &&
    !path.endsWith(`/${text}`);
  return separate ? [repository as Scalar, last] : [repository as Scalar];
}

function joinGroup({ parts, spoken }: Group, near: boolean, inherited: Inherited): Joined | undefined {
  const about = near || spoken || called({ parts, spoken }) !== undefined;
  const inner = namesOf(parts, about, inherited);
  const path = inner.map(textOf).join("/");
  const written = NOT_A_NAME.test(path) ? undefined : tryParseReference(path);
  if (written === undefined) return undefined;
  // `baseRepo: registry.k8s.io` is a registry for others.
  if (!path.includes("/") && couldBeHost(path) && isRegistryHost(path)) return undefined;
  const pinned = written.tag !== undefined || written.digest !== undefined;
  const registry = hosted(path) ? undefined : registryOf(parts.registry, inherited.registry, about);
  const tag = pinned ? undefined : tagOf(parts, path, about, inherited);
  // A registry with its own path does not get one from an outer mapping.
  const outer = textOf(registry).includes("/") ? undefined : inherited.path;
  const organisation = registry !== undefined && !path.includes("/") ? (parts.path ?? outer) : undefined;
  const names = [
    ...(registry ? [registry] : []),
    ...(organisation && textOf(organisation) !== "" ? [organisation] : []),
    ...inner,
  ];
  const digest = textOf(parts.digest) === "" || pinned ? undefined : parts.digest;
  // A tag that is there and empty gets the chart's version.
  const tagless = tag === undefined && (parts.tag === undefined || inherited.defaultTag === undefined);
  if (names.length === 1 && parts.repository === undefined && tagless && digest === undefined)
    return undefined;
  if (pinned && names.length === 1) return undefined;
  const tagged =
    textOf(parts.tag) !== "" ||
    (parts.tag !== undefined && inherited.defaultTag !== undefined) ||
    (registry === parts.registry && registry !== undefined);
  const named =
    about || (parts.repository !== undefined && tagged) || called({ parts, spoken }) !== undefined;
  if (!named && !(hosted(path) && isRegistryHost(written.host) && parts.version !== undefined))
    return undefined;
  const end = pinned ? "" : suffix(textOf(tag), textOf(digest));
  if (end === undefined) return undefined;
  const guessed = end === "" && !pinned && inherited.defaultTag !== undefined;
  const tail = guessed ? `:${inherited.defaultTag}` : end;
  const text = names.map((part) => textOf(part).replace(/\/+$/, "")).join("/") + tail;
  return {
    written: text,
    named,
    guessed,
    parts: { names, ...(tag ? { tag } : {}), ...(digest ? { digest } : {}) },
  };
}

function registryOf(own: Scalar | undefined, outer: Scalar | undefined, about: boolean): Scalar | undefined {
  const text = textOf(own);
  if (text !== "") return NOT_A_NAME.test(text) ? undefined : own;
  return about ? outer : undefined;
}

function tagOf(
  parts: Group["parts"],
  path: string,
  about: boolean,
  inherited: Inherited,
): Scalar | undefined {
  if (textOf(parts.tag) !== "") return parts.tag;
  const version = textOf(parts.version);
  if (/\d/.test(version) && (about || isRegistryHost(path.split("/")[0] as string))) return parts.version;
  if (textOf(parts.digest) !== "" || !about) return undefined;
  // A bare name beside a product's own is a tool with a version of its own.
  const shared = path.includes("/") && inherited.defaultTag === undefined ? inherited.version : undefined;
  return inherited.tag ?? shared;
}
