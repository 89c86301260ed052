import { formatReference, type Reference, withDefaultTag } from "../../oci/reference.ts";
import type { Mapping } from "../documents/node.ts";
import type { Span } from "../documents/text.ts";
import type { Inherited, Stretches } from "./join.ts";
import type { Confidence, Evidence } from "./judge.ts";

/** In what form an image was named. */
export type How =
  | "container"
  | "volume"
  | "field"
  | "environment"
  | "argument"
  | "annotation"
  | "text"
  | "split"
  /** An event, or the list of a node. */
  | "report"
  /** A line of a list of images. */
  | "list"
  | "operator";

/** An image as it was found, once for every place. */
export interface Sighting {
  /** Canonical, with `latest` where nothing is written. */
  reference: string;
  /** As it stands there, its parts joined. */
  written: string;
  confidence: Confidence;
  how: How;
  /** `Deployment/web` */
  object?: string;
  /** `spec.template.spec.containers[0].image` */
  path: string;
  /** Where it stands; absent for what a transformation made. */
  span?: Span;
  /** Absent when the source spells it so that it can't be changed in place. */
  stretches?: Stretches;
  artifact?: boolean;
  /** The tag is not written there. */
  guessed?: boolean;
  /** What has to be switched on for it: `metrics.enabled`. */
  behind?: string;
}

/** Something that stands where an image has to stand, and is none: a template that was left in, say. */
export interface Unread {
  written: string;
  why: string;
  object?: string;
  path: string;
  span?: Span;
}

/** What is known where a node stands. */
export interface Spot {
  path: string;
  object?: Mapping;
  label?: string;
  depth: number;
  how: How;
  evidence: Evidence;
  /** The key, flag or variable that names the value. */
  name?: string;
  inherited: Inherited;
  /** Texts in texts. */
  embedded: number;
  variables?: Map<string, string>;
  /** Base64 values: the data of a Secret. */
  encoded?: boolean;
  behind?: string;
}

export const canonical = (reference: Reference): string => formatReference(withDefaultTag(reference));
