import { Args, Flags } from "@oclif/core";
import { type ListedItem, type Listing, listBundle, why } from "../bundle/list.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { formatReference, tryParseReference } from "../oci/reference.ts";

export default class List extends BaseCommand<Listing | ListedItem[]> {
  static override summary = "Show what a bundle or lock holds";
  static override description = "Reads only the first kilobytes of a bundle.";
  static override examples = [
    "<%= config.bin %> list site.tar",
    "<%= config.bin %> list site.tar --why registry.k8s.io/pause:3.9",
  ];
  static override args = { bundle: Args.string({ description: "A bundle or a lock", required: true }) };
  static override flags = withEnv({
    why: Flags.string({ description: "Print what asked for this item", helpValue: "ITEM" }),
  });

  async run(): Promise<Listing | ListedItem[]> {
    const { args, flags } = await this.parse(List);
    const listing = await listBundle(args.bundle, this.signal);
    if (flags.why === undefined) {
      for (const { kind, name, digest } of listing.items) this.report.line(`${kind}\t${name}\t${digest}`);
      return listing;
    }
    const reference = tryParseReference(flags.why);
    const found = why(args.bundle, listing, flags.why, reference && formatReference(reference));
    for (const { name, digest, wantedBy, origins } of found) {
      this.report.line(`${name} (${digest})`);
      for (const who of wantedBy) this.report.line(`  wanted by ${who}`);
      for (const origin of origins) this.report.line(`  read from ${origin}`);
    }
    return found;
  }
}
