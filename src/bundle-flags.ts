import { Flags } from "@oclif/core";
import type { Opening } from "./bundle/reader.ts";
import type { Emit } from "./events.ts";
import { Trust } from "./trust/trust.ts";

/** The flags of every command that reads a bundle: whose signature it asks for, and where volumes lie. */
export const bundleFlags = {
  key: Flags.string({
    description: "Refuse a bundle that this public key did not sign (PEM); may be given several times",
    helpGroup: "BUNDLE",
    helpValue: "PUB",
    multiple: true,
    multipleNonGreedy: true,
  }),
  "require-signature": Flags.boolean({
    description: "Refuse a bundle that no key of this machine's policy signed (airgap trust list)",
    helpGroup: "BUNDLE",
  }),
  base: Flags.string({
    description: "A bundle that has what this delta counts on; may be given several times",
    helpGroup: "BUNDLE",
    helpValue: "BUNDLE",
    multiple: true,
    multipleNonGreedy: true,
  }),
  volumes: Flags.string({
    description: "Also look for the bundle's volumes in this folder; may be given several times",
    helpGroup: "BUNDLE",
    helpValue: "DIR",
    multiple: true,
    multipleNonGreedy: true,
  }),
};

/**
 * How the flags say that bundles are opened.
 * @throws AirgapError `usage`, `spec` when a key or a policy cannot be read
 */
export function openingOf(
  flags: {
    key?: string[] | undefined;
    "require-signature": boolean;
    base?: string[] | undefined;
    volumes?: string[] | undefined;
  },
  emit?: Emit,
): Opening {
  return {
    trust: new Trust({
      keys: flags.key ?? (process.env["AIRGAP_KEY"] ? [process.env["AIRGAP_KEY"]] : undefined),
      requireSignature: flags["require-signature"],
      emit,
    }),
    bases: flags.base,
    volumes: flags.volumes,
  };
}
