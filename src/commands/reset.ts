import { Args, Flags } from "@oclif/core";
import { names } from "../cluster/flags.ts";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { count } from "../format.ts";
import { clearLeftovers } from "../install/clear-leftovers.ts";
import { type ResetResult, reset } from "../install/reset.ts";

export default class Reset extends ClusterCommand<ResetResult> {
  static override summary = "Undo what install did, and return to bare hosts";
  static override description =
    "Each host remembers what was there before and how to undo each step. With --hosts, airgap resets only these hosts; it drains them and deletes them from the cluster first. You can also name hosts that are no longer in the cluster file. Packages stay unless you add --packages, and the data of Harbor unless you add --harbor-data.";
  static override examples = [
    "<%= config.bin %> reset cluster.yaml --hosts node3",
    "<%= config.bin %> reset cluster.yaml --hosts node4 --gone",
    "<%= config.bin %> reset cluster.yaml --hosts node5 --leftovers k3s,cni0",
    "<%= config.bin %> reset cluster.yaml --yes",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    hosts: Flags.string({ description: "Only these hosts (comma-separated)", helpValue: "NAME,…" }),
    gone: Flags.boolean({
      description:
        "These hosts are lost: do not connect to them, remove them from the cluster through a running control plane",
      dependsOn: ["hosts"],
    }),
    leftovers: Flags.string({
      description:
        "Undo nothing; remove these things that another cluster left on the hosts, by the names that `hosts check` gives: k3s, cni0, /etc/cni/net.d/…",
      exclusive: ["gone", "packages"],
      helpValue: "ITEM,…",
    }),
    packages: Flags.boolean({ description: "Also remove the packages that install added" }),
    "harbor-data": Flags.boolean({
      description: "Also remove the data of the Harbor that install installed: images, database, keys",
    }),
  });

  async run(): Promise<ResetResult> {
    const { args, flags } = await this.parse(Reset);
    if (flags.leftovers !== undefined)
      return this.#clear(args.cluster, names(flags.leftovers, "--leftovers"), flags);
    const result = await reset({
      clusterFile: args.cluster,
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      packages: flags.packages,
      harborData: flags["harbor-data"],
      gone: flags.gone,
      confirm: this.hostKeys(flags),
      sure: (hosts) =>
        this.confirm(
          flags.gone
            ? `This removes ${hosts.join(", ")} from the cluster, nodes and etcd members included, without draining. Continue?`
            : `This removes everything that makes ${hosts.join(", ")} part of the cluster, including its data. Continue?`,
        ),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const { host, undone } of result.hosts)
      this.report.line(
        flags.gone ? `${host}: removed from the cluster` : `${host}: ${count(undone, "step")} undone`,
      );
    this.#tellEtcd(result);
    return result;
  }

  async #clear(
    clusterFile: string,
    leftovers: string[],
    flags: { hosts: string | undefined; "accept-new-host-keys": boolean },
  ): Promise<ResetResult> {
    const result = await clearLeftovers({
      clusterFile,
      leftovers,
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      confirm: this.hostKeys(flags),
      sure: (what) => this.confirm(`This does, for good: ${what.join("; ")}. Continue?`),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const { host, undone } of result.hosts)
      this.report.line(`${host}: ${count(undone, "leftover")} removed`);
    return result;
  }

  #tellEtcd({ etcd }: ResetResult): void {
    if (etcd?.emptied === "members")
      this.report.line(`etcd: ${(etcd.hosts ?? []).join(", ")} are emptied, members and data`);
    else if (etcd)
      this.report.line(
        `etcd: ${count(etcd.keys ?? 0, "key")} below ${etcd.prefix} deleted; the etcd itself stays`,
      );
  }
}
