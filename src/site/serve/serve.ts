import { once } from "node:events";
import { createWriteStream, readFileSync, type WriteStream } from "node:fs";
import { homedir, hostname, networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import type { AccessEntry } from "../../../registry/app.ts";
import { parseListen, type RunningServer, startServer } from "../../../registry/server.ts";
import { BundleReader, type Opening } from "../../bundle/reader.ts";
import { checkWhole } from "../../bundle/whole.ts";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { count, formatBytes, jsonText } from "../../format.ts";
import { isHost } from "../../oci/reference.ts";
import { type SelfSigned, selfSigned } from "./authority.ts";
import { bundleLibrary } from "./library.ts";

export interface ServeOptions {
  /** Paths of bundles. */
  bundles: string[];
  /** Paths of bundles that answer only for what none of the others has: an older one beside its successor. */
  fallback?: string[];
  opening?: Opening | undefined;
  listen: string;
  store?: string;
  /** Paths of PEM files. */
  tlsFiles?: { cert: string; key: string };
  selfSigned: boolean;
  /** Names for the self-signed certificate besides those that follow from address and bundles. */
  tlsNames: string[];
  htpasswd?: string;
  /** Users of `htpasswd` who may push and delete. */
  writers?: string[];
  /** Of the store: also remove manifests that no tag leads to. */
  collectUntagged?: boolean;
  /** Lets everybody push and delete, on any address. */
  anonymousWrites: boolean;
  /** Path of the access log; without it lines go to `say`. */
  accessLog?: string;
  /** For the reader, stderr. */
  say: (line: string) => void;
  /** Data, stdout. */
  line: (text: string) => void;
  emit: Emit;
  /** Ends the serving. */
  signal: AbortSignal;
}

export interface ServeResult {
  url: string;
  bundles: string[];
  store?: string;
  /** The authority that signed the certificate: its file and SHA-256 fingerprint. */
  authority?: { file: string; fingerprint: string };
  requests: number;
  /** Of answers' bodies. */
  bytes: number;
}

/**
 * Serves until `signal` is aborted, which is its normal end.
 * @throws AirgapError before it listens when a bundle is damaged or contradicts another one, or the address cannot be used
 */
export async function serve(options: ServeOptions): Promise<ServeResult> {
  if (options.bundles.length === 0 && options.store === undefined) {
    throw new AirgapError("usage", "There is nothing to serve: name a bundle or a store", {
      suggestions: ["airgap serve site.tar", "airgap serve --store ./registry"],
    });
  }
  const { host } = parseListen(options.listen);
  const bundles: BundleReader[] = [];
  try {
    const newest = options.bundles.length;
    for (const path of [...options.bundles, ...(options.fallback ?? [])])
      bundles.push(await BundleReader.openUnless(options.signal, path, options.opening));
    for (const bundle of bundles) {
      bundle.leanOn(bundles);
      checkWhole(bundle);
    }
    const library = [
      ...(newest > 0 ? [bundleLibrary(bundles.slice(0, newest))] : []),
      ...bundles.slice(newest).map((older) => bundleLibrary([older])),
    ];
    const made = options.selfSigned
      ? await selfSigned(
          stateDirectory(options.store),
          certificateNames(host, bundles, options.tlsNames),
          `airgap serve on ${hostname()}`,
        )
      : undefined;
    const tls = made?.tls ?? readTlsFiles(options.tlsFiles);
    return await run(options, { libraries: library, ...(tls ? { tls } : {}) }, made?.authority);
  } finally {
    for (const bundle of bundles) bundle.close();
  }
}

async function run(
  options: ServeOptions,
  content: Parameters<typeof startServer>[0],
  authority: SelfSigned["authority"] | undefined,
): Promise<ServeResult> {
  const { listen, store, htpasswd, writers, anonymousWrites, bundles } = options;
  // Before it listens, a stop is an interruption; from then on it is the normal end.
  options.signal.throwIfAborted();
  const log = await AccessLog.open(options.accessLog, options.say);
  const server = await startServer({
    ...content,
    ...(authority ? { authority: { cert: authority.cert, fingerprint: authority.fingerprint } } : {}),
    listen,
    ...(store ? { store } : {}),
    ...(htpasswd ? { htpasswd } : {}),
    writers,
    anonymousWrites,
    ...(options.collectUntagged ? { collectUntagged: true } : {}),
    collected: ({ manifests, blobs, bytes }) =>
      options.emit({
        type: "note",
        message: `Removed from the store, since nothing refers to it: ${count(manifests, "manifest")}, ${count(blobs, "blob")} (${formatBytes(bytes)})`,
      }),
    log: (entry) => log.add(entry),
  });
  const kept = authority && { file: authority.file, fingerprint: authority.fingerprint };
  options.line(server.url);
  if (authority) options.line(authority.cert.trimEnd());
  tell(options, server, kept);
  if (!options.signal.aborted) await once(options.signal, "abort");
  await server.close();
  await log.close();
  return {
    url: server.url,
    bundles,
    ...(store ? { store } : {}),
    ...(kept ? { authority: kept } : {}),
    requests: log.requests,
    bytes: log.bytes,
  };
}

function tell(
  { bundles, store, emit, htpasswd, writers = [], anonymousWrites }: ServeOptions,
  { url, loopback }: RunningServer,
  authority: ServeResult["authority"],
): void {
  const what = [...bundles, ...(store ? [`the store ${store}`] : [])].join(", ");
  emit({ type: "note", message: `Serving ${what} on ${url}; Ctrl-C ends it` });
  if (store && htpasswd && writers.length === 0)
    emit({
      type: "warning",
      message: "Nobody can push or delete: no user is named as a writer",
      suggestion: "add --writers USER,USER",
    });
  if (store && anonymousWrites && !loopback)
    emit({ type: "warning", message: "Everybody on the network can push and delete (--anonymous-writes)" });
  if (authority) {
    emit({
      type: "note",
      message: `Certificate authority: ${authority.file} (SHA-256 ${authority.fingerprint}); install it on the clients, so that they trust the server`,
    });
  } else if (url.startsWith("http:") && !loopback) {
    const risk = htpasswd
      ? "passwords cross the network in the clear"
      : "every client needs a setting for a registry that speaks plain HTTP";
    emit({
      type: "warning",
      message: `Without TLS ${risk}`,
      suggestion: "add --self-signed, or --tls-cert and --tls-key",
    });
  }
}

/** Where the authority is kept: with the store, else in the user's state directory (XDG base directories). */
function stateDirectory(store: string | undefined): string {
  if (store !== undefined) return join(resolve(store), "tls");
  return join(process.env["XDG_STATE_HOME"] || join(homedir(), ".local", "state"), "airgap", "tls");
}

function readTlsFiles(files: ServeOptions["tlsFiles"]): { cert: string; key: string } | undefined {
  if (files === undefined) return undefined;
  const read = (path: string, what: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      throw new AirgapError("usage", `The ${what} ${path} cannot be read: ${messageOf(cause)}`, { cause });
    }
  };
  return { cert: read(files.cert, "certificate"), key: read(files.key, "key") };
}

