import { parentPort } from "node:worker_threads";
import type { HashJob } from "./hash-pool.ts";
import { hashRegion } from "./hash-region.ts";

/** One buffer for the worker's life: allocation is what makes hashing slow. */
const buffer = Buffer.allocUnsafe(256 * 1024);

parentPort?.on("message", ({ id, fd, offset, size, algorithm }: HashJob) => {
  try {
    parentPort?.postMessage({ id, ...hashRegion(buffer, fd, offset, size, algorithm) });
  } catch (error) {
    parentPort?.postMessage({ id, error: (error as Error).message });
  }
});
