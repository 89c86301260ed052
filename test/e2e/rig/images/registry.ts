import { spawn } from "node:child_process";
import { closeSync, createReadStream, openSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { inside, type Network } from "../network.ts";
import { eventually } from "../shell.ts";
import type { Image } from "./image.ts";

export interface RegistryOptions {
  /** Where the content lies. */
  storage: string;
  /** Folder for its configuration and log. */
  work: string;
  readOnly?: boolean;
  /** Where it listens; default a free port of 127.0.0.1. */
  address?: string;
  port?: number;
  tls?: { certificate: string; key: string };
  /** A file as htpasswd -B makes it. */
  htpasswd?: string;
  /** Runs inside of a rig's network instead of on this machine's. */
  network?: Network;
}

/** A port of 127.0.0.1 that nothing listens on just now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function configuration(options: RegistryOptions, listen: string): string {
  const { storage, readOnly = false, tls, htpasswd } = options;
  const document = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      maintenance: { readonly: { enabled: readOnly } },
    },
    http: { addr: listen, ...(tls === undefined ? {} : { tls }) },
    ...(htpasswd === undefined ? {} : { auth: { htpasswd: { realm: "rig", path: htpasswd } } }),
  };
  // JSON is YAML.
  return JSON.stringify(document);
}

/** A running docker-registry. */
export interface Registry extends AsyncDisposable {
  /** `address:port`. */
  host: string;
  log: () => Promise<string>;
  stop: () => Promise<void>;
}

export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { work, network, address = "127.0.0.1" } = options;
  const host = `${address}:${options.port ?? (await freePort())}`;
  await mkdir(work, { recursive: true });
  const [file, logFile] = [join(work, "registry.json"), join(work, "registry.log")];
  await writeFile(file, configuration(options, host));
  const command = ["docker-registry", "serve", file];
  const [program, args] =
    network === undefined ? [command[0] ?? "", command.slice(1)] : inside(network, command);
  const out = openSync(logFile, "a");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], {
    stdio: ["ignore", out, out],
  });
  closeSync(out);
  const log = (): Promise<string> => readFile(logFile, "utf8").catch(() => "");
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  let over = false;
  void ended.then(() => {
    over = true;
  });
  await eventually(`docker-registry at ${host}`, 20, async () => {
    if (over) throw new Error(`docker-registry ended:\n${await log()}`);
    return /listening on/.test(await log()) || undefined;
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  return { host, log, stop, [Symbol.asyncDispose]: stop };
}

interface Answer {
  status: number;
  location?: string;
}

/** One request of a plain http registry, with a body that is streamed. */
async function ask(
  method: string,
  url: URL,
  body?: string | Buffer,
  type = "application/octet-stream",
): Promise<Answer> {
  const length = body === undefined ? 0 : typeof body === "string" ? (await stat(body)).size : body.length;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      { method, headers: { "Content-Length": length, "Content-Type": type } },
      (response) => {
        response.resume();
        const { location } = response.headers;
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, ...(location === undefined ? {} : { location }) }),
        );
      },
    );
    outgoing.once("error", reject);
    if (typeof body === "string") pipeline(createReadStream(body), outgoing).catch(reject);
    else outgoing.end(body);
  });
}

function expect(answer: Answer, status: number, what: string): Answer {
  if (answer.status !== status) throw new Error(`${what}: answered ${answer.status}, not ${status}`);
  return answer;
}

/** Pushes an image to a plain http registry; `repository` and `tag` as they are called there. */
export async function pushImage(host: string, repository: string, tag: string, image: Image): Promise<void> {
  const base = new URL(`http://${host}/v2/${repository}/`);
  for (const [digest, content] of image.blobs) {
    if ((await ask("HEAD", new URL(`blobs/${digest}`, base))).status === 200) continue;
    const { location = "" } = expect(
      await ask("POST", new URL("blobs/uploads/", base)),
      202,
      `an upload to ${repository}`,
    );
    const url = new URL(location, base);
    url.searchParams.set("digest", digest);
    expect(await ask("PUT", url, content), 201, `${digest} to ${repository}`);
  }
  expect(
    await ask("PUT", new URL(`manifests/${tag}`, base), image.manifest, image.mediaType),
    201,
    `${repository}:${tag}`,
  );
}
