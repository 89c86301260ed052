import type { PackageFormat } from "../../lock/package-facts.ts";
import type { Step } from "../../plan/step.ts";
import type { PackageSet } from "../bundle.ts";

/** What differs between systems: one value for each package manager. docs/systems.md tells how to add one. */
export interface System {
  /** Format of the packages that it installs. */
  format: PackageFormat;
  trust: TrustStore;
  chrony: { config: string; unit: string };
  /** Files by which the package manager finds the site's packages, beside what the host has and without changing it. */
  repositorySteps(repository: SiteRepository): Step[];
  packages: PackageCommands;
}

/** The store of authorities that curl, git and people use. Paths are absolute. */
export interface TrustStore {
  /** Where certificates are put, each a file `*.crt`. */
  folder: string;
  /** The file that is made of them. */
  bundle: string;
  /** Makes the bundle. */
  update: readonly [string, ...string[]];
  /** Makes it without certificates that are gone. */
  rebuild: readonly [string, ...string[]];
}

/** Calls of functions of manifests/host/lib. */
export interface PackageCommands {
  /** How people name a package: with its version where only that will do. */
  label(wanted: Wanted): string;
  areInstalled(wanted: readonly Wanted[]): string;
  install(transaction: Transaction): string;
  /** Packages that are kept at their version. */
  areHeld(names: readonly string[]): string;
  hold(names: readonly string[]): string;
  unhold(names: readonly string[]): string;
}

/** A package that a host is to have. */
export interface Wanted {
  name: string;
  version: string;
  arch: string;
  /** As the spec asks for it: a name, a capability, a name with a version. */
  text: string;
  /** Exactly this version; otherwise any version that is installed is good enough. */
  pinned: boolean;
}

export interface Transaction {
  wanted: readonly Wanted[];
  /** Ids of the repositories that packages come from. */
  repositories: readonly string[];
  /** `package-removal` and `base-packages`, where the user ignores these checks. */
  ignored: readonly string[];
}

/** A repository as the site's server has it. */
export interface Tree {
  id: string;
  /** Below the set. */
  path: string;
  signed: boolean;
}

/** The site's packages as a host sees them. */
export interface SiteRepository {
  set: PackageSet;
  trees: readonly Tree[];
  /** Of the set; ends with a slash. */
  url: string;
  login?: { user: string; password: string } | undefined;
  /** Path of the authority of a server that uses TLS. */
  ca?: string | undefined;
}

/** Where package managers find keys and configuration of ours. */
export const PACKAGES_DIR = "/etc/airgap/packages";
