import { Args, Flags } from "@oclif/core";
import { type SplitResult, splitBundle } from "../bundle/split.ts";
import { parseVolumeSize } from "../bundle/volume-size.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";

export default class Split extends BaseCommand<SplitResult> {
  static override summary = "Cut a bundle into volumes for media that are smaller";
  static override description =
    "Writes BUNDLE.000, .001 … and SHA256SUMS, waits until they are on the medium, and reads each one again from there, past the memory of this machine where the file system allows it. Volumes that are there and right stay. Every command reads the volumes as BUNDLE, in one folder or with --volumes in several; cat joins them.";
  static override examples = [
    "<%= config.bin %> split site.tar --volume-size 4480MiB --to /media/usb",
    "<%= config.bin %> split site.tar --volume-size 4480MiB --to /media/dvd --only 0",
  ];
  static override args = { bundle: Args.string({ description: "The bundle", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    "volume-size": Flags.string({
      description: "Size of the volumes: 4480MiB, 650MB, a number of bytes",
      helpValue: "SIZE",
      required: true,
    }),
    to: Flags.string({ description: "Folder for the volumes (default: the bundle's)", helpValue: "DIR" }),
    only: Flags.string({
      description: "Write only these volumes (numbers, comma-separated)",
      helpValue: "N,…",
    }),
  });

  async run(): Promise<SplitResult> {
    const { args, flags } = await this.parse(Split);
    const result = await splitBundle({
      bundle: args.bundle,
      volumeSize: parseVolumeSize(flags["volume-size"]),
      to: flags.to,
      only: flags.only === undefined ? undefined : numbers(flags.only),
      opening: openingOf(flags, this.emit),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const { path, size, sha256, state } of result.volumes)
      this.report.line(`${state} ${path} ${formatBytes(size)} sha256:${sha256}`);
    this.report.say(`${count(result.volumes.length, "volume")} of ${result.count}; each was read again`);
    if (!result.direct)
      this.report.say(
        "The file system does not allow reading past memory: take the medium out, insert it again, and run sha256sum -c SHA256SUMS",
      );
    return result;
  }
}

function numbers(text: string): number[] {
  const words = text.split(",").map((word) => word.trim());
  if (words.every((word) => /^\d{1,3}$/.test(word)))
    return [...new Set(words.map(Number))].toSorted((a, b) => a - b);
  throw new AirgapError("usage", `'${text}' is not a list of volumes' numbers`, {
    suggestions: ["--only 0,1,2"],
  });
}
