import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { installFlags } from "../cluster-command.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { formatBytes, formatDuration } from "../format.ts";
import { type RehearsalResult, rehearse } from "../rehearse/rehearse.ts";

export default class Rehearse extends BaseCommand<RehearsalResult> {
  static override summary =
    "Run the real installation on the connected box, in throw-away hosts without a way out, before anything is carried";
  static override description =
    "Starts a privileged container for each host of the cluster file, with systemd as its first process, on a network of the engine without a way out, and runs install against them over SSH: same bundle, same plan, same scripts. Then it says what was proved, how long each stage took, what each host used, and everything that was tried to be reached outside. rehearsal.json can be signed and carried: airgap verify --rehearsed. The hosts are removed at the end.";
  static override examples = [
    "<%= config.bin %> rehearse cluster.yaml --bundle site.tar --spec site.yaml",
    "<%= config.bin %> rehearse cluster.yaml --bundle site.tar --image rocky-9=rocky-with-systemd:9",
    "<%= config.bin %> rehearse new.yaml --bundle new.tar --spec new-site.yaml --from old.yaml --from-bundle old.tar",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    bundle: Flags.string({ description: "The bundle", required: true, helpValue: "B" }),
    engine: Flags.string({
      description: "Whose containers the hosts are; DOCKER_HOST and the like are obeyed",
      options: ["docker", "podman"],
      default: "docker",
    }),
    image: Flags.string({
      description: "The engine's image for hosts of a system; without it one is made from the bundle",
      helpValue: "SYSTEM=IMAGE",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    spec: Flags.string({
      description:
        "The spec that the bundle was built from: what hosts have before an installation comes from its repositories",
      helpValue: "SPEC",
    }),
    "base-repo": Flags.string({
      description:
        "The same from a repository: a line of apt's sources with its key, or baseurl=URL gpgkey=URL for RPM packages",
      helpValue: "REPOSITORY",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    system: Flags.string({
      description: "The system of a host, where the bundle is for several",
      helpValue: "HOST=SYSTEM",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    from: Flags.string({
      description: "Rehearse an upgrade: install this cluster file first, then upgrade",
      helpValue: "CLUSTER",
      dependsOn: ["from-bundle"],
    }),
    "from-bundle": Flags.string({
      description: "The bundle that --from is installed from",
      helpValue: "B",
      dependsOn: ["from"],
    }),
    mount: Flags.string({
      description: "A file or folder of the engine's machine in every host, as docker run --volume takes it",
      helpValue: "FROM:TO[:ro]",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    output: Flags.string({
      char: "o",
      description: "Where the record is written; default rehearsal.json beside the cluster file",
      helpValue: "FILE",
    }),
    watch: Flags.integer({
      description: "How long to watch the hosts after the installation, for what add-ons try outside",
      min: 0,
      default: 30,
      helpValue: "SECONDS",
    }),
    keep: Flags.boolean({ description: "Leave the hosts for a look; the next rehearsal removes them" }),
    ...installFlags,
  });

  async run(): Promise<RehearsalResult> {
    const { args, flags } = await this.parse(Rehearse);
    const result = await rehearse({
      clusterFile: args.cluster,
      bundle: flags.bundle,
      opening: openingOf(flags, this.emit),
      engine: flags.engine as "docker" | "podman",
      images: pairs(flags.image, "--image"),
      systems: pairs(flags.system, "--system"),
      spec: flags.spec,
      baseRepositories: flags["base-repo"],
      ...(flags.from && flags["from-bundle"]
        ? { from: { clusterFile: flags.from, bundle: flags["from-bundle"] } }
        : {}),
      watchMs: flags.watch * 1000,
      keep: flags.keep,
      mounts: flags.mount,
      output: flags.output,
      ignoreChecks: flags["ignore-check"],
      patienceMs: flags.patience * 1000,
      parallel: flags.parallel,
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    this.#tell(result);
    return result;
  }

  #tell(result: RehearsalResult): void {
    const { report } = this;
    const { install, upgrade, hosts, stages, proved, outside, notShown, adjusted, file, kept } = result;
    report.line(`${result.cluster}: the rehearsal passed in ${formatDuration(result.seconds * 1000)}`);
    const { changed, steps } = upgrade ?? install ?? { changed: 0, steps: [] };
    report.line(`${changed} of ${steps.length} steps were applied`);
    report.line("Proved:");
    for (const { what, detail } of proved) report.line(`  ${what}: ${detail}`);
    report.line("Stages:");
    for (const { stage, ms } of stages) report.line(`  ${stage}: ${formatDuration(ms)}`);
    report.line("Hosts:");
    for (const host of hosts)
      report.line(
        `  ${host.name} (${host.system}, ${host.address}): disk ${formatBytes(host.diskBytes)}, memory ${formatBytes(host.memoryBytes)}, received ${formatBytes(host.receivedBytes)}, sent ${formatBytes(host.sentBytes)}, ${host.packages} packages, ${host.images} images`,
      );
    report.line(outside.length === 0 ? "Outside: nothing was tried" : "Outside, tried in vain:");
    for (const { host, to, what, times } of outside)
      report.line(`  ${host}: ${to} (${what}), ${times} times`);
    report.line("Set otherwise than in the cluster file:");
    for (const each of adjusted) report.line(`  ${each}`);
    report.line("Not shown by such hosts:");
    for (const each of notShown) report.line(`  ${each}`);
    report.line(`Written: ${file}`);
    for (const { host, ssh } of kept ?? []) report.line(`${host} is kept: ${ssh}`);
    report.say(`Next: airgap sign ${file} --key site.key, and carry it with the bundle`);
  }
}

/** `KEY=VALUE` each. @throws AirgapError `usage` */
function pairs(texts: readonly string[], flag: string): Map<string, string> {
  return new Map(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at < 1 || at === text.length - 1)
        throw new AirgapError(
          "usage",
          `${flag} ${text} is not ${flag === "--image" ? "SYSTEM=IMAGE" : "HOST=SYSTEM"}`,
          {
            suggestions: [`${flag} ${flag === "--image" ? "debian-12=my-image:1" : "node1=debian-12"}`],
          },
        );
      return [text.slice(0, at), text.slice(at + 1)] as const;
    }),
  );
}
