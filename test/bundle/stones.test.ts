import { describe, expect, it } from "vitest";
import { checkStones, isOfVersion, missingStones } from "../../src/bundle/stones.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { upgradeOf } from "../support/install/upgrade-site.ts";

const lockOf = (carried: string[], without: string[] = []): Lock => {
  const { bundle } = upgradeOf({ from: "v1.25.16", carried, on: { node1: "debian-12" } });
  const sets = bundle.packageSets.filter(({ name }) => !without.includes(name));
  const items = sets.map(({ name, facts }) => {
    const root = { mediaType: "a/b", digest: `sha256:${"0".repeat(64)}` as const, size: 1 };
    return { kind: "packages" as const, name, root, origins: [], wantedBy: [], facts, files: [] };
  });
  return { ...bundle.lock, items: items as unknown as Lock["items"] };
};

describe("upgradeFrom", () => {
  it("is satisfied by every minor with packages for every system", () => {
    expect(missingStones(lockOf(["v1.26.15", "v1.27.16", "v1.28.15"]), "v1.25.16")).toEqual([]);
  });

  it("names minors and packages that are missing, and the build ends with 3", () => {
    const lock = lockOf(["v1.26.15", "v1.28.15"], ["debian12-v1.26.15"]);
    expect(missingStones(lock, "v1.25.16")).toEqual([
      "v1.27 under `kubernetes:`",
      "packages of v1.26.15 for debian-12 (amd64)",
    ]);
    expect(() => checkStones(lock, "v1.25.16")).toThrow(
      expect.objectContaining({ code: "not-closed", exit: 3, message: expect.stringContaining("v1.27") }),
    );
  });

  it("takes a package's version for what it is", () => {
    expect(isOfVersion("1.28.2-1.1", "v1.28.2")).toBe(true);
    expect(isOfVersion("0:1.28.2-150500.1.1", "v1.28.2")).toBe(true);
    expect(isOfVersion("1.28.20-1.1", "v1.28.2")).toBe(false);
  });
});
