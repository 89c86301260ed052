import { get, type Mapping, type Node, scalar, stringAt, withEntry } from "../documents/node.ts";
import type { Configuration, NameReference } from "./configuration.ts";
import { changeAt, type Field, parsePath } from "./field-path.ts";
import { kindOf, nameOf, namespaceOf, type Resource, selects } from "./resource.ts";

/** Kubernetes' own kinds without a namespace, and the kinds that get no prefix. */
const CLUSTER_WIDE =
  /^(?:APIService|CSIDriver|CSINode|CertificateSigningRequest|Cluster|ClusterRole|ClusterRoleBinding|ComponentStatus|CustomResourceDefinition|FlowSchema|IngressClass|MutatingWebhookConfiguration|MutatingAdmissionPolicy|MutatingAdmissionPolicyBinding|Namespace|Node|PersistentVolume|PodSecurityPolicy|PriorityClass|PriorityLevelConfiguration|RuntimeClass|SelfSubjectAccessReview|SelfSubjectRulesReview|StorageClass|SubjectAccessReview|TokenReview|ValidatingAdmissionPolicy|ValidatingAdmissionPolicyBinding|ValidatingWebhookConfiguration|VolumeAttachment|ClusterIssuer|GatewayClass)$/;
const UNPREFIXED = /^(?:CustomResourceDefinition|APIService|Namespace)$/;

const POD = ["spec", "spec/template/spec", "spec/jobTemplate/spec/template/spec"];
const inPods = (...paths: string[]): string[] => POD.flatMap((pod) => paths.map((path) => `${pod}/${path}`));
const inContainers = (...paths: string[]): string[] =>
  inPods(...paths.flatMap((path) => [`containers[]/${path}`, `initContainers[]/${path}`]));

/** Fields that hold the name of an object of a kind. From kustomize's own name reference configuration. */
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

const OWN_REFERENCES: NameReference[] = Object.entries(REFERENCES).flatMap(([kind, paths]) =>
  paths.map((path) => ({ kind, path })),
);

/** Adds `namePrefix` and `nameSuffix` to names, and to their uses in the same kustomization. */
export function transformNames(
  resources: Resource[],
  kustomization: Node,
  { references: configured, namePrefix, nameSuffix }: Configuration,
): Resource[] {
  const [prefix, suffix] = [
    stringAt(kustomization, "namePrefix") ?? "",
    stringAt(kustomization, "nameSuffix") ?? "",
  ];
  if (prefix === "" && suffix === "") return resources;
  const renamed = new Map<string, string>();
  const named = resources.map((given): Resource => {
    const resource = withAffix(
      withAffix(given, namePrefix, (value) => `${prefix}${value}`),
      nameSuffix,
      (value) => `${value}${suffix}`,
    );
    const name = nameOf(resource);
    if (UNPREFIXED.test(kindOf(resource)) || name === "") return resource;
    const to = `${prefix}${name}${suffix}`;
    renamed.set(`${kindOf(resource)}/${name}`, to);
    return { node: setAt(resource.node, "metadata/name", to), formerNames: [...resource.formerNames, name] };
  });
  const references = [...OWN_REFERENCES, ...configured];
  return named.map((resource) => withRenamed(resource, renamed, references));
}

/** Adds a prefix or suffix to the fields that `configurations:` name. */
function withAffix(resource: Resource, fields: Field[], change: (value: string) => string): Resource {
  let node = resource.node;
  for (const { selector, path } of fields)
    if (path !== "metadata/name" && selects(selector, resource))
      node = changeAt(
        node,
        parsePath(path, "/"),
        (found) => (found?.kind === "scalar" ? scalar(change(found.value)) : found),
        false,
      ) as Mapping;
  return node === resource.node ? resource : { ...resource, node };
}

/** Uses that were written against a former name in another kustomization than the one that changed it. */
export function restoreReferences(resources: Resource[], configured: NameReference[]): Resource[] {
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
    withServices(
      renamed.size === 0 ? resource : withRenamed(resource, renamed, [...OWN_REFERENCES, ...configured]),
      services,
    ),
  );
}

/** Webhooks also name the namespace of their service, which may have changed. */
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

function withRenamed(
  resource: Resource,
  renamed: Map<string, string>,
  references: NameReference[],
): Resource {
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
    const to = renamed.get(`ServiceAccount/${stringAt(subject, "name")}`);
    return to !== undefined && subject.kind === "mapping" ? withEntry(subject, "name", scalar(to)) : subject;
  });
  return withEntry(node, "subjects", { ...subjects, items });
}

/** Sets `namespace` on every object that has one, and on references to it. */
export function transformNamespace(
  resources: Resource[],
  kustomization: Node,
  configured: Field[],
): Resource[] {
  const namespace = stringAt(kustomization, "namespace");
  if (!namespace) return resources;
  const accounts = accountsOf(resources);
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

type Accounts = Map<string, Set<string>>;

/** Namespaces of the accounts with each name; an account without a namespace is in `default`. */
function accountsOf(resources: Resource[]): Accounts {
  const accounts: Accounts = new Map();
  for (const each of resources) {
    if (kindOf(each) !== "ServiceAccount") continue;
    const namespaces = accounts.get(nameOf(each)) ?? new Set();
    accounts.set(nameOf(each), namespaces.add(namespaceOf(each) || "default"));
  }
  return accounts;
}

/** kustomize compares a subject's name and namespace, not its kind. */
function isAccount(subject: Node, accounts: Accounts): boolean {
  const namespace = stringAt(subject, "namespace");
  const namespaces = accounts.get(stringAt(subject, "name") ?? "");
  return namespaces !== undefined && (namespace === undefined || namespaces.has(namespace));
}

function withSubjects(node: Mapping, namespace: string, accounts: Accounts): Mapping {
  const subjects = get(node, "subjects");
  if (subjects?.kind !== "sequence") return node;
  const items = subjects.items.map((subject) => {
    const own = stringAt(subject, "name") === "default" || isAccount(subject, accounts);
    return own && subject.kind === "mapping" ? withEntry(subject, "namespace", scalar(namespace)) : subject;
  });
  return withEntry(node, "subjects", { ...subjects, items });
}
