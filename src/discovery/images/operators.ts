import { formatReference, parseReference, tryParseReference, withDefaultTag } from "../../oci/reference.ts";
import { get, isNull, itemsOf, type Mapping, type Node, stringAt } from "../documents/node.ts";
import { KUBERNETES_GROUPS, NO_IMAGES } from "./kinds-data.ts";
import { holdsNoImages, labelOf } from "./objects.ts";
import { OPERATORS, type Operator } from "./operators-data.ts";
import type { Sighting } from "./sighting.ts";

export interface OperatorImages {
  sightings: Sighting[];
  warnings: string[];
}

/**
 * What operators pull besides what the documents name, as far as a table knows it, and a warning
 * when it does not.
 * @param sightings the finds, to recognise operators by their own image
 */
export function operatorImages(
  documents: Node[],
  sightings: Sighting[],
  operators: readonly Operator[] = OPERATORS,
): OperatorImages {
  const objects = documents.flatMap(objectsOf);
  const found: OperatorImages = { sightings: [], warnings: [] };
  for (const operator of operators) {
    const own = sightings.find(
      ({ reference }) => operator.image !== undefined && isImageOf(reference, operator.image),
    );
    const resources = objects.filter((object) => isOf(object, operator));
    if (own === undefined && resources.length === 0) continue;
    const silent = resources.filter((object) => !namesImage(object, operator));
    if (resources.length > 0 && silent.length === 0) continue;
    one(operator, own, silent, found);
  }
  if (objects.some(isSpec))
    found.warnings.push(
      "a spec of airgap stands for more images than its text names; `airgap build SPEC -o FILE --dry-run` prints them all",
    );
  const unknown = unknownKinds(objects, operators);
  if (unknown !== undefined) found.warnings.push(unknown);
  return found;
}

const isSpec = (object: Mapping): boolean =>
  stringAt(object, "kind") === "Bundle" && (stringAt(object, "apiVersion") ?? "").startsWith("airgap/");

const KNOWN = new Set(NO_IMAGES);

/** Unknown kinds: an operator may make pods for them whose images no file names. */
function unknownKinds(objects: Mapping[], operators: readonly Operator[]): string | undefined {
  const kinds = new Map<string, string>();
  for (const object of objects) {
    const [group = "", version] = (stringAt(object, "apiVersion") ?? "").split("/");
    const kind = stringAt(object, "kind");
    if (version === undefined || kind === undefined || KUBERNETES_GROUPS.has(group) || holdsNoImages(object))
      continue;
    const known = KNOWN.has(`${group}/*`) || KNOWN.has(`${group}/${kind}`);
    if (!known && !operators.some((operator) => isOf(object, operator)))
      kinds.set(`${kind} (${group})`, labelOf(object) ?? kind);
  }
  if (kinds.size === 0) return undefined;
  const shown = [...kinds.keys()].sort();
  return `${shown.slice(0, 12).join(", ")}${shown.length > 12 ? ` and ${shown.length - 12} more kinds` : ""}: an operator may pull images for ${kinds.size === 1 ? "this kind" : "these kinds"} that no file names; look in its documentation, and list them under addImages (addImages: [] when there are none)`;
}

function objectsOf(node: Node): Mapping[] {
  if (node.kind !== "mapping") return [];
  return /List$/.test(stringAt(node, "kind") ?? "") ? itemsOf(get(node, "items")).flatMap(objectsOf) : [node];
}

function isImageOf(reference: string, repository: string): boolean {
  const found = parseReference(reference).repository;
  return found === repository || found.endsWith(`/${repository}`);
}

function isOf(object: Mapping, { resources }: Operator): boolean {
  const group = (stringAt(object, "apiVersion") ?? "").split("/")[0];
  return resources.includes(`${group}/*`) || resources.includes(`${group}/${stringAt(object, "kind")}`);
}

function namesImage(object: Mapping, { unless = [] }: Operator): boolean {
  return unless.some((field) => {
    const value = get(object, ...field.split("."));
    return value !== undefined && !isNull(value) && !(value.kind === "scalar" && value.value === "");
  });
}

const sighting = (
  reference: string,
  path: string,
  object: string | undefined,
  from: Sighting | undefined,
): Sighting => ({
  reference: formatReference(withDefaultTag(parseReference(reference))),
  written: reference,
  confidence: "likely",
  how: "operator",
  path,
  ...(object ? { object } : {}),
  ...(from?.span ? { span: from.span } : {}),
});

function one(operator: Operator, own: Sighting | undefined, silent: Mapping[], found: OperatorImages): void {
  const { name, known = [], versioned = [], siblings = [], helpers = [] } = operator;
  const before = found.sightings.length;
  const tag = own && parseReference(own.reference).tag;
  const row = known.find(({ version }) => version === tag);
  for (const image of row?.images ?? [])
    found.sightings.push(sighting(image, `images of ${name} ${tag}`, own?.object, own));
  // A digest of the operator says nothing about its siblings.
  if (own !== undefined && tag !== undefined)
    for (const sibling of siblings)
      found.sightings.push(
        sighting(siblingOf(own.reference, sibling), `images of ${name} ${tag}`, own.object, own),
      );
  for (const helper of silent.length > 0 ? helpers : [])
    found.sightings.push(sighting(helper, `images of ${name}`, labelOf(silent[0] as Mapping), undefined));
  const told = silent.filter((object) => {
    const rules = versioned.filter(({ kind }) => kind === stringAt(object, "kind"));
    const images = rules.flatMap((rule) => imageBy(rule, object) ?? []);
    for (const { image, field } of images)
      found.sightings.push(sighting(image, field, labelOf(object), undefined));
    return images.length > 0;
  });
  if (row !== undefined || (silent.length === told.length && found.sightings.length > before)) return;
  found.warnings.push(warning(operator, own, silent));
}

/** The image made from a field's version, when the field and the other fields of the name are set. */
function imageBy(
  { field, image }: NonNullable<Operator["versioned"]>[number],
  object: Mapping,
): { image: string; field: string } | undefined {
  const version = stringAt(object, ...field.split("."));
  const name = image.replace(/\{([^}]+)\}/g, (_, path: string) => stringAt(object, ...path.split(".")) ?? "");
  const reference = tryParseReference(`${name}:${version}`);
  return version && reference && !name.endsWith("/") ? { image: `${name}:${version}`, field } : undefined;
}

function siblingOf(reference: string, name: string): string {
  const { host, repository, tag } = parseReference(reference);
  return formatReference({
    host,
    repository: `${repository.slice(0, repository.lastIndexOf("/") + 1)}${name}`,
    ...(tag ? { tag } : {}),
  });
}

function warning({ name, command, advice }: Operator, own: Sighting | undefined, silent: Mapping[]): string {
  const objects = silent.map((object) => labelOf(object) ?? "?").slice(0, 5);
  const who =
    objects.length > 0
      ? `${objects.join(", ")} ${objects.length === 1 ? "is" : "are"} of ${name}`
      : `${own?.reference} is ${name}`;
  const how = command
    ? `; \`${command.replace("{image}", own?.reference ?? "IMAGE")}\` lists them: add them to addImages`
    : "";
  return `${who}, which pulls images that no file names${how}${advice ? `; ${advice}` : ""}`;
}
