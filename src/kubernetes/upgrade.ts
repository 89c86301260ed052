import { minorOf } from "./rules.ts";
import { comparePatch, type KubernetesVersion, parseVersion } from "./version.ts";

/** A patch release; 0.0.0 for what is not one, so that it is older than every release. */
function exact(version: string): KubernetesVersion {
  try {
    const request = parseVersion(version);
    if ("exact" in request) return request.exact;
  } catch {
    // An answer of a host that is not a version.
  }
  return { major: 0, minor: 0, patch: 0, suffix: "", ci: false };
}

/** Orders versions by major, minor and patch: negative when `a` is older. */
export const compareVersions = (a: string, b: string): number => comparePatch(exact(a), exact(b));

/** Whether a version is at least as new as another. */
export const isAtLeast = (version: string, wanted: string): boolean => compareVersions(version, wanted) >= 0;

/** The oldest of some versions. */
export const oldestOf = (versions: readonly string[]): string | undefined =>
  versions.toSorted(compareVersions)[0];

/** The way from one version to another: kubeadm upgrades one minor at a time. */
export interface UpgradePath {
  /** Versions to stop at, the target last; empty when nothing is to do. */
  stones: string[];
  /** Minors on the way of which no version is carried, and the target if it is not: `v1.26`. */
  missing: string[];
}

/**
 * The stepping stones between two versions, of those that a bundle carries: the newest patch of every
 * minor between, then the target. kubernetes/kubernetes cmd/kubeadm/app/phases/upgrade/policy.go.
 */
export function upgradePath(from: string, to: string, carried: readonly string[]): UpgradePath {
  if (isAtLeast(from, to)) return { stones: [], missing: [] };
  const between = Array.from({ length: Math.max(0, minorOf(to) - minorOf(from) - 1) }, (_, i) => {
    const minor = minorOf(from) + 1 + i;
    const own = carried.filter((version) => minorOf(version) === minor).toSorted(compareVersions);
    return { name: `v1.${minor}`, version: own.at(-1) };
  });
  return {
    stones: [...between.flatMap(({ version }) => version ?? []), to],
    missing: [
      ...between.flatMap(({ name, version }) => (version === undefined ? [name] : [])),
      ...(carried.includes(to) ? [] : [to]),
    ],
  };
}

/**
 * By how many minors a kubelet may be older than the control plane that kubeadm upgrades to.
 * policy.go of kubeadm: 1 up to 1.28, 3 from 1.29 on.
 */
export const kubeletLag = (minor: number): number => (minor >= 29 ? 3 : 1);

/**
 * kubelet's flags with the first minor that does not know them: kubelet ends with `unknown flag`.
 * Compared in kubernetes/kubernetes cmd/kubelet/app/options of 1.23.17, 1.26.13, 1.30.5, 1.33.13, 1.34.4, 1.36.3.
 */
const DROPPED: readonly { minor: number; flags: string[] }[] = [
  {
    minor: 24,
    flags: [
      "network-plugin",
      "cni-conf-dir",
      "cni-bin-dir",
      "cni-cache-dir",
      "network-plugin-mtu",
      "docker-endpoint",
      "image-pull-progress-deadline",
      "experimental-dockershim-root-directory",
      "non-masquerade-cidr",
      "experimental-kernel-memcg-notification",
      "really-crash-for-testing",
      "experimental-check-node-capabilities-before-mount",
    ],
  },
  { minor: 27, flags: ["container-runtime", "master-service-namespace"] },
  { minor: 31, flags: ["iptables-drop-bit", "iptables-masquerade-bit", "keep-terminated-pod-volumes"] },
  { minor: 34, flags: ["cloud-config", "register-schedulable"] },
  { minor: 35, flags: ["pod-infra-container-image"] },
];

/** Flags that the kubelet of a minor does not know any more, without their dashes. */
export const droppedKubeletFlags = (minor: number): string[] =>
  DROPPED.filter((each) => each.minor <= minor).flatMap(({ flags }) => flags);

/**
 * Flags of the control plane with the first minor that does not know them: the component would not start.
 * Release notes of 1.24 (#95856, #106865: insecure ports) and 1.27 (#113710: pod eviction).
 */
const DROPPED_ARGUMENTS: readonly { minor: number; component: string; flags: string[] }[] = [
  { minor: 24, component: "apiServer", flags: ["insecure-port", "insecure-bind-address", "address"] },
  { minor: 24, component: "controllerManager", flags: ["port", "address"] },
  { minor: 24, component: "scheduler", flags: ["port", "address"] },
  { minor: 27, component: "controllerManager", flags: ["pod-eviction-timeout", "enable-taint-manager"] },
];

/** Flags of a component, as kubeadm's ClusterConfiguration calls it, that a minor does not know any more. */
export const droppedArguments = (minor: number, component: string): string[] =>
  DROPPED_ARGUMENTS.filter((each) => each.minor <= minor && each.component === component).flatMap(
    ({ flags }) => flags,
  );

/** Admission plugins that a minor does not have any more. Release notes of 1.25 (#109798) and 1.30 (#122612). */
export const droppedAdmission = (minor: number): string[] => [
  ...(minor >= 25 ? ["PodSecurityPolicy"] : []),
  ...(minor >= 30 ? ["SecurityContextDeny"] : []),
];

