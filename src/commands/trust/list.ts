import { BaseCommand } from "../../command.ts";
import { policyPath, readPolicy, SYSTEM_FOLDER, userFolder, whyNot } from "../../trust/policy.ts";

interface ListedKey {
  name: string;
  type: string;
  fingerprint: string;
  /** Patterns; absent: every bundle. */
  bundles?: string[];
  notAfter?: string;
  /** Whether its last day has passed. */
  expired: boolean;
  policy: string;
}

interface TrustListing {
  policies: string[];
  requireSignature: boolean;
  threshold: number;
  keys: ListedKey[];
}

export default class TrustList extends BaseCommand<TrustListing> {
  static override summary = "Show which keys count on this machine, and what the policy asks for";
  static override description =
    `Reads ${policyPath(SYSTEM_FOLDER)} and trust.yaml in the user's own configuration; the stricter demand of the two holds.`;
  static override examples = ["<%= config.bin %> trust list"];

  async run(): Promise<TrustListing> {
    await this.parse(TrustList);
    const { files, requireSignature, threshold, keys } = readPolicy();
    const listed = keys.map((key): ListedKey => {
      const { name, publicKey, bundles, notAfter, from } = key;
      return {
        name,
        type: publicKey.type,
        fingerprint: publicKey.fingerprint,
        ...(bundles ? { bundles } : {}),
        ...(notAfter ? { notAfter } : {}),
        expired: whyNot({ ...key, bundles: ["*"] }, "") !== undefined,
        policy: from,
      };
    });
    for (const { name, fingerprint, bundles, notAfter, expired } of listed)
      this.report.line(
        `${name}\t${fingerprint}\t${bundles?.join(",") ?? "*"}\t${notAfter ?? "-"}${expired ? "\texpired" : ""}`,
      );
    this.report.say(
      files.length === 0
        ? `There is no policy: neither ${policyPath(SYSTEM_FOLDER)} nor ${policyPath(userFolder())} exists`
        : `${files.join(", ")}: ${requireSignature ? `bundles need ${threshold === 1 ? "a signature" : `${threshold} signatures`}` : "unsigned bundles are accepted, with a warning"}`,
    );
    return { policies: files, requireSignature, threshold, keys: listed };
  }
}
