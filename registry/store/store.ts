import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AirgapError, isAirgapError, messageOf } from "../../src/errors.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { algorithmOf, type Digest } from "../../src/oci/digest.ts";
import { type Index, type Manifest, parseManifest, referrerOf } from "../../src/oci/manifest.ts";
import { hostComponent, isRepository } from "../../src/oci/reference.ts";
import type { Library } from "../library.ts";
import { type Collected, type CollectOptions, isOld, type Known, namedBy, reached } from "./collect.ts";
import { Content } from "./content.ts";
import {
  ifThere,
  makeDirectory,
  namesIn,
  removeFile,
  syncDirectory,
  writeDraft,
  writeWhole,
} from "./durable.ts";
import { KeyedGate } from "./gate.ts";
import { KeyedMutex } from "./mutex.ts";
import { digestOfFileName, StorePaths } from "./paths.ts";
import { StoredRepository } from "./repository.ts";
import type { UploadSession } from "./upload-session.ts";
import { Uploads } from "./uploads.ts";

/**
 * A writable registry in a directory (see `StorePaths`). The directory is the truth: nothing is
 * kept in memory but the hashes of running uploads, so it opens at once whatever its size, and
 * whatever was answered with 201 for a manifest survives a power cut.
 */
export class Store implements Library {
  readonly name: string;
  readonly uploads: Uploads;
  readonly #paths: StorePaths;
  readonly #content: Content;
  readonly #turns = new KeyedMutex();
  readonly #gate = new KeyedGate();

  private constructor(directory: string) {
    this.name = directory;
    this.#paths = new StorePaths(directory);
    this.#content = new Content(this.#paths);
    this.uploads = new Uploads(this.#paths);
  }

  /** Opens a store, or makes one. @throws AirgapError `disk` */
  static async open(directory: string): Promise<Store> {
    const store = new Store(directory);
    try {
      await store.#prepare();
    } catch (cause) {
      throw new AirgapError("disk", `The store ${directory} cannot be used: ${messageOf(cause)}`, {
        cause,
        suggestions: [`mkdir -p ${directory}`],
      });
    }
    return store;
  }

  async #prepare(): Promise<void> {
    const { repositories, uploads, temporary } = this.#paths;
    await rm(temporary, { recursive: true, force: true });
    for (const directory of [repositories, uploads, temporary]) await makeDirectory(directory);
    await this.#content.prepare();
    await this.uploads.sweep();
  }

