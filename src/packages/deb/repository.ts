import { createHash } from "node:crypto";
import { join } from "node:path";
import { isAirgapError } from "../../errors.ts";
import type { Http } from "../../http.ts";
import {
  PackageIndex,
  type PackageRow,
  type ProvideRow,
  type VersionRow,
} from "../../state/package-index.ts";
import { decompress } from "../decompress.ts";
import { checkedContent, type Expected, placesBelow } from "../locations.ts";
import { type DebDetail, readPackagesFile } from "./packages-file.ts";

export interface DebRepositoryOptions {
  /** The repository's id in the spec. */
  id: string;
  /** Suite and component, for messages. */
  title: string;
  /** As apt's pins: the higher is taken first. */
  priority: number;
  /** Where Filename starts. */
  base: string;
  http: Http;
  /** Packages file: where it is, tried in order, and what it must be. */
  places: string[];
  expected: Expected;
  /** What the unpacked file has at most, bytes. */
  unpackedSize: number;
  revision: string;
  indexDir: string;
  /** A key given in the spec has signed it. */
  signed: boolean;
  /** The repository's id with the suite, and when the suite's Release file was made. */
  dated: string;
  date: string | undefined;
  signal?: AbortSignal | undefined;
}

/** One opened Packages file. */
export class DebRepository {
  readonly id: string;
  readonly title: string;
  readonly priority: number;
  readonly signed: boolean;
  readonly dated: string;
  readonly date: string | undefined;
  readonly http: Http;
  readonly #base: string;
  readonly #index: PackageIndex;

  private constructor(options: DebRepositoryOptions, index: PackageIndex) {
    this.id = options.id;
    this.title = options.title;
    this.priority = options.priority;
    this.signed = options.signed;
    this.dated = options.dated;
    this.date = options.date;
    this.http = options.http;
    this.#base = options.base;
    this.#index = index;
  }

  static async open(options: DebRepositoryOptions): Promise<DebRepository> {
    const key = createHash("sha256").update(`${options.base} ${options.title}`).digest("hex").slice(0, 16);
    const index = await PackageIndex.open(
      join(options.indexDir, `deb-${options.id}-${key}.sqlite`),
      options.revision,
      async (writer) => {
        await readPackagesFile(content(options), `Packages of ${options.title}`, (entry) =>
          writer.add(entry),
        );
      },
    );
    return new DebRepository(options, index);
  }

  places(filename: string): string[] {
    return placesBelow([this.#base], filename, `Packages of ${this.title}`);
  }

  providers(names: string[]): Promise<ProvideRow[]> {
    return this.#index.providers(names);
  }

  packages(ids: number[]): Promise<PackageRow[]> {
    return this.#index.packages(ids);
  }

  named(names: string[]): Promise<PackageRow[]> {
    return this.#index.named(names);
  }

  async details(ids: number[]): Promise<Map<number, DebDetail>> {
    return new Map(
      (await this.#index.details(ids)).map(({ id, detail }) => [id, JSON.parse(detail) as DebDetail]),
    );
  }

  versions(names: string[]): Promise<VersionRow[]> {
    return this.#index.versions(names);
  }

  async supplemented(): Promise<string[]> {
    return [];
  }

  async supplementers(): Promise<PackageRow[]> {
    return [];
  }

  globbed(pattern: string): Promise<string[]> {
    return this.#index.globbed(pattern);
  }

  close(): Promise<void> {
    return this.#index.close();
  }
}

async function* content(options: DebRepositoryOptions): AsyncGenerator<Buffer> {
  let failure: unknown;
  for (const place of options.places) {
    try {
      const chunks = checkedContent(options.http, place, options.expected, options.signal);
      const first = await chunks.next();
      const whole = (async function* () {
        if (!first.done) yield first.value;
        yield* chunks;
      })();
      yield* decompress(whole, `Packages of ${options.title}`, options.unpackedSize);
      return;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isAbsent(error)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

/** Stores such as S3 answer 403 for what is not there. */
export const isAbsent = (error: unknown): boolean =>
  isAirgapError(error, "not-found", "unauthorized", "refused");
