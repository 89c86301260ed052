import { type Descriptor, isRecord, parseDescriptor } from "../../src/oci/descriptor.ts";
import { type Digest, isDigest } from "../../src/oci/digest.ts";
import type { OpenBlob, Repository } from "../library.ts";
import type { Content } from "./content.ts";
import { namesIn, textOf } from "./durable.ts";
import { digestOfFileName, type StorePaths } from "./paths.ts";

/** A manifest as a repository of the store has it. */
export interface StoredManifest {
  descriptor: Descriptor;
  /** What it refers to. */
  subject?: Digest;
}

/** The reading side of one repository of the store. */
export class StoredRepository implements Repository {
  readonly name: string;
  readonly #paths: StorePaths;
  readonly #content: Content;

  constructor(name: string, paths: StorePaths, content: Content) {
    this.name = name;
    this.#paths = paths;
    this.#content = content;
  }

  async tags(): Promise<string[]> {
    return (await namesIn(this.#paths.links(this.name, "_tags"))).sort();
  }

  async resolve(reference: string): Promise<Descriptor | undefined> {
    const digest = isDigest(reference) ? reference : await this.tagged(reference);
    return digest && (await this.manifest(digest))?.descriptor;
  }

  async tagged(tag: string): Promise<Digest | undefined> {
    const digest = await textOf(this.#paths.tag(this.name, tag));
    return isDigest(digest) ? digest : undefined;
  }

  async manifest(digest: Digest): Promise<StoredManifest | undefined> {
    const text = await textOf(this.#paths.link(this.name, "_manifests", digest));
    if (text === undefined) return undefined;
    const value: unknown = JSON.parse(text);
    const subject = isRecord(value) && isDigest(value.subject) ? { subject: value.subject } : {};
    return { descriptor: parseDescriptor(value, `${digest} of ${this.name}`), ...subject };
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    return (await this.has(digest)) ? this.#content.open(digest) : undefined;
  }

  /** Whether the digest is a blob or manifest of this repository. */
  async has(digest: Digest): Promise<boolean> {
    return (
      (await this.hasBlob(digest)) ||
      (await textOf(this.#paths.link(this.name, "_manifests", digest))) !== undefined
    );
  }

  async hasBlob(digest: Digest): Promise<boolean> {
    return (await textOf(this.#paths.link(this.name, "_blobs", digest))) !== undefined;
  }

  async referrers(digest: Digest): Promise<Descriptor[]> {
    const names = await namesIn(this.#paths.referrers(this.name, digest));
    const found = await Promise.all(
      names.map(async (name) => {
        const own = digestOfFileName(name);
        const text = own && (await textOf(this.#paths.referrer(this.name, digest, own)));
        return text === undefined
          ? undefined
          : parseDescriptor(JSON.parse(text), `${name}, a referrer of ${digest}`);
      }),
    );
    return found.filter((descriptor) => descriptor !== undefined);
  }
}
