import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { removeKey } from "../../trust/edit.ts";
import { policyPath, SYSTEM_FOLDER, userFolder } from "../../trust/policy.ts";

interface RemovedKey {
  name: string;
  fingerprint: string;
  policy: string;
}

export default class TrustRemove extends BaseCommand<RemovedKey> {
  static override summary = "Stop trusting a key";
  static override description =
    "Bundles that only this key signed do not count any more on this machine. Hosts that install has set up keep their policy until the next install.";
  static override examples = ["<%= config.bin %> trust remove site"];
  static override args = {
    key: Args.string({ description: "Name, fingerprint or file of the key", required: true }),
  };
  static override flags = withEnv({
    system: Flags.boolean({ description: `Change the policy of all users, in ${SYSTEM_FOLDER}` }),
  });

  async run(): Promise<RemovedKey> {
    const { args, flags } = await this.parse(TrustRemove);
    const folder = flags.system ? SYSTEM_FOLDER : userFolder();
    const { name, publicKey } = removeKey(folder, args.key);
    this.report.line(`${name}: ${publicKey.fingerprint} removed from ${policyPath(folder)}`);
    return { name, fingerprint: publicKey.fingerprint, policy: policyPath(folder) };
  }
}
