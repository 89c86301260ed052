import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { AirgapError } from "../errors.ts";
import type { BundleSpec } from "../lock/spec.ts";
import { isRecord } from "../oci/descriptor.ts";
import { aptMachines, fitsApt, fitsNetrc, type Machine, netrcMachines } from "../transport/login-files.ts";
import { type Login, Logins, splitLogin } from "../transport/logins.ts";

/** A source of a spec that is fetched by URL. */
interface LoginSource {
  /** `charts[2]`: for messages. */
  at: string;
  kind: "deb" | "rpm" | "chart" | "manifests" | "file";
  places: (string | undefined)[];
  user?: string;
  passwordEnv?: string;
}

export interface LoginFiles {
  env?: NodeJS.ProcessEnv;
  /** Where apt keeps its configuration. Default `/etc/apt`. */
  aptDir?: string;
}

const isHttp = (place: string): boolean => /^https?:\/\//i.test(place);

/**
 * Takes the logins out of a spec: later code sees only URLs without `user:password@`, so that
 * no lock, message or cache can have them. A source without a login of its own gets the one in apt's,
 * Helm's or the user's own file, if one of these names its host.
 * @throws AirgapError `spec`, `usage`
 */
export function takeLogins(spec: BundleSpec, files: LoginFiles = {}): { spec: BundleSpec; logins: Logins } {
  const { env = process.env, aptDir } = files;
  const logins = new Logins();
  const stripped = withoutUserInfo(spec, logins) as BundleSpec;
  const sources = sourcesOf(stripped);
  for (const source of sources) addGiven(source, logins, env);
  const stored = new StoredLogins(env, aptDir);
  for (const { kind, places } of sources)
    for (const place of places) {
      if (place === undefined || !isHttp(place) || logins.has(place)) continue;
      const login = stored.for(place, kind);
      if (login) logins.add(place, login);
    }
  return { spec: stripped, logins };
}

/** A copy of a value of the spec in which no URL has a user; the users go into `logins`. */
function withoutUserInfo(value: unknown, logins: Logins): unknown {
  if (typeof value === "string") {
    const { place, login } = splitLogin(value);
    if (login) logins.add(place, login);
    return place;
  }
  if (Array.isArray(value)) return value.map((each) => withoutUserInfo(each, logins));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withoutUserInfo(each, logins)]));
}

function sourcesOf({ packages, charts, manifests, files }: BundleSpec): LoginSource[] {
  return [
    ...packages.flatMap(({ name, format, repositories }) =>
      repositories.map(({ id, baseurl, mirrorlist, metalink, uris, user, passwordEnv }) => ({
        at: `repository ${id} of ${name}`,
        kind: format,
        places: [baseurl, mirrorlist, metalink, uris],
        ...given(user, passwordEnv),
      })),
    ),
    ...charts.map(({ chart, repo, user, passwordEnv }, i) => ({
      at: `charts[${i}]`,
      kind: "chart" as const,
      places: [repo ?? chart],
      ...given(user, passwordEnv),
    })),
    ...manifests.map(({ path, user, passwordEnv }, i) => ({
      at: `manifests[${i}]`,
      kind: "manifests" as const,
      places: [path],
      ...given(user, passwordEnv),
    })),
    ...files.map(({ url, user, passwordEnv }, i) => ({
      at: `files[${i}]`,
      kind: "file" as const,
      places: [url],
      ...given(user, passwordEnv),
    })),
  ];
}

const given = (user: string | undefined, passwordEnv: string | undefined) => ({
  ...(user === undefined ? {} : { user }),
  ...(passwordEnv === undefined ? {} : { passwordEnv }),
});

/** The login that `user:` and `passwordEnv:` name. The variable is read when the login is first needed. */
function addGiven(
  { at, places, user, passwordEnv }: LoginSource,
  logins: Logins,
  env: NodeJS.ProcessEnv,
): void {
  if (user === undefined && passwordEnv === undefined) return;
  if (user === undefined || passwordEnv === undefined)
    throw new AirgapError("spec", `${at}: user: and passwordEnv: belong together`, {
      suggestions: [
        "user: NAME",
        "passwordEnv: VARIABLE  # the environment variable that holds the password",
      ],
    });
  const remote = places.filter((place) => place !== undefined && isHttp(place)) as string[];
  if (remote.length === 0)
    throw new AirgapError("spec", `${at}: user: works only with an http(s) URL`, {
      suggestions: ["docker login HOST  # for oci:// charts and images"],
    });
  const password = (): string => {
    const found = env[passwordEnv];
    if (found !== undefined && found !== "") return found;
    throw new AirgapError("usage", `${at}: the environment variable ${passwordEnv} is not set`, {
      suggestions: [`read -rs ${passwordEnv} && export ${passwordEnv}`],
    });
  };
  for (const place of remote) logins.add(place, { username: user, password });
}

/** The files of the machine, each read when the first source asks for it. */
class StoredLogins {
  readonly #env: NodeJS.ProcessEnv;
  readonly #aptDir: string | undefined;
  #netrc: Machine[] | undefined;
  #apt: Machine[] | undefined;
  #helm: HelmRepository[] | undefined;

  constructor(env: NodeJS.ProcessEnv, aptDir: string | undefined) {
    this.#env = env;
    this.#aptDir = aptDir;
  }

  for(place: string, kind: LoginSource["kind"]): Login | undefined {
    const url = URL.parse(place);
    if (url === null) return undefined;
    if (kind === "deb") this.#apt ??= aptMachines(this.#aptDir);
    if (kind === "chart") this.#helm ??= helmRepositories(this.#env);
    this.#netrc ??= netrcMachines(this.#env);
    const helm = kind === "chart" ? this.#helm?.find((entry) => sameRepository(entry.url, url)) : undefined;
    const machine =
      (kind === "deb" ? this.#apt?.find((entry) => fitsApt(entry, url)) : undefined) ??
      this.#netrc.find((entry) => fitsNetrc(entry, url));
    if (helm) return loginOf(helm.username, helm.password);
    return loginOf(machine?.login, machine?.password);
  }
}

const loginOf = (username: string | undefined, password = ""): Login | undefined =>
  username === undefined || username === "" ? undefined : { username, password: () => password };

interface HelmRepository {
  url: string;
  username: string;
  password: string;
}

const sameRepository = (known: string, asked: URL): boolean =>
  URL.parse(known)?.href.replace(/\/+$/, "") === asked.href.replace(/\/+$/, "");

/** `repositories.yaml` of Helm, as `helm repo add --username` writes it. https://helm.sh/docs/helm/helm/ */
function helmRepositories(env: NodeJS.ProcessEnv): HelmRepository[] {
  const config = env["XDG_CONFIG_HOME"] || join(env["HOME"] || homedir(), ".config");
  const path =
    env["HELM_REPOSITORY_CONFIG"] ||
    join(env["HELM_CONFIG_HOME"] || join(config, "helm"), "repositories.yaml");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return [];
  }
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100 });
  } catch {
    // The parser's own message quotes the text, which is secret.
    throw new AirgapError("usage", `${path} is not a repositories.yaml that Helm writes`, {
      suggestions: ["helm repo list"],
    });
  }
  const list =
    isRecord(value) && Array.isArray(value.repositories) ? value.repositories.filter(isRecord) : [];
  return list.flatMap(({ url, username, password }) =>
    typeof url === "string" && typeof username === "string" && username !== ""
      ? [{ url, username, password: typeof password === "string" ? password : "" }]
      : [],
  );
}
