import { createHash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { regionPieces } from "../transport/region.ts";
import type { FrontJob } from "./front-hash.ts";
import type { HashJob } from "./hash-pool.ts";
import { hashRegion } from "./hash-region.ts";

/** One buffer for the worker's life: allocation is what makes hashing slow. */
const buffer = Buffer.allocUnsafe(256 * 1024);
/** Of the file that comes piece by piece. */
let front = createHash("sha256");

parentPort?.on("message", (job: HashJob | FrontJob) => {
  if ("front" in job) hashPiece(job);
  else hashWhole(job);
});

function hashWhole({ id, region, algorithm }: HashJob): void {
  try {
    parentPort?.postMessage({ id, ...hashRegion(buffer, region, algorithm) });
  } catch (error) {
    parentPort?.postMessage({ id, error: (error as Error).message });
  }
}

function hashPiece({ front: which, region }: FrontJob): void {
  try {
    let read = 0;
    for (const piece of regionPieces(region, buffer)) {
      front.update(piece);
      read += piece.length;
    }
    if (read < region.size) throw new Error(`the file ends after ${read} of ${region.size} bytes`);
    if (which === "more") return;
    parentPort?.postMessage({ hex: front.digest("hex") });
    front = createHash("sha256");
  } catch (error) {
    parentPort?.postMessage({ error: (error as Error).message });
  }
}
