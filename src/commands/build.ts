import { Args, Flags } from "@oclif/core";
import { type BuildResult, build } from "../bundle/build.ts";
import type { ListedItem } from "../bundle/list.ts";
import { parseVolumeSize } from "../bundle/volume-size.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { count, formatBytes, parseBytes } from "../format.ts";
import { defaultCacheDir } from "../state/cache.ts";
import { openSigner } from "../trust/key.ts";

function rateOf(text: string | undefined): number | undefined {
  const rate = text === undefined ? undefined : parseBytes(text);
  if (text !== undefined && rate === undefined)
    throw new AirgapError("usage", `--limit-rate ${text} is not a number of bytes`, {
      suggestions: ["--limit-rate 10M"],
    });
  return rate;
}

const rowOf = ({ kind, name, bytes, packages }: ListedItem): string =>
  [kind, name, bytes ?? "-", ...(packages === undefined ? [] : [count(packages, "package")])].join("\t");

export default class Build extends BaseCommand<BuildResult> {
  static override summary = "Work out everything a site needs, pin it in a lock and pack it in one tar";
  static override description =
    "Resolves every name in the spec to a digest, writes the lock beside the spec, and fetches everything into one archive. Run an interrupted build again to resume it. A bundle that is at --output already gives what it has: when nothing changed, nothing is fetched. Beside the bundle it writes a text for the people at the site, and SHA256SUMS.";
  static override examples = [
    "<%= config.bin %> build site.yaml -o site.tar",
    "<%= config.bin %> build site.yaml -o site.tar --locked",
  ];
  static override args = { spec: Args.string({ description: "The bundle spec (YAML)", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    output: Flags.string({ char: "o", description: "The bundle to write" }),
    locked: Flags.boolean({
      description: "Use the digests of the existing lock; resolve no tag again",
      exclusive: ["lock-only"],
    }),
    "lock-only": Flags.boolean({ description: "Write the lock and stop" }),
    fresh: Flags.boolean({ description: "Start from the beginning; do not resume an interrupted build" }),
    "dry-run": Flags.boolean({ description: "Print what the bundle would hold, with bytes; write nothing" }),
    reuse: Flags.string({ description: "Take blobs from this earlier bundle", multiple: true, default: [] }),
    since: Flags.string({
      description:
        "Write a delta: only what this lock, bundle or receipt does not have yet, with the whole lock",
      helpValue: "LOCK|BUNDLE|RECEIPT",
      exclusive: ["lock-only"],
    }),
    "volume-size": Flags.string({
      description: "Write volumes of this size, FILE.000, FILE.001 …; every command reads them as FILE",
      helpValue: "SIZE",
      exclusive: ["lock-only"],
    }),
    "sign-key": Flags.string({
      description: "Sign the bundle with this private key, in BUNDLE.sigstore.json (see airgap sign)",
      helpValue: "KEY",
      exclusive: ["lock-only", "dry-run"],
    }),
    sequence: Flags.integer({
      description:
        "Number of this lock; install refuses to go back to a lower one (default: one more than the last lock's)",
      min: 1,
      helpValue: "N",
      exclusive: ["locked"],
    }),
    "keep-going": Flags.boolean({
      description: "When something cannot be had, look for the rest too, and name everything that failed",
    }),
    "limit-rate": Flags.string({
      description: "Fetch blobs at no more than this many bytes a second, such as 10M",
      helpValue: "RATE",
    }),
    concurrency: Flags.integer({
      description: "Concurrent requests to one host (default: as many as the host can take)",
      min: 1,
      max: 128,
    }),
  });

  async run(): Promise<BuildResult> {
    const { args, flags } = await this.parse(Build);
    const writes = !flags["dry-run"] && !flags["lock-only"];
    if (writes && flags.output === undefined) {
      throw new AirgapError("usage", "--output is missing: airgap does not know where to write the bundle", {
        suggestions: [`airgap build ${args.spec} -o ${args.spec.replace(/^.*\/|\.ya?ml$/g, "")}.tar`],
      });
    }
    const key = flags["sign-key"];
    const signer = key === undefined ? undefined : await openSigner(key, (ask) => this.passphrase(ask));
    const result = await build({
      spec: args.spec,
      output: flags.output ?? "",
      locked: flags.locked,
      lockOnly: flags["lock-only"],
      fresh: flags.fresh,
      dryRun: flags["dry-run"],
      reuse: flags.reuse,
      opening: openingOf(flags, this.emit),
      concurrency: flags.concurrency,
      signer,
      since: flags.since,
      volumeSize: flags["volume-size"] === undefined ? undefined : parseVolumeSize(flags["volume-size"]),
      sequence: flags.sequence,
      keepGoing: flags["keep-going"],
      limitRate: rateOf(flags["limit-rate"]),
      cacheDir: defaultCacheDir(),
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(result);
    return result;
  }

  #tell(result: BuildResult): void {
    const { report } = this;
    report.end();
    for (const { kind, name, change, from, to } of result.changes) {
      report.say(
        `${change} ${kind} ${name}${from && to ? ` (${from.slice(0, 19)} → ${to.slice(0, 19)})` : ""}`,
      );
    }
    for (const item of result.contents ?? []) report.line(rowOf(item));
    const what = `${count(result.items, "item")}, ${count(result.blobs, "blob")}, ${formatBytes(result.size)}`;
    if (result.bundle === undefined) {
      report.line(`${what}; lock ${result.lockDigest}`);
      report.say(
        `To fetch: ${formatBytes(result.toFetch)}; the bundle needs ${formatBytes(result.size)} of disk`,
      );
      return;
    }
    report.line(
      `${result.bundle}: ${result.unchanged ? "up to date: " : ""}${what}; lock ${result.lockDigest}`,
    );
    if (result.delta)
      report.line(
        `A delta: it counts on ${count(result.delta.blobs, "blob")} (${formatBytes(result.delta.bytes)}) that ${result.delta.since} has`,
      );
    for (const volume of result.volumes ?? []) report.line(volume);
    if (result.signature) report.line(`${result.signature}: signed`);
    if (!result.unchanged && result.beside) report.say(`Carry it with ${result.beside.join(" and ")}`);
    for (const line of result.extract) report.say(`On the isolated side, extract airgap with: ${line}`);
    report.say(`Next: airgap verify ${result.bundle}`);
  }
}
