import { Args, Flags } from "@oclif/core";
import { type BuildResult, build } from "../bundle/build.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { defaultCacheDir } from "../state/cache.ts";

export default class Build extends BaseCommand<BuildResult> {
  static override summary = "Work out everything a site needs, pin it in a lock and pack it in one tar";
  static override description =
    "Resolves every name in the spec to a digest, writes the lock beside the spec, and fetches everything into one archive. Run an interrupted build again to resume it.";
  static override examples = [
    "<%= config.bin %> build bundles/quickstart.yaml -o quickstart.tar",
    "<%= config.bin %> build site.yaml -o site.tar --locked",
  ];
  static override args = { spec: Args.string({ description: "The bundle spec (YAML)", required: true }) };
  static override flags = withEnv({
    output: Flags.string({ char: "o", description: "The bundle to write" }),
    locked: Flags.boolean({
      description: "Use the digests of the existing lock; resolve no tag again",
      exclusive: ["lock-only"],
    }),
    "lock-only": Flags.boolean({ description: "Write the lock and stop" }),
    fresh: Flags.boolean({ description: "Start from the beginning; do not resume an interrupted build" }),
    "dry-run": Flags.boolean({ description: "Print what the bundle would hold; write nothing" }),
    reuse: Flags.string({ description: "Take blobs from this earlier bundle", multiple: true, default: [] }),
    concurrency: Flags.integer({
      description: "Concurrent requests to one host (default: as many as the host can take)",
      min: 1,
      max: 128,
    }),
  });

  async run(): Promise<BuildResult> {
    const { args, flags } = await this.parse(Build);
    const writes = !flags["dry-run"] && !flags["lock-only"];
    if (writes && flags.output === undefined) {
      throw new AirgapError("usage", "--output is missing: airgap does not know where to write the bundle", {
        suggestions: [`airgap build ${args.spec} -o ${args.spec.replace(/^.*\/|\.ya?ml$/g, "")}.tar`],
      });
    }
    const result = await build({
      spec: args.spec,
      output: flags.output ?? "",
      locked: flags.locked,
      lockOnly: flags["lock-only"],
      fresh: flags.fresh,
      dryRun: flags["dry-run"],
      reuse: flags.reuse,
      concurrency: flags.concurrency,
      cacheDir: defaultCacheDir(),
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(result);
    return result;
  }

  #tell(result: BuildResult): void {
    const { report } = this;
    report.end();
    for (const { kind, name, change, from, to } of result.changes) {
      report.say(
        `${change} ${kind} ${name}${from && to ? ` (${from.slice(0, 19)} → ${to.slice(0, 19)})` : ""}`,
      );
    }
    const what = `${count(result.items, "item")}, ${count(result.blobs, "blob")}, ${formatBytes(result.size)}`;
    if (result.bundle === undefined) {
      report.line(`${what}; lock ${result.lockDigest}`);
      return;
    }
    report.line(`${result.bundle}: ${what}; lock ${result.lockDigest}`);
    for (const line of result.extract) report.say(`On the isolated side, extract airgap with: ${line}`);
    report.say(`Next: airgap verify ${result.bundle}`);
  }
}
