import { Args, Flags } from "@oclif/core";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { formatBytes } from "../format.ts";
import { type BackupResult, backup } from "../install/backup/backup.ts";

export default class Backup extends ClusterCommand<BackupResult> {
  static override summary = "Write etcd's snapshot and the cluster's keys into one file";
  static override description =
    "Takes a snapshot of etcd while the cluster runs, and adds the control plane's keys, kubeadm's settings and the cluster file, with digests. The file holds the cluster's secrets: only its owner can read it. airgap reads it again before it says that it is done.";
  static override examples = ["<%= config.bin %> backup cluster.yaml -o site-monday.tar"];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    output: Flags.string({
      char: "o",
      description: "The file that the backup becomes; it must not exist yet",
      required: true,
      helpValue: "FILE",
    }),
  });

  async run(): Promise<BackupResult> {
    const { args, flags } = await this.parse(Backup);
    const result = await backup({
      clusterFile: args.cluster,
      output: flags.output,
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    this.report.line(
      `${result.file}: ${formatBytes(result.size)}, ${result.cluster} at revision ${result.etcd.revision} of etcd, ${result.digest}`,
    );
    this.report.say(
      `It holds every secret of the cluster. Next, when needed: airgap restore ${args.cluster} ${result.file}`,
    );
    return result;
  }
}
