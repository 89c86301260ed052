import { Args, Flags } from "@oclif/core";
import { type MergeResult, mergeBundles } from "../bundle/merge.ts";
import { parseVolumeSize } from "../bundle/volume-size.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";

const { base: _, ...flagsWithoutBase } = bundleFlags;

export default class Merge extends BaseCommand<MergeResult> {
  static override summary = "Make a full bundle of a delta and what it counts on";
  static override description =
    "The last argument is the delta; the others are the bundles that it was built on. The result is the bundle that a full build would have written, byte for byte, so the delta's signatures hold for it and are copied.";
  static override examples = ["<%= config.bin %> merge old.tar delta.tar -o site.tar"];
  static override strict = false;
  static override args = {
    base: Args.string({ description: "The bundles that the delta counts on", required: true }),
    delta: Args.string({ description: "The delta", required: true }),
  };
  static override flags = withEnv({
    ...flagsWithoutBase,
    output: Flags.string({
      char: "o",
      description: "The bundle to write",
      required: true,
      helpValue: "FILE",
    }),
    "volume-size": Flags.string({
      description: "Write volumes of this size, FILE.000, FILE.001 …",
      helpValue: "SIZE",
    }),
  });

  async run(): Promise<MergeResult> {
    const { argv, flags } = await this.parse(Merge);
    const bundles = argv as string[];
    const delta = bundles.at(-1);
    if (delta === undefined || bundles.length < 2)
      throw new AirgapError("usage", "merge needs a bundle and a delta", {
        suggestions: [`airgap merge old.tar delta.tar -o ${flags.output}`],
      });
    const size = flags["volume-size"];
    const result = await mergeBundles({
      bases: bundles.slice(0, -1),
      delta,
      output: flags.output,
      volumeSize: size === undefined ? undefined : parseVolumeSize(size),
      opening: openingOf(flags, this.emit),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    this.report.line(
      `${result.bundle}: ${count(result.items, "item")}, ${count(result.blobs, "blob")}, ${formatBytes(result.size)}; lock ${result.lockDigest}`,
    );
    for (const path of [...(result.volumes ?? []), ...result.signatures]) this.report.line(path);
    return result;
  }
}
