import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { AirgapError, messageOf } from "../src/errors.ts";
import { type ListenAddress, resolveListen, type WriteRules, writersOf } from "./access.ts";
import { type AccessEntry, App } from "./app.ts";
import { Htpasswd } from "./auth.ts";
import type { Library } from "./library.ts";
import type { Collected } from "./store/collect.ts";
import { Store } from "./store/store.ts";
import { Turns } from "./turns.ts";
import { UnionLibrary } from "./union.ts";

export interface ServerOptions extends WriteRules {
  /** `host:port`; port 0 takes a free one. Default 127.0.0.1:5000. */
  listen?: string;
  /** What is served besides the store. */
  libraries?: readonly Library[];
  /** Directory of a writable store; made when it is not there. Without it the server is read-only. */
  store?: string;
  /** PEM. */
  tls?: { cert: string; key: string };
  /** The authority of that certificate, if it is one of our own: the page gives it out. PEM and SHA-256. */
  authority?: { cert: string; fingerprint: string };
  /** An htpasswd file; everything but `/healthz` then asks for a user. Only `writers` push and delete. */
  htpasswd?: string;
  /** Of the store: also remove manifests that no tag leads to, a day after they were pushed. */
  collectUntagged?: boolean;
  /** Is told what was removed from the store, since nothing refers to it. */
  collected?: (what: Collected) => void;
  log?: (entry: AccessEntry) => void;
  /** When a connection is given up, in milliseconds: without a byte in either direction; within a request's header. */
  timeouts?: { idle?: number; header?: number };
}

export interface RunningServer {
  /** `http://127.0.0.1:5000`, with the port that was taken. */
  readonly url: string;
  /** `127.0.0.1:5000`: what stands before a repository in an image reference. */
  readonly host: string;
  /** Whether only this machine reaches it. */
  readonly loopback: boolean;
  /** Stops listening, lets running answers finish for `graceMs` (default 10 s), then ends them. */
  close(graceMs?: number): Promise<void>;
}

/** No byte in either direction for so long ends a connection. Milliseconds. */
const IDLE = 120_000;
const HEADERS = 20_000;
const KEEP_ALIVE = 75_000;
const MAX_HEADER = 16 << 10;
const MAX_CONNECTIONS = 2048;
const GRACE = 10_000;
const SWEEP = 3_600_000;

/**
 * Splits `host:port`, `[::1]:5000` or a bare host (port 5000).
 * @throws AirgapError `usage`
 */
export function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 5000);
  const onlyPort = /^:?\d{1,5}$/.test(text);
  if (host === undefined || onlyPort || port > 65535) {
    const shown = onlyPort ? text.replace(":", "") : "5000";
    throw new AirgapError("usage", `'${text}' is not an address to listen on`, {
      suggestions: [`--listen 127.0.0.1:${shown}`, `--listen 0.0.0.0:${shown}`],
    });
  }
  return { host, port };
}

const forUrl = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** Gives a library's plain names also to clients that ask with `ns`, as registries without `ns` do. */
function ignoringNs(library: Library): Library {
  return {
    name: "",
    repositories: async () => [],
    repository: async (name, ns) => (ns === undefined ? undefined : library.repository(name)),
  };
}

/**
 * Starts an OCI registry over libraries and, if asked, a writable store. It listens when the
 * promise resolves.
 * @throws AirgapError `usage`, `disk`; `environment` when it cannot listen on the address
 */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const { host, port } = parseListen(options.listen ?? "127.0.0.1:5000");
  const users = options.htpasswd === undefined ? undefined : new Htpasswd(options.htpasswd);
  const at = await resolve(host, port);
  const writers = options.store === undefined ? new Set<string>() : writersOf(options, users, at);
  const store = options.store === undefined ? undefined : await Store.open(options.store);
  const libraries = options.libraries ?? [];
  const library = new UnionLibrary(store ? [store, ...libraries, ignoringNs(store)] : libraries);
  const scheme = options.tls ? "https" : "http";
  const app = new App({
    library,
    store,
    users,
    writers,
    scheme,
    authority: options.authority,
    log: options.log,
  });
  const server = createHttpServer(app, options);
  await listen(server, host, port, at.address);
  const sweeping = new AbortController();
  const sweep = (): void => void (store && sweepStore(store, options, sweeping.signal));
  const sweeper = setInterval(sweep, SWEEP).unref();
  sweep();
  const address = `${forUrl(host)}:${(server.address() as AddressInfo).port}`;
  return {
    url: `${scheme}://${address}`,
    host: address,
    loopback: at.loopback,
    close: async (graceMs = GRACE) => {
      clearInterval(sweeper);
      sweeping.abort();
      await stop(server, graceMs);
    },
  };
}

