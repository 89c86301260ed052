import { basename } from "node:path";
import type { OpenRepository } from "../discovery/charts/oci.ts";
import { splitDocuments } from "../discovery/documents/split.ts";
import { group } from "../discovery/images/find.ts";
import type { Unread } from "../discovery/images/sighting.ts";
import { locationsIn } from "../discovery/manifests/applied.ts";
import { type Loaded, type LoadOptions, loadPath } from "../discovery/manifests/load.ts";
import { describeUnread, sightingsOf } from "../discovery/manifests/search.ts";
import { AirgapError } from "../errors.ts";
import { redactUrl } from "../http.ts";
import { fileFromBytes } from "../lock/artifact.ts";
import type { CarriedFacts, NamedImage } from "../lock/carried-facts.ts";
import { entryNameFrom, titleFrom } from "../lock/names.ts";
import type { Resolution, ResolveContext } from "../lock/resolved.ts";
import type { ManifestsSpec } from "../lock/spec.ts";
import { isRemote } from "../transport/url.ts";
import { carry, followLocked } from "./carry.ts";
import { type Choices, decide, isIgnored, isWanted } from "./decide.ts";
import { forEntry } from "./entry-error.ts";

export const YAML_TYPE = "application/yaml";

/** What resolving manifests and charts needs besides. */
export interface DocumentsContext extends ResolveContext {
  /** Opens a repository of a registry, for charts in a registry. */
  registry?: OpenRepository | undefined;
  /** The version that charts are rendered for. */
  kubeVersion?: string | undefined;
}

/** The name of an entry without `as`: that of its file or folder. */
function nameOf({ path, as }: ManifestsSpec): string {
  const last = basename(isRemote(path) ? new URL(path).pathname : path.replace(/\/+$/, ""));
  return as ?? entryNameFrom(last.replace(/\.(?:ya?ml|json|tgz)$/i, ""));
}

/** @throws AirgapError `spec` when two entries have one name */
export function checkNames(names: string[], key: string): void {
  names.forEach((name, i) => {
    const first = names.indexOf(name);
    if (name === "")
      throw new AirgapError("spec", `${key}[${i}] needs a name`, { suggestions: ["give it one with as:"] });
    if (first !== i)
      throw new AirgapError("spec", `${key}[${first}] and ${key}[${i}] both have the name '${name}'`, {
        suggestions: ["give one of them another name with as:"],
      });
  });
}

/**
 * An image whose name cannot be read would be missing at the site.
 * @throws AirgapError `missing` unless `ignoreImages` names the text that is there
 */
export function refuseUnread(what: string, unread: Unread[], choices: Choices): void {
  const open = unread.filter(({ written }) => !isIgnored(choices, written));
  if (open.length === 0) return;
  throw new AirgapError("not-closed", `${what}: ${open.map(describeUnread).join("\n")}`, {
    suggestions: [
      "fill in what the template leaves open, and build again",
      `or, when it is not needed: ignoreImages: [${open.map(({ written }) => `'${written.replaceAll("'", "''")}'`).join(", ")}]`,
    ],
  });
}

/** Reports what was found and is not carried, so that the user can decide in the spec. */
export function tellUndecided(what: string, images: NamedImage[], emit: ResolveContext["emit"]): void {
  const shown = (fate: NamedImage["fate"]): string =>
    images
      .filter((image) => image.fate === fate)
      .map(({ reference, places }) => `${reference} (${places[0]})`)
      .join(", ");
  for (const [fate, why] of [
    ["possible", "may be images, and are not in the bundle"],
    ["off", "belong to features that are off, and are not in the bundle"],
  ] as const) {
    if (shown(fate))
      emit({
        type: "warning",
        message: `${what}: ${why}: ${shown(fate)}`,
        suggestion: "list each under acceptImages or ignoreImages",
      });
  }
}

