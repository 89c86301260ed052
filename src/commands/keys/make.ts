import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { AirgapError } from "../../errors.ts";
import { KEY_TYPES } from "../../trust/key.ts";
import { type MadeKey, makeKeyFiles } from "../../trust/make.ts";

export default class KeysMake extends BaseCommand<MadeKey> {
  static override summary = "Make a key pair to sign bundles with";
  static override description =
    "Writes NAME.key, the private key in PKCS#8, encrypted with a passphrase (AIRGAP_KEY_PASSPHRASE, or asked for), and NAME.pub, the public key, which goes to the isolated side by another way than the bundle. cosign reads both.";
  static override examples = [
    "<%= config.bin %> keys make site",
    "<%= config.bin %> keys make site --type ed25519",
  ];
  static override args = {
    name: Args.string({ description: "Name of the files, without an ending", required: true }),
  };
  static override flags = withEnv({
    type: Flags.option({
      description: "ECDSA P-256, which hardware, KMS and cosign know, or Ed25519",
      options: KEY_TYPES,
      default: "p256",
    })(),
    "no-passphrase": Flags.boolean({
      description: "Write the private key unencrypted; only its file mode protects it",
    }),
  });

  async run(): Promise<MadeKey> {
    const { args, flags } = await this.parse(KeysMake);
    const made = makeKeyFiles(
      args.name,
      flags.type,
      flags["no-passphrase"] ? undefined : await this.#choose(),
    );
    this.report.line(`${made.pub}: ${made.fingerprint}`);
    this.report.say(`Keep ${made.key} secret${made.encrypted ? "" : "; it is not encrypted"}.`);
    this.report.say(
      `On the isolated side: airgap trust add ${made.pub}, and compare the fingerprint by voice or on paper`,
    );
    return made;
  }

  /** @throws AirgapError `usage` when there is none, it is empty, or it was typed differently the second time */
  async #choose(): Promise<string> {
    const chosen = await this.passphrase("Passphrase for the new key");
    const problem =
      chosen === undefined
        ? "The new key needs a passphrase"
        : chosen === ""
          ? "The passphrase is empty"
          : chosen === (await this.passphrase("The same again"))
            ? undefined
            : "The two passphrases differ";
    if (problem === undefined && chosen !== undefined) return chosen;
    throw new AirgapError("usage", `${problem}; no key was made`, {
      suggestions: [
        "set AIRGAP_KEY_PASSPHRASE, or run the command on a terminal",
        `add --no-passphrase to do without`,
      ],
    });
  }
}
