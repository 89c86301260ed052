import { AirgapError } from "../errors.ts";
import { basicAuthorization, decoded } from "../origin.ts";

/** A user of a host that files are fetched from. */
export interface Login {
  username: string;
  /** Read when it is first needed. @throws AirgapError `usage` */
  password(): string;
}

interface Entry {
  origin: string;
  path: string;
  login: Login;
}

/**
 * The logins for content that is fetched by URL. Each is for the origin of a URL that the user wrote,
 * and is never sent where such a URL redirects to (origin.ts). Of several for one origin, the one with
 * the longest path that the URL starts with is used.
 */
export class Logins {
  readonly #entries: Entry[] = [];

  /** @param place the URL that the login is for; without user and password */
  add(place: string, login: Login): void {
    const url = URL.parse(place);
    if (url === null) throw new AirgapError("spec", `Cannot use a login for '${place}': it is not a URL`);
    this.#entries.push({ origin: url.origin, path: literal(url.pathname), login });
  }

  /** Whether there is a login for exactly this URL. */
  has(place: string): boolean {
    const url = URL.parse(place);
    return this.#entries.some(({ origin, path }) => origin === url?.origin && path === literal(url.pathname));
  }

  /** The `Authorization` for a URL; undefined when there is no login. */
  readonly header = (url: URL): string | undefined => {
    const own = this.#entries.filter(({ origin }) => origin === url.origin);
    const fitting = own.filter(({ path }) => covers(path, url.pathname));
    const [best] = (fitting.length > 0 ? fitting : own).toSorted((a, b) => b.path.length - a.path.length);
    return best && basicAuthorization(best.login.username, best.login.password());
  };
}

/** A path up to its first variable (`$releasever`), without a slash at its end. */
const literal = (path: string): string => path.replace(/[^/]*(?:\$|%7B).*$/i, "").replace(/\/+$/, "");

const covers = (path: string, asked: string): boolean => asked === path || asked.startsWith(`${path}/`);

/**
 * Splits `https://user:password@host/path`. The rest of the text stays as it is.
 * @throws AirgapError `spec` when the text is not a valid URL; the text is not repeated, since it may be secret
 */
export function splitLogin(place: string): { place: string; login?: Login } {
  if (!/^https?:\/\/.*@/is.test(place)) return { place };
  const match = /^(https?:\/\/)([^/?#]*)@(.*)$/is.exec(place);
  if (match === null) {
    if (URL.canParse(place)) return { place };
    throw new AirgapError("spec", "Cannot read a URL that has a login in it", {
      suggestions: ["write /, ?, # and @ in the user or password as %2F, %3F, %23 and %40"],
    });
  }
  const [, scheme = "", given = "", rest = ""] = match;
  const colon = given.indexOf(":");
  const username = decoded(colon < 0 ? given : given.slice(0, colon));
  const password = colon < 0 ? "" : decoded(given.slice(colon + 1));
  return { place: `${scheme}${rest}`, login: { username, password: () => password } };
}
