import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { count, formatBytes } from "../format.ts";
import { type PrunePlan, prunePlan } from "../site/push/prune-plan.ts";
import { push } from "../site/push/push.ts";
import type { PushedImage, PushResult } from "../site/push/result.ts";
import { openSigner } from "../trust/key.ts";

export default class Push extends BaseCommand<PushResult | PrunePlan> {
  static override summary = "Fill a registry from a bundle";
  static override description =
    "Checks everything that the registry might refuse before the first byte, sends only what is missing there, each blob once, and reads every image back. A second push sends nothing. Knows Harbor: projects, quotas, policies, immutable tags, robot accounts. Uses the logins of docker login and podman login.";
  static override examples = [
    "<%= config.bin %> push site.tar harbor.site.local --create-projects private",
    "<%= config.bin %> push site.tar 127.0.0.1:5000 --layout path",
    "<%= config.bin %> push site.tar harbor.site.local/k8s --layout flat --dry-run",
    "<%= config.bin %> push site.tar harbor.site.local --sign-key images.key",
    "<%= config.bin %> push site.tar harbor.site.local --prune-plan --keep old.lock.json",
    "<%= config.bin %> push site.tar harbor.site.local --map 'registry.k8s.io/**=google_containers/*'",
  ];
  static override args = {
    bundle: Args.string({ description: "The bundle", required: true }),
    target: Args.string({ description: "host[:port][/prefix]", required: true }),
  };
  static override flags = withEnv({
    ...bundleFlags,
    layout: Flags.option({
      description: "Names at the target: upstream host and path, path alone, or last component alone",
      options: ["host", "path", "flat"] as const,
      default: "host",
    })(),
    map: Flags.string({
      description: "Name what matches FROM as TO says, before --layout; * is one component, ** any number",
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
      description: "Storage limit of the projects that are made, such as 200GiB",
      dependsOn: ["create-projects"],
      helpValue: "SIZE",
    }),
    "make-robots": Flags.boolean({
      description: "Make two Harbor robot accounts, one to pull and one to push; print their secrets once",
    }),
    "robots-file": Flags.string({
      description: "New file for the secrets of the robot accounts, instead of stdout",
      dependsOn: ["make-robots"],
      helpValue: "FILE",
    }),
    charts: Flags.boolean({
      description: "Push charts too, for helm pull oci://TARGET/charts/NAME",
    }),
    "sign-key": Flags.string({
      description:
        "Sign every image at the target with this private key, for admission controllers and cosign verify --key",
      helpValue: "KEY",
    }),
    "prune-plan": Flags.boolean({
      description:
        "Only list the tags at the target that neither this bundle nor --keep names; delete nothing",
    }),
    keep: Flags.string({
      description: "Another bundle or lock whose names stay; may be given several times",
      helpValue: "LOCK|BUNDLE",
      multiple: true,
      multipleNonGreedy: true,
      dependsOn: ["prune-plan"],
    }),
    "dry-run": Flags.boolean({ description: "Print what would be sent; send nothing" }),
    repair: Flags.boolean({
      description: "Check every blob below each manifest, and send again what is missing or damaged",
    }),
    concurrency: Flags.integer({
      description: "How many images, and requests, at a time at most",
      min: 1,
      max: 64,
    }),
    insecure: Flags.boolean({ description: "Allow plain http, and https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed the registry's certificate",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<PushResult | PrunePlan> {
    const { args, flags } = await this.parse(Push);
    if (flags["prune-plan"]) {
      const plan = await prunePlan({
        locks: [args.bundle, ...(flags.keep ?? [])],
        ...{ target: args.target, layout: flags.layout, map: flags.map },
        ...{ insecure: flags.insecure, caFile: flags["ca-file"] },
        opening: openingOf(flags, this.emit),
        emit: this.emit,
        signal: this.signal,
      });
      this.#tellPlan(plan);
      return plan;
    }
    const signKey = flags["sign-key"];
    const signer =
      signKey === undefined ? undefined : await openSigner(signKey, (ask) => this.passphrase(ask));
    const result = await push({
      bundle: args.bundle,
      opening: openingOf(flags, this.emit),
      target: args.target,
      layout: flags.layout,
      map: flags.map,
      ...(flags["create-projects"] ? { createProjects: flags["create-projects"] } : {}),
      ...(flags["project-quota"] === undefined ? {} : { projectQuota: flags["project-quota"] }),
      withCharts: flags.charts,
      makeRobots: flags["make-robots"],
      ...(flags["robots-file"] === undefined ? {} : { robotsFile: flags["robots-file"] }),
      signer,
      signKey,
      dryRun: flags["dry-run"],
      repair: flags.repair,
      yes: flags.yes,
      ...(flags.concurrency === undefined ? {} : { concurrency: flags.concurrency }),
      insecure: flags.insecure,
      ...(flags["ca-file"] === undefined ? {} : { caFile: flags["ca-file"] }),
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(result);
    return result;
  }

  #tellPlan({ target, tags, unnamed, locks }: PrunePlan): void {
    const { report } = this;
    report.end();
    for (const { name, digest, known } of unnamed)
      report.line(`${name} ${digest ?? "?"}${known ? "" : " (no lock names anything in this repository)"}`);
    report.say(
      `${target}: ${count(unnamed.length, "tag")} of ${tags} are not named by ${locks.join(", ")}. Nothing was deleted`,
    );
    if (unnamed.length > 0)
      report.say(
        "Check what still runs before you delete a tag: airgap images find --cluster. In Harbor, delete artifacts in the project, then run its garbage collection",
      );
  }

  #tell({
    target,
    images,
    totals,
    projects,
    dryRun,
    notImages,
    version,
    robots,
    signedBy,
  }: PushResult): void {
    const { report } = this;
    report.end();
    for (const image of images) {
      report.line(lineOf(image));
      for (const each of image.attached ?? []) report.line(`  ${each.name} ${each.digest}`);
    }
    for (const project of projects) report.say(`${dryRun ? "Would make" : "Made"} project ${project}`);
    const { sent, mounted, present } = totals;
    const moved = `${count(sent.blobs, "blob")} (${formatBytes(sent.bytes)})`;
    const there = images.filter(({ state }) => state === "present").length;
    const parts = [
      ...(there > 0 ? [`${count(there, "image")} already there`] : []),
      ...(there < images.length
        ? [
            dryRun
              ? `would send at most ${count(images.length - there, "image")}: ${moved}`
              : `${count(images.length - there, "image")} sent: ${moved}, ${mounted.blobs} mounted, ${present.blobs} of their blobs already there`,
          ]
        : [`nothing ${dryRun ? "to send" : "sent"}`]),
    ];
    const where = version === undefined ? target : `${target} (Harbor ${version})`;
    report.say(`${where}: ${parts.join("; ")}`);
    if (signedBy !== undefined)
      report.say(`${dryRun ? "Would be signed" : "Signed"} by ${signedBy}: ${count(images.length, "image")}`);
    if (notImages > 0)
      report.say(
        `${count(notImages, "item")} of other kinds ${notImages === 1 ? "stays" : "stay"} in the bundle; airgap serve gives out what is there, airgap extract takes it out, --charts pushes charts`,
      );
    if (robots === undefined) return;
    for (const robot of robots.accounts) {
      // The only place where a secret is printed; in a file it is not printed at all.
      const secret = "secret" in robot ? ` ${robot.secret}` : "";
      report.line(`robot ${robot.role} ${robot.name}${secret}`);
    }
    if (robots.accounts.length === 0) return;
    report.say(
      "file" in robots
        ? `The secrets of the robot accounts are in ${robots.file}. Harbor does not show them again`
        : "Keep the secrets of the robot accounts: Harbor does not show them again",
    );
  }
}

function lineOf({ image, name, digest, state, replaced, bytes }: PushedImage): string {
  const upstream = `${image === name ? "" : ` (${image})`}${state === "would-push" ? `, ${bytes} bytes` : ""}`;
  if (replaced === undefined) return `${state} ${name} ${digest}${upstream}`;
  return `${state === "pushed" ? "replaced" : "would-replace"} ${name} ${digest}, was ${replaced}${upstream}`;
}
