import { AirgapError } from "../errors.ts";
import type { HostKey } from "../host/ssh.ts";

/** `a,b` → names. @throws AirgapError `usage` when there is none */
export function names(text: string): string[] {
  const found = text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  if (found.length === 0) throw new AirgapError("usage", "--hosts names no host");
  return [...new Set(found)];
}

/** What is asked about a host that is met for the first time. */
export function hostKeyQuestion(
  ask: (text: string) => Promise<boolean>,
): (host: string, key: HostKey) => Promise<boolean> {
  return (host, { host: address, type, fingerprint }) =>
    ask(
      `${host} (${address}) is met for the first time and shows the ${type} key ${fingerprint}. Is it that host's own?`,
    );
}
