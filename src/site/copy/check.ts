import type { CopyPlan } from "../../copy-image.ts";
import type { Emit } from "../../events.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import type { Reference } from "../../oci/reference.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import type { Source } from "../../transport/types.ts";
import type { HarborApi } from "../harbor/api.ts";
import { harborPreflight, type MovedTag } from "../harbor/preflight.ts";
import type { Load } from "../harbor/quota.ts";
import { type PushRoot, projectOf } from "../push/plan.ts";
import type { PushTarget } from "../push/target.ts";

/**
 * Asks a Harbor for everything that it would refuse half-way.
 * @returns the plan without what is there under its tag already: the tag may be immutable
 * @throws AirgapError `check-failed`, `unauthorized`
 */
export async function checkHarbor(
  harbor: HarborApi,
  target: PushTarget,
  { repository, tag }: Reference,
  plan: CopyPlan,
  source: Source,
  { yes, emit, signal }: { yes: boolean; emit: Emit; signal?: AbortSignal },
): Promise<CopyPlan> {
  const name = projectOf(repository);
  const roots: PushRoot[] = [
    ...(tag === undefined ? [] : [{ repository, reference: tag, descriptor: plan.root }]),
    ...plan.attached.flatMap(({ descriptor, tag: reference }) =>
      reference === undefined ? [] : [{ repository, reference, descriptor }],
    ),
  ];
  const missing = (await harbor.hasProject(name)) === false;
  const found = missing ? [] : await mapConcurrent(roots, (root, stop) => target.head(root, stop), signal);
  const moved = roots.flatMap(({ reference, descriptor }, i): MovedTag[] => {
    const from = found[i];
    return from === undefined || from === descriptor.digest
      ? []
      : [{ repository, tag: reference, from, to: descriptor.digest }];
  });
  const load = loadOf(plan.content, (descriptor, stop) => target.has(repository, descriptor, stop), signal);
  await harborPreflight(harbor, [{ name, repository, missing, moved, ...load }], load, {
    asker: target.asker,
    dryRun: false,
    yes,
    isRefused: ({ tag: reference }) =>
      target.refusesTag(roots.find((root) => root.reference === reference) as PushRoot, source, signal),
    emit,
    ...(signal ? { signal } : {}),
  });
  // Whether a project that the account may not read is a proxy cache, an upload tells.
  const blob = plan.content.find(({ mediaType }) => !isManifestLike(mediaType));
  if (blob !== undefined && (await harbor.project(name)) === "denied")
    await target.repository(repository).prepare(blob, signal);
  const isThere = (reference: string | undefined): boolean =>
    roots.some((root, i) => root.reference === reference && found[i] === root.descriptor.digest);
  return {
    ...plan,
    attached: plan.attached.filter((each) => !isThere(each.tag)),
    ...(isThere(tag) ? { rootPresent: true } : {}),
  };
}

/** What one repository may get, each blob and manifest once. */
function loadOf(
  content: Descriptor[],
  has: (descriptor: Descriptor, signal: AbortSignal) => Promise<boolean>,
  signal?: AbortSignal,
): Load {
  const wanted = [...new Map<Digest, Descriptor>(content.map((each) => [each.digest, each])).values()];
  const sum = (sizes: number[]): number => sizes.reduce((bytes, size) => bytes + size, 0);
  return {
    bytes: sum(wanted.map(({ size }) => size)),
    newBytes: async () =>
      sum(
        await mapConcurrent(wanted, async (each, stop) => ((await has(each, stop)) ? 0 : each.size), signal),
      ),
  };
}
