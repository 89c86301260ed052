import type { Exchange } from "./exchange.ts";
import type { Hook } from "./registry.ts";

export const basicHeader = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

/** A registry that wants Basic. */
export function basicAuth(username: string, password: string): Hook {
  const wanted = basicHeader(username, password);
  return (exchange) =>
    exchange.header("authorization") === wanted
      ? undefined
      : exchange.fail(401, "UNAUTHORIZED", "authentication required", {
          "www-authenticate": 'Basic realm="test"',
        });
}

export interface TokenOptions {
  service?: string;
  username?: string;
  password?: string;
  /** An identity token that is exchanged by POST. */
  refreshToken?: string;
  /** Rights of who asks without a login. Default: pull. */
  anonymous?: "none" | "pull" | "push";
  expiresIn?: number;
  issuedAt?: () => Date;
  /** Where the realm is said to be, when elsewhere. */
  realm?: (host: string) => string;
  /** Answers `POST /token` with this instead. */
  postStatus?: number;
  /** The token alone stands for all repositories of a project, as in Harbor. */
  perProject?: boolean;
}

export interface TokenServer {
  hook: Hook;
  /** The scopes of each token that was given. */
  issued: string[][];
  /** No token that was given so far is taken any longer. */
  expireAll(): void;
}

/** A token service and the guard that wants its tokens, on one host: `/token`. */
export function tokenAuth(options: TokenOptions = {}): TokenServer {
  const { service = "test-registry", anonymous = "pull", expiresIn = 300 } = options;
  let valid = new Map<string, string[]>();
  const issued: string[][] = [];
  const rightsOf = (exchange: Exchange): "none" | "pull" | "push" | undefined => {
    const authorization = exchange.header("authorization");
    if (authorization === "") return anonymous;
    return authorization === basicHeader(options.username ?? "", options.password ?? "") ? "push" : undefined;
  };
  const give = (exchange: Exchange, scopes: string[], rights: "none" | "pull" | "push"): true => {
    const granted = scopes.map((scope) => {
      const colon = scope.lastIndexOf(":");
      const actions = scope.slice(colon + 1).split(",");
      return `${scope.slice(0, colon)}:${actions.filter((action) => rights === "push" || (rights === "pull" && action === "pull")).join(",")}`;
    });
    const token = `token-${issued.length}-${Math.random().toString(36).slice(2)}`;
    issued.push(scopes);
    valid.set(token, granted);
    return exchange.json(200, {
      token,
      expires_in: expiresIn,
      issued_at: (options.issuedAt?.() ?? new Date()).toISOString(),
    });
  };
  const token = async (exchange: Exchange): Promise<true> => {
    if (exchange.method === "POST") {
      if (options.postStatus !== undefined) return exchange.fail(options.postStatus, "UNSUPPORTED");
      const body = new URLSearchParams((await exchange.body()).toString("utf8"));
      if (body.get("grant_type") !== "refresh_token" || body.get("refresh_token") !== options.refreshToken)
        return exchange.fail(401, "UNAUTHORIZED");
      return give(exchange, (body.get("scope") ?? "").split(" ").filter(Boolean), "push");
    }
    const rights = rightsOf(exchange);
    if (rights === undefined) return exchange.fail(401, "UNAUTHORIZED", "incorrect username or password");
    return give(exchange, exchange.url.searchParams.getAll("scope"), rights);
  };
  const wantedOf = ({ target, method, url }: Exchange): string[] => {
    if (!("repository" in target)) return [];
    const from = url.searchParams.get("from");
    const write = method !== "GET" && method !== "HEAD";
    return [
      `repository:${target.repository}:${write ? "pull,push" : "pull"}`,
      ...(from ? [`repository:${from}:pull`] : []),
    ];
  };
  const covers = (granted: string[], wanted: string): boolean => {
    const [, name = "", actions = ""] = /^repository:(.*):([^:]*)$/.exec(wanted) ?? [];
    return granted.some((scope) => {
      const [, held = "", rights = ""] = /^repository:(.*):([^:]*)$/.exec(scope) ?? [];
      const same = options.perProject ? held.split("/")[0] === name.split("/")[0] : held === name;
      return same && actions.split(",").every((action) => rights.split(",").includes(action));
    });
  };
  const guard = (exchange: Exchange): true | undefined => {
    const granted = valid.get(exchange.header("authorization").replace(/^Bearer /, ""));
    const wanted = wantedOf(exchange);
    if (granted && wanted.every((scope) => covers(granted, scope))) return undefined;
    const realm = options.realm?.(exchange.url.host) ?? `http://${exchange.url.host}/token`;
    const scope = wanted.length > 0 ? `,scope="${wanted.join(" ")}"` : "";
    return exchange.fail(401, "UNAUTHORIZED", "authentication required", {
      "www-authenticate": `Bearer realm="${realm}",service="${service}"${scope}`,
    });
  };
  return {
    issued,
    expireAll: () => (valid = new Map()),
    hook: (exchange) => (exchange.url.pathname === "/token" ? token(exchange) : guard(exchange)),
  };
}
