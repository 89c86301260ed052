import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import type { PrivateKey } from "openpgp";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Lock } from "../../../src/lock/lock.ts";
import type { PackageSetFacts } from "../../../src/lock/package-facts.ts";
import { checkLock } from "../../../src/lock/parse.ts";
import type { Resolved } from "../../../src/lock/resolved.ts";
import type { PackageSetSpec } from "../../../src/lock/spec.ts";
import { keyRing } from "../../../src/packages/keys.ts";
import { makeSigningKey, verifyDetached } from "../../../src/packages/openpgp.ts";
import { readModules } from "../../../src/packages/rpm/modulemd.ts";
import { resolvePackages } from "../../../src/resolve/packages.ts";
import { modulesYaml } from "../../support/modules.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { type SmallRpm, smallRpm } from "../../support/rpm.ts";
import { writeRpmRepository } from "../../support/rpm-metadata.ts";

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

const TITLE = "org.opencontainers.image.title";

/** A repository of real, small packages, with the vendor's key beside it. `damage` changes what is stored after the metadata were made. */
async function repository(
  rpms: SmallRpm[],
  damage: (name: string, bytes: Buffer) => Buffer = (_, bytes) => bytes,
  further: Record<string, string> = {},
): Promise<void> {
  const dir = `${at.dir}/repo`;
  await mkdir(dir, { recursive: true });
  const listed = [];
  for (const rpm of rpms) {
    const bytes = await smallRpm(rpm);
    const file = `${rpm.name}-${rpm.evr}.noarch.rpm`.replace(/\d+:/, "");
    await writeFile(`${dir}/${file}`, damage(rpm.name, bytes));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    listed.push({
      name: rpm.name,
      evr: rpm.evr,
      requires: rpm.requires ?? [],
      files: [`/opt/${rpm.name}`],
      href: file,
      size: bytes.length,
      sha256,
    });
  }
  await writeRpmRepository(dir, listed, further);
  await writeFile(`${at.dir}/vendor.asc`, vendor.toPublic().armor());
}

function spec(over: Partial<PackageSetSpec> = {}): { packages: PackageSetSpec[] } {
  return {
    packages: [
      rpmSet({
        repositories: [{ id: "base", baseurl: "repo", gpgkey: ["vendor.asc"] }],
        install: ["app"],
        ...over,
      }),
    ],
  };
}

async function files(resolved: Resolved): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const { descriptor, source } of resolved.blobs) {
    const title = descriptor.annotations?.[TITLE];
    if (title === undefined) continue;
    const chunks: Buffer[] = [];
    for await (const chunk of await source.fetch(descriptor)) chunks.push(chunk as Buffer);
    found.set(title, Buffer.concat(chunks));
  }
  return found;
}

const lockOf = (resolved: Resolved): Lock => {
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "t",
    platforms: [],
    items: [JSON.parse(JSON.stringify(resolved.item))],
    blobs: [],
  };
  checkLock(lock);
  return lock;
};
const one = async (given: { packages: PackageSetSpec[] }, more = {}): Promise<Resolved> =>
  (await resolvePackages(given, { ...at.context, ...more })).resolved[0] as Resolved;

