import { basicHeader } from "./auth.ts";
import type { Exchange } from "./exchange.ts";
import { type Hook, startRegistry, type TestRegistry } from "./registry.ts";

export interface HarborProject {
  public: boolean;
  proxyCache?: boolean;
  /** Bytes; -1 = none. */
  quota: number;
  /** Tags that may not be given to another manifest. */
  immutable: Set<string>;
  /** Only images with a cosign signature may be pulled. */
  cosign?: boolean;
  /** Only images that were scanned may be pulled; here none is. */
  preventVul?: boolean;
  /** When it was made, on the clock of `tick`. */
  made: number;
  /** Roles by user: 1 projectAdmin, 2 developer, 3 guest, 4 maintainer, 5 limitedGuest. */
  members?: Record<string, number>;
}

export interface HarborUser {
  password: string;
  email?: string;
  admin?: boolean;
  /**
   * A robot account. Without `reads` it may not ask for projects and artifacts, as push and pull alone do not
   * allow that; without `readsQuota` a project's summary has no quota.
   */
  robot?: boolean;
  reads?: boolean;
  readsQuota?: boolean;
  /** It may make projects, though it is no administrator. */
  creates?: boolean;
  /** Expired or disabled: its secret is right, and not accepted. */
  disabled?: boolean;
  /** Rights by project; `*` for all. */
  rights: Record<string, "pull" | "push">;
}

export interface HarborOptions {
  users?: Record<string, HarborUser>;
  projects?: Record<string, Partial<HarborProject>>;
  readOnly?: boolean;
  unhealthy?: string[];
  /** Bytes left on its disk. */
  free?: number;
  tls?: { key: string; cert: string };
  /** Looked at before Harbor. */
  hooks?: Hook[];
}

export interface TestHarbor extends TestRegistry {
  projects: Map<string, HarborProject>;
  /** Scopes of the tokens that were given. */
  tokens: string[][];
  /** Bytes that count against each project's quota. */
  used: Map<string, number>;
  /** Paths that were asked with a login that is not accepted: each may lock an account, and takes a real Harbor 1.5 s. */
  failedLogins: string[];
  /** Bodies of the robot accounts that were made. */
  robots: Record<string, unknown>[];
}

const NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;
const NOT_SIGNED = "The image is not signed by cosign.";
/** What Harbor takes for a signature by cosign. */
const SIGNATURE_TYPES = [
  "application/vnd.dev.cosign.artifact.sig.v1+json",
  "application/vnd.dev.sigstore.bundle.v0.3+json",
];

interface SignedBy {
  artifactType?: string;
  subject?: { digest: string };
}

const MAX_MANIFEST = 4 * 1024 * 1024;

