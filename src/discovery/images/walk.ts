import { get, type Mapping, type Node, type Scalar, type Sequence, stringAt } from "../documents/node.ts";
import { type Inherited, joinPairs, type Pair } from "./join.ts";
import { type Evidence, judge } from "./judge.ts";
import { holdsNoImages, labelOf, passedOver } from "./objects.ts";
import { reportedImages } from "./reports.ts";
import { ScalarReader } from "./scalars.ts";
import { evidenceOf } from "./scan.ts";
import {
  aboutImages,
  changeOf,
  inheritInside,
  isContainer,
  likeContainer,
  namedPairs,
  never,
  pairsOf,
  part,
  stretchesOf,
  substituted,
  variablesOf,
} from "./shapes.ts";
import type { How, Sighting, Spot, Unread } from "./sighting.ts";
import { speaks } from "./vocabulary.ts";

export interface WalkOptions {
  inherited?: Inherited;
  /** Keys of ConfigMaps and Secrets that variables take their values from: `name/key` to the variable's name. */
  taken?: Map<string, string>;
  /** Values of a chart: `enabled: false` switches off the values beside it. */
  values?: boolean;
  /** Called for a text that is not an image but is where one must be. */
  unread?: (unread: Unread) => void;
}

/** Finds the images in every string of a document. */
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
  for (const each of walker.unread) options.unread?.(each);
  return walker.found;
}

class Walker {
  readonly #scalars = new ScalarReader((node, spot) => this.walk(node, spot));
  readonly #taken: Map<string, string>;
  readonly #values: boolean;
  /** Values of variables that were joined with others. */
  readonly #joined = new Set<Node>();

  constructor(options: WalkOptions) {
    this.#taken = options.taken ?? new Map();
    this.#values = options.values === true;
  }

  get unread(): Unread[] {
    return this.#scalars.unread;
  }

  get found(): Sighting[] {
    return this.#scalars.found;
  }

  walk(node: Node, spot: Spot): void {
    if (node.kind === "mapping") this.#mapping(node, spot);
    else if (node.kind === "sequence") this.#sequence(node, spot);
    else this.#scalars.read(node, spot);
  }