describe("a set", () => {
  test("is one artifact: packages, metadata, keys, signatures and a .repo with every check on", async () => {
    await repository([
      { name: "app", evr: "2:1.0-1", requires: ["lib >= 2", "/opt/lib"], key: vendor },
      { name: "lib", evr: "2-1", key: vendor },
    ]);
    const resolved = await one(spec());
    const content = await files(resolved);
    const names = [...content.keys()].map((name) => name.replace(/[0-9a-f]{64}/, "HASH")).toSorted();
    expect(names).toEqual([
      "Packages/app-1.0-1.noarch.rpm",
      "Packages/lib-2-1.noarch.rpm",
      "airgap-el9.repo",
      "keys/airgap.asc",
      "keys/base.asc",
      "repodata/HASH-filelists.xml.gz",
      "repodata/HASH-primary.xml.gz",
      "repodata/repomd.xml",
      "repodata/repomd.xml.asc",
    ]);
    expect(content.get("airgap-el9.repo")?.toString()).toMatch(
      /gpgcheck=1\nrepo_gpgcheck=1\ngpgkey=@URL@\/keys\/airgap.asc\n {7}@URL@\/keys\/base.asc/,
    );
    const keys = await keyRing("test", content.get("keys/airgap.asc")?.toString() ?? "");
    await verifyDetached({
      content: content.get("repodata/repomd.xml") as Buffer,
      signature: content.get("repodata/repomd.xml.asc") as Buffer,
      keys,
      what: "repomd.xml",
    });
    const primary = gunzipSync(
      [...content].find(([name]) => name.includes("primary"))?.[1] as Buffer,
    ).toString();
    expect(primary).toContain('<rpm:entry name="lib" flags="GE" epoch="0" ver="2"/>');
    expect(primary).toContain("<file>/opt/lib</file>");
    expect(primary).not.toContain("<file>/opt/app</file>");
    const facts = resolved.item.facts as unknown as PackageSetFacts;
    expect(facts.packages.map(({ id, signature }) => [id, signature?.hash])).toEqual([
      ["app-2:1.0-1.noarch", "sha512"],
      ["lib-2-1.noarch", "sha512"],
    ]);
  });

  test("made again from its lock is the same, and keeps its signatures when nothing changed", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    const first = await one(spec());
    expect((await one(spec(), { locked: lockOf(first) })).item).toEqual(first.item);
    expect((await one(spec(), { previous: lockOf(first) })).item).toEqual(first.item);
    const without = await one(spec());
    expect(without.item.root.digest).not.toBe(first.item.root.digest);
  });

  test("roles have repositories of their own, over the same packages", async () => {
    await repository(["app", "kubelet", "keepalived"].map((name) => ({ name, evr: "1-1", key: vendor })));
    const resolved = await one(
      spec({ install: { all: ["app"], worker: ["kubelet"], "load-balancer": ["keepalived"] } }),
    );
    const names = [...(await files(resolved)).keys()].filter((name) => name.endsWith(".rpm"));
    expect(names.filter((name) => name.startsWith("roles/worker/"))).toEqual([
      "roles/worker/Packages/app-1-1.noarch.rpm",
      "roles/worker/Packages/kubelet-1-1.noarch.rpm",
    ]);
    expect(names.filter((name) => name.startsWith("Packages/"))).toHaveLength(3);
  });

  test("what may be unsigned has a repository of its own", async () => {
    await repository([
      { name: "app", evr: "1-1", requires: ["kubelet"], key: vendor },
      { name: "kubelet", evr: "1-1" },
    ]);
    await expect(one(spec())).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("kubelet-1-1.noarch has no signature"),
      suggestions: [expect.stringContaining('unsigned: ["kubelet"]')],
    });
    const content = await files(await one(spec({ unsigned: ["kube*"] })));
    expect([...content.keys()]).toEqual(
      expect.arrayContaining([
        "Packages/app-1-1.noarch.rpm",
        "unsigned/Packages/kubelet-1-1.noarch.rpm",
        "unsigned/repodata/repomd.xml.asc",
      ]),
    );
    expect(content.get("airgap-el9.repo")?.toString()).toMatch(
      /\[airgap-el9-unsigned\][\s\S]*gpgcheck=0\nrepo_gpgcheck=1/,
    );
  });
});

