import { Args, Flags } from "@oclif/core";
import { names } from "../cluster/flags.ts";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { Exit } from "../errors.ts";
import { count } from "../format.ts";
import { type ClusterStatus, status, token } from "../install/status.ts";

export default class Status extends ClusterCommand<ClusterStatus | { token: string }> {
  static override summary =
    "Show the state of a cluster: nodes, pods, certificates, and where its images come from";
  static override description = "Changes nothing. Exits with 1 when it finds a problem.";
  static override examples = [
    "<%= config.bin %> status cluster.yaml",
    "<%= config.bin %> status cluster.yaml --token dashboard",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    hosts: Flags.string({ description: "Only these hosts (comma-separated)", helpValue: "NAME,…" }),
    token: Flags.string({
      description: "Print a token to log in with: dashboard",
      helpValue: "NAME",
      exclusive: ["hosts"],
    }),
  });

  async run(): Promise<ClusterStatus | { token: string }> {
    const { args, flags } = await this.parse(Status);
    const options = {
      clusterFile: args.cluster,
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    };
    if (flags.token !== undefined) {
      const made = await token({ ...options, name: flags.token });
      this.report.line(made);
      return { token: made };
    }
    const result = await status(options);
    this.#tell(result);
    if (!result.healthy) process.exitCode = Exit.failed;
    return result;
  }

  #tell({ nodes, pods, certificates, origins, problems }: ClusterStatus): void {
    const { report } = this;
    const width = Math.max(4, ...nodes.map(({ name }) => name.length));
    for (const { name, ready, roles, version, runtime, address } of nodes) {
      report.line(
        `${name.padEnd(width)}  ${ready ? "Ready   " : "NotReady"}  ${roles.join(",").padEnd(13)}  ${version}  ${runtime}  ${address}`,
      );
    }
    report.line(`Pods: ${pods.total}, not ready: ${pods.notReady.length}`);
    const [next] = certificates;
    if (next)
      report.line(
        `Certificates: ${certificates.length}; ${next.name} of ${next.host} expires first, in ${count(next.days, "day")}`,
      );
    const elsewhere = origins.filter(({ onlySite }) => !onlySite).length;
    report.line(
      `Images: ${elsewhere === 0 ? "only from the site's registry" : `${count(elsewhere, "node")} may also pull from elsewhere`}`,
    );
    for (const problem of problems) report.line(`! ${problem}`);
  }
}
