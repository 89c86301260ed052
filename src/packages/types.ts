import type { Http } from "../http.ts";
import type { CarriedModule, MetadataDates, Reason } from "../lock/package-facts.ts";

/** A package of the answer, with what its repository's metadata say about it. */
export interface ChosenPackage {
  /** `name-[epoch:]version-release.arch`, or Debian's `name=version`. */
  id: string;
  name: string;
  version: string;
  arch: string;
  /** The repository's id in the spec. */
  repository: string;
  /** Where its file is: as the metadata say it, and in full, in the order to try. */
  href: string;
  base?: string;
  places: string[];
  http: Http;
  /** Bytes. */
  size: number;
  /** Of the whole file: as Node's crypto calls the algorithm, and hex digits. */
  checksum: { algorithm: string; value: string };
  reason: Reason;
  /** Debian: what its control file must say, since apt solves by its repository's word. */
  relations?: { depends: string[]; conflicts: string[]; breaks: string[]; provides: string[] };
  /** Nothing of its repository is signed by a key given. */
  unsignedRepository?: true;
  /** Set when the transaction does without it, and hosts that differ may need it: why. */
  alternative?: string;
}

/** What a role's hosts get: every package of their transaction. `all` when the spec makes no difference. */
export interface Closure {
  role: string;
  /** What was asked for, with the package that answers it. */
  asked: { text: string; package: string }[];
  packages: ChosenPackage[];
  /** What hosts with the given `installed:` list lose. */
  removes?: string[];
  /** Where apt does not come to this by itself: what to ask it for, `name=version` or `name-`. */
  inFull?: string[];
  /** When the metadata were made that it was worked out from. */
  dates?: MetadataDates;
  /** The module streams behind the packages; absent when no repository has modules. */
  modules?: CarriedModule[];
}
