import type { PackageFormat } from "../../lock/package-facts.ts";
import type { Step } from "../../plan/step.ts";
import type { PackageSet } from "../bundle.ts";

/** Differences between systems: one value for each package manager. docs/systems.md says how to add one. */
export interface System {
  /** Format of its packages. */
  format: PackageFormat;
  trust: TrustStore;
  chrony: { config: string; unit: string };
  /** Files by which the package manager finds the site's packages, next to the host's own and without changing them. */
  repositorySteps(repository: SiteRepository): Step[];
  packages: PackageCommands;
}

/** The store of authorities that curl, git and people use. Paths are absolute. */
export interface TrustStore {
  /** Folder of certificates, each a file `*.crt`. */
  folder: string;
  /** The file that holds all of them. */
  bundle: string;
  /** Updates that file. */
  update: readonly [string, ...string[]];
  /** Updates that file and drops removed certificates. */
  rebuild: readonly [string, ...string[]];
}

/** Calls of functions of manifests/host/lib. */
export interface PackageCommands {
  /** A package's name for people: with its version if only that version will do. */
  label(wanted: Wanted): string;
  areInstalled(wanted: readonly Wanted[]): string;
  install(transaction: Transaction): string;
  /** Packages to keep at their version. */
  areHeld(names: readonly string[]): string;
  hold(names: readonly string[]): string;
  unhold(names: readonly string[]): string;
}

/** A package that a host must have. */
export interface Wanted {
  name: string;
  version: string;
  arch: string;
  /** The spec's request: a name, a capability, a name with a version. */
  text: string;
  /** Exactly this version; otherwise any installed version is good enough. */
  pinned: boolean;
}

export interface Transaction {
  wanted: readonly Wanted[];
  /** Ids of the repositories that packages come from. */
  repositories: readonly string[];
  /** `package-removal` and `base-packages`, if the user ignores these checks. */
  ignored: readonly string[];
}

/** A repository on the site's server. */
export interface Tree {
  id: string;
  /** Path below the set. */
  path: string;
  signed: boolean;
}

/** The site's packages as a host sees them. */
export interface SiteRepository {
  set: PackageSet;
  trees: readonly Tree[];
  /** URL of the set; ends with a slash. */
  url: string;
  login?: { user: string; password: string } | undefined;
  /** Path of the server's certificate authority, with TLS. */
  ca?: string | undefined;
}

/** Folder of airgap's keys and configuration for package managers. */
export const PACKAGES_DIR = "/etc/airgap/packages";