  async check(): Promise<void> {
    await stat(this.#paths.repositories);
  }

  repositories(): Promise<string[]> {
    return this.#foldersWith("_manifests");
  }

  /** Repositories that have one of these folders. */
  async #foldersWith(...kinds: string[]): Promise<string[]> {
    const found: string[] = [];
    const walk = async (name: string): Promise<void> => {
      const entries =
        (await ifThere(readdir(join(this.#paths.repositories, name), { withFileTypes: true }))) ?? [];
      if (entries.some((entry) => kinds.includes(entry.name))) found.push(name);
      for (const entry of entries) {
        if (entry.isDirectory() && !entry.name.startsWith("_"))
          await walk(name === "" ? entry.name : `${name}/${entry.name}`);
      }
    };
    await walk("");
    return found.sort();
  }

  /** With `ns`: what lies under that registry's name, as `push --layout host` puts it. */
  async repository(name: string, ns?: string): Promise<StoredRepository | undefined> {
    const full = ns === undefined ? name : `${hostComponent(ns.toLowerCase())}/${name}`;
    if (!isRepository(full)) return undefined;
    const there = await ifThere(stat(this.#paths.repository(full)));
    return there && this.#repository(full);
  }

  #repository(name: string): StoredRepository {
    return new StoredRepository(name, this.#paths, this.#content);
  }

  /** Makes a finished upload a blob of its repository. @returns what its digest really is; the blob is there only if that is `digest` */
  async commit(session: UploadSession, digest: Digest): Promise<Digest> {
    const found = await session.finish(algorithmOf(digest));
    if (found === digest) {
      const link = await this.#linker(session.repository, digest);
      await this.#content.adopt(session.file, digest, link);
    }
    await this.uploads.end(session);
    return found;
  }

  /** Gives a repository a blob that another one has. @returns false when the content is not there */
  async link(name: string, digest: Digest): Promise<boolean> {
    return this.#content.relink(digest, await this.#linker(name, digest));
  }

  async #linker(name: string, digest: Digest): Promise<() => Promise<void>> {
    await makeDirectory(this.#paths.links(name, "_blobs"));
    return () => writeFile(this.#paths.link(name, "_blobs", digest), "");
  }

  /**
   * Stores a manifest that has been checked, then points tags at it. Everything below it is on
   * the disk before it is, and it is before its tags are.
   */
  async putManifest(
    name: string,
    bytes: Buffer,
    digest: Digest,
    content: Manifest | Index,
    tags: string[],
  ): Promise<void> {
    const descriptor: Descriptor = { mediaType: content.mediaType, digest, size: bytes.length };
    const subject = content.subject?.digest;
    await this.#turns.run(name, async () => {
      await this.#syncLinks(name);
      const draft = await this.uploads.intake.withRoom(() => writeDraft(bytes, this.#paths.temporary));
      await makeDirectory(this.#paths.links(name, "_manifests"));
      const text = JSON.stringify({ ...descriptor, ...(subject ? { subject } : {}) });
      await this.#content.adopt(draft, digest, () =>
        writeWhole(this.#paths.link(name, "_manifests", digest), text, this.#paths.temporary),
      );
      if (subject) await this.#putReferrer(name, subject, referrerOf(descriptor, content));
      await Promise.all([this.#content.sync(), syncDirectory(this.#paths.links(name, "_manifests"))]);
      await this.#tag(name, digest, tags);
    });
  }

  async #syncLinks(name: string): Promise<void> {
    await makeDirectory(this.#paths.links(name, "_blobs"));
    await Promise.all([this.#content.sync(), syncDirectory(this.#paths.links(name, "_blobs"))]);
  }

  async #putReferrer(name: string, subject: Digest, descriptor: Descriptor): Promise<void> {
    const directory = this.#paths.referrers(name, subject);
    await makeDirectory(directory);
    await writeWhole(
      this.#paths.referrer(name, subject, descriptor.digest),
      JSON.stringify(descriptor),
      this.#paths.temporary,
    );
    await syncDirectory(directory);
  }

  async #tag(name: string, digest: Digest, tags: string[]): Promise<void> {
    if (tags.length === 0) return;
    const directory = this.#paths.links(name, "_tags");
    await makeDirectory(directory);
    for (const tag of tags) await writeWhole(this.#paths.tag(name, tag), digest, this.#paths.temporary);
    await syncDirectory(directory);
  }

  /** @returns whether the tag was there */
  async deleteTag(name: string, tag: string): Promise<boolean> {
    return this.#turns.run(name, async () => {
      const removed = await removeFile(this.#paths.tag(name, tag));
      if (removed) await syncDirectory(this.#paths.links(name, "_tags"));
      return removed;
    });
  }

  /** Removes a manifest with its tags and its entry among the referrers. @returns whether it was there */
  async deleteManifest(name: string, digest: Digest): Promise<boolean> {
    return this.#turns.run(name, async () => {
      const repository = this.#repository(name);
      const manifest = await repository.manifest(digest);
      if (manifest === undefined) return false;
      for (const tag of await repository.tags()) {
        if ((await repository.tagged(tag)) === digest) await removeFile(this.#paths.tag(name, tag));
      }
      if (manifest.subject) await removeFile(this.#paths.referrer(name, manifest.subject, digest));
      await this.#unlink(name, "_manifests", digest);
      return true;
    });
  }

  /** @returns whether it was there */
  async deleteBlob(name: string, digest: Digest): Promise<boolean> {
    return this.#turns.run(name, async () => {
      if (!(await this.#repository(name).hasBlob(digest))) return false;
      await this.#unlink(name, "_blobs", digest);
      return true;
    });
  }

  /** Runs the whole of a push of a manifest: what it names is not collected meanwhile. */
  pushing<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#gate.shared(name, work);
  }

  /**
   * Removes what nothing refers to: blobs of a repository that no manifest there names, content that no repository
   * has, and with `untagged` manifests that no tag leads to.
   */
  async collect(options: CollectOptions = {}): Promise<Collected> {
    const done: Collected = { manifests: 0, blobs: 0, bytes: 0 };
    for (const name of await this.#foldersWith("_manifests", "_blobs")) {
      options.signal?.throwIfAborted();
      await this.#gate.alone(name, () => this.#collectIn(name, options, done));
    }
    const linked = await this.#linked();
    for (const digest of await this.#content.digests()) {
      options.signal?.throwIfAborted();
      if (linked.has(digest)) continue;
      if (await isOld(this.#paths.content(digest), options)) await this.#drop(digest, async () => {}, done);
    }
    return done;
  }

  /** What any repository has. */
  async #linked(): Promise<Set<Digest>> {
    const found = new Set<Digest>();
    for (const name of await this.#foldersWith("_manifests", "_blobs"))
      for (const kind of ["_blobs", "_manifests"] as const)
        for (const file of await namesIn(this.#paths.links(name, kind))) {
          const digest = digestOfFileName(file);
          if (digest) found.add(digest);
        }
    return found;
  }

  async #collectIn(name: string, options: CollectOptions, done: Collected): Promise<void> {
    const repository = this.#repository(name);
    const manifests = await this.#manifestsOf(name);
    // Without its bytes nobody knows what a manifest names: then everything stays.
    if (manifests.some(({ content }) => content === undefined)) return;
    const tags = await Promise.all((await repository.tags()).map((tag) => repository.tagged(tag)));
    const tagged = new Set(tags.filter((digest) => digest !== undefined));
    const alive = reached(manifests, tagged, options.untagged === true);
    const kept: Known[] = [];
    for (const each of manifests) {
      const path = this.#paths.link(name, "_manifests", each.digest);
      if (alive.has(each.digest) || !(await isOld(path, options))) kept.push(each);
      else if (await this.deleteManifest(name, each.digest)) done.manifests++;
    }
    const named = namedBy(kept);
    for (const file of await namesIn(this.#paths.links(name, "_blobs"))) {
      const digest = digestOfFileName(file);
      if (digest === undefined || named.has(digest)) continue;
      const path = this.#paths.link(name, "_blobs", digest);
      if (await isOld(path, options)) await this.#drop(digest, () => removeFile(path), done);
    }
  }

  async #manifestsOf(name: string): Promise<Known[]> {
    const repository = this.#repository(name);
    const found: Known[] = [];
    for (const file of await namesIn(this.#paths.links(name, "_manifests"))) {
      const digest = digestOfFileName(file);
      const manifest = digest && (await repository.manifest(digest));
      if (digest === undefined || manifest === undefined) continue;
      const bytes = await ifThere(readFile(this.#paths.content(digest)));
      const content = bytes && parsed(bytes, manifest.descriptor.mediaType);
      found.push({ digest, content, subject: manifest.subject });
    }
    return found;
  }

  /** Unlinks, and counts what left the disk for that. */
  async #drop(digest: Digest, unlink: () => Promise<unknown>, done: Collected): Promise<void> {
    const size = await this.#content.size(digest);
    const dropped = await this.#content.release(
      digest,
      async () => void (await unlink()),
      () => this.#isReferenced(digest),
    );
    if (!dropped) return;
    done.blobs++;
    done.bytes += size ?? 0;
  }

  async #unlink(name: string, kind: "_blobs" | "_manifests", digest: Digest): Promise<void> {
    const unlink = async (): Promise<void> => {
      await removeFile(this.#paths.link(name, kind, digest));
      await syncDirectory(this.#paths.links(name, kind));
    };
    await this.#content.release(digest, unlink, () => this.#isReferenced(digest));
  }

  async #isReferenced(digest: Digest): Promise<boolean> {
    const inUse = async (name: string): Promise<boolean> => this.#repository(name).has(digest);
    const search = async (name: string): Promise<boolean> => {
      if (name !== "" && (await inUse(name))) return true;
      for (const entry of await namesIn(join(this.#paths.repositories, name))) {
        if (!entry.startsWith("_") && (await search(name === "" ? entry : `${name}/${entry}`))) return true;
      }
      return false;
    };
    return search("");
  }
}

/** Undefined where the bytes are not what they were. */
function parsed(bytes: Buffer, mediaType: string): Manifest | Index | undefined {
  try {
    return parseManifest(bytes, mediaType, "a manifest of the store");
  } catch (error) {
    if (isAirgapError(error)) return undefined;
    throw error;
  }
}
