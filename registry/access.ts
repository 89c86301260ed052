import { lookup } from "node:dns/promises";
import { BlockList } from "node:net";
import { AirgapError } from "../src/errors.ts";
import type { Htpasswd } from "./auth.ts";
import { ApiError } from "./errors.ts";
import type { Route } from "./routes.ts";

/** RFC 1122, 3.2.1.3, and RFC 4291, 2.5.3. An IPv4-mapped address counts as the IPv4 address. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** What a name or address to listen on stands for. */
export interface ListenAddress {
  /** Its first address: the one to listen on. */
  address: string;
  /** Whether only this machine reaches it: true when all its addresses are loopback ones. */
  loopback: boolean;
}

/** Resolves a host to listen on, as the system does. Rejects with the system's error when it has no address. */
export async function resolveListen(host: string): Promise<ListenAddress> {
  const found = await lookup(host, { all: true });
  return {
    address: found[0]?.address ?? host,
    loopback: found.every(({ address, family }) => LOOPBACK.check(address, family === 6 ? "ipv6" : "ipv4")),
  };
}

export interface WriteRules {
  /** Users who may push and delete. */
  writers?: readonly string[] | undefined;
  /** Everybody who reaches the server may push and delete. */
  anonymousWrites?: boolean | undefined;
}

/** Who may push to the store and delete from it. */
export type Writers = "everybody" | ReadonlySet<string>;

/**
 * Without users everybody who reaches the server is a writer. Off loopback that is refused, unless
 * `--anonymous-writes` asks for it.
 * @throws AirgapError `usage`
 */
export function writersOf(rules: WriteRules, users: Htpasswd | undefined, listen: ListenAddress): Writers {
  const { writers, anonymousWrites = false } = rules;
  if (users === undefined) {
    if (writers !== undefined)
      throw new AirgapError("usage", "--writers names users, but there are none: --htpasswd is missing", {
        suggestions: ["add --htpasswd FILE"],
      });
    if (!listen.loopback && !anonymousWrites) throw openToAll(listen.address);
    return "everybody";
  }
  if (anonymousWrites)
    throw new AirgapError("usage", "--anonymous-writes contradicts --htpasswd, which asks for a user", {
      suggestions: ["leave out --anonymous-writes, and name those who may push: --writers USER,USER"],
    });
  const unknown = (writers ?? []).filter((name) => !users.has(name));
  if (unknown.length > 0)
    throw new AirgapError("usage", `--writers: ${users.file} has no user ${unknown.map(quoted).join(", ")}`, {
      suggestions: unknown.map((name) => `htpasswd -B ${users.file} ${name === "" ? "USER" : name}`),
    });
  return new Set(writers);
}

const quoted = (name: string): string => `'${name}'`;

function openToAll(address: string): AirgapError {
  return new AirgapError(
    "usage",
    `--store on ${address} lets everybody on the network push and delete without a password`,
    {
      suggestions: [
        "add --htpasswd FILE --writers USER: users of FILE read, the writers push and delete",
        "add --listen 127.0.0.1:5000: only this machine reaches it",
        "add --anonymous-writes: everybody on the network may push and delete",
      ],
    },
  );
}

/** Whether an endpoint of the API changes the store, or shows an upload that is under way. */
export const isWrite = (route: Route, method: string): boolean =>
  route.kind === "uploads" || route.kind === "upload" || (method !== "GET" && method !== "HEAD");

/**
 * Where no login is asked for, a page in somebody's browser could write too: browsers say so by
 * `Origin`, and clients of registries do not send it.
 * @throws ApiError 403 DENIED
 */
export function refuseBrowsers(origin: string | undefined): void {
  if (origin !== undefined)
    throw new ApiError(
      403,
      "DENIED",
      "web pages may not push or delete here: start the server with --htpasswd",
    );
}

/** @throws ApiError 403 DENIED: the user is known, and may only read */
export function checkWriter(writers: Writers, user: string | undefined): void {
  if (writers === "everybody" || (user !== undefined && writers.has(user))) return;
  const why =
    writers.size === 0
      ? "nobody may push or delete here: the server was started without --writers"
      : `${user ?? "an anonymous user"} may pull, but not push or delete`;
  throw new ApiError(403, "DENIED", why);
}
