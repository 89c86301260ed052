import { get, itemsOf, type Mapping, type Scalar, stringAt } from "../documents/node.ts";

/** An image that an object of a running cluster reports, with the part of a text that names it. */
export interface Reported {
  scalar: Scalar;
  start: number;
  end: number;
  path: string;
}

/**
 * What kubelet says about the images that it pulled: the messages of events, and the list of a node.
 * https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/#NodeStatus
 * @returns undefined for objects of other kinds
 */
export function reportedImages(object: Mapping): Reported[] | undefined {
  const [group, kind] = [stringAt(object, "apiVersion") ?? "", stringAt(object, "kind")];
  if (kind === "Event" && /^(?:v1|events\.k8s\.io\/.+)$/.test(group)) return inEvent(object);
  return kind === "Node" && group === "v1" ? onNode(object) : undefined;
}

function inEvent(object: Mapping): Reported[] {
  return ["message", "note"].flatMap((path) => {
    const scalar = get(object, path);
    if (scalar?.kind !== "scalar") return [];
    return [...scalar.value.matchAll(/\bimage:? "([^"\s]+)"/gi)].map(({ 0: whole, 1: name = "", index }) => {
      const start = index + whole.length - name.length - 1;
      return { scalar, start, end: start + name.length, path };
    });
  });
}

/** Each image of a node has several names: by tag if it has one, otherwise by digest. */
function onNode(object: Mapping): Reported[] {
  return itemsOf(get(object, "status", "images")).flatMap((image, i) => {
    const names = itemsOf(get(image, "names")).flatMap((scalar, j) =>
      scalar.kind === "scalar" && !scalar.value.includes("<none>")
        ? [{ scalar, start: 0, end: scalar.value.length, path: `status.images[${i}].names[${j}]` }]
        : [],
    );
    const tagged = names.filter(({ scalar }) => !scalar.value.includes("@"));
    return tagged.length > 0 ? tagged : names.slice(0, 1);
  });
}
