import type { RewriteLocation, Stretch } from "../names/rewrite.ts";
import type { Digest } from "../oci/digest.ts";
import { tryParseReference } from "../oci/reference.ts";
import { NAMES } from "./names.ts";
import {
  count,
  digest,
  flag,
  line,
  listOf,
  mapOf,
  named,
  object,
  oneOf,
  parsed,
  type Shape,
  title,
} from "./shape.ts";

/** What becomes of a find: `carried` and `added` are in the bundle; `off` is behind a switch. */
export type Fate = "carried" | "added" | "ignored" | "possible" | "off";

/** An image that a carried item names, as the lock has it. */
export interface NamedImage {
  reference: string;
  fate: Fate;
  /** How sure the search was, and how it found the image; in the search's own words. */
  confidence: string;
  how: string;
  /** `kube-flannel.yml:121 DaemonSet/kube-flannel-ds spec…`, at most some. */
  places: string[];
}

/** How a chart was rendered. */
export interface RenderedFacts {
  chart: string;
  version: string;
  kubeVersion: string;
  namespace: string;
  hooks: string[];
}

/** `facts` of a manifests or chart item: what verify and install need, from the bundle alone. */
export interface CarriedFacts {
  /** Titles of the files to apply, in this order. */
  apply: string[];
  /** Titles of what is in the bundle and not run: a chart's hooks. */
  notRun: string[];
  /** Every image that was found, and what became of it. */
  images: NamedImage[];
  /** Where images stand in the files that are applied, by title: for rewriting them without reading YAML again. */
  sites: Record<string, RewriteLocation[]>;
  rendered?: RenderedFacts;
}

/** `facts` of a file, and of the tool itself: its content. */
export interface FileFacts {
  digest: Digest;
  /** Bytes. */
  size: number;
}

export const reference = parsed(tryParseReference, "an image reference");

const range = object<Stretch>({ start: count, end: count }, {});
const stretch: Shape<Stretch> = (value, at) => {
  const { start, end } = range(value, at);
  return start <= end ? (value as Stretch) : at.fail("ends before it begins");
};

const site = object<RewriteLocation>(
  { reference, whole: flag, names: listOf(stretch, 16) },
  { tag: stretch, digest: stretch, within: stretch },
);

const namedImage = object<NamedImage>(
  {
    reference,
    fate: oneOf(["carried", "added", "ignored", "possible", "off"]),
    confidence: line,
    how: line,
    places: listOf(line, 1000),
  },
  {},
);

const rendered = object<RenderedFacts>(
  { chart: line, version: line, kubeVersion: line, namespace: named(NAMES.entry), hooks: listOf(line) },
  {},
);

export const carriedFacts = object<CarriedFacts>(
  {
    apply: listOf(title),
    notRun: listOf(title),
    images: listOf(namedImage),
    sites: mapOf(title, listOf(site)),
  },
  { rendered },
);

export const fileFacts = object<FileFacts>({ digest, size: count }, {});
