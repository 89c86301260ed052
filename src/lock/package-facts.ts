import { AirgapError } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";

/** The fingerprints of the keys that a repository was checked with, by its id in the spec. */
export type KeyPins = Record<string, string[]>;

/** Why a package is in a set. */
export interface Reason {
  /** The package that wants it; absent when it was asked for. */
  by?: string;
  /** The capability or relation that it fulfils, or what was asked for. */
  relation: string;
}

/** A build of a module stream that is carried, or that one carried needs, as its repository describes it. */
export interface CarriedModule {
  name: string;
  stream: string;
  /** A number of up to 64 bits. */
  version: string;
  context: string;
  /** Empty where it makes no difference. */
  arch: string;
  /** Its context is a name given by who made it, not a hash of what it was built against. */
  staticContext: boolean;
  summary: string;
  description: string;
  licenses: string[];
  /** Each must hold: one of the streams of each module, `-x` for not x; no stream stands for any. */
  requires: Record<string, string[]>[];
  /** Package names by profile. */
  profiles: Record<string, string[]>;
  /** Profiles that the module's name alone stands for. */
  defaultProfiles: string[];
  /** Ids of the packages of it that are carried. */
  artifacts: string[];
}

/** A package of a set, pinned. */
export interface LockedPackage {
  id: string;
  name: string;
  version: string;
  arch: string;
  /** The repository's id in the spec, and where the file is below its base. */
  repository: string;
  href: string;
  /** Another base, where the repository's metadata give one. */
  base?: string;
  /** Bytes. */
  size: number;
  digest: Digest;
  /** What was looked at: how many bytes from the start, and their sha256. */
  head: { size: number; sha256: string };
  reason: Reason;
  /** The transaction does without it; hosts that differ may need it: why. */
  alternative?: string;
  /** Who signed the package itself. */
  signature?: { key: string; hash: string };
  /** Accepted without a signature, and served from the repository without gpgcheck. */
  unsigned?: true;
}

export type PackageFormat = "rpm" | "deb";

/** What the lock keeps of a package set beside its files. */
export interface PackageSetFacts {
  format: PackageFormat;
  arch: string;
  /** os-release ID and version of the systems it is for. */
  for: string[];
  /** By role: what was asked for with the package that answers it, and every package of its transaction. `all` when roles make no difference. */
  roles: Record<string, { asked: { text: string; package: string }[]; packages: string[] }>;
  packages: LockedPackage[];
  /** Public keys that hosts trust for these packages: path in the set, ASCII armour. */
  keys: Record<string, string>;
  /** Fingerprints of the keys that each repository was checked with; older locks have none. */
  keyPins?: KeyPins;
  /** The signatures of our own metadata, by path, and the key that made them. */
  signing: { publicKey: string; signatures: Record<string, string> };
  /** Modules decided what is in it, so that hosts' own must not: hosts need `module_hotfixes=1`. */
  moduleHotfixes?: true;
  /** The module streams in it. */
  modules?: CarriedModule[];
}

const isText = (value: unknown): value is string => typeof value === "string";
/** Package managers get these on a command line: no blanks, nothing that a shell expands, no option. */
const isWord = (value: unknown): value is string => isText(value) && /^(?!-)[^\s*?[\]\\]+$/.test(value);
const isTextMap = (value: unknown): value is Record<string, string> =>
  isRecord(value) && Object.values(value).every(isText);

const isKeyPins = (value: unknown): value is KeyPins =>
  isRecord(value) &&
  Object.values(value).every(
    (list) =>
      Array.isArray(list) && list.every((each) => typeof each === "string" && /^[0-9A-F]{32,64}$/.test(each)),
  );

function isPackage(value: unknown): value is LockedPackage {
  if (!isRecord(value)) return false;
  const { head, size, digest } = value;
  const words = [value.name, value.version, value.arch].every(isWord);
  return (
    words &&
    [value.id, value.repository, value.href].every(isText) &&
    Number.isSafeInteger(size) &&
    isDigest(digest) &&
    isRecord(head) &&
    Number.isSafeInteger(head.size) &&
    isText(head.sha256) &&
    isRecord(value.reason)
  );
}

const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);
const isTextsMap = (value: unknown): value is Record<string, string[]> =>
  isRecord(value) && Object.values(value).every(isTexts);

function isModule(value: unknown): value is CarriedModule {
  if (!isRecord(value)) return false;
  const {
    name,
    stream,
    version,
    context,
    arch,
    summary,
    description,
    licenses,
    requires,
    profiles,
    defaultProfiles,
    artifacts,
  } = value;
  const lists =
    [licenses, defaultProfiles, artifacts].every(isTexts) &&
    Array.isArray(requires) &&
    requires.every(isTextsMap) &&
    isTextsMap(profiles);
  return lists && [name, stream, version, context, arch, summary, description].every(isText);
}

/** Reads what a lock keeps of a set. @throws AirgapError `corrupt` when it was not written by this program */
export function parseFacts(value: unknown, name: string): PackageSetFacts {
  const fail = (why: string): never => {
    throw new AirgapError("corrupt", `The lock's package set ${name} can't be used: ${why}`, {
      suggestions: ["build without --locked, which makes a new lock"],
    });
  };
  if (!isRecord(value)) return fail("it has no facts");
  if (value.format !== "rpm" && value.format !== "deb") return fail("its format is neither rpm nor deb");
  if (!Array.isArray(value.packages) || !value.packages.every(isPackage))
    return fail("its list of packages is damaged");
  if (!isRecord(value.roles) || !isTextMap(value.keys) || !isRecord(value.signing))
    return fail("roles, keys or signing are missing");
  if (value.modules !== undefined && !(Array.isArray(value.modules) && value.modules.every(isModule)))
    return fail("its list of modules is damaged");
  if (value.keyPins !== undefined && !isKeyPins(value.keyPins))
    return fail("its fingerprints of keys are damaged");
  if (!isText(value.signing.publicKey) || !isTextMap(value.signing.signatures))
    return fail("its signatures are damaged");
  return value as unknown as PackageSetFacts;
}
