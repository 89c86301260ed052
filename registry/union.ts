import type { Descriptor } from "../src/oci/descriptor.ts";
import type { Digest } from "../src/oci/digest.ts";
import type { FileTree, Library, OpenBlob, Repository } from "./library.ts";
import { mergeOverviews, type Overview } from "./overview.ts";

/** The first answer that is not undefined. */
async function first<T, R>(
  list: readonly T[],
  ask: (entry: T) => Promise<R | undefined>,
): Promise<R | undefined> {
  for (const entry of list) {
    const answer = await ask(entry);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

const sortedUnion = (lists: string[][]): string[] => [...new Set(lists.flat())].sort();

class UnionRepository implements Repository {
  readonly #parts: Repository[];

  constructor(parts: Repository[]) {
    this.#parts = parts;
  }

  async tags(): Promise<string[]> {
    return sortedUnion(await Promise.all(this.#parts.map((part) => part.tags())));
  }

  resolve(reference: string): Promise<Descriptor | undefined> {
    return first(this.#parts, (part) => part.resolve(reference));
  }

  open(digest: Digest): Promise<OpenBlob | undefined> {
    return first(this.#parts, (part) => part.open(digest));
  }

  async referrers(digest: Digest): Promise<Descriptor[]> {
    const all = (await Promise.all(this.#parts.map((part) => part.referrers(digest)))).flat();
    return [...new Map(all.map((descriptor) => [descriptor.digest, descriptor])).values()];
  }
}

class UnionTree implements FileTree {
  readonly #parts: FileTree[];

  constructor(parts: FileTree[]) {
    this.#parts = parts;
  }

  async list(path: string): Promise<string[] | undefined> {
    const lists = (await Promise.all(this.#parts.map((part) => part.list(path)))).filter(
      (list) => list !== undefined,
    );
    return lists.length === 0 ? undefined : sortedUnion(lists);
  }

  file(path: string): Promise<Descriptor | undefined> {
    return first(this.#parts, (part) => part.file(path));
  }

  open(digest: Digest): Promise<OpenBlob | undefined> {
    return first(this.#parts, (part) => part.open(digest));
  }
}

/** Several libraries as one; where two answer, the earlier one wins. */
export class UnionLibrary implements Library {
  readonly name: string;
  readonly files: FileTree;
  readonly #parts: readonly Library[];

  constructor(parts: readonly Library[]) {
    this.#parts = parts;
    this.name = parts.map(({ name }) => name).join(", ");
    this.files = new UnionTree(parts.flatMap(({ files }) => files ?? []));
  }

  async repositories(): Promise<string[]> {
    return sortedUnion(await Promise.all(this.#parts.map((part) => part.repositories())));
  }

  async repository(name: string, ns?: string): Promise<Repository | undefined> {
    const found = (await Promise.all(this.#parts.map((part) => part.repository(name, ns)))).filter(
      (repository) => repository !== undefined,
    );
    return found.length > 1 ? new UnionRepository(found) : found[0];
  }

  async overview(): Promise<Overview> {
    const parts = await Promise.all(this.#parts.map((part) => part.overview?.()));
    return mergeOverviews(parts.filter((part) => part !== undefined));
  }

  async check(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.check?.()));
  }
}
