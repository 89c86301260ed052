import { Args, Flags } from "@oclif/core";
import { type ExtractedItem, type ExtractKind, extractBundle, KINDS } from "../bundle/extract.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";

export default class Extract extends BaseCommand<{ items: ExtractedItem[] }> {
  static override summary = "Take manifests, charts, files, packages and the tool itself out of a bundle";
  static override description =
    "Writes DIR/manifests/NAME/, DIR/charts/NAME/ (the chart as .tgz, its values, what it renders), DIR/files/NAME and DIR/packages/NAME/. Safe to run again: files that are there and right are left alone. Images go by push, serve or copy.";
  static override examples = [
    "<%= config.bin %> extract site.tar ./out",
    "<%= config.bin %> extract site.tar ./out ingress --kind charts",
    "<%= config.bin %> extract site.tar --list",
  ];
  static override strict = false;
  static override args = {
    bundle: Args.string({ description: "The bundle", required: true }),
    dir: Args.string({ description: "Where to write; made when it is not there" }),
    item: Args.string({ description: "Names of items; all when none is given" }),
  };
  static override flags = withEnv({
    ...bundleFlags,
    kind: Flags.option({
      description: "Only this kind; may be given several times",
      options: Object.keys(KINDS) as ExtractKind[],
      multiple: true,
      multipleNonGreedy: true,
      default: [],
      helpValue: "KIND",
    })(),
    list: Flags.boolean({ description: "Say what would be written; write nothing" }),
  });

  async run(): Promise<{ items: ExtractedItem[] }> {
    const { args, argv, flags } = await this.parse(Extract);
    if (args.dir === undefined && !flags.list)
      throw new AirgapError("usage", "extract needs a folder to write to", {
        suggestions: [`airgap extract ${args.bundle} DIR`, `airgap extract ${args.bundle} --list`],
      });
    const items = await extractBundle({
      bundle: args.bundle,
      dir: flags.list ? undefined : args.dir,
      items: (argv as string[]).slice(2),
      kinds: flags.kind,
      opening: openingOf(flags, this.emit),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const { kind, name, path, files, size } of items)
      this.report.line(`${kind}\t${name}\t${path}\t${count(files, "file")}\t${formatBytes(size)}`);
    return { items };
  }
}
