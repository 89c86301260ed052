import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { AirgapError, Exit } from "../../errors.ts";
import { addKey, nameFor, voucherOf } from "../../trust/edit.ts";
import { readPublicKey } from "../../trust/key.ts";
import { isDay, policyPath, readPolicy, SYSTEM_FOLDER, userFolder } from "../../trust/policy.ts";

interface AddedKey {
  name: string;
  fingerprint: string;
  /** The policy that has the key now. */
  policy: string;
  /** The older key that vouched for it. */
  vouchedBy?: string;
  bundles?: string[];
  notAfter?: string;
}

export default class TrustAdd extends BaseCommand<AddedKey> {
  static override summary = "Trust a public key: bundles that it signed count on this machine";
  static override description =
    "Shows the key's fingerprint. Compare it with the one that airgap keys make printed, by voice or on paper: a key that comes with a bundle proves nothing. With --signed-by, a key that is trusted already vouches for the new one, which may then sign the same bundles.";
  static override examples = [
    "<%= config.bin %> trust add site.pub",
    "<%= config.bin %> trust add site.pub --bundles 'site-*' --not-after 2027-12-31 --require-signature",
    "<%= config.bin %> trust add new.pub --signed-by new.pub.sigstore.json",
  ];
  static override args = { pub: Args.string({ description: "The public key (PEM)", required: true }) };
  static override flags = withEnv({
    name: Flags.string({ description: "Name of the key (default: the file's)", helpValue: "NAME" }),
    bundles: Flags.string({
      description: "Only bundles of this name count (the spec's name); * stands for any characters",
      multiple: true,
      multipleNonGreedy: true,
      helpValue: "PATTERN",
    }),
    "not-after": Flags.string({
      description: "The last day on which the key counts",
      helpValue: "YYYY-MM-DD",
    }),
    "signed-by": Flags.string({
      description: "The signature of a trusted key over this one, of airgap sign NEW.pub --key OLD.key",
      helpValue: "FILE",
    }),
    fingerprint: Flags.string({
      description: "The fingerprint that you were told; without it airgap asks",
      helpValue: "SHA256:…",
      exclusive: ["signed-by"],
    }),
    "require-signature": Flags.boolean({
      description: "Also make the policy refuse bundles that no trusted key signed",
    }),
    system: Flags.boolean({ description: `Change the policy of all users, in ${SYSTEM_FOLDER}` }),
  });

  async run(): Promise<AddedKey> {
    const { args, flags } = await this.parse(TrustAdd);
    const folder = flags.system ? SYSTEM_FOLDER : userFolder();
    const name = nameFor({ pub: args.pub, name: flags.name });
    const notAfter = flags["not-after"];
    if (notAfter !== undefined && !isDay(notAfter))
      throw new AirgapError("usage", `'${notAfter}' is not a day`, {
        suggestions: ["--not-after 2027-12-31"],
      });
    const key = readPublicKey(args.pub);
    const voucher = flags["signed-by"] && voucherOf(readPolicy(), args.pub, flags["signed-by"]);
    this.report.line(`${name}: ${key.fingerprint}`);
    if (!voucher) await this.#compare(key.fingerprint, flags.fingerprint);
    const inherited = voucher ? voucher.bundles : undefined;
    const bundles = flags.bundles ?? inherited;
    this.#checkInherited(flags.bundles, inherited);
    addKey(folder, name, { pub: args.pub, bundles, notAfter, require: flags["require-signature"] });
    const policy = policyPath(folder);
    this.report.say(`${policy} has the key now${voucher ? `; ${voucher.name} vouched for it` : ""}`);
    if (!readPolicy().requireSignature)
      this.report.say(
        `Unsigned bundles are still accepted, with a warning; requireSignature: true in ${policy} refuses them`,
      );
    return {
      name,
      fingerprint: key.fingerprint,
      policy,
      ...(voucher ? { vouchedBy: voucher.name } : {}),
      ...(bundles ? { bundles } : {}),
      ...(notAfter ? { notAfter } : {}),
    };
  }

  /** @throws AirgapError `check-failed` when it is another one, or nobody compared it */
  async #compare(fingerprint: string, told: string | undefined): Promise<void> {
    if (told !== undefined && told.replace(/=+$/, "") !== fingerprint)
      throw new AirgapError(
        "check-failed",
        `The key's fingerprint is ${fingerprint}, not ${told}; it was not added`,
        {
          exit: Exit.check,
          suggestions: ["get the key again, and ask its owner for the fingerprint"],
        },
      );
    if (told !== undefined || (await this.confirm(`Is this the fingerprint that the key's owner told you?`)))
      return;
    throw new AirgapError("check-failed", "Cancelled: the key was not added", {
      exit: Exit.check,
      suggestions: ["compare the fingerprint with its owner, then add --fingerprint SHA256:…"],
    });
  }

  /** An old key cannot give more than it has. */
  #checkInherited(asked: string[] | undefined, inherited: string[] | undefined): void {
    const more = inherited && asked?.filter((pattern) => !inherited.includes(pattern));
    if (!more?.length) return;
    throw new AirgapError(
      "check-failed",
      `The key that vouches may sign ${inherited?.join(", ")} only, not ${more.join(", ")}`,
      {
        exit: Exit.check,
        suggestions: ["leave --bundles out; the new key gets the old one's"],
      },
    );
  }
}
