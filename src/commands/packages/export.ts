import { Args, Flags } from "@oclif/core";
import { type ExportedSet, exportPackages } from "../../bundle/export-packages.ts";
import { bundleFlags, openingOf } from "../../bundle-flags.ts";
import { BaseCommand, withEnv } from "../../command.ts";
import { count, formatBytes } from "../../format.ts";

export default class PackagesExport extends BaseCommand<{ sets: ExportedSet[] }> {
  static override summary = "Write the package repositories of a bundle as plain directories";
  static override description =
    "Writes one directory per set: packages, signed metadata, keys, and .repo or .sources files that point to it: to the directory itself, or with --url to the web server that will give it out. Any web server does, on any system.";
  static override examples = [
    "<%= config.bin %> packages export site.tar /srv/packages",
    "<%= config.bin %> packages export site.tar disk/packages --url http://web.site/packages",
  ];
  static override args = {
    bundle: Args.string({ description: "The bundle", required: true }),
    dir: Args.string({ description: "Where to write; created if it does not exist", required: true }),
  };

  static override flags = withEnv({
    ...bundleFlags,
    url: Flags.string({
      description: "Where a web server will give DIR out: written into the .repo and .sources files",
      helpValue: "URL",
    }),
  });

  async run(): Promise<{ sets: ExportedSet[] }> {
    const { args, flags } = await this.parse(PackagesExport);
    const sets = await exportPackages({
      bundle: args.bundle,
      dir: args.dir,
      url: flags.url,
      opening: openingOf(flags, this.emit),
      emit: this.emit,
      signal: this.signal,
    });
    for (const { name, dir, files, size } of sets)
      this.report.line(`${dir}: ${name}, ${count(files, "file")}, ${formatBytes(size)}`);
    return { sets };
  }
}
