import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { compare } from "bcryptjs";
import { AirgapError, messageOf } from "../src/errors.ts";
import { ApiError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

/** How many passwords may wait to be checked. bcrypt is slow on purpose; further ones get a 429. */
const MAX_WAITING = 32;
const MAX_REMEMBERED = 1000;
/** Salt and digest of a hash that no password has. */
const NOBODY = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/** Costs 4 to 17, as `htpasswd -C` makes them: a higher one would take minutes for each password. */
const BCRYPT = /^\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{53}$/;
const SHA = /^\{SHA\}[A-Za-z0-9+/]{27}=$/;

/**
 * Reads `user:hash` lines. bcrypt (`htpasswd -B`) and `{SHA}` are understood.
 * @throws AirgapError `usage` that names the first other line
 */
export function parseHtpasswd(text: string, file: string): Map<string, string> {
  const users = new Map<string, string>();
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const hash = line.slice(colon + 1);
    if (colon < 1 || !(BCRYPT.test(hash) || SHA.test(hash))) {
      throw new AirgapError(
        "usage",
        `${file}, line ${i + 1}: not a user with a bcrypt hash of cost 4 to 17`,
        {
          suggestions: [`htpasswd -B ${file} ${colon < 1 ? "USER" : line.slice(0, colon)}`],
        },
      );
    }
    users.set(line.slice(0, colon), hash);
  }
  return users;
}

/** The logarithm of a hash's work; undefined for `{SHA}`, which is next to none. */
const costOf = (hash: string): number | undefined => {
  const cost = BCRYPT.exec(hash)?.[1];
  return cost === undefined ? undefined : Number(cost);
};

/**
 * Costs of the hashes to be worked out besides a user's own, so that every wrong password takes as
 * long as one of the most expensive user, and time does not tell which users there are:
 * 2^cost + 2^cost + 2^(cost + 1) + … + 2^(top - 1) = 2^top.
 * @param cost of the user's hash; undefined for a user who does not exist or has a `{SHA}` hash
 * @param top the highest cost in the file; undefined without bcrypt hashes
 */
export function decoyCosts(cost: number | undefined, top: number | undefined): number[] {
  if (top === undefined) return [];
  if (cost === undefined) return [top];
  return Array.from({ length: top - cost }, (_, i) => cost + i);
}

/** Basic authentication against an htpasswd file, which is read again when it changes. */
export class Htpasswd {
  readonly file: string;
  #users: Map<string, string>;
  #stamp: string;
  /** Keyed digests of passwords that were right: clients send them with every request. */
  readonly #remembered = new Set<string>();
  readonly #key = randomBytes(32);
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @throws AirgapError `usage` */
  constructor(file: string) {
    this.file = file;
    try {
      this.#stamp = this.#stampNow();
      this.#users = parseHtpasswd(readFileSync(file, "utf8"), file);
    } catch (cause) {
      if (cause instanceof AirgapError) throw cause;
      throw new AirgapError("usage", `The htpasswd file ${file} cannot be read: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  /** @returns the user's name. @throws ApiError 401, or 429 when too many passwords are being tried */
  async check(exchange: Exchange): Promise<string> {
    const given = parseBasic(exchange.header("authorization"));
    if (given === undefined) throw unauthorized("authentication required");
    this.#refresh();
    const hash = this.#users.get(given.user);
    const known = createHmac("sha256", this.#key)
      .update(JSON.stringify([given.user, hash, given.password]))
      .digest("base64");
    if (this.#remembered.has(known)) return given.user;
    if (!(await this.#inTurn(() => this.#matches(given.password, hash))))
      throw unauthorized("wrong user or password");
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.add(known);
    return given.user;
  }

  /** Whether there is a user of this name now. */
  has(user: string): boolean {
    return this.#users.has(user);
  }

  async #matches(password: string, hash: string | undefined): Promise<boolean> {
    if (hash !== undefined && (await matches(password, hash))) return true;
    const costs = [...this.#users.values()].flatMap((each) => costOf(each) ?? []);
    const top = costs.length > 0 ? Math.max(...costs) : undefined;
    for (const cost of decoyCosts(hash === undefined ? undefined : costOf(hash), top))
      await compare(password, `$2b$${String(cost).padStart(2, "0")}$${NOBODY}`);
    return false;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MAX_WAITING)
      throw new ApiError(429, "TOOMANYREQUESTS", "too many passwords are being checked", {
        headers: { "retry-after": "2" },
      });
    this.#waiting++;
    const mine = this.#turn.then(work, work);
    this.#turn = mine;
    try {
      return await mine;
    } finally {
      this.#waiting--;
    }
  }

  #stampNow(): string {
    const { mtimeMs, size, ino } = statSync(this.file);
    return `${mtimeMs}:${size}:${ino}`;
  }

  /** While the file is being written or is wrong, the users stay as they were. */
  #refresh(): void {
    try {
      const stamp = this.#stampNow();
      if (stamp === this.#stamp) return;
      this.#users = parseHtpasswd(readFileSync(this.file, "utf8"), this.file);
      this.#stamp = stamp;
    } catch {}
  }
}

function unauthorized(message: string): ApiError {
  return new ApiError(401, "UNAUTHORIZED", message, {
    headers: { "www-authenticate": 'Basic realm="airgap", charset="UTF-8"' },
  });
}

function parseBasic(header: string | undefined): { user: string; password: string } | undefined {
  const match = /^Basic ([A-Za-z0-9+/=_-]+)$/i.exec(header ?? "");
  if (match === null) return undefined;
  const text = Buffer.from(match[1] ?? "", "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

async function matches(password: string, hash: string): Promise<boolean> {
  if (BCRYPT.test(hash)) return compare(password, hash);
  const expected = Buffer.from(hash.slice("{SHA}".length), "base64");
  return timingSafeEqual(createHash("sha1").update(password).digest(), expected);
}
