import { formatReference, type Reference, withDefaultTag } from "../../oci/reference.ts";
import type { Mapping } from "../documents/node.ts";
import type { Span } from "../documents/text.ts";
import type { Inherited, Stretches } from "./join.ts";
import type { Confidence, Evidence } from "./judge.ts";

/** The form in which an image was named. */
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

/** An image as it was found, once for every location. */
export interface Sighting {
  /** Canonical, with `latest` when no tag is written. */
  reference: string;
  /** As it is written there, its parts joined. */
  written: string;
  confidence: Confidence;
  how: How;
  /** `Deployment/web` */
  object?: string;
  /** `spec.template.spec.containers[0].image` */
  path: string;
  /** Where it is; absent when a transformation made it. */
  span?: Span;
  /** Absent when the source spells it in a way that cannot be changed in place. */
  stretches?: Stretches;
  artifact?: boolean;
  /** The tag is not written there. */
  guessed?: boolean;
  /** The switch that turns it on: `metrics.enabled`. */
  behind?: string;
}

/** A text that is not an image but is where one must be, such as a template that was not filled in. */
export interface Unread {
  written: string;
  why: string;
  object?: string;
  path: string;
  span?: Span;
}

/** What is known about the surroundings of a node. */
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
  /** Texts inside texts. */
  embedded: number;
  variables?: Map<string, string>;
  /** Base64 values: the data of a Secret. */
  encoded?: boolean;
  behind?: string;
}

export const canonical = (reference: Reference): string => formatReference(withDefaultTag(reference));
