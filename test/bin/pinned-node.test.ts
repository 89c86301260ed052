import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
// @ts-expect-error: plain JavaScript, which runs before there is a compiler
import { checkNode, pinned, WrongNode } from "../../bin/pinned-node.mjs";
import { Scratch } from "../support/scratch.ts";

const root = join(import.meta.dirname, "../..");
const json = (name: string) => JSON.parse(readFileSync(join(root, name), "utf8"));

describe("the Node of checkouts and archives", () => {
  it("is pinned for the version that package.json names", () => {
    expect(pinned.version).toBe(json("package.json").devDependencies.node);
    expect(json("package-lock.json").packages["node_modules/node"].version).toBe(pinned.version);
    expect(Object.keys(pinned.sha256)).toEqual(["x64", "arm64"]);
  });

  it("is the one that runs here", () => {
    checkNode(join(root, "node_modules/node/bin/node"), process.arch);
  });

  it("is refused when a byte differs, and when nobody has pinned it", () => {
    using scratch = new Scratch();
    const node = scratch.write("node", "not a Node");
    expect(() => checkNode(node, "x64")).toThrow(WrongNode);
    expect(() => checkNode(node, "arm64")).toThrow(/its sha256 is [0-9a-f]{64}, not 71b004f1/);
    for (const architecture of ["riscv64", "constructor"])
      expect(() => checkNode(node, architecture)).toThrow(/no digest/);
  });
});

describe("the lock file", () => {
  it("holds digests of all that is shipped, and no addresses", () => {
    const text = readFileSync(join(root, "package-lock.json"), "utf8");
    expect(text).not.toMatch(/"resolved"/);
    const packages: Record<string, { integrity?: string; dev?: true; optional?: true }> =
      json("package-lock.json").packages;
    // npm writes none for development tools of systems that the lock was not made on.
    const unchecked = Object.entries(packages).filter(
      ([path, { integrity, dev, optional }]) =>
        path !== "" && !(dev && optional) && !integrity?.startsWith("sha512-"),
    );
    expect(unchecked).toEqual([]);
  });
});
