import { Args, Flags } from "@oclif/core";
import { type ListedItem, type Listing, listBundle, packageChains, why } from "../bundle/list.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { count, formatBytes } from "../format.ts";
import { formatReference, tryParseReference } from "../oci/reference.ts";

/** Rows of text, under the names of their columns. */
interface Table {
  columns: string[];
  rows: (string | number | undefined)[][];
}

export default class List extends BaseCommand<Listing | ListedItem[]> {
  static override summary = "Show what a bundle or lock holds";
  static override description =
    "Reads the lock and the manifests of a bundle, not its content. Prints a line for each item, with tabs between the columns: kind, name, digest, bytes, platforms. A lock alone does not know the sizes of images.";
  static override examples = [
    "<%= config.bin %> list site.tar",
    "<%= config.bin %> list site.tar --packages --format csv > packages.csv",
    "<%= config.bin %> list site.tar --why registry.k8s.io/pause:3.9",
    "<%= config.bin %> list site.tar --why socat",
  ];
  static override args = { bundle: Args.string({ description: "A bundle or a lock", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    images: Flags.boolean({ description: "Only images", exclusive: ["packages", "files"] }),
    packages: Flags.boolean({
      description: "The packages of every set: set, name, version, architecture, bytes, repository, reason",
      exclusive: ["files"],
    }),
    files: Flags.boolean({
      description: "The files in items that are not images: kind, item, name, bytes, digest",
    }),
    format: Flags.string({
      description: "text, or csv with a header for spreadsheets",
      options: ["text", "csv"],
      default: "text",
    }),
    why: Flags.string({ description: "Print what asked for this item or package", helpValue: "ITEM" }),
  });

  async run(): Promise<Listing | ListedItem[]> {
    const { args, flags } = await this.parse(List);
    const listing = await listBundle(args.bundle, this.signal, openingOf(flags, this.emit));
    if (flags.why !== undefined) return this.#why(args.bundle, listing, flags.why);
    this.#print(tableOf(listing, flags), flags.format);
    this.report.say(headOf(listing));
    return listing;
  }

  #print({ columns, rows }: Table, format: string): void {
    if (format === "csv") this.report.line(columns.map(csv).join(","));
    for (const row of rows)
      this.report.line(format === "csv" ? row.map(csv).join(",") : row.map((cell) => cell ?? "-").join("\t"));
  }

  async #why(path: string, listing: Listing, asked: string): Promise<ListedItem[]> {
    const chains = await packageChains(path, asked, this.signal);
    for (const line of chains) this.report.line(line);
    const reference = tryParseReference(asked);
    const known = listing.items.some(({ name, digest }) => name === asked || digest === asked);
    const found =
      chains.length > 0 && !known
        ? listing.items.filter(
            ({ name, kind }) => kind === "packages" && chains.some((line) => line.startsWith(`${name} (`)),
          )
        : why(path, listing, asked, reference && formatReference(reference));
    if (chains.length > 0 && !known) return found;
    for (const { name, digest, wantedBy, origins } of found) {
      this.report.line(`${name} (${digest})`);
      for (const who of wantedBy) this.report.line(`  wanted by ${who}`);
      for (const origin of origins) this.report.line(`  read from ${origin}`);
    }
    return found;
  }
}

function tableOf(
  { items, packages, files }: Listing,
  only: { images: boolean; packages: boolean; files: boolean },
): Table {
  if (only.packages)
    return {
      columns: ["set", "name", "version", "arch", "bytes", "repository", "reason"],
      rows: packages.map((each) => [
        each.set,
        each.name,
        each.version,
        each.arch,
        each.bytes,
        each.repository,
        each.reason,
      ]),
    };
  if (only.files)
    return {
      columns: ["kind", "item", "name", "bytes", "digest"],
      rows: (files ?? []).map(({ kind, item, name, bytes, digest }) => [kind, item, name, bytes, digest]),
    };
  return {
    columns: ["kind", "name", "digest", "bytes", "platforms"],
    rows: items
      .filter(({ kind }) => !only.images || kind === "image")
      .map(({ kind, name, digest, bytes, platforms, packages: number }) => [
        kind,
        name,
        digest,
        bytes,
        platforms?.join(" ") ?? (number === undefined ? undefined : count(number, "package")),
      ]),
  };
}

function headOf({
  name,
  platforms,
  items,
  packages,
  size,
  tarBytes,
  lockDigest,
  kubernetes,
}: Listing): string {
  const of = kubernetes ? `, Kubernetes ${kubernetes.join(", ")}` : "";
  return `${name}: ${platforms.join(", ")}${of}; ${count(items.length, "item")}, ${count(packages.length, "package")}; ${formatBytes(size)} in blobs, ${formatBytes(tarBytes)} as a tar; lock ${lockDigest}`;
}

/** A cell as RFC 4180 has it; a text that a spreadsheet would take for a formula is marked as text. */
function csv(cell: string | number | undefined): string {
  const text = cell === undefined ? "" : String(cell);
  const safe = typeof cell === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
