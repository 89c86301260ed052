import { get, type Mapping, mapping, type Node, scalar, stringAt, withEntry } from "../documents/node.ts";
import { changeAt, type Field, parsePath } from "./field-path.ts";
import {
  groupVersion,
  kindOf,
  nameOf,
  namespaceOf,
  type Resource,
  type Selector,
  selects,
} from "./resource.ts";

/** Kinds of Kubernetes' own that are in no namespace, and those that no prefix is put before. */
const CLUSTER_WIDE =
  /^(?:APIService|CSIDriver|CSINode|CertificateSigningRequest|Cluster|ClusterRole|ClusterRoleBinding|ComponentStatus|CustomResourceDefinition|FlowSchema|IngressClass|MutatingWebhookConfiguration|MutatingAdmissionPolicy|MutatingAdmissionPolicyBinding|Namespace|Node|PersistentVolume|PodSecurityPolicy|PriorityClass|PriorityLevelConfiguration|RuntimeClass|SelfSubjectAccessReview|SelfSubjectRulesReview|StorageClass|SubjectAccessReview|TokenReview|ValidatingAdmissionPolicy|ValidatingAdmissionPolicyBinding|ValidatingWebhookConfiguration|VolumeAttachment|ClusterIssuer|GatewayClass)$/;
const UNPREFIXED = /^(?:CustomResourceDefinition|APIService|Namespace)$/;

const POD = ["spec", "spec/template/spec", "spec/jobTemplate/spec/template/spec"];
const inPods = (...paths: string[]): string[] => POD.flatMap((pod) => paths.map((path) => `${pod}/${path}`));
const inContainers = (...paths: string[]): string[] =>
  inPods(...paths.flatMap((path) => [`containers[]/${path}`, `initContainers[]/${path}`]));

/** Where the name of an object of a kind is used. From kustomize's own name reference configuration. */
const REFERENCES: Record<string, string[]> = {
  ConfigMap: [
    ...inContainers("env[]/valueFrom/configMapKeyRef/name", "envFrom[]/configMapRef/name"),
    ...inPods("volumes[]/configMap/name", "volumes[]/projected/sources[]/configMap/name"),
  ],
  Secret: [
    ...inContainers("env[]/valueFrom/secretKeyRef/name", "envFrom[]/secretRef/name"),
    ...inPods(
      "volumes[]/secret/secretName",
      "volumes[]/projected/sources[]/secret/name",
      "imagePullSecrets[]/name",
    ),
    "spec/tls[]/secretName",
    "imagePullSecrets[]/name",
    "secrets[]/name",
  ],
  ServiceAccount: [...inPods("serviceAccountName", "serviceAccount")],
  Service: [
    "spec/serviceName",
    "spec/rules[]/http/paths[]/backend/service/name",
    "spec/rules[]/http/paths[]/backend/serviceName",
    "spec/defaultBackend/service/name",
    "webhooks[]/clientConfig/service/name",
    "spec/conversion/webhook/clientConfig/service/name",
    "spec/service/name",
  ],
  PersistentVolumeClaim: inPods("volumes[]/persistentVolumeClaim/claimName"),
  PersistentVolume: ["spec/volumeName"],
  StorageClass: ["spec/storageClassName", "spec/volumeClaimTemplates[]/spec/storageClassName"],
  PriorityClass: inPods("priorityClassName"),
  IngressClass: ["spec/ingressClassName"],
  Role: ["roleRef/name"],
  ClusterRole: ["roleRef/name"],
  Deployment: ["spec/scaleTargetRef/name"],
  StatefulSet: ["spec/scaleTargetRef/name"],
  ReplicaSet: ["spec/scaleTargetRef/name"],
};

const setAt = (node: Mapping, path: string, value: string, create = true): Mapping =>
  changeAt(node, parsePath(path, "/"), () => scalar(value), create) as Mapping;

/** `roleRef` names its kind; other references imply it. */
function refersTo(user: Mapping, path: string, kind: string): boolean {
  if (path === "roleRef/name") return stringAt(user, "roleRef", "kind") === kind;
  return path !== "spec/scaleTargetRef/name" || stringAt(user, "spec", "scaleTargetRef", "kind") === kind;
}

