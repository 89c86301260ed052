import { type Mapping, stringAt } from "../documents/node.ts";

/** Groups whose objects grant, watch or judge, and never make a cluster pull an image. */
const GROUPS =
  /^(?:rbac\.authorization\.k8s\.io|apiextensions\.k8s\.io|apiregistration\.k8s\.io|image\.toolkit\.fluxcd\.io|policy\.sigstore\.dev|constraints\.gatekeeper\.sh|templates\.gatekeeper\.sh|kargo\.akuity\.io|kustomize\.config\.k8s\.io|authorization\.openshift\.io|security\.openshift\.io)\//;

/** Kinds that do the same in groups that also have other kinds. */
const KINDS =
  /^(?:CustomResourceDefinition|ClusterImagePolicy|ImagePolicy|ImageRepository|ImageUpdateAutomation|ImageContentSourcePolicy|ImageDigestMirrorSet|ImageTagMirrorSet|ImageContentPolicy|ValidatingAdmissionPolicy|ValidatingAdmissionPolicyBinding|ValidatingWebhookConfiguration|PrometheusRule|ServiceMonitor|PodMonitor|NetworkPolicy|Role|ClusterRole|RoleBinding|ClusterRoleBinding|PodSecurityPolicy|SecurityContextConstraints|PackageManifest)$/;

/** Whether an object is of a kind that never has an image to pull. */
export function holdsNoImages(object: Mapping): boolean {
  const [group, kind] = [stringAt(object, "apiVersion") ?? "", stringAt(object, "kind") ?? ""];
  return kind !== "" && (KINDS.test(kind) || GROUPS.test(group));
}

/** Keys with values that are compared, defined or repeated, not pulled. */
const PASSED_OVER = new Set([
  "managedFields",
  "ownerReferences",
  "openAPIV3Schema",
  "labels",
  "matchLabels",
  "matchExpressions",
  "nodeSelector",
  "commonLabels",
  "podLabels",
  "_example",
  "rbd",
  "kubectl.kubernetes.io/last-applied-configuration",
  "alm-examples",
  "operators.operatorframework.io/initialization-resource",
]);

/** In a policy of an admission controller: what it checks, as opposed to what it adds. */
const ASKED_BY_POLICIES = new Set([
  "validate",
  "verifyImages",
  "match",
  "exclude",
  "preconditions",
  "deny",
  "imageVerify",
  "matchConditions",
]);

/** Whether the value of a key is left out. */
export function passedOver(key: string, object: Mapping | undefined, depth: number): boolean {
  if (PASSED_OVER.has(key) || /\.example$/.test(key)) return true;
  const group = stringAt(object, "apiVersion") ?? "";
  if (/^(?:[\w.-]*\.)?kyverno\.io\//.test(group) && ASKED_BY_POLICIES.has(key)) return true;
  // Texts that catalogues show.
  if (key === "containerImage" && stringAt(object, "kind") === "ClusterServiceVersion") return true;
  return key === "status" && depth === 1 && group !== "";
}

/** `Deployment/web`, for messages. */
export function labelOf(object: Mapping): string | undefined {
  const kind = stringAt(object, "kind");
  if (kind === undefined || stringAt(object, "apiVersion") === undefined) return undefined;
  const name = stringAt(object, "metadata", "name") ?? stringAt(object, "metadata", "generateName");
  return name === undefined ? kind : `${kind}/${name}`;
}
