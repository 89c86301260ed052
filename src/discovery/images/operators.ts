import { formatReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import { get, isNull, itemsOf, type Mapping, type Node, stringAt } from "../documents/node.ts";
import { labelOf } from "./objects.ts";
import { OPERATORS, type Operator } from "./operators-data.ts";
import type { Sighting } from "./sighting.ts";

export interface OperatorImages {
  sightings: Sighting[];
  warnings: string[];
}

/**
 * What operators pull beside what the documents name, as far as a table knows it, and a warning
 * where it does not.
 * @param sightings what was found, to know operators by their own image
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
  return found;
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
  const { name, known = [], versioned = [], siblings = [] } = operator;
  const before = found.sightings.length;
  const tag = own && parseReference(own.reference).tag;
  const row = known.find(({ version }) => version === tag);
  for (const image of row?.images ?? [])
    found.sightings.push(sighting(image, `images of ${name} ${tag}`, own?.object, own));
  if (own !== undefined)
    for (const sibling of siblings)
      found.sightings.push(
        sighting(siblingOf(own.reference, sibling), `images of ${name} ${tag}`, own.object, own),
      );
  const told = silent.filter((object) => {
    const rule = versioned.find(({ kind }) => kind === stringAt(object, "kind"));
    const version = rule && stringAt(object, ...rule.field.split("."));
    if (rule && version)
      found.sightings.push(sighting(`${rule.image}:${version}`, rule.field, labelOf(object), undefined));
    return rule !== undefined && version !== undefined;
  });
  if (row !== undefined || (silent.length === told.length && found.sightings.length > before)) return;
  found.warnings.push(warning(operator, own, silent));
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
    ? `; \`${command.replace("{image}", own?.reference ?? "IMAGE")}\` lists them: put them under addImages`
    : "";
  return `${who}, which pulls images that stand in no file${how}${advice ? `; ${advice}` : ""}`;
}
