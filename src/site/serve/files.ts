import type { FileTree, OpenBlob } from "../../../registry/library.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { AirgapError } from "../../errors.ts";
import type { Item } from "../../lock/lock.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";

/** Files below one directory. */
class Tree {
  readonly #files = new Map<string, Descriptor>();
  readonly #directories = new Map<string, Set<string>>([["", new Set()]]);

  /** @param path a safe one */
  add(path: string, descriptor: Descriptor): void {
    const parts = path.split("/");
    this.#files.set(path, descriptor);
    for (let depth = 0; depth < parts.length; depth++) {
      const directory = parts.slice(0, depth).join("/");
      const names = this.#directories.get(directory) ?? new Set();
      names.add(depth === parts.length - 1 ? (parts[depth] as string) : `${parts[depth]}/`);
      this.#directories.set(directory, names);
    }
  }

  file(path: string): Descriptor | undefined {
    return this.#files.get(path);
  }

  list(path: string): string[] | undefined {
    const names = this.#directories.get(path);
    return names && [...names].sort();
  }
}

interface Carried {
  bundle: BundleReader;
  item: Item;
}

function fill(tree: Tree, { bundle, item }: Carried): void {
  for (const { title, layer } of bundle.files(item)) tree.add(title, layer);
}

/** Kinds of which each item is a folder of its own. */
const FOLDERS: Partial<Record<Item["kind"], string>> = { packages: "packages", manifests: "manifests" };

function rootOf({ kind, name }: Item): string | undefined {
  const folder = FOLDERS[kind];
  if (folder !== undefined) return `${folder}/${name}`;
  return kind === "file" || kind === "self" ? "files" : undefined;
}

/**
 * `files/<name>`, `packages/<set>/<path>`, `manifests/<name>/<path>` of bundles, and their charts. An
 * item's list is read when it is first asked for.
 */
export class BundleFiles implements FileTree {
  readonly #bundles: BundleReader[];
  readonly #charts: FileTree;
  readonly #roots = new Map<string, Carried[]>();
  readonly #trees = new Map<string, Tree>();

  /** @throws AirgapError `conflict` when two bundles have different content under one name */
  constructor(bundles: BundleReader[], charts: FileTree) {
    this.#bundles = bundles;
    this.#charts = charts;
    const seen = new Map<string, Carried>();
    for (const bundle of bundles) {
      for (const item of bundle.lock.items) {
        const root = rootOf(item);
        if (root === undefined) continue;
        const other = seen.get(`${root}\n${item.name}`);
        if (other && other.item.root.digest !== item.root.digest) throw clash(other, { bundle, item });
        if (other) continue;
        seen.set(`${root}\n${item.name}`, { bundle, item });
        const carried = this.#roots.get(root) ?? [];
        carried.push({ bundle, item });
        this.#roots.set(root, carried);
      }
    }
  }

  async list(path: string): Promise<string[] | undefined> {
    if (Object.values(FOLDERS).includes(path)) return this.#items(path);
    const found = this.#within(path);
    return found ? found.tree.list(found.rest) : this.#charts.list(path);
  }

  async file(path: string): Promise<Descriptor | undefined> {
    const found = this.#within(path);
    return found ? found.tree.file(found.rest) : this.#charts.file(path);
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    for (const bundle of this.#bundles) {
      const region = bundle.region(digest);
      if (region) return { ...region, close: () => {} };
    }
    return this.#charts.open(digest);
  }

  #items(folder: string): string[] | undefined {
    const names = [...this.#roots.keys()].flatMap((root) =>
      root.startsWith(`${folder}/`) ? [`${root.slice(folder.length + 1)}/`] : [],
    );
    return names.length > 0 ? names.sort() : undefined;
  }

  #within(path: string): { tree: Tree; rest: string } | undefined {
    const parts = path.split("/");
    const root = parts.slice(0, Object.values(FOLDERS).includes(parts[0] as string) ? 2 : 1).join("/");
    const carried = this.#roots.get(root);
    if (carried === undefined) return undefined;
    const tree = this.#trees.get(root) ?? new Tree();
    if (!this.#trees.has(root)) for (const each of carried) fill(tree, each);
    this.#trees.set(root, tree);
    return { tree, rest: path.slice(root.length + 1) };
  }
}

function clash(a: Carried, b: Carried): AirgapError {
  const tell = ({ bundle, item }: Carried): string => `${bundle.path} (${item.root.digest})`;
  return new AirgapError(
    "conflict",
    `${a.item.kind} ${a.item.name} differs between ${tell(a)} and ${tell(b)}`,
    {
      suggestions: [`airgap serve ${a.bundle.path}`, `airgap serve ${b.bundle.path} --listen 127.0.0.1:5001`],
      data: {
        name: a.item.name,
        bundles: [a.bundle.path, b.bundle.path],
        digests: [a.item.root.digest, b.item.root.digest],
      },
    },
  );
}
