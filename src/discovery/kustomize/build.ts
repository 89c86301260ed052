import { realpath, stat } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { AirgapError } from "../../errors.ts";
import { get, itemsOf, type Mapping, type Node, stringAt } from "../documents/node.ts";
import { parseOne, parseStream } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import {
  addConfiguration,
  type Configuration,
  emptyConfiguration,
  readConfiguration,
} from "./configuration.ts";
import { parsePath, readAt } from "./field-path.ts";
import { Files, type ReadFile } from "./files.ts";
import { generate } from "./generators.ts";
import { transformImages } from "./images.ts";
import { transformLabels, transformReplicas } from "./labels.ts";
import { restoreReferences, transformNames, transformNamespace } from "./names.ts";
import { transformPatches } from "./patches.ts";
import { Checkouts, isFileUrl, isPinned, isRemoteBase, parseRemote, shownRemote } from "./remote.ts";
import { transformReplacements } from "./replacements.ts";
import { kindOf, nameOf, type Resource, readSelector, selects } from "./resource.ts";
import { isBuiltin, transformBuiltin } from "./transformers.ts";

export interface KustomizeOptions {
  /** What can't be built is an error; otherwise it is told and left out. */
  strict: boolean;
  warn(message: string): void;
  /** Reads a single file by URL; absent when nothing may be fetched. */
  fetch?: (url: string) => Promise<string>;
  signal?: AbortSignal;
}

export interface Built {
  /** Objects in kustomize's order. */
  documents: Mapping[];
  /** Every file that was read. */
  files: ReadFile[];
  /** URLs that were read, for the lock. */
  remotes: string[];
}

const MAX_DEPTH = 40;
const MAX_RESOURCES = 20_000;
const ADVICE =
  "run kubectl kustomize DIR > built.yaml on a machine with a network, and name built.yaml instead";

/** Fields that need other programs, and change or add objects. */
const NEEDS_PROGRAMS: Record<string, string> = {
  generators: "generator plugins",
  helmCharts: "Helm charts",
  helmChartInflationGenerator: "Helm charts",
};

interface Variable {
  name: string;
  objref: Node | undefined;
  path: string;
}

/**
 * Builds a kustomization like `kubectl kustomize`, as far as objects and their images go; names
 * of generated ConfigMaps and Secrets get no hash.
 * @throws AirgapError `spec`: a remote base, a cycle, a missing file, a patch that does not apply
 */
export async function buildKustomization(folder: string, options: KustomizeOptions): Promise<Built> {
  const files = new Files(await realpath(folder));
  await using checkouts = new Checkouts(options.signal);
  const builder = new Builder(files, checkouts, options);
  const built = await builder.folder(folder, []);
  const resources = restoreReferences(built.resources, built.configuration.references);
  return {
    documents: builder.withVariables({ ...built, resources }).map(({ node }) => node),
    files: [...files.read.values()],
    remotes: builder.remotes,
  };
}

/** The content of an entry of `resources:`. */
type Entry = { kind: "file" | "folder"; path: string } | { kind: "text"; path: string; text: string };

const isWithin = (folder: string, path: string): boolean => path === folder || path.startsWith(folder + sep);

/** What a kustomization passes to the one above it. */
interface Accumulated {
  resources: Resource[];
  configuration: Configuration;
}

const nothing = (): Accumulated => ({ resources: [], configuration: emptyConfiguration() });

class Builder {
  readonly #files: Files;
  readonly #checkouts: Checkouts;
  readonly #options: KustomizeOptions;
  /** Redacted URLs of what was fetched. */
  readonly remotes: string[] = [];
  /** Roots of fetched repositories: kustomizations in them may not leave them. */
  readonly #roots: string[] = [];
  readonly #variables: Variable[] = [];

  constructor(files: Files, checkouts: Checkouts, options: KustomizeOptions) {
    this.#files = files;
    this.#checkouts = checkouts;
    this.#options = options;
  }

  /** @param base the objects that a component changes */
  async folder(folder: string, above: string[], base = nothing()): Promise<Accumulated> {
    const real = await realpath(folder);
    const chain = [...above, real];
    this.#checkStays(above.at(-1), real);
    if (above.includes(real))
      throw new AirgapError(
        "spec",
        `The kustomizations form a cycle: ${chain.map((path) => this.#files.shown(path)).join(" → ")}`,
      );
    if (above.length > MAX_DEPTH)
      throw new AirgapError(
        "spec",
        `Kustomizations are nested more than ${MAX_DEPTH} deep at ${this.#files.shown(real)}`,
      );
    const file = await this.#files.kustomizationOf(real);
    if (file === undefined)
      throw new AirgapError("spec", `${this.#files.shown(real)} has no kustomization.yaml`);
    const { text } = await this.#files.text(real, file, this.#files.shown(real));
    const by = this.#files.shown(file);
    const root = parseOne(new Text(by, text));
    return root === undefined ? base : this.#build(root, real, by, chain, base);
  }

