import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeImage } from "../support/images.ts";
import { insideOf, layerOf, listed } from "../support/inside.ts";
import { Scratch } from "../support/scratch.ts";

/** What is found in images that are made of real packages, compared with what dpkg and rpm say. */

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

const run = (program: string, args: string[], cwd = scratch.dir): string =>
  execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 << 20,
  });

async function found(...layers: Buffer[]): Promise<string[]> {
  const [inside] = await insideOf(makeImage("real", layers));
  expect(inside?.unread).toEqual([]);
  return listed(inside ?? { packages: [] });
}

describe("dpkg", () => {
  const root = scratch.path("deb");
  const query = (admin: string): string[] =>
    run("dpkg-query", [
      "--admindir",
      admin,
      "-W",
      "-f",
      "${db:Status-Status} ${Package} ${Version} ${Architecture}\n",
    ])
      .split("\n")
      .filter((line) => /^(?:installed|unpacked|half-configured|triggers-\S+) /.test(line))
      .map((line) => line.replace(/^\S+ /, ""))
      .toSorted();
  const dpkg = (...args: string[]): string =>
    run("dpkg", [
      "--root",
      root,
      "--force-not-root",
      "--force-depends",
      "--force-script-chrootless",
      ...args,
    ]);

  beforeAll(() => {
    for (const folder of ["updates", "info"])
      mkdirSync(join(root, "var/lib/dpkg", folder), { recursive: true });
    writeFileSync(join(root, "var/lib/dpkg/status"), "");
    run("apt-get", ["download", "hello", "busybox-static", "tzdata"]);
  });
  const file = (name: string): string =>
    readdirSync(scratch.dir).find((each) => each.startsWith(`${name}_`)) ?? "";

  it("lists Debian's packages, removed and unpacked ones too, over two layers", async () => {
    dpkg("-i", file("hello"), file("busybox-static"));
    const first = layerOf(root);
    const expected = query(join(root, "var/lib/dpkg"));
    expect(expected).toHaveLength(2);
    expect(await found(first)).toEqual(expected);
    dpkg("--remove", "hello");
    dpkg("--unpack", file("tzdata"));
    const second = layerOf(root, "var/lib/dpkg");
    const later = query(join(root, "var/lib/dpkg"));
    expect(later.map((line) => line.split(" ")[0])).toEqual(["busybox-static", "tzdata"]);
    expect(await found(first, second)).toEqual(later);
  });

  it("lists all packages of this machine", async () => {
    mkdirSync(scratch.path("own/var/lib/dpkg"), { recursive: true });
    cpSync("/var/lib/dpkg/status", scratch.path("own/var/lib/dpkg/status"));
    const expected = query("/var/lib/dpkg");
    expect(expected.length).toBeGreaterThan(100);
    expect(await found(layerOf(scratch.path("own")))).toEqual(expected);
  });
});

