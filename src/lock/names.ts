/**
 * The grammar of every name that a lock or a spec holds. Names become paths, URLs, lines of
 * configuration and words in a shell of root, so each kind allows only what its field needs.
 * Even so, code that uses a name quotes it or joins it by `below.ts`.
 */

/** The pattern of a kind of name, and how a message describes it. */
export interface NameRule {
  pattern: RegExp;
  /** For `must be …`. */
  means: string;
}

const rule = (pattern: RegExp, means: string): NameRule => ({ pattern, means });

export const NAMES = {
  /** Bundles, package sets, manifests, charts, namespaces. */
  entry: rule(
    /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/,
    "a name of lower-case letters, digits, '-', '_' and '.'",
  ),
  /** A repository of packages: a section of dnf's configuration. */
  repository: rule(
    /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$/,
    "a repository id of letters, digits, '_', '.', ':' and '-'",
  ),
  /** os-release's ID and VERSION_ID. */
  system: rule(/^[a-z0-9][a-z0-9._-]{0,63}$/, "an os-release ID and version like rocky-9"),
  role: rule(
    /^(?:all|control-plane|worker|etcd|load-balancer|registry)$/,
    "a role (all, control-plane, worker, etcd, load-balancer, registry)",
  ),
  /** A package that hosts install, as the spec names it: `kubelet`, `kubelet=1.28.2`, `/usr/bin/curl`, `perl(Foo) >= 1`. */
  asked: rule(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the rule refuses them
    /^(?!-)[^\u0000-\u001f\u007f-\u009f]{1,1024}$/,
    "a package, a group or a capability that does not begin with '-'",
  ),
  /** rpm's and dpkg's own rules for names, taken together. */
  package: rule(/^[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}$/, "a package name"),
  /** `[epoch:]version[-release]`. */
  version: rule(/^[A-Za-z0-9][A-Za-z0-9._+~^:-]{0,254}$/, "a package version"),
  arch: rule(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,31}$/, "an architecture"),
  /** `name-[epoch:]version-release.arch`, or Debian's `name=version`. */
  packageId: rule(/^[A-Za-z0-9_][A-Za-z0-9._+~^:=-]{0,511}$/, "a package id"),
  /** Module names, streams and contexts. */
  module: rule(/^[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}$/, "a module name"),
  /** A public key in a set. */
  key: rule(/^keys\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.asc$/, "keys/NAME.asc"),
  /** The tool itself, packed. */
  self: rule(
    /^airgap-[0-9A-Za-z][0-9A-Za-z.+_-]{0,127}-linux-[a-z0-9]{1,16}\.tar\.gz$/,
    "airgap-VERSION-linux-ARCH.tar.gz",
  ),
  /** A release of Kubernetes as a lock has it: `v1.28.2`, `v1.30.0-rc.1`, `v1.28.2+vendor`. */
  kubernetes: rule(/^v\d{1,3}\.\d{1,3}\.\d{1,3}(?:[-+][0-9A-Za-z.+_-]{0,63})?$/, "a version like v1.28.2"),
} as const satisfies Record<string, NameRule>;

/** Directions, zero width and separators: characters that make a name look like another one. */
const MISLEADING = /[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the rule looks for them
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Why a text cannot be a name or a line of output; undefined when it can. */
export function lineProblem(text: string, max: number): string | undefined {
  if (text.length > max) return `has ${text.length} characters; at most ${max} are allowed`;
  if (CONTROL.test(text)) return "has control characters";
  return text.isWellFormed() ? undefined : "is not well-formed Unicode";
}

/** Bytes of a whole title, and of one part: the limits of usual file systems. */
const MAX_TITLE = 1024;
const MAX_PART = 255;

/**
 * Why a text is not a safe relative path; undefined when it is: it names a file below an artifact's root, `/`
 * between parts.
 */
export function titleProblem(title: string): string | undefined {
  const problem = lineProblem(title, MAX_TITLE);
  if (problem !== undefined) return problem;
  if (title === "") return "is empty";
  if (MISLEADING.test(title)) return "has characters that are invisible or that change the direction of text";
  if (title.includes("\\")) return "has a backslash";
  if (/^[A-Za-z]:/.test(title)) return "starts with a drive letter";
  const parts = title.split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".."))
    return "is not a path below the folder that it is written to";
  if (Buffer.byteLength(title) > MAX_TITLE) return `has more than ${MAX_TITLE} bytes`;
  return parts.some((part) => Buffer.byteLength(part) > MAX_PART)
    ? `has a part with more than ${MAX_PART} bytes`
    : undefined;
}

/** Gives the same key for names that a file system may treat as equal: one that ignores case or composes letters. */
const folded = (title: string): string => title.normalize("NFC").toLowerCase().toUpperCase();

/** Every fault in the titles of one artifact: of each title, and of titles that collide. */
export function titlesProblems(titles: string[]): string[] {
  const problems: string[] = [];
  const taken = new Map<string, string>();
  const shown = (title: string): string => JSON.stringify(title.slice(0, 200));
  for (const title of titles) {
    const problem = titleProblem(title);
    const key = folded(title);
    const other = taken.get(key);
    if (problem !== undefined) problems.push(`the file name ${shown(title)} ${problem}`);
    else if (other === title) problems.push(`two files have the name ${shown(title)}`);
    else if (other !== undefined)
      problems.push(`the file names ${shown(other)} and ${shown(title)} differ only in case`);
    taken.set(key, title);
  }
  for (const [key, title] of taken) {
    for (let slash = key.lastIndexOf("/"); slash > 0; slash = key.lastIndexOf("/", slash - 1)) {
      const other = taken.get(key.slice(0, slash));
      if (other !== undefined)
        problems.push(`${shown(other)} is both a file and the folder of ${shown(title)}`);
    }
  }
  return problems;
}

/** A title made from a path that a user or a URL gives; may be empty. */
export function titleFrom(path: string): string {
  return path
    .split(/[/\\]/)
    .filter((part) => part !== "" && part !== "." && part !== "..")
    .map((part) => part.replace(new RegExp(`${CONTROL.source}|${MISLEADING.source}`, "g"), "_"))
    .join("/")
    .replace(/^([A-Za-z]):/, "$1_");
}

/** An entry's name made from a file's or chart's name; may be empty. */
export function entryNameFrom(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 63)
    .replace(/[^a-z0-9]+$/, "");
}
