import { Args, Flags } from "@oclif/core";
import { expectedLocks } from "../bundle/expected.ts";
import type { Opening } from "../bundle/reader.ts";
import { describeRehearsed } from "../bundle/rehearsal.ts";
import { type VolumeResult, verifyVolume } from "../bundle/sums.ts";
import { type VerifyResult, verifyBundle } from "../bundle/verify.ts";
import { asVolume } from "../bundle/volumes.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError, Exit } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { described } from "../trust/trust.ts";

export default class Verify extends BaseCommand<VerifyResult | VolumeResult> {
  static override summary = "Verify that a bundle is complete, closed, unchanged, and whose it is";
  static override description =
    "Hashes all content, and compares every header, padding and end of the archive with what the lock prescribes. Prints the lock's digest and what was proven: only that the bundle agrees with itself, that it is the bundle of a lock you name, or who signed it. Exits with 3 and names what is wrong.";
  static override examples = [
    "<%= config.bin %> verify site.tar",
    "<%= config.bin %> verify site.tar --key site.pub",
    "<%= config.bin %> verify site.tar --lock site.lock.json",
    "<%= config.bin %> verify site.tar --rehearsed rehearsal.json",
  ];
  static override args = { bundle: Args.string({ description: "The bundle", required: true }) };
  static override flags = withEnv({
    ...bundleFlags,
    quick: Flags.boolean({ description: "Check the structure only; hash nothing but manifests" }),
    lock: Flags.string({
      description: "The lock that the bundle must have, as build wrote it",
      helpValue: "FILE",
    }),
    "lock-digest": Flags.string({
      description: "The digest that the bundle's lock must have, as build printed it",
      helpValue: "sha256:…",
    }),
    rehearsed: Flags.string({
      description: "A record of airgap rehearse that has to be of exactly this bundle, and to have passed",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<VerifyResult | VolumeResult> {
    const { args, flags } = await this.parse(Verify);
    const opening = openingOf(flags);
    const volume = asVolume(args.bundle) && (await verifyVolume(args.bundle));
    if (volume)
      return this.#tellVolume(volume, opening, flags.lock ?? flags["lock-digest"] ?? flags.rehearsed);
    const result = await verifyBundle(args.bundle, {
      quick: flags.quick,
      expected: expectedLocks({ file: flags.lock, digest: flags["lock-digest"] }),
      rehearsed: flags.rehearsed,
      opening,
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    this.report.line(
      `${args.bundle} is ${result.hashed ? "whole" : "well-formed (its content was not hashed)"}: ${count(result.items, "item")}, ${count(result.blobs, "blob")}, ${formatBytes(result.size)}`,
    );
    if (result.delta) this.report.line(aboutDelta(result.delta));
    this.report.line(`Lock: ${result.lockDigest}`);
    this.report.line(`Proven: ${provenBy(result)}`);
    if (result.rehearsed) this.report.line(describeRehearsed(result.rehearsed));
    this.report.say(`Next: airgap push ${args.bundle} REGISTRY, or airgap serve ${args.bundle}`);
    return result;
  }

  /** @throws AirgapError `check-failed` when more is asked for than a volume alone can show */
  #tellVolume(volume: VolumeResult, { trust }: Opening, lock: string | undefined): VolumeResult {
    if (trust?.required || lock !== undefined)
      throw new AirgapError(
        "check-failed",
        `A volume alone does not show whose it is; ${volume.volume} was not accepted`,
        {
          exit: Exit.check,
          suggestions: [
            `airgap verify ${asVolume(volume.volume)?.bundle}  # with all volumes, --volumes DIR for each folder`,
          ],
        },
      );
    this.report.end();
    this.report.line(`${volume.volume} is whole: ${formatBytes(volume.size)}, sha256:${volume.sha256}`);
    this.report.line(
      "Proven: only that the volume is as SHA256SUMS beside it says; all volumes together prove more",
    );
    return volume;
  }
}

function aboutDelta({ since, blobs, bytes, proven }: NonNullable<VerifyResult["delta"]>): string {
  const what = `It is a delta: it counts on ${count(blobs, "blob")} (${formatBytes(bytes)}) of ${since}`;
  return proven
    ? `${what}; the bases have all of them, and together they are whole`
    : `${what}, which were not looked at; --base BUNDLE proves them`;
}

/** What was proven, in one line. */
function provenBy({ proven, signatures, signedBy }: VerifyResult): string {
  const counting = signatures.filter(({ key, ignored }) => key !== undefined && ignored === undefined);
  const others = signatures.filter((each) => !counting.includes(each)).map(described);
  const parts = [
    ...(proven.includes("lock") ? ["it is the bundle of the lock that you named"] : []),
    ...(signedBy.length > 0
      ? [`it is ${counting.map(described).join(", and ")}`]
      : others.length > 0
        ? [`nobody who counts here signed it (${others.join("; ")})`]
        : ["it is not signed"]),
  ];
  if (proven.length > 0) return `${parts.join("; ")}.`;
  return `only that it agrees with itself; ${parts.join("; ")}. Compare the lock's digest with the one that build printed`;
}
