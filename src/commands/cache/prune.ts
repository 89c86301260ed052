import { Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { count, formatBytes } from "../../format.ts";
import { defaultCacheDir } from "../../state/cache.ts";
import { type PruneResult, pruneCache } from "../../state/prune.ts";

export default class CachePrune extends BaseCommand<PruneResult> {
  static override summary = "Remove from the cache what was not used for a while";
  static override description =
    "Nothing in the cache is needed: the next build fetches it again. Do not run it beside a build.";
  static override examples = [
    "<%= config.bin %> cache prune",
    "<%= config.bin %> cache prune --older-than 0",
  ];
  static override flags = withEnv({
    "older-than": Flags.integer({
      description: "What was not used for so many days; 0 removes all",
      min: 0,
      default: 30,
      helpValue: "DAYS",
    }),
  });

  async run(): Promise<PruneResult> {
    const { flags } = await this.parse(CachePrune);
    const result = await pruneCache(defaultCacheDir(), flags["older-than"], Date.now());
    this.report.line(
      `${result.dir}: removed ${count(result.files, "file")}, ${formatBytes(result.bytes)}; ${formatBytes(result.keptBytes)} stay`,
    );
    return result;
  }
}
