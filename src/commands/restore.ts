import { Args } from "@oclif/core";
import { ClusterCommand } from "../cluster-command.ts";
import { Exit } from "../errors.ts";
import { type RestoreResult, restore } from "../install/backup/restore.ts";

export default class Restore extends ClusterCommand<RestoreResult> {
  static override summary = "Put a backup back: every member of etcd gets the data of that time";
  static override description =
    "Checks the file and every host first, says what will be lost, and asks. Then it stops the API servers and etcd, restores every member, starts all of them and checks the result. Where no control plane stands, it puts the keys of the backup beside the cluster file and exits with 4: install, then run it again.";
  static override examples = [
    "<%= config.bin %> restore cluster.yaml site-monday.tar",
    "<%= config.bin %> restore cluster.yaml site-monday.tar --yes",
  ];
  static override args = {
    cluster: Args.string({ description: "The cluster file (YAML)", required: true }),
    file: Args.string({ description: "The backup", required: true }),
  };

  async run(): Promise<RestoreResult> {
    const { args, flags } = await this.parse(Restore);
    const result = await restore({
      clusterFile: args.cluster,
      file: args.file,
      sure: (question) => this.confirm(question),
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    if (result.restored === "keys") {
      process.exitCode = Exit.interrupted;
      this.report.line(
        `${result.cluster}: no control plane stands; the keys of the backup are beside the cluster file`,
      );
      this.report.say(
        `Next: airgap install ${args.cluster} --bundle BUNDLE, then airgap restore ${args.cluster} ${args.file}`,
      );
      return result;
    }
    this.report.line(
      `${result.cluster}: ${result.members.join(", ")} ${result.members.length > 1 ? "have" : "has"} the data of ${result.taken} (revision ${result.etcd.revision})`,
    );
    this.report.say(`Next: airgap status ${args.cluster}`);
    return result;
  }
}