describe("modules", () => {
  const streams = [
    { name: "web", stream: "1", artifacts: ["web-0:1-1.noarch"], profiles: { common: ["web"] } },
    {
      name: "web",
      stream: "2",
      artifacts: ["web-0:2-1.noarch"],
      profiles: { common: ["web"], all: ["web", "nowhere"] },
    },
  ];
  const modules = modulesYaml(streams, [
    { module: "web", stream: "1", profiles: { "1": ["common"], "2": ["common"] } },
  ]);
  const rpms = [
    { name: "web", evr: "1-1" },
    { name: "web", evr: "2-1" },
    { name: "app", evr: "1-1" },
  ];

  async function carried(content: Map<string, Buffer>, folder: string) {
    const file = [...content].find(
      ([name]) => name.startsWith(`${folder}repodata/`) && name.endsWith("-modules.yaml.gz"),
    )?.[1];
    if (file === undefined) return undefined;
    const { streams: found, defaults } = await readModules(
      (async function* () {
        yield gunzipSync(file);
      })(),
      "carried",
    );
    return {
      streams: found.map(({ stream, artifacts, profiles }) => ({
        stream,
        artifacts,
        profiles: Object.keys(profiles),
      })),
      defaults: defaults.map(({ stream }) => stream),
    };
  }

  test("each role's repository has its own streams; the whole has no default where there are two", async () => {
    await repository(
      rpms.map((rpm) => ({ ...rpm, key: vendor })),
      undefined,
      { modules },
    );
    const given = spec({ install: { worker: ["@web:2"], "load-balancer": ["web", "app"], etcd: ["app"] } });
    const resolved = await one(given);
    const content = await files(resolved);
    const first = { stream: "1", artifacts: ["web-1-1.noarch"], profiles: ["common"] };
    const second = { stream: "2", artifacts: ["web-2-1.noarch"], profiles: ["common"] };
    expect(await carried(content, "roles/worker/")).toEqual({ streams: [second], defaults: ["2"] });
    expect(await carried(content, "roles/load-balancer/")).toEqual({ streams: [first], defaults: ["1"] });
    expect(await carried(content, "roles/etcd/")).toBeUndefined();
    expect(await carried(content, "")).toEqual({ streams: [first, second], defaults: [] });
    for (const [name, text] of content)
      if (name.endsWith(".repo")) expect(text.toString()).toContain("module_hotfixes=1");
    expect((await one(given, { locked: lockOf(resolved) })).item).toEqual(resolved.item);
  });

  test("where no repository has any, hosts' own go on as they are", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    expect((await files(await one(spec()))).get("airgap-el9.repo")?.toString()).not.toContain(
      "module_hotfixes",
    );
    const spared = spec({
      repositories: [{ id: "base", baseurl: "repo", gpgkey: ["vendor.asc"], moduleHotfixes: true }],
    });
    expect((await files(await one(spared))).get("airgap-el9.repo")?.toString()).toContain(
      "module_hotfixes=1",
    );
  });

  test("a lock whose modules are damaged is refused", async () => {
    await repository(
      rpms.map((rpm) => ({ ...rpm, key: vendor })),
      undefined,
      { modules },
    );
    const lock = lockOf(await one(spec({ install: ["web"] })));
    Object.assign(lock.items[0]?.facts ?? {}, { modules: [{ name: "web" }] });
    expect(() => checkLock(lock)).toThrow(/items\[0\]\.facts\.modules\[0\] has no key stream/);
  });
});

