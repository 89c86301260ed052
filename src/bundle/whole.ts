import { AirgapError, Exit } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { bytesOf } from "./delta.ts";
import type { BundleReader } from "./reader.ts";

/** @throws AirgapError `check-failed` with what a delta counts on and nobody has */
export function checkWhole(reader: BundleReader): void {
  const missing = reader.missing();
  if (missing.length === 0) return;
  const shown = missing.slice(0, 10).map(({ digest, size }) => `  ${digest} (${formatBytes(size)})`);
  if (missing.length > shown.length) shown.push(`  … and ${missing.length - shown.length} more`);
  throw new AirgapError(
    "check-failed",
    `${reader.path} is a delta, and ${count(missing.length, "blob")} (${formatBytes(bytesOf(missing))}) that it counts on are in none of the other bundles:\n${shown.join("\n")}`,
    {
      exit: Exit.check,
      suggestions: [
        `name the bundle that it was built on: its lock, or a receipt of it, is ${reader.delta?.since}`,
      ],
      data: { missing },
    },
  );
}
