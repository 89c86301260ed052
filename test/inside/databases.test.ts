import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseApkInstalled, parseDpkgStatus, parseOsRelease } from "../../src/inside/databases.ts";
import { Tag } from "../../src/packages/rpm/header.ts";
import { Sqlite } from "../../src/state/sqlite.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { insideOf, layerOf, listed } from "../support/inside.ts";
import { headerSection } from "../support/rpm.ts";
import { Scratch } from "../support/scratch.ts";

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

/** Writes files below a folder, and gives them as a layer. */
function layer(name: string, files: Record<string, string | Uint8Array>): Buffer {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(scratch.path(`${name}/${path}`)), { recursive: true });
    scratch.write(`${name}/${path}`, content);
  }
  return layerOf(scratch.path(name));
}

const header = (name: string, version: string, epoch?: number): Buffer =>
  headerSection([
    [Tag.name, { type: 6, text: name }],
    [Tag.version, { type: 6, text: version }],
    [Tag.release, { type: 6, text: "3.el9" }],
    [Tag.arch, { type: 6, text: "x86_64" }],
    [Tag.license, { type: 6, text: "MIT" }],
    [Tag.vendor, { type: 6, text: "Rocky" }],
    [Tag.sourceRpm, { type: 6, text: `${name}-src.rpm` }],
    ...(epoch === undefined ? [] : ([[Tag.epoch, { type: 4, numbers: [epoch] }]] as const)),
  ] as Parameters<typeof headerSection>[0]).subarray(8);

async function rpmdb(statements: string, blobs: Buffer[] = []): Promise<Buffer> {
  const file = scratch.path(`made-${Math.random()}.sqlite`);
  const database = await Sqlite.open(file, "create");
  await database.script(statements);
  for (const blob of blobs) await database.run("INSERT INTO Packages (blob) VALUES (?)", blob);
  await database.close();
  const { readFileSync } = await import("node:fs");
  return readFileSync(file);
}
const TABLE = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)";

const STATUS = `Package: base-files
Status: install ok installed
Architecture: amd64
Version: 12.4+deb12u5
Maintainer: Santiago Vila <sanvila@debian.org>
Description: miscellaneous files
 more
 .
 and more

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: half
Status: install ok half-configured
Architecture: all
Source: whole (2:7)
Version: 2:7-1
`;

const APK = `C:Q1abc=
P:musl
V:1.2.5-r0
A:x86_64
S:1
L:MIT
o:musl
m:Timo Teräs <timo.teras@iki.fi>
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1xyz=
P:not-a-package

P:busybox
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
`;

describe("a package database", () => {
  it("of dpkg says what is there, and what is not", () => {
    const packages = parseDpkgStatus(STATUS, "status");
    expect(packages).toEqual([
      {
        format: "deb",
        name: "base-files",
        version: "12.4+deb12u5",
        arch: "amd64",
        source: "base-files",
        vendor: "Santiago Vila <sanvila@debian.org>",
      },
      { format: "deb", name: "half", version: "2:7-1", arch: "all", source: "whole (2:7)" },
    ]);
  });

  it("of apk is not misled by lists of files", () => {
    expect(parseApkInstalled(APK)).toMatchObject([
      { name: "musl", version: "1.2.5-r0", license: "MIT", source: "musl" },
      { name: "busybox", version: "1.36.1-r29", license: "GPL-2.0-only" },
    ]);
  });

  it("of rpm in SQLite gives headers with epoch, licence and source, and no keys", async () => {
    const blobs = [
      header("bash", "5.1"),
      header("dbus", "1.12", 1),
      header("gpg-pubkey", "1"),
      ...Array.from({ length: 120 }, (_, i) => header(`p${i}`, "1")),
    ];
    const db = await rpmdb(TABLE, blobs);
    const image = makeImage("rpm", [layer("a", { "var/lib/rpm/rpmdb.sqlite": db })]);
    const [inside] = await insideOf(image);
    expect(inside?.packages).toHaveLength(122);
    expect(inside?.packages).toContainEqual({
      format: "rpm",
      name: "dbus",
      version: "1:1.12-3.el9",
      arch: "x86_64",
      license: "MIT",
      vendor: "Rocky",
      source: "dbus-src.rpm",
    });
    expect(inside?.unread).toEqual([]);
  });

  it.each<[string, () => Promise<Record<string, string | Uint8Array>>, RegExp]>([
    [
      "of rpm in Berkeley DB that is none",
      async () => ({ "var/lib/rpm/Packages": "x".repeat(99) }),
      /Packages in layer .*not a hash/,
    ],
    [
      "of rpm in Berkeley DB whose pages lead in a circle",
      async () => {
        const bytes = Buffer.alloc(3 * 512);
        bytes.writeUInt32LE(0x061561, 12);
        bytes.writeUInt32LE(512, 20);
        // A pair: its value has 60 MiB on page 2, which names itself as the next one and has nothing.
        bytes[512 + 25] = 13;
        bytes.writeUInt16LE(2, 512 + 20);
        bytes.writeUInt16LE(507, 512 + 26);
        bytes.writeUInt16LE(495, 512 + 28);
        bytes[512 + 495] = 3;
        bytes.writeUInt32LE(2, 512 + 499);
        bytes.writeUInt32LE(60 << 20, 512 + 503);
        bytes[1024 + 25] = 7;
        bytes.writeUInt32LE(2, 1024 + 16);
        return { "var/lib/rpm/Packages": bytes };
      },
      /page 2 is empty/,
    ],
    [
      "that is not SQLite",
      async () => ({ "var/lib/rpm/rpmdb.sqlite": "x".repeat(5000) }),
      /^var\/lib\/rpm\/rpmdb\.sqlite in layer sha256:[0-9a-f]{64}: SQLITE_NOTADB/,
    ],
    ["that is empty", async () => ({ "usr/lib/sysimage/rpm/rpmdb.sqlite": "" }), /has no table Packages/],
    [
      "whose table computes for ever",
      async () => ({
        "var/lib/rpm/rpmdb.sqlite": await rpmdb(
          "CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, x'' AS blob FROM n",
        ),
      }),
      /has no table Packages/,
    ],
    [
      "with a header that is cut short",
      async () => ({ "var/lib/rpm/rpmdb.sqlite": await rpmdb(TABLE, [header("bash", "5").subarray(0, 60)]) }),
      /cut short/,
    ],
    [
      "in ndb that is none",
      async () => ({ "usr/lib/sysimage/rpm/Packages.db": "x".repeat(9999) }),
      /not in rpm's ndb format/,
    ],
    [
      "in ndb with slots that lead nowhere",
      async () => {
        const bytes = Buffer.alloc(4096);
        bytes.writeUInt32LE(0x506d7052, 0);
        bytes.writeUInt32LE(1, 12);
        for (let at = 32; at < 4096; at += 16) bytes.writeUInt32LE(0x746f6c53, at);
        bytes.writeUInt32LE(0xffffff, 40);
        return { "usr/lib/sysimage/rpm/Packages.db": bytes };
      },
      /it is cut short/,
    ],
    [
      "of dpkg that is none",
      async () => ({ "var/lib/dpkg/status": "\u0000\u0001 nothing\n" }),
      /status in layer sha256:/,
    ],
  ])("%s is named, and the others are read", async (_, files, message) => {
    const image = makeImage("odd", [layer("a", { ...(await files()), "lib/apk/db/installed": APK })]);
    const [inside] = await insideOf(image);
    expect(listed(inside ?? { packages: [] })).toEqual(["busybox 1.36.1-r29 x86_64", "musl 1.2.5-r0 x86_64"]);
    expect(inside?.unread).toEqual([expect.stringMatching(message)]);
  });
});

