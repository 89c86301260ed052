import { Args, Flags } from "@oclif/core";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { formatBytes } from "../format.ts";
import {
  type FormerBundlesResult,
  type KeptBundle,
  pruneBundles,
  reasonOf,
} from "../install/former-bundles.ts";

export default class Prune extends ClusterCommand<FormerBundlesResult> {
  static override summary = "Remove bundles from the serving host that nothing needs any more";
  static override description =
    "Asks the cluster which images its pods, workloads and nodes need, and lists every bundle on the serving host with what needs it. Then it asks, and removes those that nothing needs. The bundle that is served always stays. If the cluster does not answer, nothing is removed.";
  static override examples = [
    "<%= config.bin %> prune cluster.yaml --dry-run",
    "<%= config.bin %> prune cluster.yaml",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    "dry-run": Flags.boolean({ description: "Only list the bundles, and what needs them" }),
  });

  async run(): Promise<FormerBundlesResult> {
    const { args, flags } = await this.parse(Prune);
    let shown = false;
    const show = (bundles: KeptBundle[]): void => {
      this.report.end();
      for (const bundle of bundles)
        this.report.line(`${bundle.path}  ${formatBytes(bundle.bytes)}  ${reasonOf(bundle)}`);
      shown = true;
    };
    const result = await pruneBundles({
      clusterFile: args.cluster,
      dryRun: flags["dry-run"],
      sure: (bundles) => {
        show(bundles);
        return this.confirm("This removes the bundles that are not needed, for good. Continue?");
      },
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    if (!shown) show(result.bundles);
    const removed = result.bundles.filter((each) => each.removed);
    for (const { path } of removed) this.report.line(`${path}: removed`);
    this.report.say(
      removed.length > 0
        ? `${result.host}: ${formatBytes(result.freed)} are free again`
        : "Nothing was removed",
    );
    return result;
  }
}
