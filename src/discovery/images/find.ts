import { nameOf, parseReference } from "../../oci/reference.ts";
import { get, itemsOf, type Node, stringAt } from "../documents/node.ts";
import { type FileSpan, fileSpan, lineOf, type Span } from "../documents/text.ts";
import type { Inherited, Stretches } from "./join.ts";
import type { Confidence } from "./judge.ts";
import type { How, Sighting } from "./sighting.ts";
import { walkDocument } from "./walk.ts";

/** Where and how an image was named. */
export interface Mention {
  file?: string;
  /** From 1. */
  line?: number;
  /** `Deployment/web` */
  object?: string;
  path: string;
  how: How;
  confidence: Confidence;
  /** The reference as it is written there. */
  written: string;
  spans?: NameSpans;
  /** The chart value that must be switched on to use it. */
  behind?: string;
}

/** The spans of a file to change when the image gets another name. */
export interface NameSpans {
  /** True when `names` is one span with the whole reference; otherwise `names` are parts of its name, joined by slashes. */
  whole: boolean;
  names: FileSpan[];
  tag?: FileSpan;
  digest?: FileSpan;
}

/** An image that documents name. */
export interface Find {
  /** Canonical, with `latest` when no tag is written. */
  reference: string;
  /** The highest confidence of its places. */
  confidence: Confidence;
  places: Mention[];
  /** An OCI artifact that is not a container image. */
  artifact?: boolean;
  /** A switch that is off disables every location. */
  behind?: boolean;
}

const RANK: Record<Confidence, number> = { possible: 0, likely: 1, certain: 2 };

export const isSurer = (a: Confidence, b: Confidence): boolean => RANK[a] > RANK[b];

/**
 * Finds every image that documents make a cluster pull.
 * @param documents parsed documents that are applied together
 * @returns sorted by reference
 */
export function findImages(documents: Node[], inherited: Inherited = {}): Find[] {
  const taken = takenKeys(documents);
  return group(documents.flatMap((root) => walkDocument(root, { taken, inherited })));
}

/** One find for each reference, with all its locations. */
export function group(sightings: Sighting[]): Find[] {
  const finds = new Map<string, Find>();
  for (const sighting of withoutHalves(sightings)) {
    const { reference, confidence, artifact } = sighting;
    const find = finds.get(reference);
    if (find === undefined)
      finds.set(reference, {
        reference,
        confidence,
        places: [mentionOf(sighting)],
        ...(artifact ? { artifact } : {}),
      });
    else {
      find.places.push(mentionOf(sighting));
      if (isSurer(confidence, find.confidence)) find.confidence = confidence;
      if (!artifact) delete find.artifact;
    }
  }
  for (const find of finds.values())
    if (find.places.every(({ behind }) => behind !== undefined)) find.behind = true;
  return [...finds.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1));
}

const isPinned = (written: string): boolean => /@|:[^/]+$/.test(written);

/**
 * A name without a tag in a setting, that has a tag elsewhere or starts another name, is a part of
 * a name that a program joins, not an image. A container's image is always taken as written.
 */
function withoutHalves(sightings: Sighting[]): Sighting[] {
  const name = (reference: string): string => nameOf(parseReference(reference));
  const pinned = new Set<string>();
  for (const { reference, written, confidence } of sightings) {
    if (!isPinned(written) || confidence === "possible") continue;
    const parts = name(reference).split("/");
    for (let length = 2; length <= parts.length; length++) pinned.add(parts.slice(0, length).join("/"));
  }
  const isHalf = ({ how, written, reference }: Sighting): boolean =>
    how !== "container" &&
    how !== "volume" &&
    !isPinned(written) &&
    (pinned.has(name(reference)) || pinned.has(name(reference).replace("docker.io/library/", "docker.io/")));
  return sightings.filter((sighting) => !isHalf(sighting));
}

function mentionOf({ span, stretches, object, path, how, confidence, written, behind }: Sighting): Mention {
  const spans = stretches && spansOf(stretches);
  const file = span?.in.file;
  return {
    ...(file ? { file } : {}),
    ...(span && file ? { line: lineOf(span) } : {}),
    ...(object ? { object } : {}),
    path,
    how,
    confidence,
    written,
    ...(spans ? { spans } : {}),
    ...(behind ? { behind } : {}),
  };
}

function spansOf({ whole, names, tag, digest }: Stretches): NameSpans | undefined {
  const at = (span: Span | undefined): FileSpan | undefined => span && fileSpan(span);
  const spans = names.map(at);
  if (spans.some((span) => span === undefined)) return undefined;
  const [tagAt, digestAt] = [at(tag), at(digest)];
  if ((tag && !tagAt) || (digest && !digestAt)) return undefined;
  return {
    whole,
    names: spans as FileSpan[],
    ...(tagAt ? { tag: tagAt } : {}),
    ...(digestAt ? { digest: digestAt } : {}),
  };
}

/** Variables whose value comes from a ConfigMap or Secret: their name says what the key there holds. */
export function takenKeys(documents: Node[]): Map<string, string> {
  const taken = new Map<string, string>();
  const visit = (node: Node): void => {
    if (node.kind === "sequence") for (const item of node.items) visit(item);
    if (node.kind !== "mapping") return;
    for (const item of itemsOf(get(node, "env"))) {
      for (const from of ["configMapKeyRef", "secretKeyRef"]) {
        const [name, key, variable] = [
          stringAt(item, "valueFrom", from, "name"),
          stringAt(item, "valueFrom", from, "key"),
          stringAt(item, "name"),
        ];
        if (name && key && variable) taken.set(`${name}/${key}`, variable);
      }
    }
    for (const { value } of node.entries) visit(value);
  };
  documents.forEach(visit);
  return taken;
}
