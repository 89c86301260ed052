import { Args, Flags } from "@oclif/core";
import { names } from "../cluster/flags.ts";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { count } from "../format.ts";
import { type ResetResult, reset } from "../install/reset.ts";

export default class Reset extends ClusterCommand<ResetResult> {
  static override summary = "Back to bare hosts: takes back what install has done";
  static override description =
    "Each host remembers what was there before and how each step is taken back. With --hosts only some of them: they are drained and deleted from the cluster first; hosts that the cluster file has forgotten may be named too. Packages stay unless --packages says otherwise.";
  static override examples = [
    "<%= config.bin %> reset cluster.yaml --hosts node3",
    "<%= config.bin %> reset cluster.yaml --hosts node4 --gone",
    "<%= config.bin %> reset cluster.yaml --yes",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    hosts: Flags.string({ description: "Only these hosts, with commas between them", helpValue: "NAME,…" }),
    gone: Flags.boolean({
      description:
        "These hosts are lost: nobody connects to them; the cluster forgets them, by a control plane that stands",
      dependsOn: ["hosts"],
    }),
    packages: Flags.boolean({ description: "Remove the packages that were installed, too" }),
  });

  async run(): Promise<ResetResult> {
    const { args, flags } = await this.parse(Reset);
    const result = await reset({
      clusterFile: args.cluster,
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      packages: flags.packages,
      gone: flags.gone,
      confirm: this.hostKeys(flags),
      sure: (hosts) =>
        this.confirm(
          flags.gone
            ? `The cluster forgets ${hosts.join(", ")}: its nodes and members of etcd are removed, pods there are not drained. Go on?`
            : `Everything that makes ${hosts.join(", ")} part of the cluster is taken back, data in it included. Go on?`,
        ),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const { host, undone } of result.hosts)
      this.report.line(flags.gone ? `${host}: forgotten` : `${host}: ${count(undone, "step")} taken back`);
    return result;
  }
}
