import { createWriteStream } from "node:fs";
import { mkdir, readdir, rm, stat, statfs, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { replaceFile } from "../atomic.ts";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { type Emit, silent } from "../events.ts";
import { openDockerArchive } from "./docker-archive.ts";
import type { Source } from "./types.ts";
import type { TarOptions } from "./unpacked.ts";

export interface DaemonOptions extends TarOptions {
  emit?: Emit;
}

/** Exports that were not used for a week are removed, and the oldest ones beyond 20 GiB. */
const MAX_AGE = 7 * 24 * 3600 * 1000;
const MAX_KEPT = 20 * 2 ** 30;

/**
 * The only client of the Docker engine: it obeys DOCKER_HOST and the like, as docker does.
 * @param socketPath another engine's socket
 */
export async function connect(socketPath?: string): Promise<import("dockerode")> {
  const { default: Dockerode } = await import("dockerode");
  try {
    return socketPath === undefined ? new Dockerode() : new Dockerode({ socketPath });
  } catch (cause) {
    throw new AirgapError(
      "usage",
      `Cannot reach the Docker engine with the settings in the environment: ${messageOf(cause)}`,
      {
        cause,
        suggestions: ["unset DOCKER_HOST DOCKER_CERT_PATH"],
      },
    );
  }
}

/** The engine's answer as an error. */
export function explained(error: unknown, name: string): AirgapError {
  const { statusCode, code } = error as { statusCode?: number; code?: string };
  if (statusCode === 404)
    return new AirgapError("not-found", `The Docker engine has no image ${name}`, {
      cause: error,
      suggestions: ["docker images", `docker pull ${name}`],
    });
  if (code === "EACCES") {
    return new AirgapError(
      "environment",
      "Cannot reach the Docker engine: this user may not open its socket",
      {
        cause: error,
        suggestions: ['sudo usermod -aG docker "$USER"'],
      },
    );
  }
  if (code === "ENOENT" || code === "ECONNREFUSED") {
    return new AirgapError("environment", `Cannot reach the Docker engine: ${messageOf(error)}`, {
      cause: error,
      suggestions: ["sudo systemctl start docker", "docker info"],
    });
  }
  return new AirgapError(
    statusCode === undefined ? "network" : "refused",
    `The Docker engine cannot export ${name}: ${messageOf(error)}`,
    { cause: error },
  );
}

/**
 * `docker-daemon:NAME`: an image of the Docker engine. It does not have a digest before it is fetched, so it
 * is exported once, to a file that is kept under the image's id, and read there. The content is
 * the same for the same id, whenever and wherever it is exported.
 * @param name a reference as `docker save` takes it, or an image id
 * @throws AirgapError `not-found`, `environment` when the engine cannot be reached, `disk`
 */
export async function openDockerDaemon(name: string, options: DaemonOptions): Promise<Source> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,500}$/.test(name))
    throw new AirgapError("usage", `'${name}' is not the name of an image`, {
      suggestions: ["docker images"],
    });
  const docker = await connect();
  const { Id: id, Size: size } = await docker
    .getImage(name)
    .inspect()
    .catch((error: unknown) => {
      throw explained(error, name);
    });
  const directory = join(options.cacheDir, "docker");
  const file = join(directory, `${id.replace(/^sha256:/, "").replace(/[^0-9a-f]/g, "")}.tar`);
  const open = (): Promise<Source> => openDockerArchive(file, options, `docker-daemon:${name}`);
  const kept = await open().catch((error: unknown) => {
    if (isAirgapError(error)) return undefined;
    throw error;
  });
  if (kept) {
    await utimes(file, new Date(), new Date());
    return kept;
  }
  options.emit?.({ type: "note", message: `Exporting ${name} from the Docker engine` });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await checkRoom(directory, size, name);
  const stream = await docker
    .getImage(id)
    .get()
    .catch((error: unknown) => {
      throw explained(error, name);
    });
  await save(stream as Readable, file, name, options);
  await prune(directory, file);
  return open();
}

async function checkRoom(directory: string, size: number, name: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize > size) return;
  throw new AirgapError(
    "disk",
    `Cannot export ${name}: ${directory} has too little free space for about ${Math.ceil(size / 2 ** 20)} MiB`,
    {
      suggestions: ["AIRGAP_CACHE_DIR=/elsewhere airgap build …"],
    },
  );
}

async function save(
  stream: Readable,
  file: string,
  name: string,
  { signal, emit = silent }: DaemonOptions,
): Promise<void> {
  try {
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        emit({ type: "progress", item: name, bytes: chunk.length });
        yield chunk;
      }
    };
    const write = (draft: string) =>
      pipeline(stream, counted, createWriteStream(draft, { mode: 0o600 }), signal ? { signal } : {});
    await replaceFile(file, write, { durable: false });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw explained(error, name);
  }
}

/** Keeps the cache small: removes old exports and those beyond the limit. The newest one stays. */
async function prune(directory: string, current: string): Promise<void> {
  const found: { path: string; mtimeMs: number; size: number }[] = [];
  for (const entry of await readdir(directory)) {
    const path = join(directory, entry);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isFile() && path !== current) found.push({ path, mtimeMs: stats.mtimeMs, size: stats.size });
  }
  let total = (await stat(current)).size;
  for (const { path, mtimeMs, size } of found.toSorted((a, b) => b.mtimeMs - a.mtimeMs)) {
    total += size;
    // A process that has it open can still read it.
    if (Date.now() - mtimeMs > MAX_AGE || total > MAX_KEPT) await rm(path, { force: true });
  }
}
