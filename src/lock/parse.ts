import { AirgapError } from "../errors.ts";
import { type Descriptor, isRecord, parseDescriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { isTag, tryParseReference } from "../oci/reference.ts";
import type { Attached, Item, ItemKind, Lock, LockedBlob } from "./lock.ts";

const KINDS: readonly string[] = [
  "image",
  "file",
  "self",
  "manifests",
  "chart",
  "packages",
] satisfies ItemKind[];

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Reads a lock out of foreign bytes: a bundle's first blob, or the file beside a spec. */
class LockReader {
  readonly #where: string;

  constructor(where: string) {
    this.#where = where;
  }

  fail(why: string): never {
    throw new AirgapError("corrupt", `The lock ${this.#where} is not one: ${why}`);
  }

  text(value: unknown, name: string): string {
    if (typeof value !== "string") return this.fail(`${name} is not a string`);
    // Names are printed: none may steer the terminal.
    return CONTROL.test(value) ? this.fail(`${name} has control characters`) : value;
  }

  texts(value: unknown, name: string): string[] {
    return this.list(value, name).map((entry) => this.text(entry, name));
  }

  lists(value: unknown, name: string): Record<string, string[]> {
    if (!isRecord(value)) return this.fail(`${name} is not an object`);
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, this.texts(entry, `${name}.${key}`)]),
    );
  }

  list(value: unknown, name: string): unknown[] {
    return Array.isArray(value) ? value : this.fail(`${name} is not a list`);
  }

  descriptor(value: unknown, name: string): Descriptor {
    return parseDescriptor(value, `The lock ${this.#where}: ${name}`);
  }

  attached(value: unknown, name: string): Attached {
    if (!isRecord(value)) return this.fail(`${name} is not an object`);
    return {
      descriptor: this.descriptor(value["descriptor"], name),
      subject: parseDigest(value["subject"], `${name}.subject`),
      ...(value["tag"] === undefined ? {} : { tag: this.tag(value["tag"], `${name}.tag`) }),
    };
  }

  tag(value: unknown, name: string): string {
    const tag = this.text(value, name);
    return isTag(tag) ? tag : this.fail(`${name}: '${tag}' is not a tag`);
  }

  item(value: unknown, i: number): Item {
    const at = `items[${i}]`;
    if (!isRecord(value)) return this.fail(`${at} is not an object`);
    const kind = this.text(value["kind"], `${at}.kind`);
    const name = this.text(value["name"], `${at}.name`);
    if (!KINDS.includes(kind)) this.fail(`${at}: this version of airgap knows nothing of kind '${kind}'`);
    if (kind === "image" && tryParseReference(name) === undefined)
      this.fail(`${at}: '${name}' is not an image reference`);
    return {
      kind: kind as ItemKind,
      name,
      root: this.descriptor(value["root"], `${at}.root`),
      ...(value["original"] === undefined
        ? {}
        : { original: this.descriptor(value["original"], `${at}.original`) }),
      ...(value["exact"] === true ? { exact: true } : {}),
      origins: this.texts(value["origins"], `${at}.origins`),
      wantedBy: this.texts(value["wantedBy"], `${at}.wantedBy`),
      ...(value["attached"] === undefined
        ? {}
        : {
            attached: this.list(value["attached"], `${at}.attached`).map((entry) =>
              this.attached(entry, `${at}.attached`),
            ),
          }),
      ...(isRecord(value["facts"]) ? { facts: value["facts"] } : {}),
    };
  }

  blob(value: unknown, i: number): LockedBlob {
    if (!isRecord(value)) return this.fail(`blobs[${i}] is not an object`);
    const { size } = value;
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
      return this.fail(`blobs[${i}].size is not a number of bytes`);
    return { digest: parseDigest(value["digest"], `blobs[${i}]`), size };
  }
}

function json(bytes: Uint8Array, reader: LockReader): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isRecord(value)) return value;
  } catch {
    return reader.fail("it is not JSON");
  }
  return reader.fail("it is not a JSON object");
}

/**
 * Parses and checks a lock.
 * @param where names it in messages: `site.lock.json`, `of bundle site.tar`
 * @throws AirgapError `corrupt`, `protocol`
 */
export function parseLock(bytes: Uint8Array, where: string): Lock {
  const reader = new LockReader(where);
  const value = json(bytes, reader);
  if (value["apiVersion"] !== "airgap/v1" || value["kind"] !== "Lock")
    reader.fail(
      `apiVersion airgap/v1 and kind Lock expected, found ${String(value["apiVersion"])} and ${String(value["kind"])}`,
    );
  const items = reader.list(value["items"], "items").map((item, i) => reader.item(item, i));
  const blobs = reader.list(value["blobs"], "blobs").map((blob, i) => reader.blob(blob, i));
  unique(
    items.map(({ kind, name }) => `${kind} ${name}`),
    reader,
  );
  unique(
    blobs.map(({ digest }): Digest => digest),
    reader,
  );
  return {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: reader.text(value["name"], "name"),
    platforms: reader.texts(value["platforms"], "platforms"),
    ...(value["siteName"] === undefined ? {} : { siteName: reader.text(value["siteName"], "siteName") }),
    ...(value["kubernetes"] === undefined
      ? {}
      : { kubernetes: reader.texts(value["kubernetes"], "kubernetes") }),
    ...(value["kubeadm"] === undefined ? {} : { kubeadm: reader.lists(value["kubeadm"], "kubeadm") }),
    items,
    blobs,
  };
}

function unique(names: string[], reader: LockReader): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) reader.fail(`${name} stands in it twice`);
    seen.add(name);
  }
}
