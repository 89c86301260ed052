import type { Digest } from "../oci/digest.ts";
import { NAMES } from "./names.ts";
import {
  count,
  digest,
  flag,
  line,
  lines,
  listOf,
  mapOf,
  named,
  object,
  oneOf,
  parsed,
  title,
  yes,
} from "./shape.ts";

/** The fingerprints of the keys that verified a repository, by its id in the spec. */
export type KeyPins = Record<string, string[]>;

/**
 * When the metadata of a set were made, as they say themselves: by the repository's id, for Debian with
 * the suite behind it. ISO 8601 in UTC, whole seconds.
 */
export type MetadataDates = Record<string, string>;

/** Why a package is in a set. */
export interface Reason {
  /** The package that wants it; absent when the spec asks for it. */
  by?: string;
  /** The capability or relation that it fulfils, the words of the spec, or why the package that it replaces can't stay. */
  relation: string;
  /** What hosts have, given by `installed:`, and can't keep beside the rest. */
  replaces?: string;
}

/** A build of a module stream that is carried, or that one carried needs, as its repository describes it. */
export interface CarriedModule {
  name: string;
  stream: string;
  /** A number of up to 64 bits. */
  version: string;
  context: string;
  /** Empty when it makes no difference. */
  arch: string;
  /** Its context is a name that its maker chose, not a hash of what it was built against. */
  staticContext: boolean;
  summary: string;
  description: string;
  licenses: string[];
  /** Each must hold: one of the streams of each module, `-x` for not x; an empty list stands for any stream. */
  requires: Record<string, string[]>[];
  /** Package names by profile. */
  profiles: Record<string, string[]>;
  /** Profiles that the module's name without a profile stands for. */
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
  /** Another base, if the repository's metadata give one. */
  base?: string;
  /** Bytes. */
  size: number;
  digest: Digest;
  /** What was read: how many bytes from the start, and their sha256. */
  head: { size: number; sha256: string };
  reason: Reason;
  /** Why it is carried, though this transaction does not need it: hosts that differ may need it. */
  alternative?: string;
  /** Who signed the package itself. */
  signature?: { key: string; hash: string };
  /** What it says of itself; older locks have none. Of Debian's packages the licence is in files of theirs. */
  license?: string;
  /** What it was built from: a source RPM's file name, or a source package with its version where that differs. */
  source?: string;
  /** Its vendor, or its maintainer. */
  vendor?: string;
  /** Accepted without a signature, and served from the repository without gpgcheck. */
  unsigned?: true;
}

export type PackageFormat = "rpm" | "deb";

/** What the lock says about a package set besides its files. */
export interface PackageSetFacts {
  format: PackageFormat;
  arch: string;
  /** os-release ID and version of the systems it is for. */
  for: string[];
  /** The only Kubernetes version that it is for; absent when it is for any. */
  kubernetes?: string;
  /** By role: each word of the spec with the package that fulfils it, and every package of the transaction. `all` when roles make no difference. */
  roles: Record<string, { asked: { text: string; package: string }[]; packages: string[] }>;
  packages: LockedPackage[];
  /** Public keys that hosts trust for these packages: path in the set, ASCII armour. */
  keys: Record<string, string>;
  /** Fingerprints of the keys that verified each repository; older locks have none. */
  keyPins?: KeyPins;
  /** What a later build is warned by when a mirror has gone back; older locks have none. */
  metadataDates?: MetadataDates;
  /** The signatures of our own metadata, by path, and the key that made them. */
  signing: { publicKey: string; signatures: Record<string, string> };
  /** Modules decided what is in it, and the modules of hosts must not decide again: hosts need `module_hotfixes=1`. */
  moduleHotfixes?: true;
  /** The module streams in it. */
  modules?: CarriedModule[];
}

const id = named(NAMES.packageId);
const moduleName = named(NAMES.module);
const sha256 = parsed((text) => /^[0-9a-f]{64}$/.exec(text) ?? undefined, "64 hexadecimal digits");
const hex = parsed((text) => /^[0-9A-Fa-f]{1,128}$/.exec(text) ?? undefined, "hexadecimal digits");

const fingerprint = parsed((text) => /^[0-9A-F]{32,64}$/.exec(text) ?? undefined, "a fingerprint");

const date = parsed(
  (text) => (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) && Date.parse(text) ? text : undefined),
  "a time like 2026-01-31T00:00:00Z",
);

const reason = object<Reason>({ relation: lines }, { by: id, replaces: id });

const lockedPackage = object<LockedPackage>(
  {
    id,
    name: named(NAMES.package),
    version: named(NAMES.version),
    arch: named(NAMES.arch),
    repository: named(NAMES.repository),
    href: line,
    size: count,
    digest,
    head: object<LockedPackage["head"]>({ size: count, sha256 }, {}),
    reason,
  },
  {
    base: line,
    alternative: lines,
    signature: object<NonNullable<LockedPackage["signature"]>>({ key: hex, hash: line }, {}),
    unsigned: yes,
    license: line,
    source: line,
    vendor: line,
  },
);

const carriedModule = object<CarriedModule>(
  {
    name: moduleName,
    stream: moduleName,
    version: parsed((text) => /^\d{1,20}$/.exec(text) ?? undefined, "a number"),
    context: line,
    arch: line,
    staticContext: flag,
    summary: lines,
    description: lines,
    licenses: listOf(lines),
    requires: listOf(mapOf(moduleName, listOf(line))),
    profiles: mapOf(line, listOf(line)),
    defaultProfiles: listOf(line),
    artifacts: listOf(id),
  },
  {},
);

/** The closure of one role: the words of the spec, and the transaction. */
type RoleFacts = PackageSetFacts["roles"][string];
const asked = object<RoleFacts["asked"][number]>({ text: named(NAMES.asked), package: id }, {});

export const packageSetFacts = object<PackageSetFacts>(
  {
    format: oneOf(["rpm", "deb"]),
    arch: named(NAMES.arch),
    for: listOf(named(NAMES.system), 100),
    roles: mapOf(named(NAMES.role), object<RoleFacts>({ asked: listOf(asked), packages: listOf(id) }, {})),
    packages: listOf(lockedPackage),
    keys: mapOf(named(NAMES.key), lines, 1000),
    signing: object<PackageSetFacts["signing"]>(
      { publicKey: lines, signatures: mapOf(title, lines, 10_000) },
      {},
    ),
  },
  {
    kubernetes: named(NAMES.kubernetes),
    moduleHotfixes: yes,
    modules: listOf(carriedModule),
    metadataDates: mapOf(line, date, 1000),
    keyPins: mapOf(named(NAMES.repository), listOf(fingerprint, 1000), 1000),
  },
);
