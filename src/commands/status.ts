import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { names } from "../cluster/flags.ts";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { Exit } from "../errors.ts";
import { count, formatBytes, someOf } from "../format.ts";
import { type ClusterStatus, type StatusOptions, status, token } from "../install/status.ts";
import type { ImageStatus } from "../install/status-images.ts";
import { changesBetween, type Look, watch } from "../install/watch.ts";

const WATCH_MS = 10_000;

export default class Status extends ClusterCommand<ClusterStatus | { token: string } | undefined> {
  static override summary = "Show the state of a cluster, and what differs from the cluster file";
  static override description =
    "Nodes and their versions, labels and taints, pods, load balancers, etcd, Harbor, certificates, disks, and where images come from. Changes nothing. Exits with 1 when it finds a problem.";
  static override examples = [
    "<%= config.bin %> status cluster.yaml",
    "<%= config.bin %> status cluster.yaml --watch",
    "<%= config.bin %> status cluster.yaml --token dashboard",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    hosts: Flags.string({ description: "Only these hosts (comma-separated)", helpValue: "NAME,…" }),
    bundle: Flags.string({
      description:
        "Also compare the images that the cluster uses or may use with this bundle: missing, other digest, unused",
      helpValue: "B",
    }),
    watch: Flags.boolean({
      char: "w",
      description:
        "Look again every 10 seconds until Ctrl-C, and print what changes; with --json a line for each look",
    }),
    token: Flags.string({
      description: "Print a token to log in with: dashboard",
      helpValue: "NAME",
      exclusive: ["hosts", "watch"],
    }),
  });

  async run(): Promise<ClusterStatus | { token: string } | undefined> {
    const { args, flags } = await this.parse(Status);
    const options = {
      clusterFile: args.cluster,
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      ...(flags.bundle ? { bundle: flags.bundle, opening: openingOf(flags, this.emit) } : {}),
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    };
    if (flags.token !== undefined) {
      const made = await token({ ...options, name: flags.token });
      this.report.line(made);
      return { token: made };
    }
    if (flags.watch) return this.#watch(options);
    const result = await status(options);
    this.#tell(result);
    if (!result.healthy) process.exitCode = Exit.failed;
    return result;
  }

  /** Ctrl-C is its ordinary end; the last look decides about the exit code. */
  async #watch(options: StatusOptions): Promise<undefined> {
    let last: Look | undefined;
    let told = false;
    for await (const look of watch(options, WATCH_MS)) {
      if (this.jsonEnabled()) this.report.jsonLine(look);
      else if (look.status && !told) this.#tell(look.status);
      else
        for (const change of changesBetween(last, look))
          this.report.line(`${look.time.slice(11, 19)} ${change}`);
      told ||= look.status !== undefined;
      last = look;
    }
    if (last?.status?.healthy !== true) process.exitCode = Exit.failed;
  }

  #tell({
    nodes,
    pods,
    certificates,
    etcd,
    origins,
    disks,
    endpoint,
    harbor,
    images,
    problems,
  }: ClusterStatus): void {
    const { report } = this;
    const width = Math.max(4, ...nodes.map(({ name }) => name.length));
    for (const { name, ready, roles, version, runtime, address } of nodes) {
      report.line(
        `${name.padEnd(width)}  ${ready ? "Ready   " : "NotReady"}  ${roles.join(",").padEnd(13)}  ${version}  ${runtime}  ${address}`,
      );
    }
    for (const { name, address, port, heldBy } of endpoint?.addresses ?? [])
      report.line(
        `Address of the ${name === "api" ? "API" : "ingress"}: ${address}:${port}, held by ${heldBy.join(" and ") || "nobody"}`,
      );
    for (const { host, servers } of endpoint?.loadBalancers ?? [])
      report.line(
        `  ${host}: ${servers.map((server) => `${server.host} ${server.state}${server.address === "ingress" ? " (ingress)" : ""}`).join(", ") || "haproxy does not answer"}`,
      );
    report.line(`Pods: ${pods.total}, not ready: ${pods.notReady.length}`);
    const [next] = certificates;
    if (next)
      report.line(
        `Certificates: ${certificates.length}; ${next.name} of ${next.host} expires first, in ${count(next.days, "day")}`,
      );
    for (const { host, healthy, version, leader, learner, size, used } of etcd) {
      const sizes = size === undefined ? "" : `  ${formatBytes(size)}, ${formatBytes(used ?? size)} used`;
      report.line(
        `etcd ${host.padEnd(width)}  ${healthy ? "healthy  " : "unhealthy"}  ${(leader ? "leader" : learner ? "learner" : "member").padEnd(7)}  ${version ?? ""}${sizes}`,
      );
    }
    const elsewhere = origins.filter(({ onlySite }) => !onlySite).length;
    report.line(
      `Images: ${elsewhere === 0 ? "only from the site's registry" : `${count(elsewhere, "node")} may also pull from elsewhere`}`,
    );
    if (images) this.#tellImages(images);
    const fullest = disks.toSorted((a, b) => a.freeKiB / a.sizeKiB - b.freeKiB / b.sizeKiB)[0];
    if (fullest)
      report.line(
        `Disks: ${disks.length}; ${fullest.mount} of ${fullest.host} has least left, ${formatBytes(fullest.freeKiB * 1024)}`,
      );
    if (harbor)
      report.line(
        `Harbor on ${harbor.host}: ${harbor.components.map(({ name, healthy }) => `${name} ${healthy ? "healthy" : "unhealthy"}`).join(", ") || "does not answer"}`,
      );
    for (const problem of problems) report.line(`! ${problem}`);
  }

  #tellImages({ carried, missing, differs, unused, warnings }: ImageStatus): void {
    const used = carried.length + missing.length + differs.length;
    this.report.line(
      `Bundle: has ${carried.length} of the ${count(used, "image")} that the cluster uses; ${differs.length} with another digest, ${missing.length} missing, ${unused.length} unused`,
    );
    if (unused.length > 0) this.report.line(`  unused: ${someOf(unused)}`);
    for (const message of warnings) this.emit({ type: "warning", message });
  }
}
