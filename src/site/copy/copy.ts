import { graphOf } from "../../copy.ts";
import { type CopyImageResult, type CopyPlan, copyImage } from "../../copy-image.ts";
import type { Emit } from "../../events.ts";
import { quote } from "../../host/host.ts";
import { run } from "../../host/process.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { formatReference, type Reference } from "../../oci/reference.ts";
import { findAttached } from "../../resolve/images/attached.ts";
import { openPlace, openTarget, type Place, parsePlace } from "../../transport/open.ts";
import { Registries } from "../../transport/registry/registries.ts";
import type { Source } from "../../transport/types.ts";
import { withExit } from "../exit.ts";
import type { PushRoot } from "../push/plan.ts";
import { isRunnableChild, nameOf, PushTarget } from "../push/target.ts";
import { checkHarbor } from "./check.ts";

/** What `airgap copy` is told; places as they were typed. */
export interface CopyOptions {
  source: string;
  destination: string;
  /** Where relative paths begin. */
  baseDir: string;
  /** Copy an index whole. */
  all: boolean;
  /** Of an index the child for this platform: `linux/amd64`. */
  platform: string;
  foreignLayers: boolean;
  /** Plain http, or https without a certificate check. */
  insecure?: boolean;
  /** PEM file of the authority that signed the registries' certificates. */
  caFile?: string;
  /** A quota that is too small is only a warning. */
  yes: boolean;
  cacheDir: string;
  emit: Emit;
  signal?: AbortSignal;
}

/** Places that can hold attached artifacts. */
const HOLDS_ATTACHED: readonly string[] = ["docker", "oci", "oci-archive"];

/** The command with all its options, to be typed again. */
function commandOf(options: CopyOptions): string {
  return [
    "airgap copy",
    ...(options.all ? ["--all"] : [`--platform ${options.platform}`]),
    ...(options.foreignLayers ? ["--foreign-layers"] : []),
    ...(options.yes ? ["--yes"] : []),
    ...(options.insecure ? ["--insecure"] : []),
    ...(options.caFile === undefined ? [] : [`--ca-file ${quote(options.caFile)}`]),
    quote(options.source),
    quote(options.destination),
  ].join(" ");
}

/**
 * Copies one image between two places, with the logins and authorities of this machine. A Harbor is
 * asked first for what it would refuse.
 * @throws AirgapError exit 3 before the first byte, exit 4 for a `network` error while sending
 */
export async function copy(options: CopyOptions): Promise<CopyImageResult> {
  const { insecure, caFile, emit } = options;
  const trust = { ...(insecure ? { insecure } : {}), ...(caFile ? { caFile } : {}) };
  const registries = Registries.forUser(run, { trust: () => trust, emit });
  try {
    return await copyWith(registries, options);
  } finally {
    await registries.close();
  }
}

/** The same with registries that are open already. */
export async function copyWith(registries: Registries, options: CopyOptions): Promise<CopyImageResult> {
  const from = parsePlace(options.source, options.baseDir);
  const to = parsePlace(options.destination, options.baseDir);
  const platform = parsePlatform(options.platform);
  const opening = { ...options, registries };
  const { source, reference } = await openPlace(from, opening);
  const { destination: opened, tags } = openTarget(to, opening);
  let destination = opened;
  let target: PushTarget | undefined;
  let sending = false;
  try {
    if (to.kind === "docker") {
      target = await openRegistry(registries, to.reference, options);
      destination = target.repository(to.reference.repository);
    }
    const check = async (plan: CopyPlan): Promise<CopyPlan> => {
      const left =
        target?.harbor && to.kind === "docker"
          ? await checkHarbor(target.harbor, target, to.reference, plan, source, options)
          : plan;
      sending = true;
      return left;
    };
    const result = await copyImage({
      ...options,
      source,
      reference,
      destination,
      tags,
      platform,
      check,
      ...(from.kind === "docker" && to.kind === "docker" && from.reference.host === to.reference.host
        ? { mountFrom: registries.destination(from.reference.host, from.reference.repository) }
        : {}),
      ...(to.kind === "docker" && to.reference.digest ? { expect: to.reference.digest } : {}),
      ...(HOLDS_ATTACHED.includes(to.kind) ? { findAttached } : {}),
    });
    await destination.close?.();
    if (target && to.kind === "docker") await warnIfWithheld(target, to.reference, result, source, options);
    return {
      ...result,
      source: placeText(from),
      destination: placeText(to),
    };
  } catch (error) {
    await destination.close?.().catch(() => {});
    const explained = target ? target.explain(error) : error;
    // Before the first byte only the destination's refusals are failed checks.
    throw explained === error && !sending ? error : withExit(explained, sending);
  } finally {
    await source.close?.();
  }
}

/** Says when a policy of a Harbor project lets nobody pull what was copied. */
async function warnIfWithheld(
  target: PushTarget,
  to: Reference,
  { digest, mediaType, size }: CopyImageResult,
  source: Source,
  { emit, signal }: CopyOptions,
): Promise<void> {
  const { repository, tag } = to;
  if (!(await target.mayWithhold(repository))) return;
  const descriptor = { mediaType, digest, size };
  const root: PushRoot = { repository, reference: tag ?? digest, descriptor };
  await target.head(root, signal);
  await target.readChildren(root, (await graphOf(source, descriptor)).filter(isRunnableChild(root)), signal);
  const reason = target.withheld.get(nameOf(root));
  if (reason !== undefined)
    emit({
      type: "warning",
      message: `Nobody can pull ${formatReference(to)}, as a policy of the project forbids it (${reason.replace(/\.$/, "")}). Sign or scan it there, or change the policy: Configuration, Deployment security`,
    });
}

/** A place with its tag, name or digest; a source and a destination know their repository, folder or file only. */
const placeText = (place: Place): string =>
  place.kind === "docker"
    ? `docker://${formatReference(place.reference)}`
    : `${place.kind}:${place.path}${place.name === "" ? "" : `:${place.name}`}`;

const openRegistry = (
  registries: Registries,
  { host, repository }: Reference,
  options: CopyOptions,
): Promise<PushTarget> =>
  PushTarget.open({
    registries,
    host,
    repository,
    command: commandOf(options),
    makesProjects: false,
    emit: options.emit,
    ...(options.signal ? { signal: options.signal } : {}),
  });
