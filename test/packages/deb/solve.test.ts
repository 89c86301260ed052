import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PackageSetSpec } from "../../../src/lock/spec.ts";
import { makeSigningKey, signCleartext } from "../../../src/packages/openpgp.ts";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { packagesText, type TestDeb, writeDebRepository } from "../../support/deb-metadata.ts";
import { debSet, packageContext } from "../../support/packages.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

const deb = (name: string, version = "1-1", more: Partial<TestDeb> = {}): TestDeb => ({
  name,
  version,
  ...more,
});
const flat = [{ id: "main", uris: "repo", suites: ["/"] }];

async function closure(
  debs: TestDeb[],
  install: string[],
  over: Partial<PackageSetSpec> = {},
): Promise<string[]> {
  await writeDebRepository(`${at.dir}/repo`, debs);
  const [found] = await resolveClosures(debSet({ repositories: flat, install, ...over }), at.context);
  return (found?.packages ?? []).map(({ id }) => id);
}

describe("relations", () => {
  test("Pre-Depends and Depends are followed, Recommends on wish", async () => {
    const debs = [
      deb("app", "1", { preDepends: ["a"], depends: ["b"], recommends: ["c"] }),
      deb("a"),
      deb("b"),
      deb("c"),
    ];
    expect(await closure(debs, ["app"])).toEqual(["a=1-1", "app=1", "b=1-1"]);
    expect(await closure(debs, ["app"], { recommends: true })).toEqual(["a=1-1", "app=1", "b=1-1", "c=1-1"]);
  });

  test("the first alternative that is there", async () => {
    const debs = [deb("app", "1", { depends: ["gone | b | c"] }), deb("b"), deb("c")];
    expect(await closure(debs, ["app"])).toEqual(["app=1", "b=1-1"]);
  });

  test("an alternative that is in already is enough", async () => {
    const debs = [deb("app", "1", { depends: ["c", "b | c"] }), deb("b"), deb("c")];
    expect(await closure(debs, ["app"])).toEqual(["app=1", "c=1-1"]);
  });

  test("a versioned relation wants a versioned Provides", async () => {
    const debs = [
      deb("app", "1", { depends: ["v (>= 1)"] }),
      deb("a", "9", { provides: ["v"] }),
      deb("b", "9", { provides: ["v (= 2)"] }),
    ];
    expect(await closure(debs, ["app"])).toEqual(["app=1", "b=9"]);
  });

  test("an older version that provides something is no candidate while a newer one is there", async () => {
    const debs = [
      deb("app", "1", { depends: ["v"] }),
      deb("a", "1", { provides: ["v"] }),
      deb("b", "1", { provides: ["v"] }),
      deb("b", "2"),
    ];
    expect(await closure(debs, ["app"])).toEqual(["a=1", "app=1"]);
  });

  test(":any wants Multi-Arch: allowed", async () => {
    const debs = [deb("app", "1", { depends: ["python:any"] }), deb("python", "3", { multiArch: "allowed" })];
    expect(await closure(debs, ["app"])).toEqual(["app=1", "python=3"]);
    at.context.cacheDir += "2";
    await expect(closure([debs[0] as TestDeb, deb("python", "3")], ["app"])).rejects.toThrow(
      /depends on python:any, which nothing provides/,
    );
  });

  test("Conflicts and Breaks are kept, by going back where the first way fails", async () => {
    const debs = [
      deb("app", "1", { depends: ["a | b", "x"] }),
      deb("x", "1", { conflicts: ["a"] }),
      deb("a"),
      deb("b"),
    ];
    expect(await closure(debs, ["app"])).toEqual(["app=1", "b=1-1", "x=1"]);
  });
});

describe("what can be asked for", () => {
  const debs = [
    deb("kubelet", "1.28.2-1.1"),
    deb("kubelet", "1.29.0-1.1"),
    deb("mta", "1", { provides: ["mail"] }),
  ];
  test.each([
    ["kubelet", "kubelet=1.29.0-1.1"],
    ["kubelet=1.28.2-1.1", "kubelet=1.28.2-1.1"],
    ["kubelet=1.28.*", "kubelet=1.28.2-1.1"],
    ["mail", "mta=1"],
  ])("%s", async (asked, answer) => {
    expect(await closure(debs, [asked])).toEqual([answer]);
  });

  test("what is not there is refused with what comes nearest", async () => {
    await expect(closure(debs, ["kubelett"])).rejects.toThrow(/similar name: kubelet/);
    await expect(closure(debs, ["kubelet=1.30"])).rejects.toThrow(/nearest: kubelet=1\.29\.0-1\.1/);
  });

  test("the chain that can't be kept, in words", async () => {
    await expect(
      closure([deb("app", "1", { depends: ["lib (>= 2)"] }), deb("lib", "1")], ["app"]),
    ).rejects.toMatchObject({
      code: "unsatisfiable",
      data: {
        chain: [
          "app was asked for: app=1 (main /)",
          "app=1 (main /) depends on lib (>= 2), which nothing provides; nearest: lib=1 (main /)",
        ],
      },
    });
  });
});

