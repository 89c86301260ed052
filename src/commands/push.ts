import { Args, Flags } from "@oclif/core";
import { BundleReader } from "../bundle/reader.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { count, formatBytes } from "../format.ts";
import { run } from "../host/process.ts";
import { parseTarget } from "../names/landing.ts";
import { parseQuota } from "../site/harbor/quota.ts";
import { chartsToPush } from "../site/push/charts.ts";
import { type PushResult, push } from "../site/push/push.ts";
import { storedCredentials } from "../transport/credentials.ts";
import { Registries } from "../transport/registry/registries.ts";

/** Images at a time; how many requests a registry gets at once adapts to what it answers. */
const CONCURRENCY = 8;

export default class Push extends BaseCommand<PushResult> {
  static override summary = "Fill a registry from a bundle";
  static override description =
    "Checks everything that the registry might refuse before the first byte, sends what is not there yet, each blob once, and reads every image back. A second push sends nothing. Knows Harbor: projects, quotas, immutable tags, robot accounts. Credentials are those of docker login or podman login.";
  static override examples = [
    "<%= config.bin %> push site.tar harbor.site.local --create-projects private",
    "<%= config.bin %> push site.tar 127.0.0.1:5000 --layout path",
    "<%= config.bin %> push site.tar harbor.site.local/k8s --layout flat --dry-run",
    "<%= config.bin %> push site.tar harbor.site.local --map 'registry.k8s.io/**=google_containers/*'",
  ];
  static override args = {
    bundle: Args.string({ description: "The bundle", required: true }),
    target: Args.string({ description: "host[:port][/prefix]", required: true }),
  };
  static override flags = withEnv({
    layout: Flags.option({
      description: "Names: with the upstream host, its path alone, or the last component alone",
      options: ["host", "path", "flat"] as const,
      default: "host",
    })(),
    map: Flags.string({
      description: "FROM=TO, before the layout; * is one component, ** any",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
      helpValue: "FROM=TO",
    }),
    "create-projects": Flags.option({
      description: "Make missing Harbor projects",
      options: ["public", "private"] as const,
    })(),
    "project-quota": Flags.string({
      description: "Storage limit of projects that are made, e.g. 200GiB",
      dependsOn: ["create-projects"],
      helpValue: "SIZE",
    }),
    charts: Flags.boolean({
      description: "Push charts too, for helm pull oci://TARGET/charts/NAME",
    }),
    "dry-run": Flags.boolean({ description: "Say what would be sent; send nothing" }),
    repair: Flags.boolean({ description: "Look below each manifest, and send again what is gone" }),
    concurrency: Flags.integer({ description: "Images, and requests, at a time at most", min: 1, max: 64 }),
    insecure: Flags.boolean({ description: "Plain http, or https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed the registry's certificate",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<PushResult> {
    const { args, flags } = await this.parse(Push);
    const { host } = parseTarget(args.target);
    const quota = flags["project-quota"] === undefined ? undefined : parseQuota(flags["project-quota"]);
    const bundle = await BundleReader.openUnless(this.signal, args.bundle);
    const trust = {
      insecure: flags.insecure,
      caFile: flags["ca-file"],
    };
    const registries = new Registries({
      trust: (asked) => (asked === host ? trust : {}),
      credentials: storedCredentials(run),
      ...(flags.concurrency ? { limits: { start: flags.concurrency, max: flags.concurrency } } : {}),
      emit: this.emit,
    });
    try {
      const result = await push({
        bundle: { name: args.bundle, lock: bundle.lock, source: bundle.source() },
        target: args.target,
        layout: flags.layout,
        map: flags.map,
        ...(flags["create-projects"]
          ? {
              createProjects: {
                public: flags["create-projects"] === "public",
                ...(quota === undefined ? {} : { quota }),
              },
            }
          : {}),
        dryRun: flags["dry-run"],
        repair: flags.repair,
        charts: flags.charts ? await chartsToPush(bundle, args.target) : undefined,
        yes: flags.yes,
        concurrency: flags.concurrency ?? CONCURRENCY,
        registries,
        emit: this.emit,
        signal: this.signal,
      });
      this.#tell(result);
      return result;
    } finally {
      await registries.close();
      bundle.close();
    }
  }

  #tell({ target, images, totals, projects, dryRun, notImages, version }: PushResult): void {
    const { report } = this;
    report.end();
    for (const { image, name, digest, state, attached } of images) {
      report.line(`${state} ${name} ${digest}${image === name ? "" : ` (${image})`}`);
      for (const each of attached ?? []) report.line(`  ${each.name} ${each.digest}`);
    }
    for (const project of projects) report.say(`${dryRun ? "Would make" : "Made"} the project ${project}`);
    const { sent, mounted, present } = totals;
    const moved = `${count(sent.blobs, "blob")} (${formatBytes(sent.bytes)})`;
    const rest = `${mounted.blobs} mounted, ${present.blobs} there already`;
    const where = version === undefined ? target : `${target} (Harbor ${version})`;
    report.say(
      dryRun
        ? `${where}: would send at most ${moved}; ${present.blobs} there already`
        : `${where}: ${count(images.length, "image")}; ${moved} sent, ${rest}`,
    );
    if (notImages > 0)
      report.say(
        `${count(notImages, "item")} of other kinds stay in the bundle; airgap serve gives them out, airgap extract takes them out, --charts pushes charts`,
      );
  }
}