/** What is not needed goes, beside everything else; a disk that cannot be read is found out by the requests. */
async function sweepStore(
  store: Store,
  { collectUntagged, collected }: ServerOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    await store.uploads.sweep();
    const done = await store.collect({ untagged: collectUntagged, signal });
    if (done.blobs + done.manifests > 0) collected?.(done);
  } catch {
    // The next sweep tries again.
  }
}

function createHttpServer(app: App, { tls, timeouts }: ServerOptions): Server {
  const headersTimeout = timeouts?.header ?? HEADERS;
  const limits = {
    maxHeaderSize: MAX_HEADER,
    headersTimeout,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE,
    connectionsCheckingInterval: Math.min(5000, headersTimeout / 2),
  };
  const turns = new Turns();
  const handle = (req: IncomingMessage, res: ServerResponse): void =>
    turns.take(req, res, () => app.handle(req, res));
  const server = tls
    ? createTlsServer(
        { ...limits, ...tls, minVersion: "TLSv1.2", handshakeTimeout: HEADERS, ALPNProtocols: ["http/1.1"] },
        handle,
      )
    : createServer(limits, handle);
  server.on("checkContinue", handle);
  server.on(
    "clientError",
    (error: NodeJS.ErrnoException, socket: Socket) =>
      void answerBadRequest(error, socket, turns, headersTimeout),
  );
  if (tls) server.on("secureConnection", readRecordByRecord);
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = timeouts?.idle ?? IDLE;
  return server;
}

/**
 * Several TLS records may come in one packet, as a client's requests do that does not wait for
 * answers. When Node lets its parser read from TLS directly, it pauses that parser while an answer
 * is under way and then hands it the next record all the same, which ends in a parse error
 * (HPE_PAUSED). With a listener for data it reads through the socket's own buffer, which waits.
 * From the first byte on: put in later, when such a client is known, it may stop reading for good.
 */
function readRecordByRecord(socket: Socket): void {
  socket.on("data", () => {});
}

/**
 * A request that is not HTTP, has too large a header, or takes too long. Answers that are under way
 * come first: a client that sent more than one request must not find this one within another.
 */
async function answerBadRequest(
  error: NodeJS.ErrnoException,
  socket: Socket,
  turns: Turns,
  headersTimeout: number,
): Promise<void> {
  const late = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
  if (turns.receiving(socket)) return void socket.destroy();
  if (turns.busy(socket)) {
    if (!late) socket.pause();
    await turns.over(socket);
    // While an answer was under way nothing more was read: only now is it the client who takes its time.
    if (late && (await turns.another(socket, headersTimeout))) return;
  }
  const status =
    error.code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : late
        ? "408 Request Timeout"
        : "400 Bad Request";
  if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  else socket.destroy();
}

async function resolve(host: string, port: number): Promise<ListenAddress> {
  try {
    return await resolveListen(host);
  } catch (cause) {
    throw cannotListen(cause as NodeJS.ErrnoException, host, port);
  }
}

/** @param address what `host` was resolved to: the one whose reach has been judged */
async function listen(server: Server, host: string, port: number, address: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port, backlog: 1024 }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (cause) {
    throw cannotListen(cause as NodeJS.ErrnoException, host, port);
  }
}

function cannotListen(cause: NodeJS.ErrnoException, host: string, port: number): AirgapError {
  const address = `${forUrl(host)}:${port}`;
  const why =
    cause.code === "EADDRINUSE"
      ? "something listens there already"
      : cause.code === "EACCES"
        ? "ports below 1024 need root or CAP_NET_BIND_SERVICE"
        : messageOf(cause);
  return new AirgapError("environment", `Can't listen on ${address}: ${why}`, {
    cause,
    suggestions: ["EADDRINUSE", "EACCES"].includes(cause.code ?? "")
      ? [`--listen ${forUrl(host)}:${port < 1024 ? 5000 : port + 1}`]
      : [`--listen 0.0.0.0:${port}`, `--listen 127.0.0.1:${port}`],
  });
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  const end = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(idle);
  clearTimeout(end);
}
