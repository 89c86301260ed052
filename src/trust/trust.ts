import { AirgapError, Exit } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count } from "../format.ts";
import { readPublicKey } from "./key.ts";
import { type Policy, readPolicy, type TrustedKey, whyNot } from "./policy.ts";
import { readSignatures, type SignatureFile } from "./signature-files.ts";
import { isBy, isOfOther } from "./sigstore.ts";

export interface TrustOptions {
  /** Public keys of `--key`. */
  keys?: readonly string[] | undefined;
  requireSignature?: boolean | undefined;
  /** Folders of policies; the system's and the user's by default. */
  folders?: readonly string[];
  today?: Date;
  /** Hears that a file is unsigned, or signed by nobody who is known. */
  emit?: Emit | undefined;
}

/** One signature over what was read, after its check. */
export interface CheckedSignature {
  file: string;
  /** Of the key; of an unknown key only what the signature says about it. */
  fingerprint: string;
  /** The name of a key that this machine knows. */
  key?: string;
  /** Why a good signature of a known key does not count. */
  ignored?: string;
}

/** What signatures prove about a file. */
export interface Proof {
  signatures: CheckedSignature[];
  /** Names of the keys whose signatures count, sorted. Empty: nobody vouches for it. */
  signedBy: string[];
}

/** Signatures whose bytes were checked, before the content was looked at. */
export interface Examined {
  path: string;
  good: { file: string; key: TrustedKey }[];
  unknown: CheckedSignature[];
}

/**
 * Decides whether a bundle may be used: first its signatures over the lock's bytes, before anything
 * in the lock is believed; then whether their keys count for a bundle of this name. Nothing that comes with
 * a bundle is ever a reason to trust a key.
 */
export class Trust {
  readonly policy: Policy;
  /** Keys that were named on the command line: one of them must have signed. */
  readonly named: readonly TrustedKey[];
  readonly #options: TrustOptions;

  /** @throws AirgapError `spec`, `usage` when a policy or a key cannot be read */
  constructor(options: TrustOptions = {}) {
    this.#options = options;
    this.policy = readPolicy(options.folders);
    this.named = (options.keys ?? []).map((path): TrustedKey => {
      const publicKey = readPublicKey(path);
      const known = this.policy.keys.find((key) => key.publicKey.fingerprint === publicKey.fingerprint);
      // What the policy says about the key holds here too: its bundles, its last day.
      return { ...known, name: known?.name ?? path, publicKey, from: "--key" };
    });
  }

  /** Whether a file without a good signature is refused. */
  get required(): boolean {
    return this.policy.requireSignature || this.named.length > 0 || this.#options.requireSignature === true;
  }

  get #keys(): TrustedKey[] {
    const named = new Set(this.named.map(({ publicKey }) => publicKey.fingerprint));
    return [...this.named, ...this.policy.keys.filter((key) => !named.has(key.publicKey.fingerprint))];
  }

  /**
   * Checks every signature beside a file over its content.
   * @param content the canonical lock of a bundle
   * @param folders where else signatures may lie
   * @throws AirgapError `check-failed` when one is bad, or there is no good one and one is required
   */
  examine(path: string, content: Uint8Array, folders?: readonly string[]): Examined {
    const examined: Examined = { path, good: [], unknown: [] };
    for (const file of readSignatures(path, folders)) this.#examineOne(file, content, examined);
    if (this.required && examined.good.length === 0) throw this.#refusal(path, examined.unknown);
    return examined;
  }

  #examineOne({ path: file, signature }: SignatureFile, content: Uint8Array, into: Examined): void {
    if (isOfOther(signature, content))
      throw bad(
        `The signature ${file} is of other content: the bundle and the signature do not belong together`,
      );
    const key = this.#keys.find(({ publicKey }) => isBy(publicKey, signature, content));
    if (key) return void into.good.push({ file, key });
    const claimed = this.#keys.find(({ publicKey }) => publicKey.hint === signature.hint);
    if (claimed) throw bad(`The signature ${file} says that it is of the key ${claimed.name}, and it is not`);
    const fingerprint = signature.hint
      ? `SHA256:${signature.hint.replace(/=+$/, "")}`
      : "of a key without a name";
    into.unknown.push({ file, fingerprint });
  }

  /**
   * Says which of the good signatures count for a bundle of this name, and whether they are enough.
   * @throws AirgapError `check-failed` when they are not, and one is required
   */
  settle({ path, good, unknown }: Examined, name: string): Proof {
    const known = good.map(({ file, key }): CheckedSignature => {
      const ignored = whyNot(key, name, this.#options.today);
      return {
        file,
        fingerprint: key.publicKey.fingerprint,
        key: key.name,
        ...(ignored === undefined ? {} : { ignored }),
      };
    });
    const counting = known.filter(({ ignored }) => ignored === undefined);
    const signedBy = [...new Set(counting.map(({ key = "" }) => key))].toSorted();
    const signatures = [...known, ...unknown];
    const proof: Proof = { signatures, signedBy };
    if (this.required) this.#demand(path, counting, signatures);
    else this.#tell(path, proof);
    return proof;
  }

  #demand(path: string, counting: CheckedSignature[], all: CheckedSignature[]): void {
    const prints = new Set(counting.map(({ fingerprint }) => fingerprint));
    const { threshold } = this.policy;
    if (prints.size < threshold) throw this.#refusal(path, all, threshold > 1 ? prints.size : undefined);
    if (this.named.length > 0 && !this.named.some(({ publicKey }) => prints.has(publicKey.fingerprint)))
      throw this.#refusal(path, all);
  }

  #refusal(path: string, all: CheckedSignature[], enough?: number): AirgapError {
    const asked =
      this.named.length > 0
        ? "--key asks for a signature of that key"
        : this.#options.requireSignature
          ? "--require-signature asks for one"
          : `${this.policy.files.join(", ")} asks for one`;
    const what =
      enough !== undefined
        ? `${path} has ${count(enough, "signature")} of known keys; ${this.policy.threshold} are required`
        : all.length === 0
          ? `${path} is not signed, and ${asked}`
          : `${path} is not signed by a key that counts here, and ${asked}: ${all.map(described).join("; ")}`;
    return bad(what, [
      `airgap verify ${path} --key PUB  # with the public key that you got by another way`,
      "airgap trust list",
    ]);
  }

  /** Where nobody uses signatures, their absence is not worth a line in every command. */
  #tell(path: string, { signatures, signedBy }: Proof): void {
    if (signedBy.length > 0 || (signatures.length === 0 && this.policy.files.length === 0)) return;
    const message =
      signatures.length === 0
        ? `${path} is not signed`
        : `${path} is not signed by a key that counts here: ${signatures.map(described).join("; ")}`;
    this.#options.emit?.({
      type: "warning",
      message,
      suggestion: "airgap trust list shows the keys that count",
    });
  }
}

/** `site (SHA256:…)`, and why it does not count. */
export const described = ({ key, fingerprint, ignored }: CheckedSignature): string =>
  key === undefined
    ? `signed by an unknown key, ${fingerprint}`
    : `signed by ${key} (${fingerprint})${ignored ? `, which does not count: ${ignored}` : ""}`;

function bad(message: string, suggestions: string[] = []): AirgapError {
  return new AirgapError("check-failed", message, {
    exit: Exit.check,
    suggestions:
      suggestions.length > 0
        ? suggestions
        : ["copy the bundle and its signatures again from where they were made"],
    ref: "docs/security.md",
  });
}
