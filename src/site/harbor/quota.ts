import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { formatBytes } from "../../format.ts";
import type { HarborApi } from "./api.ts";
import { type Asker, failedCheck } from "./errors.ts";

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

/** How much is about to be stored. */
export interface Load {
  /** Bytes that may be new, at most. */
  bytes: number;
  /** Bytes that are new, found out by asking for each blob. */
  newBytes(): Promise<number>;
}

interface QuotaOptions {
  asker: Asker;
  /** A quota that is too small is only a warning. */
  yes: boolean;
  emit: Emit;
}

/** Blobs are asked for only where the upper bound does not fit. @returns the new bytes where these do not fit either */
async function excess(load: Load, left: number): Promise<number | undefined> {
  if (load.bytes <= left) return undefined;
  const bytes = await load.newBytes();
  return bytes <= left ? undefined : bytes;
}

/** Whether a project has room for what goes into it. */
export async function checkQuota(
  name: string,
  quota: { limit: number; used: number },
  load: Load,
  { asker, yes, emit }: QuotaOptions,
): Promise<AirgapError[]> {
  if (quota.limit < 0) return [];
  const left = Math.max(0, quota.limit - quota.used);
  const bytes = await excess(load, left);
  if (bytes === undefined) return [];
  const message = `Project '${name}' of ${asker.host} has ${formatBytes(left)} left of its quota of ${formatBytes(quota.limit)}, and ${formatBytes(bytes)} are new to it`;
  if (yes) {
    emit({ type: "warning", message: `${message}; going on because of --yes` });
    return [];
  }
  return [
    failedCheck(message, [
      "have an administrator raise it: Administration, Project Quotas",
      `or push all the same: ${asker.command} --yes`,
    ]),
  ];
}

/** Whether the quota of a project that is going to be made has room for what goes into it. */
export function checkNewQuota(
  name: string,
  quota: number | undefined,
  { bytes }: Load,
  asker: Asker,
): AirgapError[] {
  if (quota === undefined || quota < 0 || bytes <= quota) return [];
  return [
    failedCheck(
      `The project '${name}' would be made with a quota of ${formatBytes(quota)}, and ${formatBytes(bytes)} go into it`,
      [
        `give it more with --project-quota, at least ${Math.ceil(bytes / 2 ** 20)}MiB; ${asker.host} was not changed`,
      ],
    ),
  ];
}

/** Whether the storage has room; only administrators may ask. */
export async function checkSpace(api: HarborApi, load: Load, { host }: Asker): Promise<AirgapError[]> {
  const free = await api.freeSpace();
  const bytes = free === undefined ? undefined : await excess(load, free);
  if (free === undefined || bytes === undefined) return [];
  return [
    failedCheck(`${host} has ${formatBytes(free)} of storage left, and ${formatBytes(bytes)} are new to it`, [
      "make room there: Administration, Clean Up",
    ]),
  ];
}