/**
 * Resolves `manifests:`: the documents as artifacts, and the images that they name.
 * @param first the index of the first of them in the spec
 * @throws AirgapError
 */
export async function resolveManifests(
  entries: ManifestsSpec[],
  context: DocumentsContext,
  first = 0,
): Promise<Resolution> {
  const names = entries.map(nameOf);
  checkNames(names, "manifests");
  const found: Resolution = { resolved: [], images: [] };
  for (const [i, entry] of entries.entries()) {
    const name = names[i] as string;
    const at = `manifests[${first + i}]`;
    const make = (): Promise<Resolution> => makeOne(entry, name, at, context);
    const one = await forEntry(at, () =>
      context.locked ? followLocked("manifests", name, context, make) : make(),
    );
    found.resolved.push(...one.resolved);
    found.images.push(...one.images);
  }
  return found;
}

async function makeOne(
  entry: ManifestsSpec,
  name: string,
  at: string,
  context: DocumentsContext,
): Promise<Resolution> {
  const { emit } = context;
  const warn = (message: string): void => emit({ type: "warning", message: `${at}: ${message}` });
  const loaded = await loadPath(entry.path, loadOptions(context, warn));
  const list = loaded.find(({ kind }) => kind === "list");
  if (list)
    throw new AirgapError("spec", `${at}: ${entry.path} is a list of images, not objects to apply`, {
      suggestions: ["name its images under images:"],
    });
  if (loaded.every(({ text, chart }) => splitDocuments(text.text).length === 0 && chart === undefined))
    throw new AirgapError("spec", `${at}: ${entry.path} holds no Kubernetes object`);
  const unread: Unread[] = [];
  const sightings = sightingsOf(loaded, warn, {
    unread: (each) => unread.push(each),
    answered: entry.addImages !== undefined,
  });
  refuseUnread(`manifests ${name}`, unread, entry);
  const images = decide(group(sightings), choicesOf(entry));
  tellUndecided(`manifests ${name}`, images, emit);
  const applied = titled(loaded);
  const facts: CarriedFacts = {
    apply: applied.map(({ title }) => title),
    notRun: [],
    images,
    sites: locationsIn(applied, wantedOf(images)).locations,
  };
  const files = applied.map(({ title, text }) => fileFromBytes(title, YAML_TYPE, Buffer.from(text)));
  return carry(
    {
      kind: "manifests",
      name,
      files,
      origins: [
        isRemote(entry.path) ? redactUrl(entry.path) : entry.path,
        ...new Set(loaded.flatMap(({ remotes }) => remotes ?? [])),
      ],
      at,
      facts,
    },
    context,
  );
}

export function wantedOf(images: NamedImage[]): (reference: string) => boolean {
  const wanted = new Set(images.filter(isWanted).map(({ reference }) => reference));
  return (reference) => wanted.has(reference);
}

export function choicesOf({ addImages, acceptImages, ignoreImages }: Choices): Choices {
  return {
    addImages,
    acceptImages,
    ignoreImages,
  };
}

export function loadOptions(context: DocumentsContext, warn: (message: string) => void): LoadOptions {
  const { baseDir, http, emit, signal, registry, kubeVersion } = context;
  return {
    values: [],
    set: [],
    strict: true,
    whole: true,
    kubeVersion,
    reach: {
      baseDir,
      http: () => http(),
      emit,
      signal,
      registry,
    },
    warn,
    note: (message) => emit({ type: "note", message }),
  };
}

/** Texts under titles that differ even where case is ignored. */
function titled(loaded: Loaded[]): { title: string; text: string }[] {
  const taken = new Set<string>();
  return loaded.map(({ title: given, text }) => {
    const first = titleFrom(given) || "manifest.yaml";
    let title = first;
    for (let i = 2; taken.has(title.toLowerCase()); i++) title = first.replace(/(\.[^./]*)?$/, `-${i}$1`);
    taken.add(title.toLowerCase());
    return { title, text: text.text };
  });
}
