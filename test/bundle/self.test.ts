import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Event } from "../../src/events.ts";
import type { ResolveContext } from "../../src/lock/resolved.ts";
import { resolveSelf } from "../../src/resolve/self.ts";
import { Scratch } from "../support/scratch.ts";

/** A checkout whose packing writes a small archive, and counts how often it ran. */
function checkout(scratch: Scratch, pack: string): { root: string; version: string } {
  const root = scratch.path("checkout");
  mkdirSync(join(root, "bin"), { recursive: true });
  mkdirSync(join(root, "build"));
  mkdirSync(join(root, "src"));
  scratch.write(
    "checkout/bin/ready.mjs",
    'import { spawnSync } from "node:child_process";\nconst [script, ...rest] = process.argv.slice(2);\nprocess.exit(spawnSync(process.execPath, [script, ...rest], { stdio: "inherit" }).status);\n',
  );
  scratch.write("checkout/bin/pack.mjs", pack);
  return { root, version: "1.2.3" };
}

const PACK =
  'import { appendFileSync, writeFileSync } from "node:fs";\nconst [arch] = process.argv.slice(2);\nappendFileSync("runs", `${arch}\\n`);\nwriteFileSync(`build/airgap-1.2.3-linux-${arch}.tar.gz`, `archive ${arch}`);\n';

function contextOf(scratch: Scratch, events: Event[] = []): ResolveContext {
  return {
    baseDir: scratch.dir,
    cacheDir: scratch.path("cache"),
    http: () => {
      throw new Error("nothing is fetched");
    },
    emit: (event) => events.push(event),
  };
}

it("packs itself in a checkout, once for each architecture, and says so", async () => {
  using scratch = new Scratch();
  const self = checkout(scratch, PACK);
  const events: Event[] = [];
  const both = ["linux/amd64", "linux/arm64"];
  for (const platforms of [["linux/amd64"], both, both]) {
    const found = await resolveSelf([{ self: true }], platforms, contextOf(scratch, events), { self });
    expect(found.map(({ item }) => item.name)).toEqual(
      platforms.map(
        (platform) => `airgap-1.2.3-linux-${platform.endsWith("amd64") ? "x64" : "arm64"}.tar.gz`,
      ),
    );
  }
  expect(readFileSync(join(self.root, "runs"), "utf8")).toBe("x64\narm64\n");
  expect(events.map((event) => event.type === "phase" && event.name)).toEqual([
    "Packing airgap",
    "Packing airgap",
  ]);
});

it("shows why packing failed", async () => {
  using scratch = new Scratch();
  const self = checkout(scratch, 'console.error("npm has no network");\nprocess.exit(1);\n');
  const packing = resolveSelf([{ self: true }], ["linux/amd64"], contextOf(scratch), { self });
  await expect(packing).rejects.toMatchObject({
    code: "environment",
    message: expect.stringContaining("npm has no network"),
  });
  expect(existsSync(join(self.root, "build", "airgap-1.2.3-linux-x64.tar.gz"))).toBe(false);
});

it("does not pack where there is nothing to pack with", async () => {
  using scratch = new Scratch();
  // As npm installs it: the program, and no sources.
  const self = checkout(scratch, PACK);
  rmSync(join(self.root, "src"), { recursive: true });
  await expect(
    resolveSelf([{ self: true }], ["linux/amd64"], contextOf(scratch), { self }),
  ).rejects.toMatchObject({
    code: "environment",
    suggestions: [expect.stringContaining("npm run pack"), expect.anything()],
  });
});
