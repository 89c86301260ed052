import type { Item, Lock } from "../lock/lock.ts";
import { itemsOf } from "../lock/lock.ts";
import type { LockedPackage, PackageSetFacts } from "../lock/package-facts.ts";
import type { Digest } from "../oci/digest.ts";
import { chartPurl, genericPurl, imagePurl, packagePurl } from "./purl.ts";

export type EntryKind = Item["kind"] | "package";

/** What a lock does not say of an item, and its bundle does. */
export interface ItemFacts {
  /** Of every blob that it reaches. */
  bytes?: number;
  /** Of images. */
  platforms?: string[];
  /** Of images: the label of OCI's. */
  license?: string;
  /** Of artifacts: their files. */
  files?: { name: string; digest: Digest }[];
}

/** The facts of an item. */
export type KnownFacts = (item: Pick<Item, "kind" | "name">) => ItemFacts | undefined;

/** One thing that a bundle carries. */
export interface PaperEntry extends ItemFacts {
  /** Unique in the bundle, made of letters, digits, `.` and `-`. */
  id: string;
  kind: EntryKind;
  name: string;
  version?: string;
  /** Of its content: of a file, of the file itself. */
  digest: Digest;
  purl: string;
  item: Item;
  /** Of a package: the set that has it, its architecture, and what it says of itself. */
  set?: string;
  arch?: string;
  source?: string;
  vendor?: string;
  /** Of a package: the key that signed it, or `unsigned`; of an image: keys of publishers that were verified. */
  signer?: string;
  wantedBy: string[];
  origins: string[];
}

type WithoutId = Omit<PaperEntry, "id">;

function itemEntry(item: Item, facts: ItemFacts | undefined): WithoutId {
  const { kind, name, root, wantedBy, origins } = item;
  const common = { kind, name, digest: root.digest, item, wantedBy, origins, ...facts };
  if (kind === "image") {
    const { verified } = item;
    const signer = verified?.map(({ key }) => key).join(", ");
    return { ...common, ...imagePurl(item), ...(signer ? { signer } : {}) };
  }
  if (kind === "file" || kind === "self") {
    const digest = item.facts?.digest ?? root.digest;
    return { ...common, digest, purl: genericPurl(name, { digest }) };
  }
  const rendered = kind === "chart" ? item.facts.rendered : undefined;
  return rendered
    ? { ...common, version: rendered.version, purl: chartPurl(rendered.chart, rendered.version) }
    : { ...common, purl: genericPurl(name, root) };
}

function packageEntry(
  item: Item & { kind: "packages" },
  facts: PackageSetFacts,
  each: LockedPackage,
): WithoutId {
  const { name, version, arch, license, source, vendor, signature, unsigned, reason } = each;
  const because = reason.by === undefined ? reason.relation : `${reason.by} requires ${reason.relation}`;
  // Debian signs repositories, not packages.
  const signer = signature?.key ?? (unsigned ? "unsigned" : undefined);
  return {
    kind: "package",
    ...{ name, version, arch, item, set: item.name, digest: each.digest, bytes: each.size },
    ...(license === undefined ? {} : { license }),
    ...(source === undefined ? {} : { source }),
    ...(vendor === undefined ? {} : { vendor }),
    ...(signer === undefined ? {} : { signer }),
    purl: packagePurl(facts, each),
    wantedBy: [because, ...item.wantedBy],
    origins: [`${each.repository}: ${each.href}`],
  };
}

/** Everything that a bundle carries, items first, then the packages of its sets. */
export function contentsOf(lock: Lock, known: KnownFacts = () => undefined): PaperEntry[] {
  const packages = itemsOf(lock, "packages").flatMap((item) =>
    item.facts.packages.map((each) => packageEntry(item, item.facts, each)),
  );
  return [...lock.items.map((item) => itemEntry(item, known(item))), ...packages].map((entry, i) => ({
    ...entry,
    id: `${entry.kind}-${i + 1}-${entry.name.replace(/[^A-Za-z0-9.-]+/g, "-").slice(0, 80)}`,
  }));
}
