import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import { RegistryError } from "../../transport/registry/answer.ts";
import type { HarborApi, NewProject } from "./api.ts";
import {
  type Asker,
  failedCheck,
  missingProjects,
  noProjectRight,
  noPushRight,
  noRightInNewProject,
} from "./errors.ts";
import { checkNewQuota, checkQuota, checkSpace, type Load } from "./quota.ts";

/** A tag that is about to get another manifest. */
export interface MovedTag {
  repository: string;
  tag: string;
  from: string;
  to: string;
}

/** What is about to go into one project. */
export interface ProjectLoad extends Load {
  name: string;
  /** A repository of it that is pushed to. */
  repository: string;
  /** Whether the project is known to be missing. */
  missing: boolean;
  moved: MovedTag[];
}

export interface PreflightOptions {
  asker: Asker;
  /** How to make missing projects; undefined = not at all. */
  create?: NewProject;
  dryRun: boolean;
  /** A quota that is too small is only a warning. */
  yes: boolean;
  /** Whether a tag is immutable, found out by giving it its new manifest before any blob. */
  isRefused: (tag: MovedTag) => Promise<boolean>;
  emit: Emit;
  signal?: AbortSignal;
}

/** Components without which nothing can be pushed. */
const VITAL = new Set(["core", "database", "redis", "registry"]);

async function checkHealth(api: HarborApi, { emit, asker }: PreflightOptions): Promise<AirgapError[]> {
  const health = await api.health();
  if (!health || health.healthy) return [];
  const told = health.ill.map(({ name, error }) => `${name}${error === "" ? "" : ` (${error})`}`).join(", ");
  if (health.ill.some(({ name }) => VITAL.has(name)) || health.ill.length === 0) {
    return [
      failedCheck(`${asker.host} says of itself that it is unhealthy: ${told}`, [
        `curl ${asker.url}/api/v2.0/health`,
      ]),
    ];
  }
  emit({
    type: "warning",
    message: `${asker.host} has unhealthy components, though none that a push needs: ${told}`,
  });
  return [];
}

const immutable = ({ repository, tag, from, to }: MovedTag): AirgapError =>
  failedCheck(`${repository}:${tag} is immutable and is ${from}; it cannot become ${to}`, [
    "give the image another tag, or another name with --map 'FROM=TO'",
  ]);

/** What was found out about a project's tags: errors, and the tags that the account may not ask about. */
async function checkTags(
  api: HarborApi,
  { moved }: ProjectLoad,
): Promise<{ errors: AirgapError[]; unknown: MovedTag[] }> {
  const found = await Promise.all(moved.map(({ repository, tag }) => api.artifact(repository, tag)));
  return {
    errors: moved
      .filter((_, i) => typeof found[i] === "object" && found[i].immutable === true)
      .map(immutable),
    unknown: moved.filter((_, i) => found[i] === "denied"),
  };
}

/** What a project's checks came to. */
interface Checked {
  name: string;
  errors: AirgapError[];
  /** Tags of which the account may not ask whether they are immutable. */
  unknown: MovedTag[];
  isPrivate: boolean;
}

async function checkProject(api: HarborApi, load: ProjectLoad, options: PreflightOptions): Promise<Checked> {
  const { asker, emit, dryRun } = options;
  const checked: Checked = { name: load.name, errors: [], unknown: [], isPrivate: false };
  const project = await api.project(load.name);
  if (typeof project === "object" && project.proxyCache) {
    checked.errors.push(
      failedCheck(`Project '${load.name}' of ${asker.host} is a proxy cache, and nobody can push to it`, [
        "push to another project, or send the image there with --map 'FROM=TO'",
      ]),
    );
    return checked;
  }
  if ((await api.client.mayPush(load.repository, options.signal)) === false) {
    checked.errors.push(noPushRight(load.name, asker));
    return checked;
  }
  const quota = await api.quota(load.name);
  if (project === "denied" || quota === "denied")
    emit({ type: "warning", message: unread(load.name, project === "denied", asker) });
  if (typeof quota === "object") checked.errors.push(...(await checkQuota(load.name, quota, load, options)));
  if (typeof project === "object") {
    checked.isPrivate = !project.public;
    if (dryRun && project.policies.length > 0)
      emit({
        type: "warning",
        message: `Project '${load.name}' of ${asker.host} lets nobody pull an image without ${project.policies.join(" and ")}`,
      });
  }
  const tags = await checkTags(api, load);
  checked.errors.push(...tags.errors);
  checked.unknown.push(...tags.unknown);
  return checked;
}

const who = ({ user }: Asker): string => user ?? "an account without a login";

const unread = (name: string, wholly: boolean, asker: Asker): string =>
  wholly
    ? `${asker.host} does not let ${who(asker)} read project '${name}': its quota, its policies and whether it is a proxy cache were not checked. The permissions Project: Read and Quota: Read allow it to a robot account`
    : `${asker.host} does not let ${who(asker)} read the quota of project '${name}': it was not checked. The permission Quota: Read allows it to a robot account`;

