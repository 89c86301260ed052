import { isAirgapError } from "../../errors.ts";
import type { Headers, HttpResponse, Method } from "../../http.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { basicAuthorization } from "../../origin.ts";
import type { Credential } from "../../transport/credential.ts";
import { failure } from "../../transport/registry/answer.ts";
import type { RegistryClient } from "../../transport/registry/client.ts";
import { wrongLogin } from "./errors.ts";

const MAX_ANSWER = 4 * 1024 * 1024;

/** Stands for what the account may not ask. */
export type Denied = "denied";

/** What a Harbor tells of itself; much of it only to an account that is logged in. */
export interface SystemInfo {
  version?: string;
  readOnly?: boolean;
}

/** A part of Harbor: `database`. */
export interface Component {
  name: string;
  healthy: boolean;
  /** What it says when it is not. */
  error: string;
}

export interface Health {
  healthy: boolean;
  components: Component[];
  /** Unhealthy components, with what they say. */
  ill: { name: string; error: string }[];
}

export interface Project {
  name: string;
  public: boolean;
  /** A cache of another registry; nobody can push to it. */
  proxyCache: boolean;
  /** What an image must have before anybody may pull it, in words. */
  policies: string[];
  /** Whether it must have a signature by cosign. */
  signed: boolean;
}

/** What a repository has under a tag or digest. */
export interface Artifact {
  digest: Digest;
  /** Whether a rule forbids to give the tag to another artifact. */
  immutable?: boolean;
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

const DENIED: Denied = "denied";

interface ApiRequest {
  method?: Method;
  body?: unknown;
  headers?: Headers;
}

const numberAt = (value: unknown, key: string): number | undefined => {
  const found = isRecord(value) ? value[key] : undefined;
  return typeof found === "number" && Number.isFinite(found) ? found : undefined;
};

/** The name and password to greet with; an identity token is none. */
const basicOf = (credential: Credential | undefined): Headers =>
  credential && "username" in credential
    ? { authorization: basicAuthorization(credential.username, credential.password) }
    : {};

/** How a project's metadata says what an image needs before it may be pulled. */
function policiesIn(metadata: Record<string, unknown>): string[] {
  const isOn = (key: string): boolean => String(metadata[key]) === "true";
  return [
    ...(isOn("enable_content_trust_cosign") ? ["a signature by cosign"] : []),
    ...(isOn("enable_content_trust") ? ["a signature by notation"] : []),
    ...(isOn("prevent_vul")
      ? [`a scan without vulnerabilities of severity ${String(metadata["severity"] ?? "low")} or higher`]
      : []),
  ];
}

function infoIn(value: unknown): SystemInfo | undefined {
  // Other registries may answer any path with a page of their own.
  if (!isRecord(value) || typeof value.auth_mode !== "string") return undefined;
  const info: SystemInfo = {};
  if (typeof value.harbor_version === "string") info.version = value.harbor_version;
  if (typeof value.read_only === "boolean") info.readOnly = value.read_only;
  return info;
}

/**
 * Harbor's own API, version 2.0, as far as a pusher needs it. No cookies are sent: with one, Harbor
 * wants a CSRF token.
 * https://github.com/goharbor/harbor/blob/main/api/v2.0/swagger.yaml
 */
export class HarborApi {
  readonly client: RegistryClient;
  readonly info: SystemInfo;
  readonly #login: Headers;
  readonly #signal: AbortSignal | undefined;
  readonly #projects = new Map<string, Promise<Project | Denied | undefined>>();

  private constructor(client: RegistryClient, info: SystemInfo, login: Headers, signal?: AbortSignal) {
    this.client = client;
    this.info = info;
    this.#login = login;
    this.#signal = signal;
  }

  /**
   * Finds out whether a registry is a Harbor, and whether the login is right. A wrong one is shown
   * once: each failed login takes Harbor 1.5 s and may lock an account.
   * @param repository for credentials that hold for a namespace
   * @throws AirgapError `unauthorized`
   */
  static async meet(
    client: RegistryClient,
    repository?: string,
    signal?: AbortSignal,
  ): Promise<HarborApi | undefined> {
    const ask = async (headers: Headers): Promise<SystemInfo | "login" | undefined> => {
      const response = await send(client, "systeminfo", { headers }, signal);
      const info = infoIn(response.status === 200 ? await readJson(response) : await response.discard());
      return info ?? (response.status === 401 ? "login" : undefined);
    };
    const credential = await client.credential(repository);
    const login = basicOf(credential);
    const first = (await client.greetsAsHarbor()) ? "harbor" : await ask({});
    if (first === undefined) return undefined;
    if (
      first !== "login" &&
      credential &&
      "username" in credential &&
      !(await accepts(client, login, signal))
    )
      throw wrongLogin({ host: client.host, user: credential.username });
    const info = typeof first === "object" && login["authorization"] === undefined ? first : await ask(login);
    return typeof info === "object" ? new HarborApi(client, info, login, signal) : undefined;
  }

  /** The status is in the body: HTTP says 200 also of an ill Harbor. */
  async health(): Promise<Health | undefined> {
    const value = await this.get("health");
    if (!isRecord(value) || typeof value.status !== "string") return undefined;
    const components = Array.isArray(value.components) ? value.components.filter(isRecord) : [];
    const known = components.map(
      ({ name, status, error }): Component => ({
        name: String(name),
        healthy: status === "healthy",
        error: typeof error === "string" ? error : "",
      }),
    );
    const ill = known.filter(({ healthy }) => !healthy).map(({ name, error }) => ({ name, error }));
    return { healthy: value.status === "healthy", components: known, ill };
  }