describe("hosts", () => {
  const status = (name: string, version: string, more = ""): string =>
    `Package: ${name}\nStatus: install ok installed\nVersion: ${version}\nArchitecture: all\n${more}\n`;
  test("what is installed is left out; what is too old is renewed", async () => {
    await writeFile(`${at.dir}/status`, status("libc", "2") + status("lib", "1"));
    const debs = [deb("app", "1", { depends: ["libc", "lib (>= 2)"] }), deb("libc", "3"), deb("lib", "2")];
    expect(await closure(debs, ["app"], { installed: "status" })).toEqual(["app=1", "lib=2"]);
  });

  test("what has to go is named", async () => {
    await writeFile(
      `${at.dir}/status`,
      status("timesyncd", "1", "Conflicts: time-daemon\nProvides: time-daemon\n"),
    );
    const debs = [deb("chrony", "1", { conflicts: ["time-daemon"], provides: ["time-daemon"] })];
    expect(await closure(debs, ["chrony"], { installed: "status" })).toEqual(["chrony=1"]);
    expect(at.events).toContainEqual({
      type: "warning",
      message: expect.stringContaining("removes timesyncd=1"),
    });
  });
});

describe("repositories", () => {
  async function suite(
    key: Awaited<ReturnType<typeof makeSigningKey>>,
    debs: TestDeb[],
    over = "",
  ): Promise<void> {
    const dir = `${at.dir}/repo/dists/stable/main/binary-amd64`;
    const { mkdir } = await import("node:fs/promises");
    await mkdir(dir, { recursive: true });
    const text = packagesText(debs);
    await writeFile(`${dir}/Packages`, text);
    const sum = createHash("sha256").update(text).digest("hex");
    const release = `Suite: stable\nArchitectures: amd64\nComponents: main\n${over}SHA256:\n ${sum} ${Buffer.byteLength(text)} main/binary-amd64/Packages\n`;
    await writeFile(`${at.dir}/repo/dists/stable/InRelease`, await signCleartext(release, key));
    await writeFile(`${at.dir}/key.asc`, key.toPublic().armor());
  }
  const signed = [
    { id: "main", uris: "repo", suites: ["stable"], components: ["main"], signedBy: "key.asc" },
  ];
  const ask = (repositories = signed) =>
    resolveClosures(debSet({ repositories, install: ["app"], unsigned: [] }), at.context);

  test("a signed suite", async () => {
    await suite(await makeSigningKey("debian"), [deb("app", "1", { arch: "amd64" })]);
    const [found] = await ask();
    expect(found?.packages.map(({ id, unsignedRepository }) => [id, unsignedRepository])).toEqual([
      ["app=1", undefined],
    ]);
  });

  test("an unknown key, a changed Packages file, a component that is not there", async () => {
    await suite(await makeSigningKey("debian"), [deb("app")]);
    await writeFile(`${at.dir}/key.asc`, (await makeSigningKey("other")).toPublic().armor());
    await expect(ask()).rejects.toThrow(
      /InRelease of main stable .* is not good: signed by a key that was not given/,
    );
    await suite(await makeSigningKey("debian"), [deb("app")]);
    await writeFile(
      `${at.dir}/repo/dists/stable/main/binary-amd64/Packages`,
      packagesText([deb("app", "2")]),
    );
    await expect(ask()).rejects.toThrow(
      /Packages is not what its repository's metadata say: expected \d+ bytes, found/,
    );
    await expect(ask([{ ...(signed[0] as (typeof signed)[0]), components: ["contrib"] }])).rejects.toThrow(
      /contrib.* is not among what its Release file lists; that has main\/binary-amd64/,
    );
  });

  test("an expired key, by apt's rule", async () => {
    const { generateKey } = await import("openpgp");
    const date = new Date("2020-01-01");
    const { privateKey } = await generateKey({
      type: "rsa",
      rsaBits: 2048,
      userIDs: [{ name: "old" }],
      date,
      keyExpirationTime: 86_400,
      format: "object",
    });
    await suite(privateKey, [deb("app")]);
    await expect(ask()).rejects.toThrow(
      /its key expired on 2020-01-02, and apt refuses signatures of expired keys/,
    );
  });
});
