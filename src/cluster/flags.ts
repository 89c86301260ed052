import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { HostKey } from "../host/ssh-options.ts";

/** `a,b` → names. @throws AirgapError `usage` when it names none */
export function names(text: string): string[] {
  const found = text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  if (found.length === 0) throw new AirgapError("usage", "--hosts is empty: name at least one host");
  return [...new Set(found)];
}

/** Decides about the key of a host that ssh does not know yet. */
export type Confirm = (host: string, key: HostKey) => Promise<boolean>;

/**
 * Asks a person, or accepts every new key if --accept-new-host-keys is given, and reports each.
 * A host that ssh knows by a key of another type is not new: a person must look at it.
 */
export function confirmHostKey({
  acceptNew,
  ask,
  emit,
}: {
  acceptNew: boolean;
  ask: (question: string) => Promise<boolean>;
  emit: Emit;
}): Confirm {
  return async (host, { host: address, type, fingerprint, otherKnown }) => {
    const shown = `${host} (${address}) has the ${type} key ${fingerprint}`;
    if (!acceptNew || otherKnown)
      return ask(
        `${shown}. ${otherKnown ? "ssh knows this host by a key of another type" : "ssh does not know this host yet"}. Is this the host's own key?`,
      );
    emit({ type: "warning", message: `${shown}, accepted without a question (--accept-new-host-keys)` });
    return true;
  };
}