/** Every name and address under which a client may come. */
function certificateNames(host: string, bundles: BundleReader[], extra: string[]): string[] {
  for (const name of extra) {
    if (!isHost(name) && !isAddress(name))
      throw new AirgapError("usage", `--tls-name ${name} is neither a host name nor an address`);
  }
  const everywhere = host === "0.0.0.0" || host === "::";
  const own = everywhere
    ? Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address))
    : [host];
  const sites = bundles.flatMap(({ lock }) => (lock.siteName ? [lock.siteName.replace(/:\d+$/, "")] : []));
  return [
    ...new Set(
      [...extra, ...sites, hostname(), ...own, "localhost", "127.0.0.1", "::1"].filter(
        (name) => !name.includes("%"),
      ),
    ),
  ];
}

const isAddress = (text: string): boolean => /^[0-9a-f.:]+$/i.test(text) && /[:.]/.test(text);

/** JSON lines, and what they add up to. */
class AccessLog {
  requests = 0;
  bytes = 0;
  readonly #stream: WriteStream | undefined;
  readonly #say: (line: string) => void;

  private constructor(stream: WriteStream | undefined, say: (line: string) => void) {
    this.#stream = stream;
    this.#say = say;
  }

  /** @throws AirgapError `disk` */
  static async open(path: string | undefined, say: (line: string) => void): Promise<AccessLog> {
    if (path === undefined) return new AccessLog(undefined, say);
    const stream = createWriteStream(path, { flags: "a", mode: 0o640 });
    try {
      await once(stream, "open");
    } catch (cause) {
      throw new AirgapError("disk", `The access log ${path} cannot be written: ${messageOf(cause)}`, {
        cause,
      });
    }
    // A full disk must not end the serving.
    stream.on("error", () => {});
    return new AccessLog(stream, say);
  }

  add(entry: AccessEntry): void {
    this.requests++;
    this.bytes += entry.bytes;
    const line = jsonText(entry);
    if (this.#stream) this.#stream.write(`${line}\n`);
    else this.#say(line);
  }

  async close(): Promise<void> {
    await new Promise<void>((done) => (this.#stream ? this.#stream.end(() => done()) : done()));
  }
}
