import { isDigest } from "../../oci/digest.ts";
import { isTag, tryParseReference } from "../../oci/reference.ts";
import { isNull, type Scalar } from "../documents/node.ts";
import type { Span } from "../documents/text.ts";
import { isRegistryHost } from "./judge.ts";
import { wordsOf } from "./vocabulary.ts";

/** A name with a value: of a mapping, of a list of variables, of arguments. */
export interface Pair {
  key: string;
  value: Scalar;
}

/** What a part of a split image is. `version` is a tag only where nothing else can be meant. */
type Role = "registry" | "path" | "repository" | "image" | "name" | "tag" | "version" | "digest";

/** The scalars that together are one image. */
export interface Parts {
  /** Joined by slashes: registry, path, name, as many as there are. */
  names: Scalar[];
  tag?: Scalar;
  digest?: Scalar;
}

/** The stretches that are to change when the image gets another name. */
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
  /** Speaks of images by name, not by its form alone. */
  named: boolean;
  /** No tag is written: it is the default that encloses it. */
  guessed: boolean;
}

/** Registry and tag that outer mappings give for all inside. */
export interface Inherited {
  registry?: Scalar;
  /** Between the registry and the names: an organisation. */
  path?: Scalar;
  tag?: Scalar;
  /** What an image without tag gets: a chart's `appVersion`. */
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
  [/^name$/, "name"],
];
const SPEAKING = /\b(?:images?|imgs?|docker|containers?)\b/;
/** `defaultRegistry`, `globalTag`: given for all that is inside. */
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

interface Group {
  parts: Partial<Record<Role, Scalar>>;
  spoken: boolean;
}

function groupsOf(pairs: Pair[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const { key, value } of pairs) {
    const found = label(key);
    if (found === undefined) continue;
    const group = groups.get(found.prefix) ?? { parts: {}, spoken: false };
    if (textOf(group.parts[found.role]) === "") group.parts[found.role] = value;
    group.spoken ||= found.spoken;
    groups.set(found.prefix, group);
  }
  return groups;
}

const textOf = (scalar: Scalar | undefined): string =>
  scalar === undefined || isNull(scalar) ? "" : scalar.value.trim();
const NOT_A_NAME = /[\s{}$<>%*()\\]|:\/\/|\.git$/;

/** What outer mappings say for all inside of them. */
export function inherit(outer: Inherited, pairs: Pair[]): Inherited {
  const own = groupsOf(pairs).get("")?.parts;
  const registry =
    textOf(own?.registry) !== "" && !NOT_A_NAME.test(textOf(own?.registry)) ? own?.registry : undefined;
  const path = textOf(own?.path) !== "" && !NOT_A_NAME.test(textOf(own?.path)) ? own?.path : undefined;
  const tag = isTag(textOf(own?.tag)) ? own?.tag : undefined;
  return { ...outer, ...(registry ? { registry } : {}), ...(path ? { path } : {}), ...(tag ? { tag } : {}) };
}

/** A tag field may hold a digest too, or both: `v1@sha256:…`, `sha256:…`. */
function suffix(tag: string, digest: string): string | undefined {
  const full = /^[0-9a-f]{64}$/.test(digest) ? `sha256:${digest}` : digest;
  const pinned = isDigest(full) ? `@${full}` : "";
  if (tag === "") return pinned;
  if (isDigest(tag.replace(/^@/, ""))) return `@${tag.replace(/^@/, "")}`;
  const [name, own] = tag.replace(/^:/, "").split("@") as [string, string?];
  if (!isTag(name)) return undefined;
  return own !== undefined && isDigest(own) ? `:${name}@${own}` : `:${name}${pinned}`;
}

/** Whether the repository's first component is a host already. */
function hosted(repository: string): boolean {
  return /^[^/]*[.:][^/]*\/|^localhost\//.test(repository);
}

/**
 * The images that are split over several names: registry, repository, tag, digest, with one prefix.
 * @param pairs names of one mapping or list
 * @param near whether what encloses them speaks of images
 * @param spokenOnly where unrelated names stand together: one of the names itself has to speak of images
 */
export function joinPairs(pairs: Pair[], near: boolean, inherited: Inherited, spokenOnly = false): Joined[] {
  return [...groupsOf(pairs).values()].flatMap((group) => {
    if (spokenOnly && !group.spoken) return [];
    const joined = joinGroup(group, near, inherited) ?? [];
    return spokenOnly && !Array.isArray(joined) && !joined.parts.tag && !joined.parts.digest
      ? { ...joined, named: false }
      : joined;
  });
}

/** What stands between registry and tag: the repository, or a path and a name. */
function namesOf(parts: Group["parts"], about: boolean, inherited: Inherited): Scalar[] {
  const { repository, image, name, tag, registry } = parts;
  if (textOf(repository) === "") {
    if (textOf(image) !== "") return [image as Scalar];
    const inValues = inherited.registry !== undefined && inherited.defaultTag !== undefined;
    return about && name && (inValues || (tag ?? registry ?? parts.digest)) ? [name] : [];
  }
  const path = textOf(repository);
  const shortPath = path.split("/").length <= 2;
  const last = textOf(image) !== "" ? image : about && shortPath && hosted(path) ? name : undefined;
  const text = textOf(last);
  const apart =
    last !== undefined &&
    text !== "" &&
    !hosted(text) &&
    !/[:@]/.test(text) &&
    path !== text &&
    !path.endsWith(`/${text}`);
  return apart ? [repository as Scalar, last] : [repository as Scalar];
}

function joinGroup({ parts, spoken }: Group, near: boolean, inherited: Inherited): Joined | undefined {
  const about = near || spoken;
  const inner = namesOf(parts, about, inherited);
  const path = inner.map(textOf).join("/");
  const written = NOT_A_NAME.test(path) ? undefined : tryParseReference(path);
  if (written === undefined) return undefined;
  const pinned = written.tag !== undefined || written.digest !== undefined;
  const registry = hosted(path) ? undefined : registryOf(parts.registry, inherited.registry, about);
  const tag = pinned ? undefined : tagOf(parts, path, about, inherited);
  const organisation =
    registry !== undefined && !path.includes("/") ? (parts.path ?? inherited.path) : undefined;
  const names = [
    ...(registry ? [registry] : []),
    ...(organisation && textOf(organisation) !== "" ? [organisation] : []),
    ...inner,
  ];
  const digest = textOf(parts.digest) === "" || pinned ? undefined : parts.digest;
  if (names.length === 1 && parts.repository === undefined && tag === undefined && digest === undefined)
    return undefined;
  if (pinned && names.length === 1) return undefined;
  const tagged =
    textOf(parts.tag) !== "" ||
    (parts.tag !== undefined && inherited.defaultTag !== undefined) ||
    (registry === parts.registry && registry !== undefined);
  const named = about || (parts.repository !== undefined && tagged);
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
  return textOf(parts.digest) === "" && about ? inherited.tag : undefined;
}
