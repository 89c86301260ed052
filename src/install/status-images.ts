import { type Cluster, registryName } from "../cluster/cluster.ts";
import type { Comparison } from "../discovery/cluster/compare.ts";
import { type ClusterImage, findImagesInCluster } from "../discovery/cluster/find-images.ts";
import type { Run } from "../discovery/cluster/kubectl.ts";
import { describePlace } from "../discovery/manifests/find-images.ts";
import { silent } from "../events.ts";
import { count } from "../format.ts";
import type { Host } from "../host/host.ts";
import type { Lock } from "../lock/lock.ts";
import { land } from "../names/landing.ts";
import { formatReference, parseReference } from "../oci/reference.ts";
import { withLibrary } from "../plan/script.ts";
import { call } from "../plan/shell.ts";
import { landingRules } from "./node-images.ts";

/** What a cluster uses beside a bundle. References are sorted. */
export interface ImageStatus extends Omit<Comparison, "missing"> {
  /** Neither the bundle nor the site's registry has them; the places where the cluster names each. */
  missing: { reference: string; places: string[] }[];
  /** What could not be read. */
  warnings: string[];
}

/** kubectl on a control plane, by its library. */
const kubectlOn =
  (control: Host): Run =>
  (command, args, { timeoutMs, maxOutput, signal }) =>
    control.run(withLibrary(call(command, ...args)), {
      timeoutMs,
      ...(maxOutput ? { maxOutput } : {}),
      ...(signal ? { signal } : {}),
    });

/**
 * Every image that a cluster runs or may run, compared with a bundle: as `images find --cluster --bundle`, by the site's
 * own names too.
 * @throws AirgapError `refused` when the cluster gives no answer
 */
export async function imageStatus(
  cluster: Cluster,
  control: Host,
  lock: Lock,
  signal: AbortSignal | undefined,
): Promise<ImageStatus> {
  const rules = landingRules(cluster, lock);
  const { images, comparison, warnings } = await findImagesInCluster({
    run: kubectlOn(control),
    lock,
    namesOf: (name) => [formatReference(land(parseReference(name), rules))],
    incomplete: () => {},
    emit: silent,
    signal,
  });
  const { carried = [], missing = [], differs = [], unused = [] } = comparison ?? {};
  const own = [registryName(cluster.registry), lock.siteName];
  const places = new Map(images.map((image) => [image.reference, placesOf(image)]));
  return {
    carried,
    // What others put into the site's registry is not the bundle's.
    missing: missing
      .filter((reference) => !own.includes(parseReference(reference).host))
      .map((reference) => ({ reference, places: places.get(reference) ?? [] })),
    differs,
    unused,
    warnings,
  };
}

const placesOf = ({ places }: ClusterImage): string[] => places.map((place) => describePlace(place));

/** Images without which a pod starts on no other node, or starts as another one. */
export function imageProblems({ missing, differs }: ImageStatus): string[] {
  return [
    ...missing.map(({ reference, places: [first, ...more] }) => {
      const seen =
        more.length > 0 ? `${first} and ${count(more.length, "other place")} name it` : `${first} names it`;
      return `${reference} is not in the bundle; ${seen}`;
    }),
    ...differs.map(
      ({ reference, runs, carries }) =>
        `${reference} is another image in the bundle: ${runs.join(", ")} runs, the bundle has ${carries}`,
    ),
  ];
}