describe("bad input", () => {
  test("signed by a key that was not given", async () => {
    await repository([{ name: "app", evr: "1-1", key: stranger }]);
    await expect(one(spec())).rejects.toThrow(
      /signature of app-1-1\.noarch is not good: signed by a key that was not given/,
    );
  });

  test("another package than the metadata say", async () => {
    const other = await smallRpm({ name: "xyz", evr: "1-1", key: vendor });
    await repository([{ name: "app", evr: "1-1", key: vendor }], () => other);
    await expect(one(spec())).rejects.toThrow(
      /app-1-1\.noarch is not the package that its repository says: expected name app, found "xyz"/,
    );
  });

  test("a changed header", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }], (_, bytes) =>
      Buffer.from(bytes.toString("latin1").replace("The <app>", "The <apq>"), "latin1"),
    );
    await expect(one(spec())).rejects.toThrow(/app-1-1\.noarch has a changed header: expected sha256/);
  });

  test("a payload that is not the one of the signed header, though the metadata vouch for it", async () => {
    await repository([
      { name: "app", evr: "1-1", key: vendor, payload: "something else", payloadDigest: "0".repeat(64) },
    ]);
    const resolved = await one(spec());
    await expect(files(resolved)).rejects.toThrow(
      /app-1-1\.noarch: its payload is not what its signed header says/,
    );
  });

  test("a package that ends too early, or has other bytes", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }], (_, bytes) =>
      bytes.subarray(0, bytes.length - 3),
    );
    await expect(files(await one(spec()))).rejects.toMatchObject({
      code: expect.stringMatching(/corrupt|network/),
    });
  });

  test.each([
    [
      "tag that lies outside",
      (bytes: Buffer) => void bytes.writeUInt32BE(0x7fffffff, 96 + 16 + 8),
      /lies outside of its header/,
    ],
    [
      "tag count beyond all bounds",
      (bytes: Buffer) => void bytes.writeUInt32BE(0x7fffffff, 96 + 8),
      /a header with 2147483647 tags/,
    ],
    [
      "size beyond all bounds",
      (bytes: Buffer) => void bytes.writeUInt32BE(0x7fffffff, 96 + 12),
      /a header of 2147483647 bytes/,
    ],
    [
      "size beyond the file",
      (bytes: Buffer) => void bytes.writeUInt32BE(0x00ffffff, 96 + 12),
      /ends in the middle of its header/,
    ],
    ["no RPM at all", (bytes: Buffer) => void bytes.fill(0, 0, 96), /is no RPM/],
  ])("a header with a %s", async (_, change, message) => {
    await repository([{ name: "app", evr: "1-1", key: vendor }], (_name, bytes) => {
      const changed = Buffer.from(bytes);
      change(changed);
      return changed;
    });
    await expect(one(spec())).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(message),
    });
  });

  test("what el7 can't unpack is refused for el7 only", async () => {
    await repository([
      { name: "app", evr: "1-1", requires: ["rpmlib(PayloadIsZstd) <= 5.4.18-1"], key: vendor },
    ]);
    await expect(one(spec({ for: ["centos-7"] }))).rejects.toThrow(
      /needs rpmlib\(PayloadIsZstd\), which the rpm 4\.11 of centos-7 does not have/,
    );
    await expect(one(spec())).resolves.toBeDefined();
  });

  test.each(["../../etc/passwd", "https://elsewhere.example/x.rpm", "/etc/passwd", "a/%2e%2e/%2e%2e/x"])(
    "a location %s",
    async (href) => {
      await writeRpmRepository(`${at.dir}/repo`, [{ name: "app", evr: "1-1", href }]);
      await writeFile(`${at.dir}/vendor.asc`, vendor.toPublic().armor());
      await expect(one(spec())).rejects.toThrow(/repository is not to be trusted/);
    },
  );

  test("metadata that are not what repomd.xml says, truncated, or no XML", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    const primary = `${at.dir}/repo/repodata/primary.xml.gz`;
    const good = await readFile(primary);
    await writeFile(primary, Buffer.concat([good, Buffer.from("x")]));
    await expect(one(spec())).rejects.toThrow(
      /primary\.xml\.gz is not what its repository's metadata say: expected \d+ bytes, found more/,
    );
    await writeFile(primary, good.subarray(0, 50));
    await expect(one(spec())).rejects.toMatchObject({ code: "corrupt" });
    const repomd = `${at.dir}/repo/repodata/repomd.xml`;
    const text = await readFile(repomd, "utf8");
    await writeFile(repomd, text.slice(0, text.length / 2));
    await expect(one(spec())).rejects.toThrow(/not the XML it should be/);
    await writeFile(
      repomd,
      `<!DOCTYPE x [<!ENTITY a "${"a".repeat(1000)}"><!ENTITY b "&a;&a;">]><repomd>&b;</repomd>`,
    );
    await expect(one(spec())).rejects.toThrow(/not the XML it should be/);
  });

  test("nothing is left half made: the next run with good metadata works", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    const primary = `${at.dir}/repo/repodata/primary.xml.gz`;
    const good = await readFile(primary);
    await writeFile(primary, good.subarray(0, good.length - 1));
    await expect(one(spec())).rejects.toMatchObject({ code: "corrupt" });
    await writeFile(primary, good);
    await expect(one(spec())).resolves.toBeDefined();
  });

  test("repo_gpgcheck without a signature, and with a wrong one", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    const checked = spec({
      repositories: [{ id: "base", baseurl: "repo", gpgkey: ["vendor.asc"], repoGpgcheck: true }],
    });
    await expect(one(checked)).rejects.toMatchObject({ code: "not-found" });
    const { signDetached } = await import("../../../src/packages/openpgp.ts");
    const repomd = await readFile(`${at.dir}/repo/repodata/repomd.xml`);
    await writeFile(`${at.dir}/repo/repodata/repomd.xml.asc`, await signDetached(repomd, stranger));
    await expect(one(checked)).rejects.toThrow(/signature of repomd\.xml of base .* is not good/);
    await writeFile(`${at.dir}/repo/repodata/repomd.xml.asc`, await signDetached(repomd, vendor));
    await expect(one(checked)).resolves.toBeDefined();
  });

  test("a variable without a value is asked for, never guessed", async () => {
    const repositories = [{ id: "base", baseurl: "https://example.org/$releasever/$basearch/" }];
    await expect(one(spec({ repositories }))).rejects.toMatchObject({
      code: "spec",
      message: expect.stringContaining("$releasever"),
    });
  });
});

