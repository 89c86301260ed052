import { existsSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { run } from "./process.ts";
import type { SelfPlaces } from "./shipped.ts";

/** Compiling and packing take two minutes; npm may have to fetch the other architecture's Node. */
const TIMEOUT = 30 * 60_000;

/** Whether this is a checkout, which can make archives of itself. What npm installs has the program, and no sources. */
export const canPack = ({ root }: SelfPlaces): boolean =>
  existsSync(join(root, "bin", "pack.mjs")) && existsSync(join(root, "src"));

/**
 * Makes the archive of a checkout for one architecture in its `build/`, as `npm run pack` does.
 * @param architecture as Node calls it: `x64`
 * @throws AirgapError `environment` with the last lines that it printed
 */
export async function packCheckout(
  { root }: SelfPlaces,
  architecture: string,
  signal?: AbortSignal,
): Promise<void> {
  const failed = (why: string): AirgapError =>
    new AirgapError("environment", `Cannot pack airgap for ${architecture}: ${why}`, {
      suggestions: ["npm run pack"],
    });
  try {
    const { code, stdout, stderr } = await run(
      process.execPath,
      [join(root, "bin", "ready.mjs"), "bin/pack.mjs", architecture, "--archive-only"],
      { cwd: root, timeoutMs: TIMEOUT, ...(signal ? { signal } : {}) },
    );
    if (code === 0) return;
    throw failed(`${stdout}\n${stderr}`.trim().split("\n").slice(-5).join("\n"));
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof AirgapError ? error : failed(messageOf(error));
  }
}
