import type { ArtifactFile } from "../lock/artifact.ts";
import type { LockedPackage, PackageSetFacts } from "../lock/package-facts.ts";
import type { ResolveContext } from "../lock/resolved.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import type { Source } from "../transport/types.ts";
import type { ToSign } from "./signing.ts";
import type { ChosenPackage, Closure } from "./types.ts";

/** A package that was looked at: what the lock says of it, where its bytes are, and what its head holds. */
export interface Prepared<Head = unknown> {
  locked: LockedPackage;
  source: Source;
  /** Below a repository: `Packages/kubelet-1.28.2-0.x86_64.rpm`. */
  path: string;
  head: Head;
}

/** A repository in the artifact: its folder ("" or `roles/worker/`), and what it offers. */
export interface Tree<Head = unknown> {
  /** How hosts call it: `airgap-el9`, `airgap-el9-worker`. */
  id: string;
  prefix: string;
  packages: Prepared<Head>[];
}

/** What comes with the packages of a tree. */
export interface TreeMetadata {
  files: ArtifactFile[];
  toSign: ToSign[];
}

/** What the lock learns before anything is signed. */
export type UnsignedFacts = Omit<PackageSetFacts, "signing">;

/** What rpm and deb do in their own ways. */
export interface SetFormat<Head> {
  mediaType: string;
  /** The transactions, one a role, from metadata alone. */
  closures(set: PackageSetSpec, context: ResolveContext): Promise<Closure[]>;
  /** Looks at what was chosen: signatures, heads, digests. */
  prepare(
    set: PackageSetSpec,
    chosen: ChosenPackage[],
    context: ResolveContext,
    closures: Closure[],
  ): Promise<{
    prepared: Prepared<Head>[];
    extra: Partial<UnsignedFacts> & { keys: Record<string, string> };
  }>;
  /** The same packages again, as the lock has them. */
  prepareLocked(
    set: PackageSetSpec,
    facts: PackageSetFacts,
    context: ResolveContext,
  ): Promise<Prepared<Head>[]>;
  metadata(set: PackageSetSpec, facts: UnsignedFacts, tree: Tree<Head>): TreeMetadata;
  /** Files that tell hosts of the repositories, with `@URL@` for the server. */
  clientFiles(
    set: PackageSetSpec,
    facts: UnsignedFacts,
    trees: Tree<Head>[],
    publicKey: string,
  ): ArtifactFile[];
}
