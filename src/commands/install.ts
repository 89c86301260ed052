import { basename } from "node:path";
import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { names } from "../cluster/flags.ts";
import { ClusterCommand, installFlags } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { formatDuration } from "../format.ts";
import { type InstallResult, install } from "../install/install.ts";
import { STAGE_NAMES, type StageName } from "../install/stages/index.ts";
import { formatPreview, type PreviewedStep } from "../plan/preview.ts";
import type { Beside } from "../plan/write-scripts.ts";

const stage = {
  multiple: true,
  multipleNonGreedy: true,
  options: [...STAGE_NAMES],
  helpValue: "STAGE",
} as const;

export default class Install extends ClusterCommand<InstallResult> {
  static override summary =
    "Turn bare hosts into a cluster over SSH. Safe to re-run: only what differs is changed";
  static override description =
    "Prepares the hosts, serves the bundle on one of them, installs packages and the container runtime, runs kubeadm, installs network and add-ons, and checks the result. All checks run first: if one fails, nothing is changed (exit 3). After an interruption or a failed host, run the same command again; it resumes.";
  static override examples = [
    "<%= config.bin %> install cluster.yaml --bundle site.tar",
    "<%= config.bin %> install cluster.yaml --bundle site.tar --dry-run",
    "<%= config.bin %> install cluster.yaml --bundle site.tar --script ./scripts",
    "<%= config.bin %> install cluster.yaml --bundle site.tar --replace master2",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    bundle: Flags.string({ description: "The bundle", required: true, helpValue: "B" }),
    "dry-run": Flags.boolean({
      description: "Run the checks and print what would change; change nothing",
      exclusive: ["script"],
    }),
    script: Flags.string({
      description: "Write sh scripts for the hosts into DIR; run nothing",
      helpValue: "DIR",
    }),
    only: Flags.string({
      description: `Run only these stages: ${STAGE_NAMES.join(", ")}`,
      ...stage,
      exclusive: ["skip"],
    }),
    skip: Flags.string({ description: "Skip these stages", ...stage }),
    hosts: Flags.string({ description: "Only these hosts (comma-separated)", helpValue: "NAME,…" }),
    "allow-older": Flags.boolean({
      description: "Go back to a bundle that is older than the one that the site has",
    }),
    replace: Flags.string({
      description:
        "These hosts were lost and came back empty under the same name: remove what the cluster knows of them, then let them join",
      helpValue: "NAME,…",
    }),
    ...installFlags,
  });

  async run(): Promise<InstallResult> {
    const { args, flags } = await this.parse(Install);
    const result = await install({
      clusterFile: args.cluster,
      bundle: flags.bundle,
      opening: openingOf(flags, this.emit),
      allowOlder: flags["allow-older"],
      dryRun: flags["dry-run"],
      ...(flags.script ? { script: flags.script } : {}),
      ...(flags.only ? { only: flags.only as StageName[] } : {}),
      ...(flags.skip ? { skip: flags.skip as StageName[] } : {}),
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      ...(flags.replace ? { replace: names(flags.replace, "--replace") } : {}),
      ignoreChecks: flags["ignore-check"],
      patienceMs: flags.patience * 1000,
      parallel: flags.parallel,
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    if (flags["dry-run"])
      for (const line of formatPreview(result.steps as PreviewedStep[])) this.report.line(line);
    else if (result.scripts) this.#tellScripts(result.scripts, result.beside ?? []);
    else this.#tell(result, args.cluster);
    return result;
  }

  #tellScripts(scripts: string[], beside: Beside[]): void {
    for (const file of scripts) this.report.line(file);
    this.report.say(
      "The scripts hold secrets. Run them in this order, as root, each on the host in its name: sh FILE",
    );
    for (const { script, name, from } of beside)
      this.report.say(`Copy ${from} next to ${basename(script)} and name it ${name}`);
  }

  #tell({ changed, steps, time, kubeconfig, cluster, log }: InstallResult, file: string): void {
    const { report } = this;
    if (changed === 0) report.line(`${cluster}: nothing to do, all ${steps.length} steps are already done`);
    else report.line(`${cluster}: ${changed} of ${steps.length} steps were applied`);
    if (time)
      report.say(
        `It took ${formatDuration(time.connecting + time.total)}; commands on the hosts took ${formatDuration(time.commands)} of that. Log: ${log}`,
      );
    if (kubeconfig)
      report.say(`Next: kubectl --kubeconfig ${kubeconfig} get nodes, or airgap status ${file}`);
  }
}
