import { closeSync, openSync, readSync } from "node:fs";
import { AirgapError, Exit, isAirgapError } from "../errors.ts";
import { corrupt } from "../lock/shape.ts";
import { readRegion } from "../transport/region.ts";
import type { BundleFile } from "./volumes.ts";

interface Other {
  /** Whether a file that starts so is of this kind. */
  starts(text: string): boolean;
  is: string;
  /** What to type. */
  type(path: string): string;
}

const compressed = (magic: string, program: string, command: string): Other => ({
  starts: (text) => text.startsWith(magic),
  is: `compressed with ${program}; a bundle is a plain tar`,
  type: (path) => `${command} ${path}`,
});

const document = (kind: string, is: string, type: (path: string) => string): Other => ({
  starts: (text) => !text.includes("\0") && new RegExp(`^["']?kind["']?:\\s*["']?${kind}\\b`, "m").test(text),
  is,
  type,
});

/** What people give instead of a bundle. */
const OTHERS: Other[] = [
  compressed("\x1f\x8b", "gzip", "gunzip"),
  compressed("\xfd7zXZ\0", "xz", "xz -d"),
  compressed("\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
  document("Bundle", "a bundle's spec, not a bundle", (path) => `airgap build ${path} -o site.tar`),
  document("Cluster", "a cluster file, not a bundle", (path) => `airgap install ${path} --bundle site.tar`),
];

/** What a file is that is clearly something else; undefined when that cannot be told. */
function somethingElse(path: string): AirgapError | undefined {
  let start = "";
  try {
    const fd = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(2048);
      start = bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
  const other = OTHERS.find((each) => each.starts(start));
  return (
    other &&
    new AirgapError("corrupt", `${path} is ${other.is}`, {
      exit: Exit.check,
      suggestions: [other.type(path)],
    })
  );
}

export function notBundle(path: string, why: string, cause?: unknown): AirgapError {
  const other = somethingElse(path);
  if (other !== undefined) return other;
  return new AirgapError("corrupt", `${path} is not a bundle that airgap wrote, or it is damaged: ${why}`, {
    cause,
    exit: Exit.check,
    suggestions: [
      "copy it again from where it was built",
      `airgap copy oci-archive:${path} DESTINATION  # if it is an OCI archive of another tool`,
    ],
  });
}

/** Whatever rule the content of a bundle breaks, the error says that the bundle is damaged. */
export function damaged(error: unknown, path: string): unknown {
  if (isAirgapError(error, "disk", "interrupted", "check-failed")) return error;
  if (isAirgapError(error, "corrupt") && error.exit === Exit.check) return error;
  if (error instanceof RangeError) return notBundle(path, "it is nested too deeply", error);
  if (!(error instanceof AirgapError)) return error;
  const { message, suggestions, cause } = error;
  return new AirgapError("corrupt", message, { suggestions, cause, exit: Exit.check });
}

export function wrongSize(file: BundleFile, expected: number): AirgapError {
  const { path, size: found } = file;
  const short = file.shortage(expected);
  const what =
    short !== undefined
      ? `not whole: ${short}`
      : found < expected
        ? `${expected - found} bytes short: it was not copied whole`
        : `${found - expected} bytes too long: something was appended`;
  return new AirgapError("corrupt", `${path} is ${what} (${found} bytes, its lock says ${expected})`, {
    suggestions: [`airgap verify ${path}`],
    exit: Exit.check,
  });
}

/** @throws AirgapError `corrupt` when the file ends before */
export function readAt(file: BundleFile, offset: number, size: number): Buffer {
  const bytes = readRegion(file.region(offset, size));
  if (bytes.length === size) return bytes;
  throw corrupt(`${file.path} ends at byte ${offset + bytes.length}, in the middle of an entry`, [
    "copy it again from where it was built",
  ]);
}
