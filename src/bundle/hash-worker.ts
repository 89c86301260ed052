import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { HashJob } from "./hash-pool.ts";

/** One buffer for the worker's life: allocation is what makes hashing slow. */
const buffer = Buffer.allocUnsafe(1024 * 1024);

parentPort?.on("message", ({ id, fd, offset, size, algorithm }: HashJob) => {
  try {
    const hash = createHash(algorithm);
    let done = 0;
    while (done < size) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, size - done), offset + done);
      if (count === 0) break;
      hash.update(buffer.subarray(0, count));
      done += count;
    }
    parentPort?.postMessage({ id, hex: hash.digest("hex"), read: done });
  } catch (error) {
    parentPort?.postMessage({ id, error: (error as Error).message });
  }
});
