import { createHash } from "node:crypto";
import { existsSync, realpathSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import { AirgapError } from "../errors.ts";

/**
 * Takes the right to write `output`, so that only one build writes it at a time: an abstract
 * socket (unix(7)), which the kernel frees however the process ends. On systems other than Linux
 * nothing is held.
 * @returns a function that gives it back
 * @throws AirgapError `conflict` when another process on this host has it
 */
export async function holdOutput(output: string): Promise<() => void> {
  if (process.platform !== "linux") return () => {};
  const path = join(realpathSync(dirname(output)), basename(output));
  const name = createHash("sha256").update(path).digest("hex");
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EADDRINUSE") return resolve();
      reject(
        new AirgapError(
          "conflict",
          `Another airgap build is writing ${output} right now; nothing was changed`,
          {
            suggestions: ["wait until it has ended, or name another file with -o"],
          },
        ),
      );
    });
    server.listen(`\0airgap-build-${name}`, resolve);
  });
  server.unref();
  return () => server.close();
}

/** @throws AirgapError `usage` when a bundle cannot be written there */
export function checkOutput(output: string): void {
  const folder = dirname(resolve(output));
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new AirgapError("usage", `Cannot write the bundle to ${folder}: no such folder`, {
      suggestions: [`mkdir -p ${folder}`],
    });
  if (existsSync(output) && !statSync(output).isFile())
    throw new AirgapError("usage", `${output} exists and is not a file`);
}