/** `2.9 KiB`, `1000 B` */
function inHarborsUnits(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10);
  const unit = ["B", "KiB", "MiB", "GiB"][power];
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${unit}`;
}

/** A registry that answers as Harbor 2.16 does where that differs from others. */
class Harbor {
  readonly projects = new Map<string, HarborProject>();
  readonly tokens: string[][] = [];
  readonly used = new Map<string, number>();
  readonly failedLogins: string[] = [];
  readonly robots: Record<string, unknown>[] = [];
  readonly #options: HarborOptions;
  readonly #users: Record<string, HarborUser>;
  readonly #charged = new Set<string>();
  /** Manifests that were pushed by digest: Harbor's own list. */
  readonly #artifacts = new Set<string>();
  #clock = 0;

  constructor(options: HarborOptions) {
    this.#options = options;
    this.#users = options.users ?? {
      admin: { password: "Harbor12345", admin: true, rights: { "*": "push" } },
    };
    for (const [name, project] of Object.entries(options.projects ?? {})) this.#make(name, project);
  }

  #make(name: string, project: Partial<HarborProject>): void {
    this.projects.set(name, {
      public: false,
      quota: -1,
      immutable: new Set(),
      made: ++this.#clock,
      ...project,
    });
  }

  hook(registry: () => TestRegistry): Hook {
    return async (exchange) => {
      const { pathname } = exchange.url;
      if (exchange.header("authorization").startsWith("Basic ") && !this.#userOf(exchange))
        this.failedLogins.push(pathname);
      if (pathname.startsWith("/api/v2.0/"))
        return await this.#api(exchange, pathname.slice("/api/v2.0/".length), registry());
      if (pathname === "/service/token") return this.#token(exchange);
      if (pathname === "/v2/_catalog") return this.#catalog(exchange, registry());
      return this.#guard(exchange) ?? (await this.#policy(exchange, registry()));
    };
  }

  #userOf(exchange: Exchange): { name: string; user: HarborUser } | undefined {
    const authorization = exchange.header("authorization");
    const found = Object.entries(this.#users).find(
      ([name, { password, disabled }]) => !disabled && authorization === basicHeader(name, password),
    );
    return found && { name: found[0], user: found[1] };
  }

  /** For administrators by name and password: tokens are given for it and not taken. */
  #catalog(exchange: Exchange, registry: TestRegistry): true {
    const words = "unauthorized to list catalog";
    if (this.#userOf(exchange)?.user.admin !== true)
      return exchange.fail(401, "UNAUTHORIZED", `${words}: ${words}`, {
        "www-authenticate": 'Basic realm="harbor"',
      });
    return exchange.json(200, { repositories: [...registry.store.repositories.keys()].toSorted() });
  }

  #right(user: HarborUser | undefined, project: string): "none" | "pull" | "push" {
    if (!this.projects.has(project)) return "none";
    return (
      user?.rights[project] ?? user?.rights["*"] ?? (this.projects.get(project)?.public ? "pull" : "none")
    );
  }

  #token(exchange: Exchange): true {
    if (exchange.method !== "GET") return exchange.send(405);
    // A wrong password gets a token too: that of somebody without a login.
    const known = this.#userOf(exchange);
    const scopes = exchange.url.searchParams.getAll("scope");
    this.tokens.push(scopes);
    const access = scopes.map((scope) => {
      const [type = "", name = "", asked = ""] = scope.split(":");
      const right = this.#right(known?.user, name.split("/")[0] ?? "");
      const may = right === "push" ? ["pull", "push"] : right === "pull" ? ["pull"] : [];
      return { type, name, actions: asked.split(",").filter((action) => may.includes(action)) };
    });
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = `${encode({ alg: "RS256" })}.${encode({ access, iat: ++this.#clock })}.signature`;
    return exchange.json(200, {
      token,
      access_token: "",
      expires_in: 1800,
      issued_at: new Date().toISOString(),
    });
  }

  /** What a request may do in a project. */
  #rightOf(exchange: Exchange, project: string): "none" | "pull" | "push" {
    const authorization = exchange.header("authorization");
    if (authorization.startsWith("Basic ")) return this.#right(this.#userOf(exchange)?.user, project);
    if (!authorization.startsWith("Bearer ")) return this.#right(undefined, project);
    const claims = JSON.parse(Buffer.from(authorization.split(".")[1] ?? "", "base64url").toString()) as {
      access: { name: string; actions: string[] }[];
      iat: number;
    };
    // Since 2.14.3 a token that is older than its project is refused.
    if (claims.iat < (this.projects.get(project)?.made ?? Number.POSITIVE_INFINITY)) return "none";
    const actions = claims.access
      .filter(({ name }) => name.split("/")[0] === project)
      .flatMap((entry) => entry.actions);
    return actions.includes("push") ? "push" : actions.includes("pull") ? "pull" : "none";
  }

  #guard(exchange: Exchange): true | undefined {
    const { target } = exchange;
    const anonymous = exchange.header("authorization") === "";
    if (target.kind === "ping") {
      if (exchange.header("authorization").startsWith("Basic ") && !this.#userOf(exchange))
        return exchange.fail(401, "UNAUTHORIZED", "unauthorized: unauthorized", {
          "www-authenticate": 'Basic realm="harbor"',
        });
      return anonymous
        ? exchange.fail(401, "UNAUTHORIZED", "unauthorized: unauthorized", {
            "www-authenticate": `Bearer realm="${this.#realm(exchange)}",service="harbor-registry"`,
          })
        : undefined;
    }
    if (!("repository" in target)) return undefined;
    const { repository } = target;
    const [project = "", ...rest] = repository.split("/");
    if (rest.length === 0)
      return exchange.fail(400, "BAD_REQUEST", `bad request: invalid repository name: ${repository}`);
    if (!this.projects.has(project)) {
      const words = `project ${project} not found`;
      return anonymous
        ? this.#challenge(exchange, repository)
        : exchange.fail(401, "UNAUTHORIZED", `${words}: ${words}`, { "www-authenticate": "" });
    }
    const from = exchange.query("from");
    if (from !== null && !from.includes("/"))
      return exchange.fail(400, "BAD_REQUEST", `invalid repository name: ${from}`);
    const needed = exchange.method === "GET" || exchange.method === "HEAD" ? "pull" : "push";
    const right = this.#rightOf(exchange, project);
    const enough = right === "push" || right === needed;
    if (enough && (from === null || this.#rightOf(exchange, from.split("/")[0] ?? "") !== "none"))
      return undefined;
    if (anonymous) return this.#challenge(exchange, repository);
    const words = `unauthorized to access repository: ${repository}, action: ${needed}`;
    return exchange.fail(401, "UNAUTHORIZED", `${words}: ${words}`, {
      "www-authenticate": 'Basic realm="harbor"',
    });
  }

  /** Harbor says everything twice in a 401. */
  #challenge(exchange: Exchange, repository: string): true {
    const reads = exchange.method === "GET" || exchange.method === "HEAD";
    const words = reads
      ? "authorize header needed to send HEAD to repository"
      : `unauthorized to access repository: ${repository}, action: push`;
    const realm = `Bearer realm="${this.#realm(exchange)}",service="harbor-registry"`;
    return exchange.fail(401, "UNAUTHORIZED", `${words}: ${words}`, {
      "www-authenticate": `${realm},scope="repository:${repository}:${reads ? "pull" : "pull,push"}"`,
    });
  }

  /** The configured scheme with the Host of the request. */
  #realm(exchange: Exchange): string {
    return `${this.#options.tls ? "https" : "http"}://${exchange.header("host")}/service/token`;
  }

  async #policy(exchange: Exchange, registry: TestRegistry): Promise<true | undefined> {
    const { target, method } = exchange;
    if (target.kind === "manifest" && (method === "GET" || method === "HEAD"))
      return this.#withhold(exchange, target.repository, target.reference, registry);
    if (!("repository" in target) || method === "GET" || method === "HEAD") return undefined;
    const name = target.repository.split("/")[0] as string;
    const project = this.projects.get(name) as HarborProject;
    if (this.#options.readOnly)
      return exchange.fail(403, "DENIED", "The system is in read only mode. Any modification is prohibited.");
    if (project.proxyCache) return exchange.fail(403, "DENIED", "can not push artifact to a proxy project");
    if (target.kind === "manifest") {
      if (Number(exchange.header("content-length")) > MAX_MANIFEST)
        return exchange.fail(413, "MANIFEST_INVALID", "manifest too large");
      // Also where the tag means the same already.
      if (
        project.immutable.has(target.reference) &&
        registry.store.manifest(target.repository, target.reference)
      ) {
        return exchange.fail(
          412,
          "PRECONDITION",
          `Failed to process request due to '${target.repository.split("/").slice(1).join("/")}:${target.reference}' configured as immutable.`,
        );
      }
    }
    if (target.kind === "manifest") this.#artifacts.add(`${target.repository} ${target.reference}`);
    if (exchange.label === "PUT manifest")
      return this.#charge(
        exchange,
        name,
        project,
        target.kind === "manifest" ? target.reference : "",
        Number(exchange.header("content-length")),
      );
    if (exchange.label === "PUT upload")
      return this.#charge(
        exchange,
        name,
        project,
        exchange.query("digest") ?? "",
        this.#sizeOf(exchange, registry),
      );
    const mount = exchange.query("mount");
    const from = exchange.query("from");
    const mounted = mount && from ? registry.store.repositories.get(from)?.blobs.get(mount) : undefined;
    return mounted && mount ? this.#charge(exchange, name, project, mount, mounted.length) : undefined;
  }

  /**
   * What a policy of the project keeps from being pulled: children of an index each on their own, and
   * attached artifacts that are no signatures. A HEAD's refusal has no words.
   */
  #withhold(
    exchange: Exchange,
    repository: string,
    reference: string,
    registry: TestRegistry,
  ): true | undefined {
    const { cosign, preventVul } = this.projects.get(repository.split("/")[0] as string) as HarborProject;
    const found = registry.store.manifest(repository, reference);
    if (!found) {
      // A policy is asked before the storage; Harbor's own list of artifacts outlives what that loses.
      const known =
        cosign && reference.startsWith("sha256:") && this.#artifacts.has(`${repository} ${reference}`);
      return known ? exchange.fail(412, "PROJECTPOLICYVIOLATION", NOT_SIGNED) : undefined;
    }
    const { tags, manifests } = registry.store.repository(repository);
    const parse = (bytes: Buffer): SignedBy => JSON.parse(bytes.toString()) as SignedBy;
    const { artifactType = "", subject } = parse(found.manifest.bytes);
    const isSignature =
      SIGNATURE_TYPES.includes(artifactType) ||
      [...tags].some(([tag, digest]) => tag.endsWith(".sig") && digest === found.digest);
    if (isSignature) return undefined;
    const isSigned =
      tags.has(`${found.digest.replace(":", "-")}.sig`) ||
      [...manifests.values()]
        .map(({ bytes }) => parse(bytes))
        .some(
          (each) =>
            each.subject?.digest === found.digest && SIGNATURE_TYPES.includes(each.artifactType ?? ""),
        );
    if (cosign && !isSigned) return exchange.fail(412, "PROJECTPOLICYVIOLATION", NOT_SIGNED);
    // Only what a scanner takes must be scanned.
    return preventVul && subject === undefined
      ? exchange.fail(
          412,
          "PROJECTPOLICYVIOLATION",
          "current image without vulnerability scanning cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of \"High\" or higher from running.' To continue with pull, please contact your project administrator for help.",
        )
      : undefined;
  }

  /** Counted from Content-Length before the body is read, or with all pieces when these are closed. */
  #sizeOf({ target, request }: Exchange, registry: TestRegistry): number {
    const pieces = target.kind === "upload" ? (registry.store.uploads.get(target.id)?.bytes.length ?? 0) : 0;
    return pieces + Number(request.headers["content-length"] ?? 0);
  }

  #charge(
    exchange: Exchange,
    name: string,
    project: HarborProject,
    digest: string,
    size: number,
  ): true | undefined {
    const used = this.used.get(name) ?? 0;
    if (this.#charged.has(`${name} ${digest}`)) return undefined;
    if (project.quota >= 0 && used + size > project.quota) {
      const message = `adding ${inHarborsUnits(size)} of storage resource, which when updated to current usage of ${inHarborsUnits(used)} will exceed the configured upper limit of ${inHarborsUnits(project.quota)}.`;
      return exchange.fail(403, "DENIED", message);
    }
    this.#charged.add(`${name} ${digest}`);
    this.used.set(name, used + size);
    return undefined;
  }

  async #api(exchange: Exchange, path: string, registry: TestRegistry): Promise<true> {
    if (exchange.header("cookie") !== "")
      return exchange.fail(403, "FORBIDDEN", "CSRF token not found in request");
    const known = this.#userOf(exchange);
    if (path === "systeminfo")
      return exchange.json(200, {
        auth_mode: "db_auth",
        ...(known ? { harbor_version: "v2.15.2-test", read_only: this.#options.readOnly === true } : {}),
      });
    if (path === "health") return this.#health(exchange);
    if (!known) return exchange.fail(401, "UNAUTHORIZED", "unauthorized");
    const { user } = known;
    if (path === "users/current")
      return user.robot
        ? exchange.fail(412, "PRECONDITION", "get current user not available for security context: robot")
        : exchange.json(200, {
            user_id: this.#idOf(known.name),
            username: known.name,
            sysadmin_flag: user.admin === true,
          });
    if (/^(?:users|quotas)\b/.test(path) || /\/members\b/.test(path))
      return this.#accounts(exchange, path, known);
    if (path === "robots" && exchange.method === "POST") return await this.#robot(exchange, known);
    if (path === "systeminfo/volumes") {
      return user.admin
        ? exchange.json(200, { storage: [{ total: 100e9, free: this.#options.free ?? 50e9 }] })
        : exchange.fail(403, "FORBIDDEN", "forbidden");
    }
    if (path === "projects" && exchange.method === "HEAD")
      return exchange.send(this.projects.has(exchange.query("project_name") ?? "") ? 200 : 404);
    if (path === "projects" && exchange.method === "POST") return await this.#create(exchange, known);
    if (path === "projects" && exchange.method === "GET")
      return this.#page(
        exchange,
        [...this.projects.keys()].map((name, i) => ({ project_id: i + 1, name })),
      );
    const match = /^projects\/([^/]+)(\/summary)?$/.exec(path);
    const found = match && this.projects.get(decodeURIComponent(match[1] as string));
    if (found && exchange.method === "PUT") {
      const body = JSON.parse((await exchange.body()).toString()) as { metadata: { public: string } };
      found.public = body.metadata.public === "true";
      return exchange.send(200);
    }
    if (match)
      return this.#project(exchange, decodeURIComponent(match[1] as string), match[2] !== undefined, known);
    return this.#artifact(exchange, path, registry, user);
  }

  #idOf(name: string): number {
    return Object.keys(this.#users).indexOf(name) + 1;
  }

  /** At most a hundred entries a page, as Harbor has it. */
  #page(exchange: Exchange, entries: object[]): true {
    const [page, size] = [exchange.query("page") ?? 1, exchange.query("page_size") ?? 10].map(Number) as [
      number,
      number,
    ];
    const from = (page - 1) * Math.min(size, 100);
    return exchange.json(200, entries.slice(from, from + Math.min(size, 100)));
  }

  /** Users, members of projects and quotas. */
  async #accounts(
    exchange: Exchange,
    path: string,
    known: { name: string; user: HarborUser },
  ): Promise<true> {
    const text = (await exchange.body()).toString();
    const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
    const what = `${exchange.method} ${path}`;
    if (what === `PUT users/${this.#idOf(known.name)}/password`) {
      if (body["old_password"] !== known.user.password)
        return exchange.fail(403, "FORBIDDEN", "wrong password");
      known.user.password = String(body["new_password"]);
      return exchange.send(200);
    }
    if (!known.user.admin) return exchange.fail(403, "FORBIDDEN", "forbidden");
    if (path === "users/search") {
      const part = exchange.query("username") ?? "";
      const found = Object.keys(this.#users).filter((name) => name.includes(part));
      return this.#page(
        exchange,
        found.map((username) => ({ user_id: this.#idOf(username), username })),
      );
    }
    if (what === "POST users") {
      const name = String(body["username"]);
      const isTaken = Object.values(this.#users).some(
        ({ email }) => email !== undefined && email === body["email"],
      );
      if (this.#users[name] || isTaken)
        return exchange.fail(409, "CONFLICT", `user ${name} or email ${body["email"]} already exists`);
      if (!body["password"] || !body["email"] || !body["realname"])
        return exchange.fail(400, "BAD_REQUEST", "a user needs a password, an address and a name");
      this.#users[name] = { password: String(body["password"]), email: String(body["email"]), rights: {} };
      return exchange.send(201);
    }
    const names = [...this.projects.keys()];
    if (what === "GET quotas") {
      const name = names[Number(exchange.query("reference_id")) - 1] ?? "";
      return this.#page(exchange, [
        { id: names.indexOf(name) + 101, hard: { storage: this.projects.get(name)?.quota } },
      ]);
    }
    const quota = /^PUT quotas\/(\d+)$/.exec(what);
    if (quota) {
      const project = this.projects.get(names[Number(quota[1]) - 101] ?? "");
      if (project) project.quota = (body["hard"] as { storage: number }).storage;
      return exchange.send(project ? 200 : 404);
    }
    return this.#members(exchange, path, body);
  }

  #members(exchange: Exchange, path: string, body: Record<string, unknown>): true {
    const [, name = "", id] = /^projects\/([^/]+)\/members(?:\/(\d+))?$/.exec(path) ?? [];
    const project = this.projects.get(decodeURIComponent(name));
    if (!project) return exchange.fail(404, "NOT_FOUND", `${path} not found`);
    project.members ??= {};
    const { members } = project;
    if (exchange.method === "GET")
      return this.#page(
        exchange,
        Object.entries(members).map(([entity_name, role_id]) => ({
          ...{ id: this.#idOf(entity_name), entity_name, entity_type: "u", role_id },
        })),
      );
    const user =
      id === undefined
        ? (body["member_user"] as { username: string }).username
        : Object.keys(this.#users)[Number(id) - 1];
    if (user === undefined || !this.#users[user]) return exchange.fail(404, "NOT_FOUND", "no such user");
    members[user] = Number(body["role_id"]);
    return exchange.send(id === undefined ? 201 : 200);
  }

  /** A user's role in a project; a robot account has none. */
  #roleOf({ name, user }: { name: string; user: HarborUser }, project: string): number | undefined {
    if (user.robot) return undefined;
    if (user.admin) return 1;
    const right = this.#right(user, project);
    return this.projects.get(project)?.members?.[name] ?? (right === "push" ? 2 : 3);
  }

  async #robot(exchange: Exchange, known: { name: string; user: HarborUser }): Promise<true> {
    const body = JSON.parse((await exchange.body()).toString()) as Record<string, unknown>;
    const [{ namespace = "" } = {}] = (body["permissions"] ?? []) as { namespace?: string }[];
    if (!known.user.admin && (body["level"] === "system" || this.#roleOf(known, namespace) !== 1))
      return exchange.fail(403, "FORBIDDEN", "forbidden");
    if (!NAME.test(String(body["name"]))) return exchange.fail(400, "BAD_REQUEST", "robot name is not legal");
    if (this.robots.some(({ name }) => name === body["name"]))
      return exchange.fail(409, "CONFLICT", `robot ${body["name"]} already exists`);
    this.robots.push(body);
    const name = `robot$${body["name"]}`;
    const secret = `Secret${this.robots.length}$x`;
    const rights: HarborUser["rights"] = {};
    const allowed = (body["permissions"] ?? []) as {
      namespace: string;
      access: { resource: string; action: string }[];
    }[];
    const has = (resource: string, action: string): boolean =>
      allowed.some(({ access }) =>
        access.some((each) => each.resource === resource && each.action === action),
      );
    for (const { namespace } of allowed) rights[namespace] = has("repository", "push") ? "push" : "pull";
    this.#users[name] = {
      password: secret,
      robot: true,
      reads: has("project", "read") && has("artifact", "read"),
      readsQuota: has("quota", "read"),
      rights,
    };
    return exchange.json(201, { id: this.robots.length, name, secret, expires_at: -1 });
  }

  #health(exchange: Exchange): true {
    const ill = this.#options.unhealthy ?? [];
    const components = ["core", "database", "registry", "redis", "jobservice", "portal"].map((name) =>
      ill.includes(name)
        ? { name, status: "unhealthy", error: "connection refused" }
        : { name, status: "healthy" },
    );
    return exchange.json(200, { status: ill.length > 0 ? "unhealthy" : "healthy", components });
  }

  async #create(exchange: Exchange, { name, user }: { name: string; user: HarborUser }): Promise<true> {
    const body = JSON.parse((await exchange.body()).toString()) as {
      project_name: string;
      metadata?: { public?: string };
      storage_limit?: number;
    };
    if (!user.admin && !user.creates)
      return exchange.fail(403, "FORBIDDEN", "Only system admin can create project");
    if (!NAME.test(body.project_name)) return exchange.fail(400, "BAD_REQUEST", "invalid project name");
    if (this.projects.has(body.project_name))
      return exchange.fail(409, "CONFLICT", `The project named ${body.project_name} already exists`);
    this.#make(body.project_name, {
      public: body.metadata?.public === "true",
      // Of everybody else a limit is passed over without a word.
      quota: user.admin ? (body.storage_limit ?? -1) : -1,
    });
    // Who makes a project is its administrator; a robot account gets no right in it.
    if (!user.admin && !user.robot) {
      user.rights[body.project_name] = "push";
      const project = this.projects.get(body.project_name) as HarborProject;
      project.members = { ...project.members, [name]: 1 };
    }
    return exchange.send(201, { location: `/api/v2.0/projects/${this.projects.size}` });
  }

  #project(
    exchange: Exchange,
    name: string,
    summary: boolean,
    known: { name: string; user: HarborUser },
  ): true {
    const { user } = known;
    const role = this.#roleOf(known, name);
    // Without this header a name of digits is an id.
    const project =
      /^\d+$/.test(name) && exchange.header("x-is-resource-name") !== "true"
        ? undefined
        : this.projects.get(name);
    // Only administrators hear that a project is missing.
    if (!project && user.admin) return exchange.fail(404, "NOT_FOUND", `project ${name} not found`);
    if (!project || (!user.admin && this.#right(user, name) === "none"))
      return exchange.fail(403, "FORBIDDEN", "forbidden");
    if (user.robot && !user.reads) return exchange.fail(403, "FORBIDDEN", "forbidden");
    if (!summary)
      return exchange.json(200, {
        name,
        project_id: [...this.projects.keys()].indexOf(name) + 1,
        registry_id: project.proxyCache ? 7 : 0,
        current_user_role_ids: role === undefined ? null : [role],
        metadata: {
          public: String(project.public),
          ...(project.cosign ? { enable_content_trust_cosign: "true" } : {}),
          ...(project.preventVul ? { prevent_vul: "true", severity: "high" } : {}),
        },
      });
    if (user.robot && !user.readsQuota) return exchange.json(200, { repo_count: 0 });
    return exchange.json(200, {
      repo_count: 0,
      quota: { hard: { storage: project.quota }, used: { storage: this.used.get(name) ?? 0 } },
    });
  }

  #artifact(exchange: Exchange, path: string, registry: TestRegistry, user: HarborUser): true {
    const match = /^projects\/([^/]+)\/repositories\/([^/]+)\/artifacts\/([^/]+)$/.exec(path);
    if (!match) return exchange.fail(404, "NOT_FOUND", "path not found");
    const [, project = "", repository = "", tag = ""] = match;
    if (user.robot && !user.reads) return exchange.fail(403, "FORBIDDEN", "forbidden");
    // A slash that was encoded once is gone before Harbor looks for the repository.
    const name = decodeURIComponent(decodeURIComponent(repository));
    if (name.includes("/") && !repository.includes("%252F"))
      return exchange.fail(404, "NOT_FOUND", "repository not found");
    const found = registry.store.manifest(`${project}/${name}`, tag);
    if (!found) return exchange.fail(404, "NOT_FOUND", "artifact not found");
    return exchange.json(200, {
      digest: found.digest,
      tags: [{ name: tag, immutable: this.projects.get(project)?.immutable.has(tag) === true }],
    });
  }
}

/** Starts a registry that behaves like a Harbor; the user `admin` has the password `Harbor12345`. */
export async function startHarbor(options: HarborOptions = {}): Promise<TestHarbor> {
  const harbor = new Harbor(options);
  // Harbor's registry is a distribution 2.8: no referrers API of its own, but Harbor answers it itself.
  const registry: TestRegistry = await startRegistry({
    hooks: [...(options.hooks ?? []), harbor.hook(() => registry)],
    ...(options.tls ? { tls: options.tls } : {}),
  });
  const { projects, tokens, used, failedLogins, robots } = harbor;
  return Object.assign(registry, { projects, tokens, used, failedLogins, robots });
}