describe("the date of a repository's metadata", () => {
  const facts = (resolved: Awaited<ReturnType<typeof one>>) =>
    resolved.item.facts as unknown as PackageSetFacts;
  const setDate = async (iso: string): Promise<void> => {
    const file = `${at.dir}/repo/repodata/repomd.xml`;
    const text = await readFile(file, "utf8");
    const seconds = Date.parse(iso) / 1000;
    await writeFile(file, text.replace(/<timestamp>\d+/, `<timestamp>${seconds}`));
  };
  const warnings = () => at.events.filter(({ type }) => type === "warning");

  test("stands in the lock; a mirror that went back in time is warned of, one that went on is not", async () => {
    await repository([{ name: "app", evr: "2-1", key: vendor }]);
    await setDate("2026-02-01T00:00:00Z");
    const first = await one(spec());
    expect(facts(first).metadataDates).toEqual({ base: "2026-02-01T00:00:00Z" });
    const previous = lockOf(first);

    await setDate("2026-03-01T00:00:00Z");
    expect((await one(spec(), { previous })).item).toEqual(first.item);
    expect(warnings()).toEqual([]);

    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    await setDate("2026-01-01T00:00:00Z");
    const back = await one(spec(), { previous });
    expect(warnings()).toMatchObject([
      {
        message:
          "Repository base of el9 went back in time: its metadata are of 2026-01-01T00:00:00Z, at the last build they were of 2026-02-01T00:00:00Z",
      },
    ]);
    expect(facts(back).metadataDates).toEqual({ base: "2026-01-01T00:00:00Z" });
  });

  test.each(["1", "99999999999999", "-5", "x"])("%s is not a date, and no reason to stop", async (text) => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    const file = `${at.dir}/repo/repodata/repomd.xml`;
    await writeFile(file, (await readFile(file, "utf8")).replace(/<timestamp>\d+/g, `<timestamp>${text}`));
    expect(facts(await one(spec())).metadataDates).toBeUndefined();
  });
});

describe("the keys of a repository", () => {
  const fingerprintOf = (key: PrivateKey): string => key.getFingerprint().toUpperCase();
  const signedBy = (file: string, fingerprints?: string[]) =>
    spec({
      repositories: [
        { id: "base", baseurl: "repo", gpgkey: [file], ...(fingerprints ? { fingerprints } : {}) },
      ],
    });

  test("stand in the lock, and a change of key names both", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    const first = await one(spec());
    expect((first.item.facts as unknown as PackageSetFacts).keyPins).toEqual({
      base: [fingerprintOf(vendor)],
    });
    const previous = lockOf(first);
    expect((await one(spec(), { previous })).item).toEqual(first.item);

    await repository([{ name: "app", evr: "2-1", key: stranger }]);
    await writeFile(`${at.dir}/other.asc`, stranger.toPublic().armor());
    const [was, now] = [fingerprintOf(vendor), fingerprintOf(stranger)];
    await expect(one(signedBy("other.asc"), { previous })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(new RegExp(`last build it was ${was}, now it is ${now}`)),
      suggestions: expect.arrayContaining([`fingerprints: [${now}]  # for base, when the new key is right`]),
    });
    const spaced = now.toLowerCase().replace(/(.{4})(?=.)/g, "$1 ");
    expect((await one(signedBy("other.asc", [spaced]), { previous })).item.kind).toBe("packages");
  });

  test("are those that the spec names, also at the first build", async () => {
    await repository([{ name: "app", evr: "1-1", key: vendor }]);
    await expect(one(signedBy("vendor.asc", [fingerprintOf(stranger)]))).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(/the spec names/),
    });
  });
});
