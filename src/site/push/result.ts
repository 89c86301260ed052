import type { CopyTotals } from "../../copy.ts";
import type { Lock } from "../../lock/lock.ts";
import type { Digest } from "../../oci/digest.ts";
import type { MadeRobots } from "../harbor/robots.ts";
import { type ImageState, isComplete } from "./inventory.ts";
import type { PushOptions } from "./options.ts";
import type { PushRoot } from "./plan.ts";
import { nameOf, type PushTarget } from "./target.ts";

/** An image, and what it is called at the target. */
export interface PushedImage {
  image: string;
  name: string;
  digest: Digest;
  mediaType: string;
  /** Of everything that it reaches; images may share some of it. */
  bytes: number;
  state: "pushed" | "present" | "would-push";
  /** The digest that the tag had before. */
  replaced?: Digest;
  /** A policy of the registry lets nobody pull it, or its images for the platforms that are named: its words. */
  withheld?: string;
  attached?: { name: string; digest: Digest; subject: string; withheld?: string }[];
}

/** What `airgap push --json` prints. */
export interface PushResult {
  target: string;
  registry: "harbor" | "registry";
  version?: string;
  dryRun: boolean;
  /** Projects that were made, or would be. */
  projects: string[];
  images: PushedImage[];
  /** The fingerprint of the key whose signatures the images have now, or would have. */
  signedBy?: string;
  /** Robot accounts that were made. Their secrets are shown here once, unless they went to a file. */
  robots?: MadeRobots;
  /** Items of the bundle that no registry takes; `airgap serve` gives them out. */
  notImages: number;
  totals: CopyTotals;
}

export function resultOf(
  { target, dryRun, repair, withCharts, signer }: PushOptions,
  lock: Lock,
  { harbor, withheld }: PushTarget,
  states: ImageState[],
  sizes: ReadonlyMap<ImageState, number>,
  done: Pick<PushResult, "projects" | "totals" | "robots">,
): PushResult {
  const stateOf = (state: ImageState): PushedImage["state"] =>
    !repair && isComplete(state) ? "present" : dryRun ? "would-push" : "pushed";
  const version = harbor?.info.version;
  return {
    target,
    registry: harbor ? "harbor" : "registry",
    ...(version ? { version } : {}),
    dryRun,
    projects: done.projects,
    images: states.map((state) => pushedImage(state, sizes.get(state) ?? 0, stateOf(state), withheld)),
    ...(signer ? { signedBy: signer.publicKey.fingerprint } : {}),
    ...(done.robots ? { robots: done.robots } : {}),
    notImages: lock.items.filter(({ kind }) => kind !== "image" && !(withCharts && kind === "chart")).length,
    totals: done.totals,
  };
}

function pushedImage(
  state: ImageState,
  bytes: number,
  word: PushedImage["state"],
  withheld: ReadonlyMap<string, string>,
): PushedImage {
  const { image, found } = state;
  const { digest, mediaType } = image.root.descriptor;
  const reasonFor = (root: PushRoot): { withheld?: string } => {
    const reason = withheld.get(nameOf(root));
    return reason === undefined ? {} : { withheld: reason };
  };
  const attached = image.attached.map((root) => ({
    name: nameOf(root),
    digest: root.descriptor.digest,
    subject: root.subject,
    ...reasonFor(root),
  }));
  return {
    image: image.from,
    name: image.to,
    digest,
    mediaType,
    bytes,
    state: word,
    ...(found.digest !== undefined && found.digest !== digest ? { replaced: found.digest } : {}),
    ...reasonFor(image.root),
    ...(attached.length > 0 ? { attached } : {}),
  };
}
