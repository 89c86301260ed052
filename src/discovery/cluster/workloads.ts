import { type Digest, isDigest } from "../../oci/digest.ts";
import { KUBERNETES_GROUPS } from "../images/kinds-data.ts";
import type { ClusterObject } from "./kubectl.ts";

/** Kinds of Kubernetes itself that have pods, or a template for pods that may come later. */
const WORKLOADS = new Set(
  "pods podtemplates replicationcontrollers deployments.apps daemonsets.apps statefulsets.apps replicasets.apps jobs.batch cronjobs.batch".split(
    " ",
  ),
);

/** Whether objects of a kind may name images: workloads, and every custom resource. */
export function mayNameImages(kind: string): boolean {
  const dot = kind.indexOf(".");
  return WORKLOADS.has(kind) || (dot > 0 && !KUBERNETES_GROUPS.has(kind.slice(dot + 1)));
}

const WORKLOAD_KINDS = new Set(
  "Pod PodTemplate ReplicationController Deployment DaemonSet StatefulSet ReplicaSet Job CronJob".split(" "),
);

/** The same of one object, whatever list it stands in. */
export function mayNameImagesItself({ apiVersion, kind }: ClusterObject): boolean {
  const [group, version] = String(apiVersion).split("/");
  return WORKLOAD_KINDS.has(String(kind)) || (version !== undefined && !KUBERNETES_GROUPS.has(String(group)));
}

/** Controllers whose own template names every image of their pods. */
const TEMPLATES = new Set([
  "ReplicaSet",
  "ReplicationController",
  "DaemonSet",
  "StatefulSet",
  "Job",
  "CronJob",
  "Deployment",
]);

const asObject = (value: unknown): ClusterObject =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as ClusterObject) : {};
const asList = (value: unknown): ClusterObject[] => (Array.isArray(value) ? value.map(asObject) : []);
const asText = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

export const namespaceOf = (object: ClusterObject): string | undefined =>
  asText(asObject(object["metadata"])["namespace"]);

export const nameOf = (object: ClusterObject): string => asText(asObject(object["metadata"])["name"]) ?? "";

/** What owns an object: `ReplicaSet/web-5d4`. */
function ownerOf(object: ClusterObject): string | undefined {
  const owner = asList(asObject(object["metadata"])["ownerReferences"]).find(
    ({ controller }) => controller === true,
  );
  return asText(owner?.["kind"]);
}

/**
 * Whether the owner of an object says the same, so that only what runs counts. The replica sets of a
 * deployment are its history too: images that an update replaced.
 */
export const repeatsItsOwner = (object: ClusterObject): boolean => TEMPLATES.has(ownerOf(object) ?? "");

/** A container of a pod: the image that its specification names, and the digest that runs. */
export interface RunningContainer {
  image: string;
  /** `spec.initContainers[0].image` */
  path: string;
  /** Absent while it does not run, and for an image that was loaded from a file. */
  digest?: Digest;
}

/** The containers of a pod, with what kubelet says about each. */
export function containersOf(pod: ClusterObject): RunningContainer[] {
  const [spec, status] = [asObject(pod["spec"]), asObject(pod["status"])];
  return (["containers", "initContainers", "ephemeralContainers"] as const).flatMap((key) => {
    const states = asList(status[`${key.slice(0, -1)}Statuses`]);
    return asList(spec[key]).flatMap((container, i) => {
      const image = asText(container["image"]);
      if (image === undefined) return [];
      const state = states.find(({ name }) => name === container["name"]);
      const digest = digestIn(asText(state?.["imageID"]));
      return [{ image, path: `spec.${key}[${i}].image`, ...(digest ? { digest } : {}) }];
    });
  });
}

/**
 * `imageID` is `registry/name@sha256:…`, with Docker after `docker-pullable://`. A digest alone is that of the
 * configuration, which no registry knows an image by.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ContainerStatus
 */
function digestIn(imageId: string | undefined): Digest | undefined {
  const digest = imageId?.split("@")[1];
  return digest !== undefined && isDigest(digest) ? digest : undefined;
}