/** A field of `user` objects that holds the name of an object of `kind`. */
export interface Reference {
  kind: string;
  path: string;
  user?: Selector;
}

const OWN_REFERENCES: Reference[] = Object.entries(REFERENCES).flatMap(([kind, paths]) =>
  paths.map((path) => ({ kind, path })),
);

/** Puts `namePrefix` and `nameSuffix` around names, and around their uses in the same kustomization. */
export function transformNames(
  resources: Resource[],
  kustomization: Node,
  configured: Reference[],
): Resource[] {
  const [prefix, suffix] = [
    stringAt(kustomization, "namePrefix") ?? "",
    stringAt(kustomization, "nameSuffix") ?? "",
  ];
  if (prefix === "" && suffix === "") return resources;
  const renamed = new Map<string, string>();
  const named = resources.map((resource): Resource => {
    const name = nameOf(resource);
    if (UNPREFIXED.test(kindOf(resource)) || name === "") return resource;
    const to = `${prefix}${name}${suffix}`;
    renamed.set(`${kindOf(resource)}/${name}`, to);
    return { node: setAt(resource.node, "metadata/name", to), formerNames: [...resource.formerNames, name] };
  });
  const references = [...OWN_REFERENCES, ...configured];
  return named.map((resource) => withRenamed(resource, renamed, references));
}

/** Uses that were written against a former name in another kustomization than the one that changed it. */
export function restoreReferences(resources: Resource[]): Resource[] {
  const renamed = new Map<string, string>();
  for (const each of resources)
    for (const former of each.formerNames) renamed.set(`${kindOf(each)}/${former}`, nameOf(each));
  for (const each of resources) renamed.delete(`${kindOf(each)}/${nameOf(each)}`);
  const services = new Map(
    resources.flatMap((each) =>
      kindOf(each) === "Service" ? [[nameOf(each), namespaceOf(each)] as const] : [],
    ),
  );
  return resources.map((resource) =>
    withServices(renamed.size === 0 ? resource : withRenamed(resource, renamed, OWN_REFERENCES), services),
  );
}

/** Webhooks name the namespace of their service too, which may have changed. */
function withServices(resource: Resource, services: Map<string, string>): Resource {
  if (!/^(?:CustomResourceDefinition|(?:Validating|Mutating)WebhookConfiguration)$/.test(kindOf(resource)))
    return resource;
  let node = resource.node;
  for (const path of ["webhooks[]/clientConfig/service", "spec/conversion/webhook/clientConfig/service"]) {
    const update = (found: Node | undefined): Node | undefined => {
      const namespace = services.get(stringAt(found, "name") ?? "");
      return namespace && found?.kind === "mapping"
        ? withEntry(found, "namespace", scalar(namespace))
        : found;
    };
    node = changeAt(node, parsePath(path, "/"), update, false) as Mapping;
  }
  return { ...resource, node };
}

function withRenamed(resource: Resource, renamed: Map<string, string>, references: Reference[]): Resource {
  let node = resource.node;
  for (const { kind, path, user } of references) {
    if (!refersTo(node, path, kind) || (user && !selects(user, resource))) continue;
    node = changeAt(
      node,
      parsePath(path, "/"),
      (found) => {
        const to = found?.kind === "scalar" ? renamed.get(`${kind}/${found.value}`) : undefined;
        return to === undefined ? found : scalar(to);
      },
      false,
    ) as Mapping;
  }
  return { ...resource, node: withRenamedSubjects(node, renamed) };
}

function withRenamedSubjects(node: Mapping, renamed: Map<string, string>): Mapping {
  const subjects = get(node, "subjects");
  if (subjects?.kind !== "sequence") return node;
  const items = subjects.items.map((subject) => {
    const to = renamed.get(`${stringAt(subject, "kind")}/${stringAt(subject, "name")}`);
    return to !== undefined && subject.kind === "mapping" ? withEntry(subject, "name", scalar(to)) : subject;
  });
  return withEntry(node, "subjects", { ...subjects, items });
}

