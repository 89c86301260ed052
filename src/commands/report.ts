import { hostname, userInfo } from "node:os";
import { Args, Flags } from "@oclif/core";
import { replaceFileSync } from "../atomic.ts";
import { readLockUnless } from "../bundle/diff.ts";
import { type Listing, listReader } from "../bundle/list.ts";
import { BundleReader } from "../bundle/reader.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import type { ItemFacts, KnownFacts } from "../papers/contents.ts";
import { reportCsv, reportHtml } from "../papers/report.ts";

/** What the listing says of items that the lock does not. */
function factsOf({ items, files = [] }: Listing): KnownFacts {
  const keyOf = (kind: string, name: string): string => `${kind} ${name}`;
  const byItem = Map.groupBy(files, ({ kind, item }) => keyOf(kind, item));
  const known = new Map(
    items.map(({ kind, name, bytes, platforms, license }): [string, ItemFacts] => [
      keyOf(kind, name),
      {
        ...(bytes === undefined ? {} : { bytes }),
        ...(platforms ? { platforms } : {}),
        ...(license === undefined ? {} : { license }),
        files: (byItem.get(keyOf(kind, name)) ?? []).map((file) => ({
          name: file.name,
          digest: file.digest,
        })),
      },
    ]),
  );
  return ({ kind, name }) => known.get(keyOf(kind, name));
}

function whoAndWhere(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return hostname();
  }
}

interface ReportResult {
  report: string;
  format: "html" | "csv";
}

export default class Report extends BaseCommand<ReportResult> {
  static override summary = "Write one page about a bundle, for the people who let it in";
  static override description =
    "The page stands alone: no script, nothing is loaded. It prints on A4, in English and Chinese, and lists everything that the bundle carries, with digests, sizes, licences, signers and who asked for it. With --since it marks what an earlier lock or bundle does not have, and lists what is no longer carried.";
  static override examples = [
    "<%= config.bin %> report site.tar -o site.html",
    "<%= config.bin %> report site.tar --format csv -o site.csv --since old.lock.json",
  ];
  static override args = { bundle: Args.string({ description: "The bundle", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    format: Flags.option({
      description: "A page, or a table for spreadsheets",
      options: ["html", "csv"] as const,
      default: "html",
    })(),
    output: Flags.string({ char: "o", description: "File to write", helpValue: "FILE", required: true }),
    by: Flags.string({ description: "Who made the report (default: user@host)", helpValue: "NAME" }),
    since: Flags.string({ description: "An earlier lock or bundle", helpValue: "LOCK|BUNDLE" }),
  });

  async run(): Promise<ReportResult> {
    const { args, flags } = await this.parse(Report);
    const opening = openingOf(flags, this.emit);
    const since =
      flags.since === undefined
        ? undefined
        : await readLockUnless(this.signal, flags.since, { trust: opening.trust });
    const reader = await BundleReader.openUnless(this.signal, args.bundle, opening);
    try {
      const { lock, layout, proof } = reader;
      const subject = {
        ...{ lock, lockDigest: layout.lockDigest, signedBy: proof.signedBy, since },
        facts: factsOf(listReader(reader)),
        made: { by: flags.by ?? whoAndWhere(), on: new Date(), version: this.config.version },
      };
      replaceFileSync(flags.output, flags.format === "csv" ? reportCsv(subject) : reportHtml(subject));
    } finally {
      reader.close();
    }
    this.report.line(flags.output);
    return { report: flags.output, format: flags.format };
  }
}
