import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { run } from "../../host/process.ts";
import { isRecord } from "../../oci/descriptor.ts";
import type { Credentials } from "../../transport/credential.ts";
import { failure } from "../../transport/registry/answer.ts";
import { Registries } from "../../transport/registry/registries.ts";
import { type Difference, missingRoles, missingUsers, pages, replacePassword } from "./accounts.ts";
import { type Component, HarborApi } from "./api.ts";
import { parseQuota } from "./quota.ts";
import type { WantedHarbor } from "./wanted.ts";

export interface HarborOptions {
  /** `host[:port]` */
  host: string;
  login?: WantedHarbor["login"];
  insecure?: boolean;
  /** PEM file of the authority that signed Harbor's certificate. */
  caFile?: string;
  emit: Emit;
  signal?: AbortSignal;
}

/** What `airgap harbor configure --json` prints. */
export interface ConfigureResult {
  host: string;
  /** What was made or changed; with --check, what would be. */
  changes: string[];
}

const fixed = (username: string, password: string): Credentials => ({
  for: async () => ({ username, password }),
});

const notHarbor = (host: string): AirgapError =>
  new AirgapError("protocol", `${host} does not answer as a Harbor`, {
    suggestions: [`look at it: https://${host}/api/v2.0/health`],
  });

/** Talks to a Harbor as somebody; connections end with the task. */
async function withHarbor<T>(
  options: HarborOptions,
  password: string | undefined,
  task: (api: HarborApi) => Promise<T>,
): Promise<T> {
  const { host, insecure, caFile, emit, signal, login } = options;
  const trust = () => ({ ...(insecure ? { insecure } : {}), ...(caFile ? { caFile } : {}) });
  const registries =
    login === undefined
      ? Registries.forUser(run, { trust, emit })
      : new Registries({ trust, emit, credentials: fixed(login.user, password ?? login.password) });
  try {
    const api = await HarborApi.meet(registries.client(host), undefined, signal);
    if (api === undefined) throw notHarbor(host);
    return await task(api);
  } finally {
    await registries.close();
  }
}

/** Whether the password that Harbor started with had still to be replaced. */
async function setPassword(options: HarborOptions, check: boolean): Promise<boolean> {
  const { login } = options;
  const initial = login?.initial;
  if (login === undefined || initial === undefined) return false;
  try {
    await withHarbor(options, login.password, async () => {});
    return false;
  } catch (error) {
    if (!isAirgapError(error, "unauthorized")) throw error;
    await withHarbor(options, initial, async (api) => {
      if (!check) await replacePassword(api, initial, login.password);
    }).catch((second: unknown) => {
      throw isAirgapError(second, "unauthorized") ? foreignPassword(options, login.user, error) : second;
    });
    return true;
  }
}

const foreignPassword = ({ host }: HarborOptions, user: string, cause: unknown): AirgapError =>
  new AirgapError(
    "unauthorized",
    `${host} does not accept the password of ${user}: somebody has changed it, or its database is older than this installation`,
    {
      cause,
      suggestions: [
        "give the right one: `registry: { harbor: { adminPasswordEnv: NAME } }`, and export NAME=…",
      ],
    },
  );

async function quotaDifference(
  api: HarborApi,
  project: { name: string; id: unknown },
  quota: string | undefined,
): Promise<Difference[]> {
  if (quota === undefined) return [];
  const limit = parseQuota(quota);
  const known = await api.quota(project.name);
  if (typeof known === "object" && known.limit === limit) return [];
  const what = `quota of project ${project.name}: ${quota}`;
  const settle = async (): Promise<void> => {
    const [entry] = await pages(api, `quotas?reference=project&reference_id=${String(project.id)}`);
    const response = await api.send(`quotas/${String(entry?.id)}`, {
      method: "PUT",
      body: { hard: { storage: limit } },
    });
    if (response.status !== 200) throw await failure(response, what, api.client.host);
    await response.discard();
  };
  return [{ what, settle }];
}

async function projectDifferences(
  api: HarborApi,
  { name, public: open, quota }: NonNullable<WantedHarbor["projects"]>[number],
): Promise<Difference[]> {
  if ((await api.hasProject(name)) !== true) {
    const options = { public: open, ...(quota === undefined ? {} : { quota: parseQuota(quota) }) };
    return [{ what: `project ${name}`, settle: () => api.createProject(name, options) }];
  }
  const found = await api.get(`projects/${encodeURIComponent(name)}`);
  const id = isRecord(found) ? found.project_id : undefined;
  const isPublic = isRecord(found) && isRecord(found.metadata) && String(found.metadata.public) === "true";
  const differences = await quotaDifference(api, { name, id }, quota);
  if (isPublic === open) return differences;
  const what = `project ${name} is ${open ? "public" : "private"}`;
  const settle = async (): Promise<void> => {
    const body = { metadata: { public: String(open) } };
    const response = await api.send(`projects/${encodeURIComponent(name)}`, { method: "PUT", body });
    if (response.status !== 200) throw await failure(response, what, api.client.host);
    await response.discard();
  };
  return [...differences, { what, settle }];
}

/**
 * Gives a Harbor its projects, users and roles, and its administrator the password. What it has beyond
 * them stays. Safe to repeat.
 * @param check say what differs, and change nothing
 * @throws AirgapError `unauthorized`, RegistryError
 */
export async function configureHarbor(
  wanted: WantedHarbor,
  options: HarborOptions & { check: boolean },
): Promise<ConfigureResult> {
  const { check, host } = options;
  const { projects = [], users = [] } = wanted;
  const changes: string[] = [];
  if (await setPassword(options, check)) changes.push("the administrator's password");
  // Before the first password is replaced, nothing else is there either.
  if (check && changes.length > 0) return { host, changes };
  await withHarbor(options, undefined, async (api) => {
    const settle = async (differences: Difference[]): Promise<void> => {
      for (const { what, settle } of differences) {
        if (!check) await settle();
        changes.push(what);
      }
    };
    const made = await missingUsers(api, users);
    await settle((await Promise.all(projects.map((each) => projectDifferences(api, each)))).flat());
    await settle(made);
    // A role needs its project and its user.
    if (!check || changes.length === 0) await settle(await missingRoles(api, users));
  });
  return { host, changes };
}

/** The names of all projects, sorted. */
export async function listProjects(options: HarborOptions): Promise<string[]> {
  return withHarbor(options, undefined, async (api) => {
    const found = await pages(api, "projects");
    return found.flatMap(({ name }) => (typeof name === "string" ? [name] : [])).sort();
  });
}

/** How a Harbor is. */
export interface HarborHealth {
  host: string;
  healthy: boolean;
  components: Component[];
}

/** Asks a Harbor for the health of each component; no login is needed. @throws AirgapError `network`, `protocol` */
export async function harborHealth(options: HarborOptions): Promise<HarborHealth> {
  const { host, insecure, caFile, emit, signal } = options;
  const registries = new Registries({
    trust: () => ({ ...(insecure ? { insecure } : {}), ...(caFile ? { caFile } : {}) }),
    emit,
  });
  try {
    const api = await HarborApi.meet(registries.client(host), undefined, signal);
    const health = await api?.health();
    if (health === undefined) throw notHarbor(host);
    return { host, healthy: health.healthy, components: health.components };
  } finally {
    await registries.close();
  }
}