  async #build(
    root: Node,
    folder: string,
    by: string,
    chain: string[],
    base: Accumulated,
  ): Promise<Accumulated> {
    this.#checkSupported(root, by);
    const { resources, configuration } = base;
    for (const field of ["resources", "bases"]) {
      for (const entry of itemsOf(get(root, field)))
        if (entry.kind === "scalar") {
          const found = await this.#resource(entry.value, folder, by, chain);
          resources.push(...found.resources);
          addConfiguration(configuration, found.configuration);
        }
    }
    if (resources.length > MAX_RESOURCES)
      throw new AirgapError("spec", `${by} has more than ${MAX_RESOURCES} objects`);
    let accumulated: Accumulated = {
      configuration,
      resources: await generate(resources, root, folder, this.#files, by),
    };
    for (const entry of itemsOf(get(root, "components"))) {
      if (entry.kind !== "scalar") continue;
      const place = await this.#place(entry.value, folder, by);
      if (place?.kind === "folder") accumulated = await this.folder(place.path, chain, accumulated);
    }
    addConfiguration(accumulated.configuration, await this.#configured(root, folder, by));
    this.#addVariables(root);
    return { ...accumulated, resources: await this.#transformed(accumulated, root, folder, by) };
  }

  #addVariables(root: Node): void {
    for (const entry of itemsOf(get(root, "vars")))
      this.#variables.push({
        name: stringAt(entry, "name") ?? "",
        objref: get(entry, "objref"),
        path:
          stringAt(entry, "fieldref", "fieldpath") ??
          stringAt(entry, "fieldref", "fieldPath") ??
          "metadata.name",
      });
  }

  /** Changes objects, in kustomize's order. */
  async #transformed(
    { resources: given, configuration }: Accumulated,
    root: Node,
    folder: string,
    by: string,
  ): Promise<Resource[]> {
    let resources = await transformPatches(given, root, folder, this.#files, by);
    resources = transformNamespace(resources, root, configuration.namespace);
    resources = transformNames(resources, root, configuration);
    resources = transformLabels(resources, root, configuration);
    resources = transformReplicas(resources, root, configuration.replicas);
    resources = transformImages(resources, root, configuration.images);
    resources = transformReplacements(resources, await this.#replacements(root, folder, by), by);
    const transformers = await this.#transformers(root, folder, by);
    return transformBuiltin(resources, transformers, { folder, files: this.#files, by });
  }

  /** Content from a repository must not name files of this machine. */
  #checkStays(from: string | undefined, to: string): void {
    const root = this.#roots.find((each) => from !== undefined && isWithin(each, from));
    if (root !== undefined && !this.#roots.some((each) => isWithin(each, to)))
      throw new AirgapError("spec", `A remote base names ${to}, which is outside its repository`);
  }

  #problem(message: string, suggestion = ADVICE): void {
    if (this.#options.strict) throw new AirgapError("spec", message, { suggestions: [suggestion] });
    this.#options.warn(`${message}: its objects are not in the answer (${suggestion})`);
  }

  #checkSupported(root: Node, by: string): void {
    for (const [field, what] of Object.entries(NEEDS_PROGRAMS)) {
      if (get(root, field) === undefined) continue;
      this.#problem(
        `${by} uses ${what} (${field}:), which airgap does not run`,
        field.startsWith("helm") ? "list the charts under charts: of the spec" : ADVICE,
      );
    }
  }

  /** The content of an entry of `resources:` or `components:`; undefined after a warning that it is not available. */
  async #place(name: string, folder: string, by: string): Promise<Entry | undefined> {
    const path = resolve(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined) return { kind: found.isDirectory() ? "folder" : "file", path };
    if (!isRemoteBase(name)) throw new AirgapError("spec", `${by} names ${name}, which does not exist`);
    try {
      return await this.#remote(name, by);
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      this.#problem(`${by} has the remote base ${shownRemote(name)}: ${error.message}`, error.suggestions[0]);
      return undefined;
    }
  }

  async #remote(name: string, by: string): Promise<Entry> {
    const { fetch } = this.#options;
    if (fetch !== undefined && isFileUrl(name)) {
      this.remotes.push(shownRemote(name));
      return { kind: "text", text: await fetch(name), path: shownRemote(name) };
    }
    const base = parseRemote(name);
    if (fetch === undefined || base === undefined || !isPinned(base))
      throw new AirgapError(
        "spec",
        "airgap does not fetch it, since its content can change under the same name",
        {
          suggestions: [
            `name a full commit of 40 characters in ${by}: ?ref=COMMIT; or git clone it and name its folder; or ${ADVICE}`,
          ],
        },
      );
    const { folder, root } = await this.#checkouts.folder(base);
    this.#roots.push(root);
    this.remotes.push(shownRemote(name));
    return { kind: "folder", path: folder };
  }

  async #resource(name: string, folder: string, by: string, chain: string[]): Promise<Accumulated> {
    const place = await this.#place(name, folder, by);
    if (place === undefined) return nothing();
    if (place.kind === "folder") return this.folder(place.path, chain);
    const { path, text } = place.kind === "text" ? place : await this.#files.text(folder, name, by);
    const resources = [...parseStream(new Text(this.#files.shown(path), text), true)]
      .flatMap(({ root }) => listed(root))
      .map((node) => ({ node, formerNames: [] }));
    return { ...nothing(), resources };
  }

  async #configured(root: Node, folder: string, by: string): Promise<Configuration> {
    const found = emptyConfiguration();
    for (const entry of itemsOf(get(root, "configurations"))) {
      if (entry.kind !== "scalar") continue;
      const { path, text } = await this.#files.text(folder, entry.value, by);
      addConfiguration(found, readConfiguration(parseOne(new Text(this.#files.shown(path), text))));
    }
    return found;
  }

  /** `transformers:` in files and as text; folders and programs are not read. */
  async #transformers(root: Node, folder: string, by: string): Promise<Node[]> {
    const found: Node[] = [];
    for (const entry of itemsOf(get(root, "transformers"))) {
      if (entry.kind !== "scalar") continue;
      const inline = entry.value.includes("\n");
      const directory =
        !inline && (await stat(resolve(folder, entry.value)).catch(() => undefined))?.isDirectory();
      const read = inline || directory ? undefined : await this.#files.text(folder, entry.value, by);
      const text = read ? new Text(this.#files.shown(read.path), read.text) : new Text(by, entry.value);
      const documents = directory ? [] : [...parseStream(text)].map((each) => each.root);
      if (directory || !documents.every(isBuiltin))
        this.#problem(`${by} uses transformer plugins (transformers:), which are not run here`);
      found.push(...documents);
    }
    return found;
  }

  async #replacements(root: Node, folder: string, by: string): Promise<Node[]> {
    const found: Node[] = [];
    for (const entry of itemsOf(get(root, "replacements"))) {
      const path = stringAt(entry, "path");
      if (path === undefined) found.push(entry);
      else {
        const { text } = await this.#files.text(folder, path, by);
        const read = parseOne(new Text(path, text));
        const many = read?.kind === "sequence" ? read : get(read, "replacements");
        found.push(...(many ? itemsOf(many) : read ? [read] : []));
      }
    }
    return found;
  }

  /** `$(NAME)` in every string, for `vars:`. */
  withVariables({ resources, configuration }: Accumulated): Resource[] {
    const values = new Map<string, string>();
    for (const { name, objref, path } of this.#variables) {
      const selector = readSelector(objref);
      const resource = resources.find(
        (each) =>
          selects({ ...selector, ...(selector.name ? { name: `${selector.name}` } : {}) }, each) &&
          (nameOf(each) !== "" || kindOf(each) !== ""),
      );
      const [value] = resource ? readAt(resource.node, parsePath(path, ".")) : [];
      if (value?.kind === "scalar") values.set(name, value.value);
    }
    if (values.size === 0) return resources;
    return resources.map((resource) => ({
      ...resource,
      node: substitute(resource.node, values, new Set(configuration.variables)) as Mapping,
    }));
  }
}

/** A `List` stands for the objects in it. */
function listed(root: Node): Mapping[] {
  if (root.kind !== "mapping") return [];
  const items = get(root, "items");
  return /List$/.test(stringAt(root, "kind") ?? "") && items?.kind === "sequence"
    ? items.items.flatMap(listed)
    : [root];
}

/** Where kustomize inserts variables: commands, arguments, environment and mounts of containers, hosts of ingresses. */
const WITH_VARIABLES =
  /\.(?:containers|initContainers)\[\]\.(?:command|args)\[\]$|\.(?:containers|initContainers)\[\]\.(?:env\[\]\.value|volumeMounts\[\]\.\w+)$|\.spec\.(?:rules\[\]\.host|tls\[\]\.hosts\[\]|externalName)$/;

const isOpened = (path: string, fields: Set<string>): boolean =>
  [...fields].some((field) => path === field || path.startsWith(`${field}.`));

function substitute(node: Node, values: Map<string, string>, fields: Set<string>, path = ""): Node {
  if (node.kind === "mapping")
    return {
      ...node,
      entries: node.entries.map(({ key, value }) => ({
        key,
        value: substitute(value, values, fields, `${path}.${key}`),
      })),
    };
  if (node.kind === "sequence")
    return { ...node, items: node.items.map((item) => substitute(item, values, fields, `${path}[]`)) };
  if (
    !node.value.includes("$(") ||
    !(WITH_VARIABLES.test(path) || isOpened(path.replaceAll("[]", ""), fields))
  )
    return node;
  const value = node.value.replace(/\$\(([^)]+)\)/g, (whole, name: string) => values.get(name) ?? whole);
  return value === node.value ? node : { kind: "scalar", value, plain: false };
}
