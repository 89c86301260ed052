import { AirgapError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { tryParseReference } from "../../oci/reference.ts";
import { mapping, type Node, type Scalar, scalar, sequence } from "../documents/node.ts";
import { type Find, group } from "../images/find.ts";
import { operatorImages } from "../images/operators.ts";
import { canonical, type Sighting } from "../images/sighting.ts";
import { manyVersions } from "../images/versions.ts";
import { walkDocument } from "../images/walk.ts";
import type { ClusterObject } from "./kubectl.ts";
import { containersOf, nameOf, namespaceOf, repeatsItsOwner } from "./workloads.ts";

/** An image that a running cluster uses. */
export interface ClusterFind extends Find {
  /** What runs under this name, by the word of the kubelets. Sorted. */
  digests: Digest[];
}

export interface ClusterFinds {
  /** Sorted by reference. The `object` of a place begins with its namespace: `shop/Deployment/web`. */
  finds: ClusterFind[];
  warnings: string[];
  /** False when a kind could not be read. */
  complete: boolean;
}

/** Collects what objects of a cluster say, wherever they come from. */
export class ObjectReader {
  readonly #sightings: Sighting[] = [];
  readonly #custom: Node[] = [];
  readonly #digests = new Map<string, Set<Digest>>();
  readonly #warnings: string[] = [];
  #complete = true;

  missing(message: string): void {
    this.#complete = false;
    this.#warnings.push(message);
  }

  read(object: ClusterObject): void {
    if (object["kind"] === "Pod") this.#pod(object);
    if (repeatsItsOwner(object)) return;
    const node = nodeOf(object);
    if (typeof object["apiVersion"] === "string" && object["apiVersion"].includes("."))
      this.#custom.push(node);
    const namespace = namespaceOf(object);
    for (const sighting of walkDocument(node)) this.#sightings.push(within(namespace, sighting));
  }

  finds(): ClusterFinds {
    const operators = operatorImages(this.#custom, this.#sightings);
    const all = [...this.#sightings, ...operators.sightings];
    return {
      finds: group(all).map((find) => ({
        ...find,
        digests: [...(this.#digests.get(find.reference) ?? [])].sort(),
      })),
      warnings: [...this.#warnings, ...operators.warnings, ...manyVersions(all)],
      complete: this.#complete,
    };
  }

  #pod(pod: ClusterObject): void {
    for (const { image, path, digest } of containersOf(pod)) {
      const parsed = tryParseReference(image);
      if (parsed === undefined) continue;
      const reference = canonical(parsed);
      if (digest !== undefined) {
        const known = this.#digests.get(reference) ?? new Set();
        this.#digests.set(reference, known.add(digest));
      }
      if (repeatsItsOwner(pod))
        this.#sightings.push(
          within(namespaceOf(pod), {
            reference,
            written: image,
            confidence: "certain",
            how: "container",
            object: `Pod/${nameOf(pod)}`,
            path,
          }),
        );
    }
  }
}

const within = (namespace: string | undefined, sighting: Sighting): Sighting =>
  namespace === undefined || sighting.object === undefined
    ? sighting
    : { ...sighting, object: `${namespace}/${sighting.object}` };

/** No API server stores anything that nests deeper. */
const MAX_DEPTH = 200;

/** A JSON value as the walker reads it. @throws AirgapError `protocol` when it nests too deep */
function nodeOf(value: unknown, depth = 0): Node {
  if (depth > MAX_DEPTH) throw new AirgapError("protocol", `an object nests deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return sequence(value.map((item) => nodeOf(item, depth + 1)));
  if (typeof value === "object" && value !== null)
    return mapping(Object.entries(value).map(([key, each]) => ({ key, value: nodeOf(each, depth + 1) })));
  const plain: Scalar = { kind: "scalar", value: String(value), plain: true };
  return typeof value === "string" ? scalar(value) : plain;
}
