import { randomUUID } from "node:crypto";
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isRecord } from "../../src/oci/descriptor.ts";
import { ifThere, namesIn, removeFile, textOf } from "./durable.ts";
import { Intake } from "./intake.ts";
import { KeyedMutex } from "./mutex.ts";
import type { StorePaths } from "./paths.ts";
import { type Algorithm, UploadSession } from "./upload-session.ts";

/** Sessions that are silent for a day are removed. Milliseconds. */
export const SESSION_LIFETIME = 24 * 3600 * 1000;

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** All upload sessions of a store. */
export class Uploads {
  readonly #paths: StorePaths;
  readonly #sessions = new Map<string, UploadSession>();
  readonly #turns = new KeyedMutex();
  /** Sessions that a request works on, and how its body is ended. */
  readonly #interrupt = new Map<string, () => void>();
  readonly intake = new Intake(() => this.#giveBackOldest());

  constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  async create(repository: string, algorithm: Algorithm = "sha256"): Promise<UploadSession> {
    const id = randomUUID();
    const session = this.#session(id, repository, { algorithm, size: 0 });
    await writeFile(session.file, "");
    await this.intake.withRoom(() =>
      writeFile(this.#file(id, "json"), JSON.stringify({ repository, algorithm })),
    );
    this.#sessions.set(id, session);
    return session;
  }

  async find(repository: string, id: string): Promise<UploadSession | undefined> {
    if (!ID.test(id)) return undefined;
    const loaded = this.#sessions.get(id) ?? (await this.#load(id));
    if (loaded?.repository !== repository) return undefined;
    const session = this.#sessions.get(id) ?? loaded;
    this.#sessions.set(id, session);
    return session;
  }

  /**
   * One request at a time works on a session. The newest one wins: a client comes back over a new
   * connection when its old one has died, which this side may not have noticed yet.
   * @param interrupt ends this request's own body, should another one come
   */
  async exclusively<T>(id: string, interrupt: () => void, work: () => Promise<T>): Promise<T> {
    this.#interrupt.get(id)?.();
    this.#interrupt.set(id, interrupt);
    try {
      return await this.#turns.run(id, work);
    } finally {
      if (this.#interrupt.get(id) === interrupt) this.#interrupt.delete(id);
    }
  }

  /** A session that nobody else knows of and that only `work` uses: when that fails, nothing of it stays. */
  async once<T>(
    repository: string,
    algorithm: Algorithm,
    work: (session: UploadSession) => Promise<T>,
  ): Promise<T> {
    const session = await this.create(repository, algorithm);
    return this.exclusively(
      session.id,
      () => {},
      async () => {
        try {
          return await work(session);
        } catch (error) {
          await this.end(session);
          throw error;
        }
      },
    );
  }

  /** Forgets a session; its file may have been moved already. */
  async end(session: UploadSession): Promise<void> {
    await this.#remove(session.id);
  }

  /** Removes sessions that were silent for too long. */
  async sweep(lifetime: number = SESSION_LIFETIME, now: number = Date.now()): Promise<void> {
    for (const name of await readdir(this.#paths.uploads)) {
      const path = join(this.#paths.uploads, name);
      const found = await ifThere(stat(path));
      const id = name.replace(/\.(?:data|json)$/, "");
      const newest = Math.max(
        found?.mtimeMs ?? now,
        (await ifThere(stat(this.#file(id, "data"))))?.mtimeMs ?? 0,
      );
      if (now - newest < lifetime || this.#interrupt.has(id)) continue;
      this.#sessions.delete(id);
      await removeFile(path);
    }
  }

  /**
   * Gives back the space of the session that has been silent for longest, so that a full disk does
   * not stay full of what may never be finished: its client begins again.
   * @returns whether there was one
   */
  async #giveBackOldest(): Promise<boolean> {
    let oldest: { id: string; mtimeMs: number } | undefined;
    for (const name of await namesIn(this.#paths.uploads)) {
      const id = name.replace(/\.data$/, "");
      if (id === name || this.#interrupt.has(id)) continue;
      const found = await ifThere(stat(join(this.#paths.uploads, name)));
      if (found && found.size > 0 && !(oldest && oldest.mtimeMs <= found.mtimeMs))
        oldest = { id, mtimeMs: found.mtimeMs };
    }
    if (oldest === undefined) return false;
    const { id } = oldest;
    await this.#turns.run(id, async () => {
      if (!this.#interrupt.has(id)) await this.#remove(id);
    });
    return true;
  }

  async #remove(id: string): Promise<void> {
    this.#sessions.delete(id);
    await removeFile(this.#file(id, "json"));
    await removeFile(this.#file(id, "data"));
  }

  #session(id: string, repository: string, state: { algorithm: Algorithm; size: number }): UploadSession {
    return new UploadSession({ id, repository, file: this.#file(id, "data") }, state, this.intake);
  }

  async #load(id: string): Promise<UploadSession | undefined> {
    const text = await textOf(this.#file(id, "json"));
    const data = await ifThere(stat(this.#file(id, "data")));
    if (text === undefined || data === undefined) return undefined;
    const state = parse(text);
    if (!isRecord(state) || typeof state.repository !== "string") return undefined;
    const algorithm = state.algorithm === "sha512" ? "sha512" : "sha256";
    return this.#session(id, state.repository, { algorithm, size: data.size });
  }

  #file(id: string, suffix: "data" | "json"): string {
    return join(this.#paths.uploads, `${id}.${suffix}`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