describe("os-release", () => {
  it("is read with either kind of quotes", () => {
    expect(
      parseOsRelease(
        `NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\nPRETTY_NAME='Debian 12 (bookworm)'\n`,
      ),
    ).toEqual({
      id: "debian",
      version: "12",
      name: "Debian 12 (bookworm)",
    });
    expect(parseOsRelease(`ID="../x"`)).toBeUndefined();
  });
});

describe("images", () => {
  const one = (name: string) => `Package: ${name}\nVersion: 1\nArchitecture: amd64\n`;

  it("of every platform are read, compressed or not, each layer once", async () => {
    const files = {
      "var/lib/dpkg/status.d/one": one("one"),
      "var/lib/dpkg/status.d/one.md5sums": "x",
      "usr/lib/os-release": "ID=debian\nVERSION_ID=12\n",
    };
    const base = layer("base", files);
    const top = layer("top", {
      "var/lib/dpkg/status.d/two": one("two"),
      "var/lib/dpkg/status.d/.wh.one": "",
    });
    const plain = (await import("node:zlib")).gunzipSync(base);
    const index = makeIndex([
      makeImage("amd", [base, top]),
      makeImage("arm", [plain]),
      makeImage("zstd", [zstdCompressSync(plain), gzipSync(layer("empty", { x: "1" }))]),
    ]);
    const found = await insideOf(index);
    expect(found.map(listed)).toEqual([["two 1 amd64"], ["one 1 amd64"], ["one 1 amd64"]]);
    expect(found.map(({ os }) => os?.id)).toEqual(["debian", "debian", "debian"]);
    expect(found[2]?.unread).toEqual([expect.stringContaining("is not a tar")]);
  });

  it("with a layer that is not a tar are read without it; wrong bytes are damage", async () => {
    const image = makeImage("odd", [layer("a", { "lib/apk/db/installed": APK }), bytesOf("noise", 3000)]);
    const [inside] = await insideOf(image);
    expect(inside?.packages).toHaveLength(2);
    expect(inside?.unread).toHaveLength(1);
    const good = layer("b", { "lib/apk/db/installed": APK });
    const changed = makeImage("changed", [good]);
    const digest = [...changed.blobs].find(([, bytes]) => bytes === good)?.[0];
    if (digest) changed.blobs.delete(digest);
    expect((await insideOf(changed))[0]?.unread).toEqual([expect.stringContaining("is not carried")]);
  });

  it("that are artifacts say nothing", async () => {
    expect(
      await insideOf(
        makeImage("chart", [bytesOf("x", 10)], {
          config: {
            mediaType: "application/vnd.cncf.helm.config.v1+json",
            digest: `sha256:${"0".repeat(64)}`,
            size: 2,
          },
        }),
      ),
    ).toEqual([]);
  });
});
