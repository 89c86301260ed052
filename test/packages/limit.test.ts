import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isAirgapError } from "../../src/errors.ts";
import { fileFromBytes, makeArtifact } from "../../src/lock/artifact.ts";
import { checkFits } from "../../src/packages/limit.ts";
import type { Closure } from "../../src/packages/types.ts";
import { resolvePackages } from "../../src/resolve/packages.ts";
import { packageFactsOf } from "../support/facts.ts";
import { packageContext, rpmSet } from "../support/packages.ts";
import { writeRpmRepository } from "../support/rpm-metadata.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

const RPM = "application/x-rpm";
const set = rpmSet({
  repositories: [{ id: "big", baseurl: "repo" }],
  install: ["everything"],
  unsigned: ["*"],
});
const closure = (role: string, packages: number): Closure => ({
  role,
  asked: [],
  packages: Array.from(
    { length: packages },
    (_, i) => ({ id: `package-${i}-1.0-1.el9.x86_64` }) as Closure["packages"][number],
  ),
});

describe("a set of more packages than a manifest can name", () => {
  test("is refused before anything of a package is fetched", async () => {
    const names = Array.from({ length: 10_500 }, (_, i) => `${"long".repeat(50)}${i}`);
    const rpms = [
      ...names.map((name) => ({ name, evr: "1-1" })),
      { name: "everything", evr: "1-1", requires: names },
    ];
    // The packages themselves are not there.
    await writeRpmRepository(`${at.dir}/repo`, rpms);
    const failure = await resolvePackages({ packages: [set] }, at.context).catch((error: unknown) => error);
    if (!isAirgapError(failure, "unsupported")) throw failure;
    expect(failure.message).toMatch(
      /^el9: 10501 packages make a manifest of 4\.\d+ MiB; registries take 4\.00 MiB, which is enough for some \d+ of them$/,
    );
    expect(failure.suggestions[0]).toMatch(/^installed: hosts\/el9\.rpms /);
  });

  test("counts what roles list again, and says so", () => {
    expect(() => checkFits(set, [closure("all", 12_000)], RPM)).not.toThrow();
    expect(() => checkFits(set, [closure("worker", 12_000), closure("control-plane", 500)], RPM)).toThrow(
      /^el9: 12000 packages, listed again for worker \(12000\), control-plane \(500\), make a manifest of/,
    );
  });

  test("is told from one that just fits as its manifest is", () => {
    const make = (packages: number) => {
      const files = closure("all", packages).packages.map(({ id }) =>
        fileFromBytes(`Packages/${id}.rpm`, RPM, Buffer.alloc(1)),
      );
      return makeArtifact({
        kind: "packages",
        name: "el9",
        files,
        origins: [],
        wantedBy: [],
        facts: packageFactsOf(),
      });
    };
    const fits = (packages: number): boolean => {
      try {
        checkFits(set, [closure("all", packages)], RPM);
        return true;
      } catch {
        return false;
      }
    };
    let [most, tooMany] = [1, 40_000];
    while (tooMany - most > 1) {
      const middle = (most + tooMany) >> 1;
      if (fits(middle)) most = middle;
      else tooMany = middle;
    }
    expect(make(Math.floor(most * 0.98)).item.root.size).toBeGreaterThan(0.93 * (4 << 20));
    expect(() => make(Math.ceil(most * 1.05))).toThrow(
      /^packages el9: \d+ files need a manifest of 4\.\d+ MiB; registries accept at most 4\.00 MiB$/,
    );
  });
});