const unreadTags = (tags: MovedTag[], asker: Asker): string =>
  `${asker.host} does not let ${who(asker)} ask whether these tags are immutable: ${tags.map(({ repository, tag }) => `${repository}:${tag}`).join(", ")}. The permission Artifact: Read allows it to a robot account`;

/** Several failed checks as one error. */
function combined(errors: AirgapError[]): AirgapError {
  const [first, ...others] = errors as [AirgapError, ...AirgapError[]];
  if (others.length === 0) return first;
  return new AirgapError(
    "check-failed",
    `Nothing was sent, for ${errors.length} reasons: ${errors.map(({ message }) => message.replace(/; nothing was sent$/, "")).join("; ")}`,
    {
      suggestions: [...new Set(errors.flatMap(({ suggestions }) => suggestions))],
      data: { problems: errors.map(({ code, message }) => ({ code, message })) },
    },
  );
}

/** Makes a project, and sees whether the account may push to it. @throws AirgapError `unauthorized` */
async function make(
  api: HarborApi,
  { name, repository }: ProjectLoad,
  create: NewProject,
  { asker, emit, signal }: PreflightOptions,
): Promise<void> {
  await api.createProject(name, create).catch((error: unknown) => {
    throw error instanceof RegistryError && error.code === "unauthorized"
      ? noProjectRight(name, asker, error)
      : error;
  });
  emit({ type: "note", message: `Project '${name}' was made, ${create.public ? "public" : "private"}` });
  // Harbor refuses tokens that are older than the project that they are used for.
  api.client.forgetTokens();
  if ((await api.client.mayPush(repository, signal)) === false) throw noRightInNewProject(name, asker);
  if (create.quota === undefined) return;
  const quota = await api.quota(name);
  if (typeof quota === "object" && quota.limit !== create.quota)
    emit({
      type: "warning",
      message: `${asker.host} did not apply --project-quota to project '${name}': only administrators may set a quota`,
    });
}

/** Tags that the account may not ask about: tried by giving them their new manifest, before any blob. */
async function checkUnknown(
  unknown: MovedTag[],
  { asker, emit, dryRun, isRefused, signal }: PreflightOptions,
): Promise<AirgapError[]> {
  if (unknown.length === 0) return [];
  if (dryRun) {
    emit({ type: "warning", message: unreadTags(unknown, asker) });
    return [];
  }
  const refused = await mapConcurrent(unknown, (tag) => isRefused(tag), signal);
  return unknown.filter((_, i) => refused[i]).map(immutable);
}

/**
 * Asks for everything that Harbor would refuse half-way, before the first byte; then makes the
 * missing projects.
 * @param all what goes into all projects together
 * @returns the projects that were made, or would be
 * @throws AirgapError `check-failed`, `unauthorized`
 */
export async function harborPreflight(
  api: HarborApi,
  loads: ProjectLoad[],
  all: Load,
  options: PreflightOptions,
): Promise<string[]> {
  const { asker, create, dryRun, emit, signal } = options;
  const errors: AirgapError[] = [];
  if (api.info.readOnly === true) {
    errors.push(
      failedCheck(`${asker.host} is in read-only mode`, [
        "have an administrator end it: Administration, Configuration, System Settings, Repository Read Only",
      ]),
    );
  }
  const known = await mapConcurrent(
    loads,
    async (load) => ({ ...load, missing: load.missing || (await api.hasProject(load.name)) === false }),
    signal,
  );
  const missing = known.filter((load) => load.missing);
  const general = [() => checkHealth(api, options), () => checkSpace(api, all, asker)];
  errors.push(...(await mapConcurrent(general, (check) => check(), signal)).flat());
  const there = known.filter((load) => !load.missing);
  const checked = await mapConcurrent(there, (load) => checkProject(api, load, options), signal);
  errors.push(...checked.flatMap((each) => each.errors));
  const names = missing.map(({ name }) => name);
  if (names.length > 0 && create === undefined) errors.push(missingProjects(names, asker));
  errors.push(...missing.flatMap((load) => checkNewQuota(load.name, create?.quota, load, asker)));
  if (errors.length > 0) throw combined(errors);
  const refused = await checkUnknown(
    checked.flatMap((each) => each.unknown),
    options,
  );
  if (refused.length > 0) throw combined(refused);
  const closed = [
    ...checked.filter(({ isPrivate }) => isPrivate).map(({ name }) => name),
    ...(create?.public === false ? names : []),
  ];
  if (closed.length > 0)
    emit({
      type: "note",
      message: `Nodes need a login to pull from ${asker.host}; private: ${closed.join(", ")}`,
    });
  if (create !== undefined && !dryRun) for (const load of missing) await make(api, load, create, options);
  return names;
}
