import { AirgapError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import {
  formatReference,
  parseReference,
  type Reference,
  tryParseReference,
  withDefaultTag,
} from "../oci/reference.ts";

/** Offsets in a text, UTF-16, `end` exclusive. */
export interface Stretch {
  start: number;
  end: number;
}

/** A location in a text that names an image, in one piece or in several. */
export interface RewriteLocation {
  /** Canonical; `latest` when neither tag nor digest is written. */
  reference: string;
  /** True when `names` is one stretch with the whole reference; otherwise `names` are parts of its name, joined by slashes. */
  whole: boolean;
  names: Stretch[];
  tag?: Stretch;
  digest?: Stretch;
  /** The offsets are in the text that the base64 at this stretch decodes to. */
  within?: Stretch;
}

export interface RewriteOptions {
  /** Where an image lands; tag and digest stay. */
  land(reference: Reference): Reference;
  /** The digest to add to a reference that has none. */
  digestOf?(reference: string): Digest | undefined;
}

export interface Rewritten {
  text: string;
  /** Canonical references with their new names, each once. */
  changes: { from: string; to: string }[];
  /** References with a location that cannot change without breaking another one. */
  left: string[];
}

interface Edit extends Stretch {
  text: string;
}

const keyOf = ({ start, end }: Stretch): string => `${start}-${end}`;

/**
 * Gives the images in a text their names at the isolated site. Every byte that is not part of a name
 * stays.
 */
export function rewriteText(text: string, locations: RewriteLocation[], options: RewriteOptions): Rewritten {
  const result: Rewritten = { text, changes: [], left: [] };
  const packed = Map.groupBy(
    locations.filter(({ within }) => within !== undefined),
    ({ within }) => keyOf(within as Stretch),
  );
  const edits = editsOf(
    text,
    locations.filter(({ within }) => within === undefined),
    options,
    result,
  );
  for (const inner of packed.values()) {
    const outer = inner[0]?.within as Stretch;
    const decoded = Buffer.from(text.slice(outer.start, outer.end), "base64").toString("utf8");
    const changed = apply(decoded, editsOf(decoded, inner, options, result));
    edits.push({ ...outer, text: Buffer.from(changed).toString("base64") });
  }
  const changes = new Map(result.changes.map((change) => [change.from, change]));
  return { text: apply(text, edits), changes: [...changes.values()], left: [...new Set(result.left)] };
}

function apply(text: string, edits: Edit[]): string {
  let [result, at] = ["", 0];
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    if (edit.start < at) continue;
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}

function editsOf(
  text: string,
  locations: RewriteLocation[],
  options: RewriteOptions,
  result: Rewritten,
): Edit[] {
  const edits = new Map<string, Edit>();
  const add = (edit: Edit): void => void edits.set(keyOf(edit), edit);
  for (const location of locations.filter(({ whole }) => whole))
    wholeEdit(text, location, options, result, add);
  const split = locations.filter(({ whole }) => !whole);
  const chosen = agree(text, split, options);
  for (const location of split) splitEdits(text, location, chosen.get(location), options, result, add);
  return [...edits.values()];
}

function landed(reference: Reference, { land, digestOf }: RewriteOptions): Reference {
  const to = land(reference);
  const digest = reference.digest ?? digestOf?.(formatReference(withDefaultTag(reference)));
  return digest === undefined ? to : { ...to, digest };
}

function wholeEdit(
  text: string,
  location: RewriteLocation,
  options: RewriteOptions,
  result: Rewritten,
  add: (edit: Edit) => void,
): void {
  const [stretch] = location.names as [Stretch];
  const reference = tryParseReference(text.slice(stretch.start, stretch.end));
  if (reference === undefined)
    throw new AirgapError(
      "corrupt",
      `The text at offset ${stretch.start} is '${text.slice(stretch.start, stretch.end).slice(0, 80)}', not ${location.reference}: the text is not the one that was read`,
    );
  const to = formatReference(landed(reference, options));
  add({ ...stretch, text: to });
  result.changes.push({ from: location.reference, to });
}

/** The new texts of a split name. A part that several images share must be right for all of them. */
function agree(
  text: string,
  locations: RewriteLocation[],
  { land }: RewriteOptions,
): Map<RewriteLocation, string[] | undefined> {
  const chosen = new Map<RewriteLocation, string[] | undefined>();
  for (const location of locations) {
    const { host, repository } = land(parseReference(location.reference));
    chosen.set(
      location,
      keepingEnd(
        location.names.map((each) => text.slice(each.start, each.end)),
        `${host}/${repository}`,
      ),
    );
  }
  const clashing = (): RewriteLocation[] => {
    const texts = new Map<string, Set<string>>();
    for (const location of locations) {
      for (const [i, name] of location.names.entries())
        texts.set(keyOf(name), (texts.get(keyOf(name)) ?? new Set()).add(chosen.get(location)?.[i] ?? "?"));
    }
    return locations.filter((location) =>
      location.names.some((name) => (texts.get(keyOf(name))?.size ?? 0) > 1),
    );
  };
  for (const location of clashing()) {
    const { host, repository } = land(parseReference(location.reference));
    chosen.set(location, hostFirst(location.names.length, host, repository));
  }
  for (const location of clashing()) chosen.set(location, undefined);
  return chosen;
}

/** Registry and path change, the last parts stay; if that is impossible, the host goes first. */
function keepingEnd(parts: string[], name: string): string[] | undefined {
  if (parts.length === 1) return [name];
  const end = `/${parts.slice(1).join("/")}`;
  const slash = name.indexOf("/");
  return name.endsWith(end) && name.length > end.length
    ? [name.slice(0, -end.length), ...parts.slice(1)]
    : hostFirst(parts.length, name.slice(0, slash), name.slice(slash + 1));
}

function hostFirst(count: number, host: string, repository: string): string[] | undefined {
  if (count === 1) return [`${host}/${repository}`];
  const components = repository.split("/");
  if (components.length < count - 1) return undefined;
  const last = components.slice(components.length - (count - 2));
  return [host, components.slice(0, components.length - (count - 2)).join("/"), ...(count > 2 ? last : [])];
}

function splitEdits(
  text: string,
  location: RewriteLocation,
  names: string[] | undefined,
  options: RewriteOptions,
  result: Rewritten,
  add: (edit: Edit) => void,
): void {
  if (names === undefined) {
    result.left.push(location.reference);
    return;
  }
  location.names.forEach((stretch, i) => {
    if (text.slice(stretch.start, stretch.end) !== names[i]) add({ ...stretch, text: names[i] as string });
  });
  const written = parseReference(location.reference);
  const to = landed(written, options);
  result.changes.push({ from: location.reference, to: formatReference(to) });
  if (written.digest !== undefined || to.digest === undefined) return;
  if (location.digest) add({ ...location.digest, text: to.digest });
  else if (location.tag)
    add({ ...location.tag, text: `${text.slice(location.tag.start, location.tag.end)}@${to.digest}` });
}
