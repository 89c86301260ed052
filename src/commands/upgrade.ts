import { basename } from "node:path";
import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { duration, names } from "../cluster/flags.ts";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { formatDuration } from "../format.ts";
import { formatSteps } from "../install/upgrade/table.ts";
import { type UpgradeResult, upgrade } from "../install/upgrade/upgrade.ts";
import type { PreviewedStep } from "../plan/preview.ts";

export default class Upgrade extends ClusterCommand<UpgradeResult> {
  static override summary =
    "Take a cluster to the version of the cluster file, one minor at a time. Safe to re-run: it resumes";
  static override description =
    "Serves the new bundle, keeps a snapshot of etcd and /etc/kubernetes before each minor, then upgrades control planes one by one and workers some at a time, drained before and back in service after. Network and add-ons follow at the end. All checks run first: if one fails, nothing is changed (exit 3). The bundle must carry every minor between; `upgradeFrom:` in its spec makes build check that.";
  static override examples = [
    "<%= config.bin %> upgrade cluster.yaml --bundle site.tar --dry-run",
    "<%= config.bin %> upgrade cluster.yaml --bundle site.tar",
    "<%= config.bin %> upgrade cluster.yaml --bundle site.tar --to v1.29.9 --parallel 3",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    bundle: Flags.string({ description: "The bundle", required: true, helpValue: "B" }),
    to: Flags.string({
      description: "Stop at this version, older than the cluster file's",
      helpValue: "V",
    }),
    "dry-run": Flags.boolean({
      description: "Run the checks and print the steps by version and host; change nothing",
      exclusive: ["script"],
    }),
    script: Flags.string({
      description: "Write sh scripts for the hosts into DIR; run nothing",
      helpValue: "DIR",
    }),
    hosts: Flags.string({
      description: "Only these hosts (comma-separated); others may stay behind as far as Kubernetes allows",
      helpValue: "NAME,…",
    }),
    "allow-older": Flags.boolean({
      description: "Go back to a bundle that is older than the one that the site has",
    }),
    parallel: Flags.integer({
      description: "Workers that are drained and upgraded at a time",
      min: 1,
      default: 1,
      helpValue: "N",
    }),
    "drain-timeout": Flags.string({
      description: "How long to wait until a node's pods are gone",
      default: "10m",
      helpValue: "D",
    }),
    patience: Flags.integer({
      description: "How long to wait for a host that is unreachable or rebooting",
      min: 0,
      default: 180,
      helpValue: "SECONDS",
    }),
    "ignore-check": Flags.string({
      description: "Continue even if this check fails",
      multiple: true,
      multipleNonGreedy: true,
      helpValue: "NAME",
      default: [],
    }),
  });

  async run(): Promise<UpgradeResult> {
    const { args, flags } = await this.parse(Upgrade);
    const result = await upgrade({
      clusterFile: args.cluster,
      bundle: flags.bundle,
      opening: openingOf(flags, this.emit),
      allowOlder: flags["allow-older"],
      dryRun: flags["dry-run"],
      workers: flags.parallel,
      drainTimeout: duration(flags["drain-timeout"], "--drain-timeout"),
      ...(flags.to ? { to: flags.to } : {}),
      ...(flags.script ? { script: flags.script } : {}),
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      ignoreChecks: flags["ignore-check"],
      patienceMs: flags.patience * 1000,
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    if (flags["dry-run"])
      for (const line of formatSteps(result.steps as PreviewedStep[])) this.report.line(line);
    else if (result.scripts) this.#tellScripts(result);
    else this.#tell(result, args.cluster);
    return result;
  }

  #tellScripts({ scripts = [], beside = [] }: UpgradeResult): void {
    for (const file of scripts) this.report.line(file);
    this.report.say(
      "The scripts hold secrets. Run them in this order, as root, each on the host in its name: sh FILE. What they keep of before each version stays on the hosts, in /var/lib/airgap/upgrade",
    );
    for (const { script, name, from } of beside)
      this.report.say(`Copy ${from} next to ${basename(script)} and name it ${name}`);
  }

  #tell({ cluster, from, through, changed, steps, time, log, kept }: UpgradeResult, file: string): void {
    const { report } = this;
    const to = through.at(-1);
    if (changed === 0) report.line(`${cluster}: nothing to do, all ${steps.length} steps are already done`);
    else if (to === undefined) report.line(`${cluster}: ${changed} of ${steps.length} steps were applied`);
    else report.line(`${cluster}: from ${from} to ${to}, ${changed} of ${steps.length} steps were applied`);
    if (time)
      report.say(
        `It took ${formatDuration(time.connecting + time.total)}; commands on the hosts took ${formatDuration(time.commands)} of that. Log: ${log}`,
      );
    if (kept.length > 0) report.say(`Kept from before: ${kept.map(({ path }) => path).join(", ")}`);
    report.say(`Next: airgap status ${file}`);
  }
}
