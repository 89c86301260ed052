import { AirgapError } from "../../errors.ts";

/** Harbor counts storage in powers of 1024, whichever way the unit is written. */
const POWER: Record<string, number> = { "": 0, K: 1, M: 2, G: 3, T: 4 };

/** A storage limit: `200GiB`, `500M`, a number of bytes, or -1 for none. Bytes. @throws AirgapError `usage` */
export function parseQuota(text: string): number {
  if (text === "-1") return -1;
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?$/i.exec(text.trim());
  const bytes = match
    ? Math.round(Number(match[1]) * 1024 ** (POWER[(match[2] ?? "").toUpperCase()] ?? 0))
    : 0;
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  throw new AirgapError("usage", `'${text}' is not a storage limit`, {
    suggestions: ["write it as --project-quota 200GiB, or -1 for no limit"],
  });
}
