import { close, constants, fstat, open } from "node:fs";
import { promisify } from "node:util";
import { AirgapError, messageOf } from "../errors.ts";

const openFd = promisify(open);
const statFd = promisify(fstat);
/** A plain descriptor, not a FileHandle: Node ends the process when a FileHandle is not closed. */
export const closePlainFile = promisify(close);

/**
 * Opens a file to read it at offsets. Opening a pipe does not wait for its writer.
 * @returns its descriptor and size in bytes; undefined when there is no such file
 * @throws AirgapError `disk` when it cannot be opened or is not a file
 */
export async function openPlainFile(path: string): Promise<{ fd: number; size: number } | undefined> {
  let fd: number | undefined;
  try {
    fd = await openFd(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await statFd(fd);
    if (stats.isFile()) return { fd, size: stats.size };
  } catch (cause) {
    if (fd !== undefined) await closePlainFile(fd);
    if (["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw new AirgapError("disk", `Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
  await closePlainFile(fd);
  throw new AirgapError("disk", `Cannot read ${path}: it is not a file`);
}
