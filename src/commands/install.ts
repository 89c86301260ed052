import { basename } from "node:path";
import { Args, Flags } from "@oclif/core";
import { names } from "../cluster/flags.ts";
import { ClusterCommand } from "../cluster-command.ts";
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
  static override summary = "From bare hosts to a cluster, over SSH; run again, it makes so what is not";
  static override description =
    "Prepares the hosts, serves the bundle on one of them, installs packages and runtime, runs kubeadm, network and add-ons, and checks the result. Checks first: nothing is changed when one fails (exit 3). Interrupted, or with a host that failed, the same command goes on where it was.";
  static override examples = [
    "<%= config.bin %> install cluster.yaml --bundle site.tar",
    "<%= config.bin %> install cluster.yaml --bundle site.tar --dry-run",
    "<%= config.bin %> install cluster.yaml --bundle site.tar --script ./scripts",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    bundle: Flags.string({ description: "The bundle", required: true, helpValue: "B" }),
    "dry-run": Flags.boolean({
      description: "Run the checks only, and say what would change",
      exclusive: ["script"],
    }),
    script: Flags.string({
      description: "Write one sh script a host into DIR, instead of running anything",
      helpValue: "DIR",
    }),
    only: Flags.string({
      description: `Only these stages: ${STAGE_NAMES.join(", ")}`,
      ...stage,
      exclusive: ["skip"],
    }),
    skip: Flags.string({ description: "All stages but these", ...stage }),
    hosts: Flags.string({ description: "Only these hosts, with commas between them", helpValue: "NAME,…" }),
    patience: Flags.integer({
      description: "How long a host that is gone, perhaps to boot again, is waited for",
      min: 0,
      default: 180,
      helpValue: "SECONDS",
    }),
    "ignore-check": Flags.string({
      description: "Go on although this check fails",
      multiple: true,
      multipleNonGreedy: true,
      helpValue: "NAME",
      default: [],
    }),
  });

  async run(): Promise<InstallResult> {
    const { args, flags } = await this.parse(Install);
    const result = await install({
      clusterFile: args.cluster,
      bundle: flags.bundle,
      dryRun: flags["dry-run"],
      ...(flags.script ? { script: flags.script } : {}),
      ...(flags.only ? { only: flags.only as StageName[] } : {}),
      ...(flags.skip ? { skip: flags.skip as StageName[] } : {}),
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      ignoreChecks: flags["ignore-check"],
      patienceMs: flags.patience * 1000,
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
      "They hold secrets. Run them as root in this order, each on the host of its name: sh FILE",
    );
    for (const { script, name, from } of beside)
      this.report.say(`Beside ${basename(script)} has to lie ${from} as ${name}`);
  }

  #tell({ changed, steps, time, kubeconfig, cluster, log }: InstallResult, file: string): void {
    const { report } = this;
    if (changed === 0) report.line(`${cluster}: nothing is to do, all ${steps.length} steps are so already`);
    else report.line(`${cluster}: ${changed} of ${steps.length} steps were done`);
    if (time)
      report.say(
        `It took ${formatDuration(time.connecting + time.total)}, of which the hosts' own commands ${formatDuration(time.commands)}; the log is ${log}`,
      );
    if (kubeconfig)
      report.say(`Next: kubectl --kubeconfig ${kubeconfig} get nodes, or airgap status ${file}`);
  }
}