/** Puts `namespace` on every object that is in one, and on what names it. */
export function transformNamespace(
  resources: Resource[],
  kustomization: Node,
  configured: Field[],
): Resource[] {
  const namespace = stringAt(kustomization, "namespace");
  if (!namespace) return resources;
  const accounts = new Set(resources.filter((each) => kindOf(each) === "ServiceAccount").map(nameOf));
  return resources.map((resource) => {
    const kind = kindOf(resource);
    let node = resource.node;
    const formerNames =
      kind === "Namespace" ? [...resource.formerNames, nameOf(resource)] : resource.formerNames;
    if (kind === "Namespace") node = setAt(node, "metadata/name", namespace);
    else if (!CLUSTER_WIDE.test(kind)) node = setAt(node, "metadata/namespace", namespace);
    if (/RoleBinding$/.test(kind)) node = withSubjects(node, namespace, accounts);
    if (kind === "APIService") node = setAt(node, "spec/service/namespace", namespace, false);
    for (const { selector, path, create } of configured)
      if (selects(selector, resource)) node = setAt(node, path, namespace, create);
    return { node, formerNames };
  });
}

function withSubjects(node: Mapping, namespace: string, accounts: Set<string>): Mapping {
  const subjects = get(node, "subjects");
  if (subjects?.kind !== "sequence") return node;
  const items = subjects.items.map((subject) => {
    const own =
      stringAt(subject, "kind") === "ServiceAccount" &&
      (accounts.has(stringAt(subject, "name") ?? "") || stringAt(subject, "name") === "default");
    return own && subject.kind === "mapping" ? withEntry(subject, "namespace", scalar(namespace)) : subject;
  });
  return withEntry(node, "subjects", { ...subjects, items });
}

const WORKLOADS = /^(?:Deployment|ReplicaSet|DaemonSet|StatefulSet)$/;
/** Kinds with a selector that `commonLabels` go into when it is there. */
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

/** `commonLabels`, `labels` and `commonAnnotations`. */
export function transformLabels(resources: Resource[], kustomization: Node): Resource[] {
  const common = get(kustomization, "commonLabels");
  const annotations = get(kustomization, "commonAnnotations");
  const labels = get(kustomization, "labels");
  const sets = (labels?.kind === "sequence" ? labels.items : []).map((entry) => ({
    pairs: get(entry, "pairs"),
    selectors: stringAt(entry, "includeSelectors") === "true",
    templates: stringAt(entry, "includeTemplates") === "true",
  }));
  if (common) sets.push({ pairs: common, selectors: true, templates: true });
  return resources.map((resource) => {
    let node = resource.node;
    for (const { pairs, selectors, templates } of sets)
      if (pairs?.kind === "mapping") node = withLabels(node, pairs, selectors, templates);
    if (annotations?.kind === "mapping") {
      node = withPairs(node, "metadata/annotations", annotations, true);
      for (const path of [
        "spec/template/metadata/annotations",
        "spec/jobTemplate/spec/template/metadata/annotations",
      ]) {
        if (get(node, ...path.split("/").slice(0, -2)) !== undefined)
          node = withPairs(node, path, annotations, true);
      }
    }
    return { ...resource, node };
  });
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
    if (kind === "CronJob") put("spec/jobTemplate/spec/template/metadata/labels", true);
    if (kind === "StatefulSet") put("spec/volumeClaimTemplates[]/metadata/labels", true);
  }
  return node;
}

/** `replicas:` by the name of the workload. */
export function transformReplicas(resources: Resource[], kustomization: Node): Resource[] {
  const entries = get(kustomization, "replicas");
  if (entries?.kind !== "sequence") return resources;
  return resources.map((resource) => {
    const entry = entries.items.find((each) =>
      [nameOf(resource), ...resource.formerNames].includes(stringAt(each, "name") ?? ""),
    );
    const count = get(entry, "count");
    const counted = /^(?:Deployment|ReplicaSet|ReplicationController|StatefulSet)$/.test(kindOf(resource));
    return count && counted
      ? {
          ...resource,
          node: changeAt(resource.node, parsePath("spec/replicas", "/"), () => count, true) as Mapping,
        }
      : resource;
  });
}
