import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { parseInstalledHeader, Tag } from "../packages/rpm/header.ts";
import { Sqlite } from "../state/sqlite.ts";
import { type OsPackage, osPackage } from "./package.ts";

/** Headers that are held at a time. */
const BATCH = 50;
/** The largest header of real packages has some megabytes: kernels, with their lists of files. */
const MAX_HEADER = 64 << 20;

/**
 * What a header in rpm's database says. Keys that rpm trusts stand there too, as `gpg-pubkey`; they are no packages.
 * @throws AirgapError `corrupt`
 */
export function packageOf(header: Buffer, what: string): OsPackage[] {
  const section = parseInstalledHeader(header, what);
  const name = section.string(Tag.name);
  if (name === "gpg-pubkey") return [];
  const epoch = section.number(Tag.epoch) ?? 0;
  return osPackage("rpm", {
    name,
    version: `${epoch > 0 ? `${epoch}:` : ""}${section.string(Tag.version)}-${section.string(Tag.release)}`,
    arch: section.string(Tag.arch),
    license: section.string(Tag.license),
    source: section.string(Tag.sourceRpm),
    vendor: section.string(Tag.vendor),
  });
}

/**
 * Reads `rpmdb.sqlite`, a few headers at a time.
 * @throws AirgapError `corrupt`, `disk`, `environment` without SQLite
 */
export async function readRpmSqlite(file: string, what: string): Promise<OsPackage[]> {
  const database = await Sqlite.open(file, "read");
  try {
    await database.script(
      "PRAGMA trusted_schema = OFF; PRAGMA query_only = ON; PRAGMA cell_size_check = ON;",
    );
    // A view of that name could compute for ever.
    const [table] = await database.all<{ type: string }>(
      "SELECT type FROM sqlite_master WHERE name = 'Packages'",
    );
    if (table?.type !== "table") throw new AirgapError("corrupt", `${what} has no table Packages`);
    const found: OsPackage[] = [];
    for (let last = -1; ; ) {
      const rows = await database.all<{ hnum: number; size: number; blob: Buffer }>(
        `SELECT hnum, length(blob) AS size, CASE WHEN length(blob) <= ${MAX_HEADER} THEN blob END AS blob FROM Packages WHERE hnum > ? ORDER BY hnum LIMIT ${BATCH}`,
        last,
      );
      for (const { hnum, blob } of rows) {
        if (!Number.isSafeInteger(hnum) || hnum <= last || !Buffer.isBuffer(blob))
          throw new AirgapError("corrupt", `${what} has a header that airgap cannot read`);
        last = hnum;
        found.push(...packageOf(blob, what));
      }
      if (rows.length === 0) return found;
    }
  } catch (error) {
    // Where the file lies for the moment is nobody's business.
    if (!isAirgapError(error) || error.cause === undefined) throw error;
    throw new AirgapError(error.code, `${what}: ${messageOf(error.cause)}`, { cause: error.cause });
  } finally {
    await database.close().catch(() => {});
  }
}
