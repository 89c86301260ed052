import pLimit from "p-limit";
import { messageOf } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { Kubectl, type KubectlOptions } from "./kubectl.ts";
import { type ClusterFinds, ObjectReader } from "./reader.ts";
import { mayNameImages } from "./workloads.ts";

export interface FindInClusterOptions extends KubectlOptions {
  emit: Emit;
}

/** Lists of kinds that are asked for at a time. */
const AT_ONCE = 4;

/**
 * Every image that a cluster runs or may run: of pods, of templates without pods (suspended, scaled to zero),
 * of custom resources, and of the variables and arguments of operators.
 * @throws AirgapError `environment`, `refused` when nothing at all can be read
 */
export async function findInCluster(options: FindInClusterOptions): Promise<ClusterFinds> {
  const kubectl = new Kubectl(options);
  const reader = new ObjectReader();
  const kinds = (await kubectl.kinds((message) => reader.missing(message))).filter(mayNameImages);
  options.emit({ type: "phase", name: "Reading the cluster", detail: `${kinds.length} kinds` });
  const limit = pLimit(AT_ONCE);
  await Promise.all(
    kinds.map((kind) =>
      limit(async () => {
        try {
          for (const object of await kubectl.list(kind)) reader.read(object);
        } catch (error) {
          options.signal?.throwIfAborted();
          reader.missing(`cannot list ${kind}, so its images are missing: ${messageOf(error)}`);
        }
      }),
    ),
  );
  return reader.finds();
}
