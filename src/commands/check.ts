import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { Exit } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { type CheckResult, checkFiles } from "../install/check.ts";
import { formatFinding } from "../install/preflight/preflight.ts";

export default class Check extends BaseCommand<CheckResult> {
  static override summary = "Check a cluster file against a bundle, before the bundle is carried";
  static override description =
    "Connects to nothing and changes nothing. Finds everything that the two files tell: versions, missing images, packages and add-ons, names, architectures, disk space. With --facts it also finds what the hosts' facts tell. Exits with 3 when a check fails.";
  static override examples = [
    "<%= config.bin %> check cluster.yaml --bundle site.tar",
    "<%= config.bin %> check cluster.yaml --bundle site.tar --facts facts/",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    bundle: Flags.string({ description: "The bundle", helpValue: "B", required: true }),
    facts: Flags.string({
      description: "A folder with what `sh facts.sh` printed on the hosts: one file for each, with its name",
      helpValue: "DIR",
    }),
    "ignore-check": Flags.string({
      description: "Ignore what this check finds",
      helpValue: "NAME",
      multiple: true,
      default: [],
    }),
  });

  async run(): Promise<CheckResult> {
    const { args, flags } = await this.parse(Check);
    const result = await checkFiles({
      clusterFile: args.cluster,
      bundle: flags.bundle,
      opening: openingOf(flags, this.emit),
      ...(flags.facts ? { facts: flags.facts } : {}),
      ignoreChecks: flags["ignore-check"],
      signal: this.signal,
    });
    this.#tell(result);
    return result;
  }

  #tell({ findings, known, disks, cluster }: CheckResult): void {
    const { report } = this;
    for (const finding of findings)
      report.line(
        `${finding.severity}: ${formatFinding(finding)}${finding.suggestion ? ` (${finding.suggestion})` : ""}`,
      );
    for (const { host, folder, bytes, what } of disks)
      report.line(`disk: ${host}: ${folder} needs ${formatBytes(bytes)} for ${what}`);
    const errors = findings.filter(({ severity }) => severity === "error").length;
    if (errors > 0) process.exitCode = Exit.check;
    report.line(
      errors > 0
        ? `${count(errors, "problem")}: ${cluster} cannot be installed from this bundle`
        : `No problems found in the two files${known.length > 0 ? ` and the facts of ${known.join(", ")}` : ""}`,
    );
    if (known.length === 0)
      report.say("On the site, check the hosts too: airgap hosts check CLUSTER --bundle BUNDLE");
  }
}
