import { stringify } from "yaml";
import { KEY_NAME, type TrustedKey } from "./policy.ts";
import type { Trust } from "./trust.ts";

/** A policy on its way to another machine. */
export interface CarriedPolicy {
  /** The content of `trust.yaml`. */
  text: string;
  /** Public keys, by their path below the policy's folder. */
  keys: { path: string; pem: string }[];
  /** Whether it refuses bundles without a signature that counts. */
  required: boolean;
}

/** What this machine asks for, as a policy for another one; undefined when it asks for nothing and knows no key. */
export function carriedPolicy({ policy, named, required }: Trust): CarriedPolicy | undefined {
  const keys = uniquely([...named, ...policy.keys]);
  if (keys.length === 0 && !required) return undefined;
  const entries = keys.map(({ name, key: { bundles, notAfter } }) => ({
    name,
    file: `trust/${name}.pub`,
    ...(bundles ? { bundles } : {}),
    ...(notAfter ? { notAfter } : {}),
  }));
  return {
    required,
    text: `# airgap install wrote this: the policy of the machine that installed.\n${stringify({
      requireSignature: required,
      threshold: policy.threshold,
      keys: entries,
    })}`,
    keys: keys.map(({ name, key }) => ({
      path: `trust/${name}.pub`,
      pem: key.publicKey.key.export({ type: "spki", format: "pem" }) as string,
    })),
  };
}

/** Each key once, with a name of its own that is one in a policy too. */
function uniquely(keys: readonly TrustedKey[]): { name: string; key: TrustedKey }[] {
  const prints = new Set<string>();
  const names = new Set<string>();
  return keys.flatMap((key) => {
    if (prints.size === prints.add(key.publicKey.fingerprint).size) return [];
    const base = key.name.replace(/^.*\//, "").replace(/\.(?:pub|pem)$/, "");
    let name = KEY_NAME.test(base) ? base : "key";
    for (let i = 2; names.has(name); i++) name = `${base}-${i}`;
    names.add(name);
    return [{ name, key }];
  });
}
