import { formatReference, type Reference, withDefaultTag } from "../../oci/reference.ts";
import {
  get,
  isNull,
  type Mapping,
  type Node,
  type Scalar,
  type Sequence,
  spanOf,
  stringAt,
} from "../documents/node.ts";
import { parseStream } from "../documents/parse.ts";
import { type Span, Text } from "../documents/text.ts";
import { type Inherited, joinPairs, type Pair, type Stretches } from "./join.ts";
import { type Confidence, type Evidence, type Judged, judge } from "./judge.ts";
import { holdsNoImages, labelOf, passedOver } from "./objects.ts";
import { evidenceOf, scanText } from "./scan.ts";
import {
  aboutImages,
  decode,
  inheritInside,
  isContainer,
  likeContainer,
  looksLikeDocument,
  namedPairs,
  never,
  pairsOf,
  part,
  stretchesOf,
  substituted,
  variablesOf,
} from "./shapes.ts";
import { speaks } from "./vocabulary.ts";

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

/** What is known where a node stands. */
interface Place {
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

export interface WalkOptions {
  inherited?: Inherited;
  /** Keys of ConfigMaps and Secrets that a variable takes its value from: `name/key` to the variable's name. */
  taken?: Map<string, string>;
  /** Values of a chart: `enabled: false` switches off what stands beside it. */
  values?: boolean;
}

const MAX_EMBEDDED = 4;

/** Finds the images of a document, in every string that it holds. */
export function walkDocument(root: Node, options: WalkOptions = {}): Sighting[] {
  const walker = new Walker(options);
  walker.walk(root, {
    path: "",
    depth: 0,
    how: "field",
    evidence: "none",
    inherited: options.inherited ?? {},
    embedded: 0,
  });
  return walker.found;
}

class Walker {
  readonly found: Sighting[] = [];
  readonly #taken: Map<string, string>;
  readonly #values: boolean;
  /** Values of variables that were put together with others. */
  readonly #joined = new Set<Node>();

  constructor(options: WalkOptions) {
    this.#taken = options.taken ?? new Map();
    this.#values = options.values === true;
  }

  walk(node: Node, place: Place): void {
    if (node.kind === "mapping") this.#mapping(node, place);
    else if (node.kind === "sequence") this.#sequence(node, place);
    else this.#scalar(node, place);
  }

  #mapping(node: Mapping, outer: Place): void {
    const label = labelOf(node);
    if (label !== undefined && holdsNoImages(node)) return;
    const place: Place =
      label === undefined
        ? this.#switched(node, outer)
        : {
            ...outer,
            object: node,
            label: outer.label ? `${outer.label} ${label}` : label,
            depth: 0,
            evidence: "none",
            variables: variablesOf(node) ?? outer.variables ?? new Map(),
          };
    const pairs = pairsOf(node, place.variables);
    const inherited = inheritInside(node, place.inherited, pairs);
    const done = new Set<Node>(this.#special(node, place));
    for (const joined of this.#joins(
      pairs.filter(({ key }) => !passedOver(key, place.object, place.depth + 1)),
      { ...place, inherited },
      node,
    ))
      done.add(joined);
    for (const { key, value } of node.entries) {
      if (done.has(value) || passedOver(key, place.object, place.depth + 1)) continue;
      this.#entry(node, key, value, { ...place, inherited });
    }
  }

