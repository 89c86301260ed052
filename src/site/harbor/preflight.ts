import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { formatBytes } from "../../format.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import { RegistryError } from "../../transport/registry/answer.ts";
import type { HarborApi, NewProject } from "./api.ts";
import { missingProjects, noProjectRight, noPushRight, type PushWords } from "./errors.ts";

/** What is about to go into one project. */
export interface ProjectLoad {
  name: string;
  /** A repository of it that is pushed to. */
  repository: string;
  /** Whether it is known not to be there. */
  missing: boolean;
  /** Bytes that may be new to it. */
  bytes: number;
  /** Tags that will mean something else than now. */
  moved: { repository: string; tag: string; from: string; to: string }[];
}

export interface PreflightOptions {
  words: PushWords;
  /** How to make what is missing; undefined = not at all. */
  create?: NewProject;
  dryRun: boolean;
  /** Doubts are no reason to stop. */
  yes: boolean;
  emit: Emit;
  signal?: AbortSignal;
}

/** Components without which nothing can be pushed. */
const VITAL = new Set(["core", "database", "redis", "registry"]);

const failed = (message: string, suggestions: string[]): AirgapError =>
  new AirgapError("check-failed", message, { suggestions });

async function checkHealth(api: HarborApi, { emit, words }: PreflightOptions): Promise<AirgapError[]> {
  const health = await api.health();
  if (!health || health.healthy) return [];
  const told = health.ill.map(({ name, error }) => `${name}${error === "" ? "" : ` (${error})`}`).join(", ");
  if (health.ill.some(({ name }) => VITAL.has(name)) || health.ill.length === 0) {
    return [
      failed(`${words.host} says of itself that it is unhealthy: ${told}`, [
        `curl ${words.url}/api/v2.0/health`,
      ]),
    ];
  }
  emit({
    type: "warning",
    message: `${words.host} has components that are not well, though none that a push needs: ${told}`,
  });
  return [];
}

async function checkSpace(
  api: HarborApi,
  loads: ProjectLoad[],
  { words }: PreflightOptions,
): Promise<AirgapError[]> {
  const free = await api.freeSpace();
  const needed = loads.reduce((sum, { bytes }) => sum + bytes, 0);
  if (free === undefined || needed <= free) return [];
  return [
    failed(
      `${words.host} has ${formatBytes(free)} of storage left, and up to ${formatBytes(needed)} would be sent`,
      ["make room there: Administration, Clean Up"],
    ),
  ];
}

async function checkQuota(
  api: HarborApi,
  load: ProjectLoad,
  { words, yes, emit }: PreflightOptions,
): Promise<AirgapError[]> {
  const quota = await api.quota(load.name);
  if (quota === undefined || quota.limit < 0 || load.bytes <= quota.limit - quota.used) return [];
  const left = formatBytes(Math.max(0, quota.limit - quota.used));
  const message = `Project '${load.name}' of ${words.host} has ${left} left of its quota of ${formatBytes(quota.limit)}, and up to ${formatBytes(load.bytes)} would be new to it`;
  if (yes) {
    emit({ type: "warning", message: `${message}; going on as --yes says` });
    return [];
  }
  return [
    failed(message, [
      "have an administrator raise it: Administration, Project Quotas",
      "or go on, when the project holds much of it already: add --yes",
    ]),
  ];
}

async function checkTags(api: HarborApi, { moved }: ProjectLoad): Promise<AirgapError[]> {
  const immutable = await Promise.all(moved.map(({ repository, tag }) => api.isImmutable(repository, tag)));
  return moved
    .filter((_, i) => immutable[i] === true)
    .map(({ repository, tag, from, to }) =>
      failed(`${repository}:${tag} is immutable and means ${from}; it can't be made ${to}`, [
        "give the image another tag, or land it elsewhere with --map 'FROM=TO'",
      ]),
    );
}

async function checkProject(
  api: HarborApi,
  load: ProjectLoad,
  options: PreflightOptions,
): Promise<AirgapError[]> {
  const project = await api.project(load.name);
  if (project?.proxyCache) {
    return [
      failed(`Project '${load.name}' of ${options.words.host} is a proxy cache, to which nobody can push`, [
        "push to another project, or map it there: --map 'FROM=TO'",
      ]),
    ];
  }
  if ((await api.client.mayPush(load.repository, options.signal)) === false)
    return [noPushRight(load.name, options.words)];
  return [...(await checkQuota(api, load, options)), ...(await checkTags(api, load))];
}

function combined(errors: AirgapError[]): AirgapError {
  const [first, ...others] = errors as [AirgapError, ...AirgapError[]];
  if (others.length === 0) return first;
  return new AirgapError(
    "check-failed",
    `Nothing was sent, for ${errors.length} reasons: ${errors.map(({ message }) => message).join("; ")}`,
    {
      suggestions: [...new Set(errors.flatMap(({ suggestions }) => suggestions))],
      data: { problems: errors.map(({ code, message }) => ({ code, message })) },
    },
  );
}

/**
 * Everything that Harbor would refuse half-way, asked before the first byte; then makes the
 * projects that are missing.
 * @returns the projects that were made, or would be
 * @throws AirgapError `check-failed`, `unauthorized`
 */
export async function harborPreflight(
  api: HarborApi,
  loads: ProjectLoad[],
  options: PreflightOptions,
): Promise<string[]> {
  const { words, create, dryRun, emit } = options;
  const errors: AirgapError[] = [];
  if (api.info.readOnly === true) {
    errors.push(
      failed(`${words.host} is in read-only mode`, [
        "have an administrator end it: Administration, Configuration, System Settings, Repository Read Only",
      ]),
    );
  }
  const known = await mapConcurrent(
    loads,
    async (load) => ({ ...load, missing: load.missing || (await api.hasProject(load.name)) === false }),
    options.signal,
  );
  const there = known.filter(({ missing }) => !missing);
  const checks = [
    () => checkHealth(api, options),
    () => checkSpace(api, loads, options),
    ...there.map((load) => () => checkProject(api, load, options)),
  ];
  errors.push(...(await mapConcurrent(checks, (check) => check(), options.signal)).flat());
  const missing = known.filter((load) => load.missing).map(({ name }) => name);
  if (missing.length > 0 && create === undefined) errors.push(missingProjects(missing, words));
  if (errors.length > 0) throw combined(errors);
  if (create === undefined || dryRun) return missing;
  for (const name of missing) {
    await api.createProject(name, create).catch((error: unknown) => {
      throw error instanceof RegistryError && error.code === "unauthorized"
        ? noProjectRight(name, words, error)
        : error;
    });
    emit({ type: "note", message: `Project '${name}' made, ${create.public ? "public" : "private"}` });
  }
  // Harbor refuses tokens that are older than the project that they are used for.
  if (missing.length > 0) api.client.forgetTokens();
  return missing;
}
