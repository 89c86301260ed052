import { Args, Flags } from "@oclif/core";
import { diffHolding, diffLocks, type LockDiff, readLockUnless } from "../bundle/diff.ts";
import { readHolding, readReceipt } from "../bundle/receipt.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { Exit } from "../errors.ts";
import { count, formatBytes } from "../format.ts";

export default class Diff extends BaseCommand<LockDiff> {
  static override summary = "Show what changed between two bundles or locks";
  static override description =
    "Names every item and package that was added, removed or changed, with the packages' versions. Reads only the first kilobytes of a bundle.";
  static override examples = [
    "<%= config.bin %> diff old.tar new.tar",
    "<%= config.bin %> diff site.lock.json site.tar --exit-code",
  ];
  static override args = {
    from: Args.string({ description: "A bundle, a lock or a receipt", required: true }),
    to: Args.string({ description: "A bundle or a lock", required: true }),
  };

  static override flags = withEnv({
    ...bundleFlags,
    "exit-code": Flags.boolean({ description: "End with 1 when something changed, for scripts" }),
  });

  async run(): Promise<LockDiff> {
    const { args, flags } = await this.parse(Diff);
    const opening = openingOf(flags, this.emit);
    const receipt = args.from.endsWith(".json") ? readReceipt(args.from) : undefined;
    const to = await readLockUnless(this.signal, args.to, opening);
    const diff = receipt
      ? diffHolding((await readHolding(args.from, opening)).blobs, to)
      : diffLocks(await readLockUnless(this.signal, args.from, opening), to);
    const signs = { added: "+", removed: "-", changed: "~" };
    for (const { kind, name, change, from, to } of diff.changes)
      this.report.line(`${signs[change]} ${kind}\t${name}\t${from && to ? `${from} → ${to}` : (to ?? from)}`);
    for (const { set, name, arch, from, to } of diff.packages) {
      const sign = from && to ? "~" : to ? "+" : "-";
      this.report.line(
        `${sign} package\t${set}: ${name}.${arch}\t${from && to ? `${from} → ${to}` : (to ?? from)}`,
      );
    }
    const changed = diff.changes.length > 0;
    if (changed && flags["exit-code"]) process.exitCode = Exit.failed;
    this.report.say(
      changed || diff.bytesAdded > 0
        ? `${count(diff.changes.length, "item")} and ${count(diff.packages.length, "package")} changed; ${formatBytes(diff.bytesAdded)} of blobs are new, which a delta would carry (build --since ${args.from}); ${formatBytes(diff.bytesRemoved)} are gone`
        : "No changes",
    );
    return diff;
  }
}
