import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { HostKey } from "../host/ssh-options.ts";

/** `a,b` → names. @throws AirgapError `usage` when it names none */
export function names(text: string, flag = "--hosts"): string[] {
  const found = text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  if (found.length === 0) throw new AirgapError("usage", `${flag} is empty: name at least one`);
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

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600 };

/** `90s`, `10m`, `1h`, or a number of seconds. @returns seconds @throws AirgapError `usage` */
export function duration(text: string, flag: string): number {
  const [, digits, unit = "s"] = /^(\d{1,6})([smh])?$/.exec(text) ?? [];
  const seconds = Number(digits) * (SECONDS[unit] ?? 1);
  if (seconds > 0) return seconds;
  throw new AirgapError("usage", `${flag} ${text} is not a duration like 90s, 10m or 1h`);
}
