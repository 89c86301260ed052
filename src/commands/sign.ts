import { Args, Flags } from "@oclif/core";
import { attach, type SignResult, signable, signWith } from "../bundle/sign.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { digestOf } from "../oci/digest.ts";
import { openSigner, readPublicKey } from "../trust/key.ts";

export default class Sign extends BaseCommand<SignResult> {
  static override summary = "Sign a bundle, in a file beside it";
  static override description =
    "Signs the lock, from which every other byte of the bundle follows, and writes BUNDLE.sigstore.json, which cosign accepts too. The bundle itself does not change. Each further signer gets a file. A lock, a receipt and a rehearsal can be signed as well, and a public key (.pub), for which an older key vouches. Run airgap verify first: a signature says that you stand for the content.";
  static override examples = [
    "<%= config.bin %> sign site.tar --key site.key",
    "<%= config.bin %> sign site.tar --print-digest",
    "<%= config.bin %> sign site.tar --attach signed-elsewhere.json",
    "<%= config.bin %> sign new.pub --key old.key",
  ];
  static override args = {
    bundle: Args.string({ description: "A bundle, a lock or a public key", required: true }),
  };
  static override flags = withEnv({
    key: Flags.string({
      description:
        "The private key (PKCS#8 in PEM); its passphrase comes from AIRGAP_KEY_PASSPHRASE or is asked for. With --attach: the public key",
      helpValue: "KEY",
    }),
    "print-digest": Flags.boolean({
      description: "Print the SHA-256 of what must be signed, for a key in hardware or a KMS; sign nothing",
      exclusive: ["key", "attach"],
    }),
    attach: Flags.string({
      description:
        "A signature that was made elsewhere: of cosign sign-blob, or a bare one (DER or base64) with --key PUB",
      helpValue: "FILE",
    }),
    volumes: Flags.string({
      description: "Also look for the bundle's volumes in this folder; may be given several times",
      helpValue: "DIR",
      multiple: true,
      multipleNonGreedy: true,
    }),
  });

  async run(): Promise<SignResult> {
    const { args, flags } = await this.parse(Sign);
    const what = await signable(args.bundle, { volumes: flags.volumes }, this.signal);
    if (flags["print-digest"]) {
      const digest = digestOf(what.content);
      this.report.line(digest);
      return { signed: args.bundle, digest };
    }
    const result = flags.attach
      ? attach(what, flags.attach, flags.key === undefined ? undefined : readPublicKey(flags.key))
      : signWith(await openSigner(this.#key(flags.key, args.bundle), (ask) => this.passphrase(ask)), what);
    this.report.line(`${result.signature}: ${result.digest} signed by ${result.fingerprint}`);
    return result;
  }

  #key(key: string | undefined, bundle: string): string {
    if (key !== undefined) return key;
    throw new AirgapError("usage", "--key is missing: airgap does not know with which key to sign", {
      suggestions: [`airgap sign ${bundle} --key site.key`, "airgap keys make site  # makes a key"],
    });
  }
}
