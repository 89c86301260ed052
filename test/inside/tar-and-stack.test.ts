import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { stack } from "../../src/inside/image.ts";
import type { LayerFacts } from "../../src/inside/layer.ts";
import { osPackage } from "../../src/inside/package.ts";
import { walkTar } from "../../src/inside/tar-walk.ts";
import { hiddenBy, readerOf } from "../../src/inside/watched.ts";
import { Scratch } from "../support/scratch.ts";

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function walked(bytes: Buffer, size = 1000): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await walkTar(inPieces(bytes, size), "t", ({ path, type, link }) => {
    found[path] = `${type}${link}`;
    if (type !== "0") return undefined;
    const add = (text: string): void => {
      found[path] += text;
    };
    return { write: (chunk) => add(chunk.toString("utf8")), end: () => add(".") };
  });
  return found;
}

describe("a tar that streams by", () => {
  const long = `${"deep/".repeat(60)}file`;

  it.each(["gnu", "pax", "ustar"])("is read as %s writes it, in pieces of any size", async (format) => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("in/deep/".padEnd(8) + (format === "ustar" ? "" : "deep/".repeat(59))), {
      recursive: true,
    });
    scratch.write("in/a", "A".repeat(700));
    scratch.write("in/empty", "");
    if (format !== "ustar") scratch.write(`in/${long}`, "long");
    symlinkSync("a", scratch.path("in/link"));
    const bytes = execFileSync("tar", [`--format=${format}`, "-C", scratch.path("in"), "-c", "."]);
    for (const size of [1, 7, 512, 513, 100_000]) {
      const found = await walked(bytes, size);
      expect(found).toMatchObject({ a: `0${"A".repeat(700)}.`, empty: "0.", link: "2a" });
      if (format !== "ustar") expect(found[long]).toBe("0long.");
    }
  });

  it("refuses what is cut short, and what is not a tar", async () => {
    using scratch = new Scratch();
    scratch.write("a", "A".repeat(5000));
    const bytes = execFileSync("tar", ["-C", scratch.dir, "-c", "a"]);
    for (const size of [300, 600, 5000])
      await expect(walked(bytes.subarray(0, size))).rejects.toMatchObject({ code: "corrupt" });
    await expect(walked(Buffer.alloc(2000, "x"))).rejects.toMatchObject({ code: "corrupt" });
    expect(await walked(bytes.subarray(0, 512 + 5120))).toHaveProperty("a");
  });

  it("holds no extended header that is too large", async () => {
    using scratch = new Scratch();
    scratch.write("a", "A".repeat(2 << 20));
    const bytes = execFileSync("tar", ["--format=gnu", "-C", scratch.dir, "-c", "a"], { maxBuffer: 4 << 20 });
    bytes[156] = "L".charCodeAt(0);
    const sum = bytes.subarray(0, 512).reduce((all, byte, i) => all + (i >= 148 && i < 156 ? 32 : byte), 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    await expect(walked(bytes)).rejects.toThrow(/extended header has 2097152 bytes/);
  });
});

describe("layers", () => {
  const layer = (files: Record<string, string[]>, ...entries: [string, string][]): LayerFacts => ({
    hidden: entries.flatMap(([path, type]) => hiddenBy(path, type) ?? []),
    files: new Map(
      Object.entries(files).map(([path, names]) => [
        path,
        { packages: names.flatMap((name) => osPackage("deb", { name, version: "1", arch: "all" })) },
      ]),
    ),
  });
  const names = (...layers: LayerFacts[]) => stack(layers).packages.map(({ name }) => name);
  const status = "var/lib/dpkg/status";
  const one = "var/lib/dpkg/status.d/one";
  const two = "var/lib/dpkg/status.d/two";

  it.each<[string, LayerFacts[], string[]]>([
    ["the upper one replaces", [layer({ [status]: ["old"] }), layer({ [status]: ["new"] })], ["new"]],
    ["others stay", [layer({ [one]: ["a"] }), layer({ [two]: ["b"] })], ["a", "b"]],
    [
      "a whiteout of the file",
      [layer({ [status]: ["old"] }), layer({}, ["var/lib/dpkg/.wh.status", "0"])],
      [],
    ],
    ["a whiteout of a folder", [layer({ [one]: ["a"] }), layer({}, ["var/lib/.wh.dpkg", "0"])], []],
    [
      "a whiteout of another file",
      [layer({ [one]: ["a"] }), layer({}, ["var/lib/dpkg/status.d/.wh.two", "0"])],
      ["a"],
    ],
    [
      "a whiteout of a name that begins alike",
      [layer({ [status]: ["a"] }), layer({}, ["var/.wh.li", "0"])],
      ["a"],
    ],
    [
      "an opaque folder hides what is below, not what it has itself",
      [layer({ [one]: ["a"] }), layer({ [two]: ["b"] }, ["var/lib/dpkg/status.d/.wh..wh..opq", "0"])],
      ["b"],
    ],
    ["an opaque root", [layer({ [one]: ["a"] }), layer({}, [".wh..wh..opq", "0"])], []],
    ["another opaque folder", [layer({ [one]: ["a"] }), layer({}, ["var/cache/.wh..wh..opq", "0"])], ["a"]],
    ["a link in place of a folder", [layer({ [status]: ["a"] }), layer({}, ["var/lib/dpkg", "2"])], []],
    ["a folder that is there again", [layer({ [status]: ["a"] }), layer({}, ["var/lib/dpkg", "5"])], ["a"]],
    [
      "what came back after a whiteout",
      [layer({ [status]: ["a"] }), layer({}, ["var/.wh.lib", "0"]), layer({ [status]: ["c"] })],
      ["c"],
    ],
  ])("%s", (_, layers, expected) => {
    expect(names(...layers)).toEqual(expected);
  });

  it("are watched in every place where a database may lie, and nowhere else", () => {
    expect(readerOf("usr/lib/sysimage/rpm/rpmdb.sqlite")).toBe("rpm-sqlite");
    expect(readerOf("var/lib/dpkg/status.d/base.md5sums")).toBeUndefined();
    expect(readerOf("var/lib/dpkg/status.d/a/b")).toBeUndefined();
    expect(readerOf("home/var/lib/dpkg/status")).toBeUndefined();
  });

  it("with names that no package has say nothing", () => {
    for (const name of ["", "../x", "a b", "a\n", "-a", "x".repeat(300)])
      expect(osPackage("deb", { name, version: "1", arch: "all" })).toEqual([]);
    expect(osPackage("deb", { name: "a", version: "1", arch: "all", license: "M\u202eIT\n2" })).toMatchObject(
      [{ license: "M IT 2" }],
    );
  });
});