  #mapping(node: Mapping, outer: Spot): void {
    const label = labelOf(node);
    if (label !== undefined && holdsNoImages(node)) return;
    const reported = label === undefined ? undefined : reportedImages(node);
    if (reported !== undefined) {
      for (const { scalar, start, end, path } of reported)
        this.#scalars.reported(part(scalar, start, end), {
          ...outer,
          path,
          label: label as string,
          how: "report",
        });
      return;
    }
    const spot: Spot =
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
    const pairs = pairsOf(node, spot.variables);
    const inherited = this.#inherited(node, spot, label !== undefined, pairs);
    const done = new Set<Node>(this.#special(node, spot));
    for (const joined of this.#joins(
      pairs.filter(({ key, value }) => !done.has(value) && !passedOver(key, spot.object, spot.depth + 1)),
      { ...spot, inherited },
      node,
    ))
      done.add(joined);
    for (const { key, value } of node.entries) {
      if (done.has(value) || passedOver(key, spot.object, spot.depth + 1)) continue;
      this.#entry(node, key, value, { ...spot, inherited });
    }
  }

  /** A version is one of the object that it stands in. */
  #inherited(node: Mapping, spot: Spot, object: boolean, pairs: Pair[]): Inherited {
    const { version: _, ...unversioned } = spot.inherited;
    return inheritInside(node, object ? unversioned : spot.inherited, pairs);
  }

  #switched(node: Mapping, spot: Spot): Spot {
    const off = this.#values && spot.behind === undefined && stringAt(node, "enabled") === "false";
    return off ? { ...spot, behind: join(spot.path, "enabled") } : spot;
  }

  /** An entry of kustomize's `images:`, in any object: what images with a name are changed to. */
  #changed(node: Mapping, spot: Spot): Node[] | undefined {
    const change = /(?:^|[.:])images\[\d+\]$/.test(spot.path) ? changeOf(node) : undefined;
    if (change === undefined) return undefined;
    const judged = judge(change.written, "named");
    if (judged)
      this.#scalars.add(
        judged,
        change.written,
        { ...spot, how: "split" },
        change.parts.names[0] as Scalar,
        stretchesOf(change.parts),
      );
    return node.entries.map(({ value }) => value);
  }

  /** Shapes in which the name of a value is beside it, not before it. */
  #special(node: Mapping, spot: Spot): Node[] {
    const changed = this.#changed(node, spot);
    if (changed !== undefined) return changed;
    const name = stringAt(node, "name");
    for (const key of ["value", "default", "defaultValue"]) {
      const value = get(node, key);
      if (name === undefined || value?.kind !== "scalar") continue;
      // A parameter's default that is a single word says nothing about images.
      const word = key !== "value" && /^[\w-]*$/.test(value.value);
      if (!this.#joined.has(value) && !word)
        this.#scalars.read(value, {
          ...spot,
          path: join(spot.path, key),
          how: "environment",
          name,
          evidence: evidenceOf(speaks(name)),
          depth: spot.depth + 1,
        });
      return [value];
    }
    const image = get(node, "name");
    if (stringAt(node, "kind") === "DockerImage" && image?.kind === "scalar") {
      this.#scalars.read(image, { ...spot, path: join(spot.path, "name"), evidence: "named" });
      return [image];
    }
    return never(node) ? [get(node, "image") as Node] : [];
  }

  #entry(node: Mapping, key: string, given: Node, spot: Spot): void {
    if (key === "parameters" && spot.depth === 0 && stringAt(spot.object, "kind") === "Template") return;
    const value = given.kind === "scalar" ? substituted(given, spot.variables) : given;
    const path = join(spot.path, key);
    const { name: _, ...unnamed } = spot;
    const inside: Spot = { ...unnamed, path, depth: spot.depth + 1 };
    if (value.kind !== "scalar") {
      if (key === "image" && isContainer(spot.path)) this.#scalars.unreadable(value, inside);
      const said = speaks(key);
      const inherits = spot.evidence === "prose" || (spot.evidence === "near" && !aboutImages(key));
      const evidence: Evidence =
        said === "image" ? "near" : said === "prose" ? "prose" : inherits ? spot.evidence : "none";
      this.walk(value, {
        ...inside,
        evidence,
        how: howOf(key, spot.how),
        encoded: key === "data" && spot.depth === 0 && stringAt(spot.object, "kind") === "Secret",
      });
      return;
    }
    if (key === "image" && isContainer(spot.path)) {
      this.#scalars.container(value, { ...inside, how: "container" });
      return;
    }
    if (key === "reference" && /\bvolumes\[\d+\]\.image$/.test(spot.path)) {
      this.#scalars.whole(value, { ...inside, how: "volume", evidence: "schema" });
      return;
    }
    // Switched off, and only a part of a name: the rest comes from the operator's own defaults.
    if (/^[\w-]*$/.test(value.value) && stringAt(node, "enabled") === "false") return;
    if (spot.evidence === "near" && !aboutImages(key) && this.#prefixed(value, inside)) return;
    const taken = this.#taken.get(`${stringAt(spot.object, "metadata", "name") ?? ""}/${key}`);
    const own = evidenceOf(speaks(taken ?? key));
    const evidence =
      own === "none" && spot.evidence === "near" && !aboutImages(key)
        ? "near"
        : spot.evidence === "prose"
          ? "prose"
          : own;
    this.#scalars.read(
      value,
      { ...inside, name: taken ?? key, evidence, how: howOf(key, spot.how) },
      evidence === "named" && likeContainer(node, key),
    );
  }

  /** `name:tag` below a registry that an outer mapping sets for all images inside. */
  #prefixed(value: Scalar, spot: Spot): boolean {
    const { registry } = spot.inherited;
    const colon = /^[a-z0-9][a-z0-9._-]*(?=:[\w][\w.-]*$)/.exec(value.value)?.[0].length;
    if (registry === undefined || colon === undefined) return false;
    const written = `${registry.value.replace(/\/+$/, "")}/${value.value}`;
    const judged = judge(written, "named");
    if (judged === undefined) return false;
    const [name, tag] = [part(value, 0, colon), part(value, colon + 1)];
    this.#scalars.add(
      judged,
      written,
      { ...spot, how: "split" },
      value,
      stretchesOf({ names: [registry, name], tag }),
    );
    return true;
  }

  #sequence(node: Sequence, spot: Spot): void {
    const scalars = node.items.filter((item) => item.kind === "scalar").length;
    if (scalars > 0) this.#words(node, spot);
    else
      for (const value of this.#joins(namedPairs(node, spot.variables), { ...spot, how: "environment" }))
        this.#joined.add(value);
    node.items.forEach((item, i) => {
      if (item.kind !== "scalar")
        this.walk(item, { ...spot, path: `${spot.path}[${i}]`, depth: spot.depth + 1 });
    });
  }

  /** A list of strings: arguments, of which one may name the next, or plain values. */
  #words(node: Sequence, spot: Spot): void {
    const flags: Pair[] = [];
    const later: [Scalar, Spot][] = [];
    let flag: string | undefined;
    const named = (key: string, value: Scalar, here: Spot): void => {
      flags.push({ key, value });
      later.push([value, { ...here, how: "argument", name: key, evidence: evidenceOf(speaks(key)) }]);
    };
    node.items.forEach((item, i) => {
      if (item.kind !== "scalar") return;
      const value = substituted(item, spot.variables);
      const here: Spot = { ...spot, path: `${spot.path}[${i}]`, depth: spot.depth + 1 };
      const [, key, rest] = /^(-{1,2}[A-Za-z][\w./-]*)=(.+)$/s.exec(value.value) ?? [];
      if (key !== undefined && rest !== undefined)
        named(key, part(value, value.value.length - rest.length), here);
      else if (flag !== undefined && !value.value.startsWith("-")) named(flag, value, here);
      else
        this.#scalars.read(value, { ...here, evidence: spot.evidence === "near" ? "named" : spot.evidence });
      flag = /^-{1,2}[A-Za-z][\w.-]*$/.test(value.value) ? value.value : undefined;
    });
    const joined = new Set(this.#joins(flags, { ...spot, how: "argument" }));
    for (const [value, here] of later) if (!joined.has(value)) this.#scalars.read(value, here);
  }

  #joins(pairs: Pair[], spot: Spot, node?: Mapping): Node[] {
    if (pairs.length === 0 || (node !== undefined && isContainer(spot.path))) return [];
    const done: Node[] = [];
    for (const { written, parts, named, guessed } of joinPairs(
      pairs,
      spot.evidence === "near" || spot.evidence === "named",
      spot.inherited,
      node === undefined,
    )) {
      const judged = judge(written, named ? "named" : "none");
      if (judged === undefined) continue;
      // Switched off, and a bare name with the tag of another image: not enough evidence.
      if (guessed && parts.names.length === 1 && !written.includes("/") && spot.behind !== undefined)
        continue;
      const confidence = judged.confidence === "certain" ? "likely" : judged.confidence;
      this.#scalars.add(
        { ...judged, confidence },
        written,
        { ...spot, how: "split" },
        parts.names.at(-1) as Scalar,
        stretchesOf(parts),
      );
      if (guessed) (this.#scalars.found.at(-1) as Sighting).guessed = true;
      done.push(...parts.names, ...[parts.tag, parts.digest].filter((scalar) => scalar !== undefined));
    }
    return done;
  }
}

const join = (path: string, key: string): string =>
  `${path}${path === "" || path.endsWith(":") ? "" : "."}${/^[\w-]+$/.test(key) ? key : JSON.stringify(key)}`;

function howOf(key: string, outer: How): How {
  if (key === "args" || key === "command") return "argument";
  if (key === "env") return "environment";
  return key === "annotations" ? "annotation" : outer === "environment" ? "field" : outer;
}
