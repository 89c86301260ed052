// The Node of a checkout and of the archives. npm's package `node` fetches the binary while it is being
// installed, outside of the lock file's control: so its digest is pinned here, and checked before use.
// To change the version: package.json, `npm install`, then for each architecture
//   npm pack node-linux-ARCH@VERSION && tar -xzf node-linux-ARCH-VERSION.tgz && sha256sum package/bin/node
// Plain JavaScript for Node 20 and newer: it runs before anything is installed.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** `{ version, sha256: { x64, arm64 } }`: the digests of bin/node in npm's `node-linux-ARCH`. */
export const pinned = JSON.parse(readFileSync(new URL("./node-digests.json", import.meta.url), "utf8"));

/** Thrown for a binary that is not the pinned one: nothing may use it. */
export class WrongNode extends Error {}

/**
 * @param architecture as Node calls it: `x64`
 * @throws WrongNode also for an architecture without a pin
 */
export function checkNode(binary, architecture, { version, sha256 } = pinned) {
  const expected = Object.hasOwn(sha256, architecture) ? sha256[architecture] : undefined;
  if (expected === undefined)
    throw new WrongNode(`bin/node-digests.json has no digest of Node ${version} for ${architecture}`);
  const found = createHash("sha256").update(readFileSync(binary)).digest("hex");
  if (found !== expected)
    throw new WrongNode(
      `${binary} is not Node ${version} for ${architecture} as bin/node-digests.json pins it: its sha256 is ${found}, not ${expected}`,
    );
}
