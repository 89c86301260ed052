import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../../bundle-flags.ts";
import { names } from "../../cluster/flags.ts";
import { ClusterCommand } from "../../cluster-command.ts";
import { withEnv } from "../../command.ts";
import { Exit } from "../../errors.ts";
import type { Facts } from "../../host/facts.ts";
import { checkHosts, type HostsCheckResult } from "../../install/hosts-check.ts";
import { byCause, formatCause } from "../../install/preflight/preflight.ts";

export default class HostsCheck extends ClusterCommand<HostsCheckResult> {
  static override summary =
    "Check the hosts: print what they are and every problem that would stop an installation";
  static override description =
    "Changes nothing. Exits with 3 when a check fails. With --bundle it also checks that the bundle has what these hosts need.";
  static override examples = [
    "<%= config.bin %> hosts check cluster.yaml",
    "<%= config.bin %> hosts check cluster.yaml --bundle site.tar",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    bundle: Flags.string({ description: "The bundle", helpValue: "B" }),
    hosts: Flags.string({ description: "Only these hosts (comma-separated)", helpValue: "NAME,…" }),
  });

  async run(): Promise<HostsCheckResult> {
    const { args, flags } = await this.parse(HostsCheck);
    const result = await checkHosts({
      clusterFile: args.cluster,
      ...(flags.bundle ? { bundle: flags.bundle, opening: openingOf(flags, this.emit) } : {}),
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const [name, facts] of Object.entries(result.facts)) this.report.line(`${name}: ${describe(facts)}`);
    for (const cause of byCause(result.findings)) {
      const { severity, suggestion } = cause.finding;
      this.report.line(`${severity}: ${formatCause(cause)}${suggestion ? ` (${suggestion})` : ""}`);
    }
    if (result.findings.length === 0) this.report.line("No problems found");
    if (result.findings.some(({ severity }) => severity === "error")) process.exitCode = Exit.check;
    return result;
  }
}

function describe(facts: Facts): string {
  const { os, kernel, machine, cgroup, cores, memoryKiB, addresses, versions, selinux, firewall, swap } =
    facts;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${os.name}, kernel ${kernel}, ${machine}, cgroup ${cgroup}`,
    `${cores} cores, ${(memoryKiB / 1024 / 1024).toFixed(1)} GiB`,
    addresses.map((each) => `${each.interface} ${each.cidr}`).join(" "),
    ...(selinux ? [`SELinux ${selinux.toLowerCase()}`] : []),
    ...(firewall ? [firewall] : []),
    ...(swap.length > 0 ? ["swap on"] : []),
    ...programs,
  ].join("; ");
}
