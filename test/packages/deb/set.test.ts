import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createCleartextMessage, type PrivateKey, sign } from "openpgp";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PackageSetFacts } from "../../../src/lock/package-facts.ts";
import { checkLock } from "../../../src/lock/parse.ts";
import type { Resolved } from "../../../src/lock/resolved.ts";
import { makeSigningKey } from "../../../src/packages/openpgp.ts";
import { writeDeb } from "../../../src/packing/deb.ts";
import { fileEntry } from "../../../src/packing/tree.ts";
import { resolvePackages } from "../../../src/resolve/packages.ts";
import { packagesText } from "../../support/deb-metadata.ts";
import { debSet, packageContext } from "../../support/packages.ts";

let vendor: PrivateKey;
let stranger: PrivateKey;
let at: Awaited<ReturnType<typeof packageContext>>;
beforeAll(async () => {
  vendor = await makeSigningKey("vendor");
  stranger = await makeSigningKey("stranger");
});
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

const fingerprintOf = (key: PrivateKey): string => key.getFingerprint().toUpperCase();

/** A repository with one real package, signed by a key, with a date. */
async function repository(key: PrivateKey, date: string): Promise<void> {
  const dir = `${at.dir}/repo`;
  await mkdir(dir, { recursive: true });
  const file = `${dir}/app_1_amd64.deb`;
  const fields = { package: "app", version: "1", architecture: "amd64", summary: "x", description: "x" };
  await writeDeb(
    { ...fields, depends: [], recommends: [], suggests: [] },
    [fileEntry("opt/app", "app")],
    file,
  );
  const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");
  const deb = await readFile(file);
  const packages = packagesText([
    { name: "app", version: "1", arch: "amd64", size: deb.length, sha256: sha256(deb) },
  ]);
  await writeFile(`${dir}/Packages`, packages);
  const release = `Suite: s\nDate: ${new Date(date).toUTCString()}\nSHA256:\n ${sha256(packages)} ${packages.length} Packages\n`;
  const message = await createCleartextMessage({ text: release });
  await writeFile(`${dir}/InRelease`, await sign({ message, signingKeys: key }));
  await writeFile(`${at.dir}/key.asc`, key.toPublic().armor());
}

const resolveOne = async (fingerprints?: string[], previous?: Resolved): Promise<Resolved> => {
  const entry = {
    ...{ id: "main", uris: `${at.dir}/repo`, suites: ["/"], signedBy: "key.asc" },
    ...(fingerprints ? { fingerprints } : {}),
  };
  const set = debSet({ repositories: [entry], install: ["app"], unsigned: [] });
  const lock = previous && {
    ...{ apiVersion: "airgap/v1" as const, kind: "Lock" as const, name: "t", platforms: [], blobs: [] },
    items: [JSON.parse(JSON.stringify(previous.item))],
  };
  if (lock) checkLock(lock);
  const given = { ...at.context, ...(lock ? { previous: lock } : {}) };
  return (await resolvePackages({ packages: [set] }, given)).resolved[0] as Resolved;
};
const factsOf = ({ item }: Resolved): PackageSetFacts => item.facts as unknown as PackageSetFacts;

describe("a DEB repository in a lock", () => {
  it("has its keys, and a change of key names both", async () => {
    await repository(vendor, "2026-02-01");
    const first = await resolveOne();
    expect(factsOf(first).keyPins).toEqual({ main: [fingerprintOf(vendor)] });
    expect((await resolveOne(undefined, first)).item).toEqual(first.item);

    await repository(stranger, "2026-02-01");
    const [was, now] = [fingerprintOf(vendor), fingerprintOf(stranger)];
    await expect(resolveOne(undefined, first)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(new RegExp(`last build it was ${was}, now it is ${now}`)),
    });
    expect(factsOf(await resolveOne([now], first)).keyPins).toEqual({ main: [now] });
    await expect(resolveOne([was])).rejects.toThrow(/the spec names/);
  });

  it("has its date, and a mirror that went back in time is warned of", async () => {
    await repository(vendor, "2026-02-01");
    const first = await resolveOne();
    expect(factsOf(first).metadataDates).toEqual({ "main /": "2026-02-01T00:00:00Z" });
    await repository(vendor, "2026-01-01");
    await resolveOne(undefined, first);
    expect(at.events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: expect.stringMatching(/^Repository main \/ of debian12 went back in time: .*2026-01-01/) },
    ]);
  });
});