describe("rpm with sqlite", () => {
  const backend = "sqlite";
  const root = scratch.path(`rpm-${backend}`);
  const folder = "usr/lib/sysimage/rpm";
  const rpm = (...args: string[]): string =>
    run("rpm", ["--root", root, "--dbpath", `/${folder}`, "--define", `_db_backend ${backend}`, ...args]);
  const query = (): string[] =>
    rpm("-qa", "--qf", "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE} %{ARCH}\n")
      .trim()
      .split("\n")
      .toSorted();

  /** As real as rpmbuild makes them. */
  function build(name: string, version: string, epoch: string): string {
    const spec = scratch.write(
      `${name}.spec`,
      [
        ...[
          `Name: ${name}`,
          `Version: ${version}`,
          "Release: 3.el9",
          `Summary: ${name}`,
          "License: MIT and BSD",
        ],
        ...[epoch, "Vendor: Rig", "BuildArch: noarch", "AutoReqProv: no", "%description", name],
        ...[
          "%install",
          `mkdir -p %{buildroot}/usr/share/${name}`,
          `echo ${name} > %{buildroot}/usr/share/${name}/x`,
        ],
        ...["%files", `/usr/share/${name}`, ""],
      ].join("\n"),
    );
    run("rpmbuild", ["-bb", "--quiet", "--define", `_topdir ${scratch.path("top")}`, spec]);
    return scratch.path(`top/RPMS/noarch/${name}-${version}-3.el9.noarch.rpm`);
  }

  it("lists what is installed, with epochs, and what an upper layer installed and removed", async () => {
    mkdirSync(join(root, folder), { recursive: true });
    const [one, two, three] = [
      build("one", "1.0", ""),
      build("two", "2.1~rc1", "Epoch: 2"),
      build("three", "3^git1", ""),
    ];
    rpm("-i", "--nodeps", one, two);
    const first = layerOf(root);
    expect(query()).toEqual(["one 1.0-3.el9 noarch", "two 2:2.1~rc1-3.el9 noarch"]);
    expect(await found(first)).toEqual(query());
    rpm("-i", "--nodeps", three);
    rpm("-e", "one");
    expect(await found(first, layerOf(root, folder))).toEqual(query());
    const [inside] = await insideOf(makeImage("real", [layerOf(root)]));
    expect(inside?.packages[0]).toMatchObject({
      license: "MIT and BSD",
      vendor: "Rig",
      source: expect.stringMatching(/\.src\.rpm$/),
    });
  });

  it("lists 500 of them", async () => {
    const many = scratch.path(`many-${backend}`);
    mkdirSync(join(many, folder), { recursive: true });
    const database = ["--root", many, "--dbpath", `/${folder}`, "--define", `_db_backend ${backend}`];
    run("rpmdb", [...database, "--initdb"]);
    const { headersOf } = await import("../support/rpmdb.ts");
    const rpms = Array.from({ length: 500 }, (_, i) => ({
      name: `p${i}`,
      evr: `${i % 3}:1.${i}-1`,
      requires: [`x${i}`],
    }));
    execFileSync("rpmdb", [...database, "--importdb"], { input: headersOf(rpms), stdio: "pipe" });
    const listedThere = run("rpm", [...database, "-qa", "--qf", "%{NAME}\n"])
      .trim()
      .split("\n")
      .toSorted();
    expect(listedThere).toHaveLength(500);
    const names = (await found(layerOf(many))).map((line) => line.split(" ")[0]).toSorted();
    expect(names).toEqual(listedThere);
  });
});

describe("rpm with Berkeley DB", () => {
  // Debian's rpm reads such databases and writes none; perl has the library.
  const WRITE = `use DB_File; my ($from, $to) = @ARGV; my %db;
    tie %db, "DB_File", $to, O_RDWR | O_CREAT, 0644, $DB_HASH or die; my $n = 0;
    for (sort glob "$from/*") { local $/; open F, "<:raw", $_; $db{pack "V", ++$n} = <F>; close F }
    $db{pack "V", 0} = pack "V", $n; untie %db;`;

  it("lists what rpm lists, with headers on one page and on many", async () => {
    const { headersOf } = await import("../support/rpmdb.ts");
    const root = scratch.path("bdb");
    mkdirSync(join(root, "var/lib/rpm"), { recursive: true });
    mkdirSync(scratch.path("headers"));
    for (let i = 0; i < 300; i++) {
      const requires = Array.from({ length: i % 50 === 0 ? 900 : i % 40 }, (_, n) => `capability-${n}`);
      const bytes = headersOf([{ name: `p${i}`, evr: `${i % 3}:1.${i}-1`, requires }]);
      scratch.write(`headers/${String(i).padStart(4, "0")}`, bytes.subarray(8));
    }
    run("perl", ["-e", WRITE, scratch.path("headers"), join(root, "var/lib/rpm/Packages")]);
    const query = ["--dbpath", join(root, "var/lib/rpm"), "--define", "_db_backend bdb_ro", "-qa"];
    const expected = run("rpm", [
      ...query,
      "--qf",
      "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE} %{ARCH}\n",
    ]);
    expect(expected.trim().split("\n")).toHaveLength(300);
    const layer = layerOf(root, "var/lib/rpm/Packages");
    expect(await found(layer)).toEqual(expected.trim().split("\n").toSorted());
  });
});

it("the scratch folder of databases is gone", () => {
  expect(readdirSync("/tmp").filter((name) => name.startsWith("airgap-sbom-"))).toEqual([]);
  rmSync(scratch.path("top"), { recursive: true, force: true });
  expect(readFileSync("/var/lib/dpkg/status", "utf8").length).toBeGreaterThan(0);
});