/** An API version that a minor stops serving. */
export interface ApiRemoval {
  /** The first minor that does not serve it. */
  minor: number;
  /** `policy/v1beta1` */
  api: string;
  /** Kinds with the name of their resource. */
  kinds: Record<string, string>;
  /** The version to write instead; absent where the kind is gone. */
  instead?: string;
}

/** https://kubernetes.io/docs/reference/using-api/deprecation-guide/ */
export const API_REMOVALS: readonly ApiRemoval[] = [
  {
    minor: 22,
    api: "networking.k8s.io/v1beta1",
    kinds: { Ingress: "ingresses", IngressClass: "ingressclasses" },
    instead: "networking.k8s.io/v1",
  },
  {
    minor: 22,
    api: "extensions/v1beta1",
    kinds: { Ingress: "ingresses" },
    instead: "networking.k8s.io/v1",
  },
  {
    minor: 22,
    api: "rbac.authorization.k8s.io/v1beta1",
    kinds: {
      ClusterRole: "clusterroles",
      ClusterRoleBinding: "clusterrolebindings",
      Role: "roles",
      RoleBinding: "rolebindings",
    },
    instead: "rbac.authorization.k8s.io/v1",
  },
  {
    minor: 22,
    api: "apiextensions.k8s.io/v1beta1",
    kinds: { CustomResourceDefinition: "customresourcedefinitions" },
    instead: "apiextensions.k8s.io/v1",
  },
  {
    minor: 22,
    api: "admissionregistration.k8s.io/v1beta1",
    kinds: {
      MutatingWebhookConfiguration: "mutatingwebhookconfigurations",
      ValidatingWebhookConfiguration: "validatingwebhookconfigurations",
    },
    instead: "admissionregistration.k8s.io/v1",
  },
  {
    minor: 22,
    api: "apiregistration.k8s.io/v1beta1",
    kinds: { APIService: "apiservices" },
    instead: "apiregistration.k8s.io/v1",
  },
  {
    minor: 22,
    api: "scheduling.k8s.io/v1beta1",
    kinds: { PriorityClass: "priorityclasses" },
    instead: "scheduling.k8s.io/v1",
  },
  {
    minor: 22,
    api: "storage.k8s.io/v1beta1",
    kinds: { StorageClass: "storageclasses", CSIDriver: "csidrivers", VolumeAttachment: "volumeattachments" },
    instead: "storage.k8s.io/v1",
  },
  { minor: 25, api: "policy/v1beta1", kinds: { PodSecurityPolicy: "podsecuritypolicies" } },
  {
    minor: 25,
    api: "policy/v1beta1",
    kinds: { PodDisruptionBudget: "poddisruptionbudgets" },
    instead: "policy/v1",
  },
  { minor: 25, api: "batch/v1beta1", kinds: { CronJob: "cronjobs" }, instead: "batch/v1" },
  {
    minor: 25,
    api: "discovery.k8s.io/v1beta1",
    kinds: { EndpointSlice: "endpointslices" },
    instead: "discovery.k8s.io/v1",
  },
  {
    minor: 25,
    api: "autoscaling/v2beta1",
    kinds: { HorizontalPodAutoscaler: "horizontalpodautoscalers" },
    instead: "autoscaling/v2",
  },
  {
    minor: 26,
    api: "autoscaling/v2beta2",
    kinds: { HorizontalPodAutoscaler: "horizontalpodautoscalers" },
    instead: "autoscaling/v2",
  },
  {
    minor: 26,
    api: "flowcontrol.apiserver.k8s.io/v1beta1",
    kinds: { FlowSchema: "flowschemas", PriorityLevelConfiguration: "prioritylevelconfigurations" },
    instead: "flowcontrol.apiserver.k8s.io/v1",
  },
  {
    minor: 27,
    api: "storage.k8s.io/v1beta1",
    kinds: { CSIStorageCapacity: "csistoragecapacities" },
    instead: "storage.k8s.io/v1",
  },
  {
    minor: 29,
    api: "flowcontrol.apiserver.k8s.io/v1beta2",
    kinds: { FlowSchema: "flowschemas", PriorityLevelConfiguration: "prioritylevelconfigurations" },
    instead: "flowcontrol.apiserver.k8s.io/v1",
  },
  {
    minor: 32,
    api: "flowcontrol.apiserver.k8s.io/v1beta3",
    kinds: { FlowSchema: "flowschemas", PriorityLevelConfiguration: "prioritylevelconfigurations" },
    instead: "flowcontrol.apiserver.k8s.io/v1",
  },
];

/** The removals that an upgrade crosses: not yet at `from`, but at `to`. */
export const removalsBetween = (from: number, to: number): ApiRemoval[] =>
  API_REMOVALS.filter(({ minor }) => from < minor && minor <= to);

/** The removal that an object's API version and kind fall under in a minor. */
export const removalOf = (minor: number, api: string, kind: string): ApiRemoval | undefined =>
  API_REMOVALS.find(
    (removal) => removal.minor <= minor && removal.api === api && Object.hasOwn(removal.kinds, kind),
  );

/** Plugins that kubeadm's tool knows how to carry over to the next CoreDNS (coredns/corefile-migration). */
export const KNOWN_COREDNS_PLUGINS: ReadonlySet<string> = new Set([
  ...["errors", "log", "health", "ready", "autopath", "kubernetes", "k8s_external", "prometheus", "proxy"],
  ...[
    "forward",
    "cache",
    "loop",
    "reload",
    "loadbalance",
    "hosts",
    "rewrite",
    "transfer",
    "template",
    "import",
  ],
]);
