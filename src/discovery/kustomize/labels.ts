import { get, type Mapping, mapping, type Node, stringAt, withEntry } from "../documents/node.ts";
import { type Configuration, fieldsOf } from "./configuration.ts";
import { changeAt, type Field, parsePath } from "./field-path.ts";
import { groupVersion, kindOf, nameOf, type Resource, selects } from "./resource.ts";

const WORKLOADS = /^(?:Deployment|ReplicaSet|DaemonSet|StatefulSet)$/;
/** Kinds whose selector gets `commonLabels` if it exists. */
const SELECTING = /^(?:Job|PodDisruptionBudget)$/;

function withPairs(node: Mapping, path: string, pairs: Mapping, create: boolean): Mapping {
  return changeAt(
    node,
    parsePath(path, "/"),
    (found) => {
      let result = found?.kind === "mapping" ? found : mapping([]);
      for (const { key, value } of pairs.entries) result = withEntry(result, key, value);
      return result;
    },
    create,
  ) as Mapping;
}

/** The pairs in every field that is for such an object. */
export function withFields(resource: Resource, fields: Field[], pairs: Mapping): Mapping {
  return fields.reduce(
    (node, { selector, path, create }) =>
      selects(selector, resource) ? withPairs(node, path, pairs, create) : node,
    resource.node,
  );
}

interface LabelSet {
  pairs: Node | undefined;
  selectors: boolean;
  templates: boolean;
  fields: Field[];
}

function labelSets(kustomization: Node, configured: Configuration): LabelSet[] {
  const labels = get(kustomization, "labels");
  const sets = (labels?.kind === "sequence" ? labels.items : []).map((entry): LabelSet => {
    const selectors = stringAt(entry, "includeSelectors") === "true";
    const templates = stringAt(entry, "includeTemplates") === "true";
    return {
      pairs: get(entry, "pairs"),
      selectors,
      templates,
      fields: [
        ...fieldsOf(get(entry, "fields")),
        ...(selectors ? configured.commonLabels : configured.labels),
        ...(templates ? configured.templateLabels : []),
      ],
    };
  });
  const common = get(kustomization, "commonLabels");
  return common
    ? [...sets, { pairs: common, selectors: true, templates: true, fields: configured.commonLabels }]
    : sets;
}

/** `commonLabels`, `labels` and `commonAnnotations`. */
export function transformLabels(
  resources: Resource[],
  kustomization: Node,
  configured: Configuration,
): Resource[] {
  const annotations = get(kustomization, "commonAnnotations");
  const sets = labelSets(kustomization, configured);
  return resources.map((resource) => {
    let node = resource.node;
    for (const { pairs, selectors, templates, fields } of sets)
      if (pairs?.kind === "mapping")
        node = withFields(
          { ...resource, node: withLabels(node, pairs, selectors, templates) },
          fields,
          pairs,
        );
    if (annotations?.kind === "mapping")
      node = withFields(
        { ...resource, node: withAnnotations(node, annotations) },
        configured.commonAnnotations,
        annotations,
      );
    return { ...resource, node };
  });
}

function withAnnotations(start: Mapping, annotations: Mapping): Mapping {
  const kind = stringAt(start, "kind") ?? "";
  const paths = ["metadata/annotations"];
  if (WORKLOADS.test(kind) || kind === "Job" || kind === "ReplicationController")
    paths.push("spec/template/metadata/annotations");
  if (kind === "CronJob")
    paths.push(
      "spec/jobTemplate/metadata/annotations",
      "spec/jobTemplate/spec/template/metadata/annotations",
    );
  return paths.reduce((node, path) => withPairs(node, path, annotations, true), start);
}

function withLabels(start: Mapping, pairs: Mapping, selectors: boolean, templates: boolean): Mapping {
  const kind = stringAt(start, "kind") ?? "";
  const isCore = groupVersion(start)[0] === "";
  let node = withPairs(start, "metadata/labels", pairs, true);
  const put = (path: string, create: boolean): void => {
    node = withPairs(node, path, pairs, create);
  };
  if (selectors) {
    if (WORKLOADS.test(kind) || SELECTING.test(kind)) put("spec/selector/matchLabels", WORKLOADS.test(kind));
    if (isCore && (kind === "Service" || kind === "ReplicationController")) put("spec/selector", true);
    if (kind === "NetworkPolicy")
      for (const path of [
        "spec/podSelector",
        "spec/ingress[]/from[]/podSelector",
        "spec/egress[]/to[]/podSelector",
      ])
        put(`${path}/matchLabels`, false);
  }
  if (selectors || templates) {
    if (WORKLOADS.test(kind) || kind === "Job" || kind === "ReplicationController")
      put("spec/template/metadata/labels", true);
    if (kind === "CronJob") {
      put("spec/jobTemplate/metadata/labels", true);
      put("spec/jobTemplate/spec/template/metadata/labels", true);
    }
    if (kind === "StatefulSet") put("spec/volumeClaimTemplates[]/metadata/labels", true);
  }
  return node;
}

/** `replicas:` by the name of the workload. */
export function transformReplicas(
  resources: Resource[],
  kustomization: Node,
  configured: Field[],
): Resource[] {
  const entries = get(kustomization, "replicas");
  if (entries?.kind !== "sequence") return resources;
  return resources.map((resource) => {
    const entry = entries.items.find((each) =>
      [nameOf(resource), ...resource.formerNames].includes(stringAt(each, "name") ?? ""),
    );
    const count = get(entry, "count");
    if (!count) return resource;
    const counted = /^(?:Deployment|ReplicaSet|ReplicationController|StatefulSet)$/.test(kindOf(resource));
    const own = configured.filter(({ selector }) => selects(selector, resource)).map(({ path }) => path);
    const node = [...(counted ? ["spec/replicas"] : []), ...own].reduce<Node>(
      (before, path) => changeAt(before, parsePath(path, "/"), () => count, true),
      resource.node,
    );
    return { ...resource, node: node as Mapping };
  });
}
