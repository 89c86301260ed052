import { writeFileSync } from "node:fs";
import { signable, signWith } from "../../src/bundle/sign.ts";
import { type KeyType, makeKeyPair, openSigner } from "../../src/trust/key.ts";
import { Trust, type TrustOptions } from "../../src/trust/trust.ts";
import type { Scratch } from "./scratch.ts";

/** Makes NAME.key and NAME.pub, unencrypted. @returns their paths */
export function makeKey(
  scratch: Scratch,
  name: string,
  type: KeyType = "p256",
): { key: string; pub: string } {
  const { secret, pub } = makeKeyPair(type, undefined);
  return { key: scratch.write(`${name}.key`, secret), pub: scratch.write(`${name}.pub`, pub) };
}

/** Signs a bundle as the command does. @returns the path of the signature */
export async function sign(bundle: string, key: string): Promise<string> {
  const signer = await openSigner(key, async () => undefined);
  return signWith(signer, await signable(bundle, {})).signature ?? "";
}

/** A policy of a test alone: nothing of the machine's own. */
export function trustOf(scratch: Scratch, policy: string | undefined, options: TrustOptions = {}): Trust {
  if (policy !== undefined) writeFileSync(scratch.path("trust.yaml"), policy);
  return new Trust({ folders: policy === undefined ? [] : [scratch.dir], ...options });
}
