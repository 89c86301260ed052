import { Args, Flags } from "@oclif/core";
import { type VerifyResult, verifyBundle } from "../bundle/verify.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { count, formatBytes } from "../format.ts";

export default class Verify extends BaseCommand<VerifyResult> {
  static override summary = "Verify that a bundle is complete, closed and unchanged";
  static override description =
    "Hashes all content, and compares every header, padding and end of the archive with what the lock prescribes. Exits with 3 and names what is wrong.";
  static override examples = ["<%= config.bin %> verify site.tar"];
  static override args = { bundle: Args.string({ description: "The bundle", required: true }) };
  static override flags = withEnv({
    quick: Flags.boolean({ description: "Check the structure only; hash nothing but manifests" }),
  });

  async run(): Promise<VerifyResult> {
    const { args, flags } = await this.parse(Verify);
    const result = await verifyBundle(args.bundle, {
      quick: flags.quick,
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    this.report.line(
      `${args.bundle} is ${result.hashed ? "whole" : "well-formed (its content was not hashed)"}: ${count(result.items, "item")}, ${count(result.blobs, "blob")}, ${formatBytes(result.size)}`,
    );
    this.report.say(`Next: airgap push ${args.bundle} REGISTRY, or airgap serve ${args.bundle}`);
    return result;
  }
}
