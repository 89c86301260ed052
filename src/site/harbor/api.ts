import { isAirgapError } from "../../errors.ts";
import type { Headers, HttpResponse, Method } from "../../http.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { basicAuthorization } from "../../origin.ts";
import { failure } from "../../transport/registry/answer.ts";
import type { RegistryClient } from "../../transport/registry/client.ts";

const MAX_ANSWER = 4 * 1024 * 1024;

/** What a Harbor tells of itself; much of it only to who is logged in. */
export interface SystemInfo {
  version?: string;
  readOnly?: boolean;
}

export interface Health {
  healthy: boolean;
  /** Components that are not well, with what they say. */
  ill: { name: string; error: string }[];
}

export interface Project {
  name: string;
  public: boolean;
  /** A cache of another registry; nobody can push to it. */
  proxyCache: boolean;
}

/** Bytes; -1 = no limit. */
export interface Quota {
  limit: number;
  used: number;
}

export interface NewProject {
  public: boolean;
  /** Bytes; without one Harbor's own default holds. */
  quota?: number;
}

interface ApiRequest {
  method?: Method;
  body?: unknown;
  headers?: Headers;
}

const numberAt = (value: unknown, key: string): number | undefined => {
  const found = isRecord(value) ? value[key] : undefined;
  return typeof found === "number" && Number.isFinite(found) ? found : undefined;
};

/**
 * Harbor's own API, version 2.0, as far as a pusher needs it. What the user may not ask is
 * undefined. No cookies are sent: with one, Harbor wants a CSRF token.
 * https://github.com/goharbor/harbor/blob/main/api/v2.0/swagger.yaml
 */
export class HarborApi {
  readonly client: RegistryClient;
  readonly info: SystemInfo;
  readonly #signal: AbortSignal | undefined;

  private constructor(client: RegistryClient, info: SystemInfo, signal?: AbortSignal) {
    this.client = client;
    this.info = info;
    this.#signal = signal;
  }

  /** Asks a registry whether it is a Harbor. */
  static async meet(client: RegistryClient, signal?: AbortSignal): Promise<HarborApi | undefined> {
    const response = await send(client, "systeminfo", {}, signal);
    const value = response.status === 200 ? await readJson(response) : await response.discard();
    // Others may answer any path with a page of their own.
    if (!isRecord(value) || typeof value.auth_mode !== "string") return undefined;
    const info: SystemInfo = {};
    if (typeof value.harbor_version === "string") info.version = value.harbor_version;
    if (typeof value.read_only === "boolean") info.readOnly = value.read_only;
    return new HarborApi(client, info, signal);
  }

  /** The status is in the body: HTTP says 200 also of an ill Harbor. */
  async health(): Promise<Health | undefined> {
    const value = await this.#get("health");
    if (!isRecord(value) || typeof value.status !== "string") return undefined;
    const components = Array.isArray(value.components) ? value.components.filter(isRecord) : [];
    const ill = components
      .filter(({ status }) => status !== "healthy")
      .map(({ name, error }) => ({ name: String(name), error: typeof error === "string" ? error : "" }));
    return { healthy: value.status === "healthy", ill };
  }

  /** Free bytes of the storage, where it is a disk and the user an administrator. */
  async freeSpace(): Promise<number | undefined> {
    const value = await this.#get("systeminfo/volumes");
    const volumes = isRecord(value) && Array.isArray(value.storage) ? value.storage : [];
    const known = volumes
      .filter((volume) => (numberAt(volume, "total") ?? 0) > 0)
      .map((volume) => numberAt(volume, "free") ?? 0);
    return known.length > 0 ? Math.max(...known) : undefined;
  }

  /** Whether there is a project of this name. */
  async hasProject(name: string): Promise<boolean | undefined> {
    const response = await this.#send(`projects?${new URLSearchParams({ project_name: name })}`, {
      method: "HEAD",
    });
    await response.discard();
    return response.status === 200 ? true : response.status === 404 ? false : undefined;
  }

  async project(name: string): Promise<Project | undefined> {
    const value = await this.#get(`projects/${encodeURIComponent(name)}`);
    if (!isRecord(value)) return undefined;
    const metadata = isRecord(value.metadata) ? value.metadata : {};
    return {
      name,
      public: String(metadata.public) === "true",
      proxyCache: (numberAt(value, "registry_id") ?? 0) > 0,
    };
  }

  async quota(name: string): Promise<Quota | undefined> {
    const value = await this.#get(`projects/${encodeURIComponent(name)}/summary`);
    const quota = isRecord(value) && isRecord(value.quota) ? value.quota : undefined;
    const limit = numberAt(quota?.hard, "storage");
    const used = numberAt(quota?.used, "storage");
    return limit === undefined || used === undefined ? undefined : { limit, used };
  }

  /** Whether a rule forbids that this tag ever means something else. */
  async isImmutable(repository: string, tag: string): Promise<boolean | undefined> {
    const [project = "", ...rest] = repository.split("/");
    // A slash inside a repository is encoded twice: the first round is taken off on the way in.
    const name = encodeURIComponent(encodeURIComponent(rest.join("/")));
    const path = `projects/${encodeURIComponent(project)}/repositories/${name}/artifacts/${encodeURIComponent(tag)}`;
    const value = await this.#get(`${path}?with_tag=true&with_immutable_status=true`);
    const tags = isRecord(value) && Array.isArray(value.tags) ? value.tags.filter(isRecord) : [];
    const found = tags.find((each) => each.name === tag)?.immutable;
    return typeof found === "boolean" ? found : undefined;
  }

  /** Makes a project; that somebody else just made it is as good. @throws RegistryError */
  async createProject(name: string, options: NewProject): Promise<void> {
    const body = {
      project_name: name,
      metadata: { public: String(options.public) },
      ...(options.quota === undefined ? {} : { storage_limit: options.quota }),
    };
    const response = await this.#send("projects", { method: "POST", body });
    if (response.status !== 201 && response.status !== 409)
      throw await failure(response, `the project ${name}`, this.client.host);
    await response.discard();
  }

  async #get(path: string): Promise<unknown> {
    const response = await this.#send(path, {});
    if (response.status === 200) return await readJson(response);
    await response.discard();
    return undefined;
  }

  #send(path: string, request: ApiRequest): Promise<HttpResponse> {
    return send(this.client, path, request, this.#signal);
  }
}

async function send(
  client: RegistryClient,
  path: string,
  { method = "GET", body, headers }: ApiRequest,
  signal?: AbortSignal,
): Promise<HttpResponse> {
  const credential = await client.credential();
  return await client.http.request(new URL(`/api/v2.0/${path}`, await client.base()), {
    method,
    headers: {
      accept: "application/json",
      // A project that is called by a number would be taken for an id.
      "x-is-resource-name": "true",
      ...(credential && "username" in credential
        ? { authorization: basicAuthorization(credential.username, credential.password) }
        : {}),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    // What can't be known is left to the push itself; a page that always fails need not hold it up.
    retries: 1,
    ...(signal ? { signal } : {}),
  });
}

async function readJson(response: HttpResponse): Promise<unknown> {
  try {
    return await response.json(MAX_ANSWER);
  } catch (error) {
    if (isAirgapError(error, "protocol")) return undefined;
    throw error;
  }
}
