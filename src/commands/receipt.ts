import { Args, Flags } from "@oclif/core";
import { bytesOf } from "../bundle/delta.ts";
import { encodeReceipt, writeReceipt } from "../bundle/receipt.ts";
import { signWith } from "../bundle/sign.ts";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { count, formatBytes } from "../format.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { takeReceipt } from "../site/receipt.ts";
import { openSigner } from "../trust/key.ts";

interface ReceiptResult {
  receipt: string;
  digest: Digest;
  from: string[];
  blobs: number;
  /** Of those blobs. */
  bytes: number;
  images: number;
  signature?: string;
}

export default class Receipt extends BaseCommand<ReceiptResult> {
  static override summary = "Write down what a registry or bundles hold, to build a delta for them";
  static override description =
    "Reads every tag of the registry (below the prefix, if there is one), or the locks of bundles. Carry the file out, and build --since it: the delta leaves out what the receipt has. Reading all repositories of a Harbor needs an administrator's login.";
  static override examples = [
    "<%= config.bin %> receipt harbor.site.local -o receipt.json",
    "<%= config.bin %> receipt old.tar newer.tar -o receipt.json --sign-key site.key",
  ];
  static override strict = false;
  static override args = {
    subject: Args.string({ description: "host[:port][/prefix] of a registry, or bundles", required: true }),
  };
  static override flags = withEnv({
    ...bundleFlags,
    output: Flags.string({
      char: "o",
      description: "The receipt to write",
      required: true,
      helpValue: "FILE",
    }),
    "sign-key": Flags.string({
      description: "Sign the receipt with this private key, in FILE.sigstore.json",
      helpValue: "KEY",
    }),
    insecure: Flags.boolean({ description: "Allow plain http, and https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed the registry's certificate",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<ReceiptResult> {
    const { argv, flags } = await this.parse(Receipt);
    const key = flags["sign-key"];
    const signer = key === undefined ? undefined : await openSigner(key, (ask) => this.passphrase(ask));
    const receipt = await takeReceipt({
      subjects: argv as string[],
      insecure: flags.insecure,
      caFile: flags["ca-file"],
      opening: openingOf(flags, this.emit),
      emit: this.emit,
      signal: this.signal,
    });
    writeReceipt(flags.output, receipt);
    const content = encodeReceipt(receipt);
    const signature = signer && signWith(signer, { path: flags.output, content }).signature;
    const result: ReceiptResult = {
      receipt: flags.output,
      digest: digestOf(content),
      from: receipt.from,
      blobs: receipt.blobs.length,
      bytes: bytesOf(receipt.blobs),
      images: receipt.images.length,
      ...(signature ? { signature } : {}),
    };
    this.report.end();
    this.report.line(
      `${flags.output}: ${count(result.blobs, "blob")}, ${formatBytes(result.bytes)}, ${count(result.images, "image")}; ${result.digest}`,
    );
    if (signature) this.report.line(`${signature}: signed`);
    this.report.say(`Next, on the connected side: airgap build SPEC --since ${flags.output} -o delta.tar`);
    return result;
  }
}
