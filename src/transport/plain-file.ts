import { close, constants, fstat, open } from "node:fs";
import { promisify } from "node:util";
import { AirgapError, messageOf } from "../errors.ts";

const openFd = promisify(open);
const statFd = promisify(fstat);
/** A plain descriptor, not a FileHandle: Node ends the process when it finds one of those forgotten. */
export const closePlainFile = promisify(close);

/**
 * Opens a file to be read at offsets. A pipe does not make us wait for its writer.
 * @returns its descriptor and size in bytes; undefined when nothing is there
 * @throws AirgapError `disk` when it can't be opened or is no file
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
    throw new AirgapError("disk", `${path} can't be read: ${messageOf(cause)}`, { cause });
  }
  await closePlainFile(fd);
  throw new AirgapError("disk", `${path} is not a file, which it has to be to be read in place`);
}
