import { Args } from "@oclif/core";
import { diffLocks, type LockDiff, readLockUnless } from "../bundle/diff.ts";
import { BaseCommand } from "../command.ts";
import { formatBytes } from "../format.ts";

export default class Diff extends BaseCommand<LockDiff> {
  static override summary = "Show what changed between two bundles or locks";
  static override description = "Reads only the first kilobytes of a bundle.";
  static override examples = [
    "<%= config.bin %> diff old.tar new.tar",
    "<%= config.bin %> diff site.lock.json site.tar",
  ];
  static override args = {
    from: Args.string({ description: "A bundle or a lock", required: true }),
    to: Args.string({ description: "A bundle or a lock", required: true }),
  };

  async run(): Promise<LockDiff> {
    const { args } = await this.parse(Diff);
    const diff = diffLocks(
      await readLockUnless(this.signal, args.from),
      await readLockUnless(this.signal, args.to),
    );
    const signs = { added: "+", removed: "-", changed: "~" };
    for (const { kind, name, change, from, to } of diff.changes)
      this.report.line(`${signs[change]} ${kind}\t${name}\t${from && to ? `${from} → ${to}` : (to ?? from)}`);
    this.report.say(
      `${formatBytes(diff.bytesAdded)} of blobs are new, ${formatBytes(diff.bytesRemoved)} are gone`,
    );
    return diff;
  }
}
