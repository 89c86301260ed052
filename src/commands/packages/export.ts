import { Args } from "@oclif/core";
import { type ExportedSet, exportPackages } from "../../bundle/export-packages.ts";
import { BaseCommand } from "../../command.ts";
import { count, formatBytes } from "../../format.ts";

export default class PackagesExport extends BaseCommand<{ sets: ExportedSet[] }> {
  static override summary = "Write the package repositories of a bundle as plain directories";
  static override description =
    "Writes one directory per set: packages, signed metadata, keys, and .repo or .sources files that point to it.";
  static override examples = ["<%= config.bin %> packages export site.tar /srv/packages"];
  static override args = {
    bundle: Args.string({ description: "The bundle", required: true }),
    dir: Args.string({ description: "Where to write; created if it does not exist", required: true }),
  };

  async run(): Promise<{ sets: ExportedSet[] }> {
    const { args } = await this.parse(PackagesExport);
    const sets = await exportPackages({
      bundle: args.bundle,
      dir: args.dir,
      emit: this.emit,
      signal: this.signal,
    });
    for (const { name, dir, files, size } of sets)
      this.report.line(`${dir}: ${name}, ${count(files, "file")}, ${formatBytes(size)}`);
    return { sets };
  }
}