  #switched(node: Mapping, place: Place): Place {
    const off = this.#values && place.behind === undefined && stringAt(node, "enabled") === "false";
    return off ? { ...place, behind: join(place.path, "enabled") } : place;
  }

  /** Shapes in which the name of a value stands beside it, not before it. */
  #special(node: Mapping, place: Place): Node[] {
    const name = stringAt(node, "name");
    for (const key of ["value", "default", "defaultValue"]) {
      const value = get(node, key);
      if (name === undefined || value?.kind !== "scalar") continue;
      if (!this.#joined.has(value))
        this.#scalar(value, {
          ...place,
          path: join(place.path, key),
          how: "environment",
          name,
          evidence: evidenceOf(speaks(name)),
          depth: place.depth + 1,
        });
      return [value];
    }
    const image = get(node, "name");
    if (stringAt(node, "kind") === "DockerImage" && image?.kind === "scalar") {
      this.#scalar(image, { ...place, path: join(place.path, "name"), evidence: "named" });
      return [image];
    }
    return never(node) ? [get(node, "image") as Node] : [];
  }

  #entry(node: Mapping, key: string, given: Node, place: Place): void {
    if (key === "parameters" && place.depth === 0 && stringAt(place.object, "kind") === "Template") return;
    const value = given.kind === "scalar" ? substituted(given, place.variables) : given;
    const path = join(place.path, key);
    const { name: _, ...unnamed } = place;
    const inside: Place = { ...unnamed, path, depth: place.depth + 1 };
    if (value.kind !== "scalar") {
      const said = speaks(key);
      const inherits = place.evidence === "prose" || (place.evidence === "near" && !aboutImages(key));
      const evidence: Evidence =
        said === "image" ? "near" : said === "prose" ? "prose" : inherits ? place.evidence : "none";
      this.walk(value, {
        ...inside,
        evidence,
        how: howOf(key, place.how),
        encoded: key === "data" && place.depth === 0 && stringAt(place.object, "kind") === "Secret",
      });
      return;
    }
    if (key === "image" && isContainer(place.path)) {
      this.#whole(value, { ...inside, how: "container", evidence: "schema" });
      return;
    }
    if (key === "reference" && /\bvolumes\[\d+\]\.image$/.test(place.path)) {
      this.#whole(value, { ...inside, how: "volume", evidence: "schema" });
      return;
    }
    const taken = this.#taken.get(`${stringAt(place.object, "metadata", "name") ?? ""}/${key}`);
    const own = evidenceOf(speaks(taken ?? key));
    const evidence =
      own === "none" && place.evidence === "near" && !aboutImages(key)
        ? "near"
        : place.evidence === "prose"
          ? "prose"
          : own;
    this.#scalar(
      value,
      { ...inside, name: taken ?? key, evidence, how: howOf(key, place.how) },
      evidence === "named" && likeContainer(node, key),
    );
  }

  #sequence(node: Sequence, place: Place): void {
    const scalars = node.items.filter((item) => item.kind === "scalar").length;
    if (scalars > 0) this.#words(node, place);
    else
      for (const value of this.#joins(namedPairs(node, place.variables), { ...place, how: "environment" }))
        this.#joined.add(value);
    node.items.forEach((item, i) => {
      if (item.kind !== "scalar")
        this.walk(item, { ...place, path: `${place.path}[${i}]`, depth: place.depth + 1 });
    });
  }

  /** A list of strings: arguments, of which one may name the next, or plain values. */
  #words(node: Sequence, place: Place): void {
    const flags: Pair[] = [];
    const later: [Scalar, Place][] = [];
    let flag: string | undefined;
    const named = (key: string, value: Scalar, here: Place): void => {
      flags.push({ key, value });
      later.push([value, { ...here, how: "argument", name: key, evidence: evidenceOf(speaks(key)) }]);
    };
    node.items.forEach((item, i) => {
      if (item.kind !== "scalar") return;
      const value = substituted(item, place.variables);
      const here: Place = { ...place, path: `${place.path}[${i}]`, depth: place.depth + 1 };
      const [, key, rest] = /^(-{1,2}[A-Za-z][\w./-]*)=(.+)$/s.exec(value.value) ?? [];
      if (key !== undefined && rest !== undefined)
        named(key, part(value, value.value.length - rest.length), here);
      else if (flag !== undefined && !value.value.startsWith("-")) named(flag, value, here);
      else
        this.#scalar(
          value,
          { ...here, evidence: place.evidence === "near" ? "named" : place.evidence },
          place.evidence === "near",
        );
      flag = /^-{1,2}[A-Za-z][\w.-]*$/.test(value.value) ? value.value : undefined;
    });
    const joined = new Set(this.#joins(flags, { ...place, how: "argument" }));
    for (const [value, here] of later) if (!joined.has(value)) this.#scalar(value, here, true);
  }

  #joins(pairs: Pair[], place: Place, node?: Mapping): Node[] {
    if (pairs.length === 0 || (node !== undefined && isContainer(place.path))) return [];
    const done: Node[] = [];
    for (const { written, parts, named, guessed } of joinPairs(
      pairs,
      place.evidence === "near" || place.evidence === "named",
      place.inherited,
      node === undefined,
    )) {
      const judged = judge(written, named ? "named" : "none");
      if (judged === undefined) continue;
      const confidence = judged.confidence === "certain" ? "likely" : judged.confidence;
      this.#add(
        { ...judged, confidence },
        written,
        { ...place, how: "split" },
        parts.names.at(-1) as Scalar,
        stretchesOf(parts),
      );
      if (guessed) (this.found.at(-1) as Sighting).guessed = true;
      done.push(...parts.names, ...[parts.tag, parts.digest].filter((scalar) => scalar !== undefined));
    }
    return done;
  }

  #scalar(given: Scalar, place: Place, bareWords = place.how === "environment"): void {
    if (given.value.length < 3 || isNull(given)) return;
    const scalar = substituted(given, place.variables);
    if (place.encoded) this.#decoded(scalar, place);
    else if (this.#embedded(scalar, place) || this.#whole(scalar, place, bareWords)) return;
    else this.#text(scalar, place);
  }

  /** The string is the image. */
  #whole(scalar: Scalar, place: Place, bareWords = false): boolean {
    const written = scalar.value.trim();
    const judged = written === "auto" ? undefined : judge(written, place.evidence, place.name);
    if (judged === undefined || (place.evidence === "prose" && /\s/.test(written))) return false;
    const confidence =
      bareWords && judged.confidence === "possible" && place.evidence === "named" && !judged.artifact
        ? "likely"
        : judged.confidence;
    const scheme = /^(?:docker|oci):\/\//.exec(written)?.[0].length ?? 0;
    const start = scalar.value.indexOf(written) + scheme;
    const span = spanOf(scalar, start, start + written.length - scheme);
    this.#add(
      { ...judged, confidence },
      written.slice(scheme),
      place,
      scalar,
      span && { names: [span], whole: true },
    );
    return true;
  }

  /** The string holds images among other words. */
  #text(scalar: Scalar, place: Place): void {
    for (const hit of scanText(scalar.value, place.evidence)) {
      const span = spanOf(scalar, hit.start, hit.end);
      const how = place.how === "field" ? "text" : place.how;
      this.#add(
        hit,
        scalar.value.slice(hit.start, hit.end),
        { ...place, how, path: hit.by ? `${place.path}{${hit.by}}` : place.path },
        scalar,
        span && { names: [span], whole: true },
        span,
      );
    }
  }

  /** The string is a document itself. */
  #embedded(scalar: Scalar, place: Place): boolean {
    const { value } = scalar;
    if (place.embedded >= MAX_EMBEDDED || !looksLikeDocument(value)) return false;
    const text =
      scalar.span === undefined
        ? new Text("", value)
        : new Text(scalar.span.in.file, value, { span: scalar.span, value });
    let roots: Node[];
    try {
      roots = [...parseStream(text)].map(({ root }) => root);
    } catch {
      return false;
    }
    if (roots.length === 0 || roots.some((root) => root.kind === "scalar")) return false;
    for (const root of roots)
      this.walk(root, {
        ...place,
        how: place.how === "annotation" ? "annotation" : "text",
        path: `${place.path}:`,
        embedded: place.embedded + 1,
        evidence: place.evidence === "named" ? "near" : place.evidence,
      });
    return true;
  }

  #decoded(scalar: Scalar, place: Place): void {
    const value = decode(scalar.value);
    if (value === undefined) return;
    const text =
      scalar.span === undefined
        ? new Text("", value)
        : new Text(scalar.span.in.file, value, {
            span: scalar.span,
            value: scalar.value,
            encoding: "base64",
          });
    this.#scalar(
      { kind: "scalar", value, plain: false, span: { in: text, start: 0, end: value.length } },
      { ...place, encoded: false },
    );
  }

  #add(
    judged: Judged,
    written: string,
    place: Place,
    scalar: Scalar,
    stretches: Stretches | undefined,
    span: Span | undefined = scalar.span,
  ): void {
    this.found.push({
      reference: canonical(judged.reference),
      written,
      confidence: judged.confidence,
      how: place.how,
      ...(place.label ? { object: place.label } : {}),
      path: place.path,
      ...(span ? { span } : {}),
      ...(stretches ? { stretches } : {}),
      ...(judged.artifact ? { artifact: true } : {}),
      ...(place.behind ? { behind: place.behind } : {}),
    });
  }
}

export const canonical = (reference: Reference): string => formatReference(withDefaultTag(reference));

const join = (path: string, key: string): string =>
  `${path}${path === "" || path.endsWith(":") ? "" : "."}${/^[\w-]+$/.test(key) ? key : JSON.stringify(key)}`;

function howOf(key: string, outer: How): How {
  if (key === "args" || key === "command") return "argument";
  if (key === "env") return "environment";
  return key === "annotations" ? "annotation" : outer === "environment" ? "field" : outer;
}
