import { type ChildProcess, fork, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/daemon.ts";
import type { Counted, ProxyOptions } from "./proxy.ts";

/** The kernel's unit for processor times in /proc. */
const TICKS = 100;

/** A server that is measured: its output goes to a file, so that nobody has to read along. */
export class Server implements AsyncDisposable {
  readonly host: string;
  readonly log: string;
  readonly #child: ChildProcess;

  private constructor(host: string, log: string, child: ChildProcess) {
    this.host = host;
    this.log = log;
    this.#child = child;
  }

  /** Starts a program that answers to `GET /v2/` at `host`. */
  static async start(program: string, args: string[], host: string, log: string): Promise<Server> {
    const fd = openSync(log, "w");
    const child = spawn(program, args, { stdio: ["ignore", fd, fd] });
    closeSync(fd);
    const server = new Server(host, log, child);
    for (let i = 0; i < 200; i++) {
      if (child.exitCode !== null)
        throw new Error(`${program} ended: ${readFileSync(log, "utf8").slice(-2000)}`);
      if (
        await fetch(`http://${host}/v2/`).then(
          ({ status }) => status === 200,
          () => false,
        )
      )
        return server;
      await sleep(50);
    }
    child.kill("SIGKILL");
    throw new Error(`${program} does not answer at ${host}`);
  }

  /** Processor time so far, user and system. Seconds. */
  get cpu(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  /** Most memory that it ever had. Bytes. */
  get peakRss(): number {
    return (
      Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${this.#child.pid}/status`, "utf8"))?.[1] ?? 0) * 1024
    );
  }

  get logSize(): number {
    return statSync(this.log).size;
  }

  /** Requests in the access log behind this place, and the bytes of their answers' bodies. Common log format, or airgap's JSON lines. */
  requestsSince(offset: number): { requests: number; bytes: number; kinds: Record<string, number> } {
    const found = { requests: 0, bytes: 0, kinds: {} as Record<string, number> };
    const text = readFileSync(this.log).toString("latin1", offset);
    const lines = [
      ...text.matchAll(/"([A-Z]+) (\S+) HTTP\/1\.1" (\d+) (\d+)/g),
      ...text.matchAll(/"method":"([A-Z]+)","url":"([^"]+)","status":(\d+),"bytes":(\d+)/g),
    ];
    for (const [, method, path = "", status, bytes] of lines) {
      const kind = `${method} ${/\/(manifests|uploads|blobs|tags|referrers)\b/.exec(path)?.[1] ?? path} ${status}`;
      found.requests++;
      found.bytes += Number(bytes);
      found.kinds[kind] = (found.kinds[kind] ?? 0) + 1;
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#child);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(killer);
}

let registries = 0;

/** Debian's docker-registry with its content below `dir`, which may be there already. */
export async function startRegistry(
  dir: string,
  content = join(dir, `registry-${registries++}`),
): Promise<Server> {
  const host = `127.0.0.1:${await freePort()}`;
  mkdirSync(content, { recursive: true });
  const config = `${content}.yml`;
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: ${content}}\n  delete: {enabled: true}\nhttp: {addr: "${host}"}\n`,
  );
  return await Server.start("docker-registry", ["serve", config], host, `${content}.log`);
}

/** Whether this machine has nginx, the floor of serving. */
export const hasNginx = (): boolean => existsSync(NGINX);
const NGINX = "/usr/sbin/nginx";

/** nginx that gives out the files below `root` under the paths of a registry, by sendfile. One process. */
export async function startNginx(dir: string, root: string): Promise<Server> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(dir, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${dir}/nginx-${name};`)
    .join(" ");
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log ${dir}/nginx.err;
events { worker_connections 1024; }
http {
  sendfile on; tcp_nopush on; keepalive_requests 100000; access_log off; ${temporary}
  default_type application/octet-stream;
  server { listen ${host}; root ${root}; location = /v2/ { return 200; } }
}
`,
  );
  return await Server.start(
    NGINX,
    ["-c", config, "-e", join(dir, "nginx.err")],
    host,
    join(dir, "nginx.log"),
  );
}

/** The slow line, see proxy.ts. */
export class SlowLine implements AsyncDisposable {
  readonly host: string;
  readonly #child: ChildProcess;

  private constructor(host: string, child: ChildProcess) {
    this.host = host;
    this.#child = child;
  }

  static async start(options: ProxyOptions): Promise<SlowLine> {
    const child = fork(new URL("proxy.ts", import.meta.url), [JSON.stringify(options)]);
    const { port } = await answer<{ port: number }>(child);
    return new SlowLine(`127.0.0.1:${port}`, child);
  }

  async reset(): Promise<void> {
    const answered = answer(this.#child);
    this.#child.send("reset");
    await answered;
  }

  async counted(): Promise<Counted> {
    const answered = answer<Counted>(this.#child);
    this.#child.send("count");
    return await answered;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#child);
  }
}

function answer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error("the proxy ended"));
    child.once("exit", ended);
    child.once("message", (message) => {
      child.off("exit", ended);
      resolve(message as T);
    });
  });
}