  /** Free bytes of the storage, where it is a disk and the user an administrator. */
  async freeSpace(): Promise<number | undefined> {
    const value = await this.get("systeminfo/volumes");
    const volumes = isRecord(value) && Array.isArray(value.storage) ? value.storage : [];
    const known = volumes
      .filter((volume) => (numberAt(volume, "total") ?? 0) > 0)
      .map((volume) => numberAt(volume, "free") ?? 0);
    return known.length > 0 ? Math.max(...known) : undefined;
  }

  /** Whether there is a project of this name. */
  async hasProject(name: string): Promise<boolean | undefined> {
    const response = await this.send(`projects?${new URLSearchParams({ project_name: name })}`, {
      method: "HEAD",
    });
    await response.discard();
    return response.status === 200 ? true : response.status === 404 ? false : undefined;
  }

  /** A project as it was when it was first asked for. */
  project(name: string): Promise<Project | Denied | undefined> {
    const known = this.#projects.get(name) ?? this.#project(name);
    this.#projects.set(name, known);
    return known;
  }

  async #project(name: string): Promise<Project | Denied | undefined> {
    const value = await this.get(`projects/${encodeURIComponent(name)}`);
    if (!isRecord(value)) return value === DENIED ? DENIED : undefined;
    const metadata = isRecord(value.metadata) ? value.metadata : {};
    return {
      name,
      public: String(metadata.public) === "true",
      proxyCache: (numberAt(value, "registry_id") ?? 0) > 0,
      policies: policiesIn(metadata),
      signed: String(metadata["enable_content_trust_cosign"]) === "true",
    };
  }

  /** Undefined where Harbor has no quotas: that is a setting of its. */
  async quota(name: string): Promise<Quota | Denied | undefined> {
    const value = await this.get(`projects/${encodeURIComponent(name)}/summary`);
    if (value === DENIED) return DENIED;
    const quota = isRecord(value) && isRecord(value.quota) ? value.quota : undefined;
    // A robot account without Quota: Read gets a summary without it. Every role of a user may read it.
    if (isRecord(value) && quota === undefined && !isRecord(await this.get("users/current"))) return DENIED;
    const limit = numberAt(quota?.hard, "storage");
    const used = numberAt(quota?.used, "storage");
    return limit === undefined || used === undefined ? undefined : { limit, used };
  }

  /** What a repository has under a tag or digest; undefined for nothing. */
  async artifact(repository: string, reference: string): Promise<Artifact | Denied | undefined> {
    const [project = "", ...rest] = repository.split("/");
    // A slash inside a repository is encoded twice: the first round is taken off on the way in.
    const name = encodeURIComponent(encodeURIComponent(rest.join("/")));
    const path = `projects/${encodeURIComponent(project)}/repositories/${name}/artifacts/${encodeURIComponent(reference)}`;
    const value = await this.get(`${path}?with_tag=true&with_immutable_status=true`);
    if (value === DENIED) return DENIED;
    if (!isRecord(value) || !isDigest(value.digest)) return undefined;
    const tags = Array.isArray(value.tags) ? value.tags.filter(isRecord) : [];
    const immutable = tags.find((each) => each.name === reference)?.immutable;
    return { digest: value.digest, ...(typeof immutable === "boolean" ? { immutable } : {}) };
  }

  /** Makes a project, unless somebody else just made it. @throws RegistryError */
  async createProject(name: string, options: NewProject): Promise<void> {
    const body = {
      project_name: name,
      metadata: { public: String(options.public) },
      ...(options.quota === undefined ? {} : { storage_limit: options.quota }),
    };
    const response = await this.send("projects", { method: "POST", body });
    if (response.status !== 201 && response.status !== 409)
      throw await failure(response, `the project ${name}`, this.client.host);
    await response.discard();
    this.#projects.delete(name);
  }

  /** The JSON of an answer; `denied` for what the account may not ask, undefined for what is not there. */
  async get(path: string): Promise<unknown> {
    const response = await this.send(path, {});
    if (response.status === 200) return await readJson(response);
    await response.discard();
    return response.status === 401 || response.status === 403 ? DENIED : undefined;
  }

  /** Sends a request with the account's login. */
  send(path: string, request: ApiRequest): Promise<HttpResponse> {
    return send(
      this.client,
      path,
      { ...request, headers: { ...this.#login, ...request.headers } },
      this.#signal,
    );
  }
}

/** Harbor says 401 to Basic on `/v2/` for a wrong password and for a robot that is expired or disabled; its token service says 200. */
async function accepts(client: RegistryClient, login: Headers, signal?: AbortSignal): Promise<boolean> {
  const response = await client.http.request(new URL("/v2/", await client.base()), {
    headers: login,
    retries: 1,
    ...(signal ? { signal } : {}),
  });
  await response.discard();
  return response.status !== 401;
}

async function send(
  client: RegistryClient,
  path: string,
  { method = "GET", body, headers }: ApiRequest,
  signal?: AbortSignal,
): Promise<HttpResponse> {
  return await client.http.request(new URL(`/api/v2.0/${path}`, await client.base()), {
    method,
    headers: {
      accept: "application/json",
      // A project that is called by a number would be taken for an id.
      "x-is-resource-name": "true",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    // What is not known is left to the push itself; a page that always fails must not hold it up.
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
