import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readDebHead } from "../../src/packages/deb/archive.ts";
import { writeDeb } from "../../src/packing/deb.ts";
import { symbolVersions } from "../../src/packing/distribute.ts";
import { writeRpm } from "../../src/packing/rpm.ts";
import { rpmHeader } from "../../src/packing/rpm-header.ts";
import { type Entry, fileEntry, folderEntry, linkEntry, withParents } from "../../src/packing/tree.ts";
import { Scratch } from "../support/scratch.ts";

const ENTRIES: Entry[] = [
  fileEntry("usr/lib/tool/bin/run", "#!/bin/sh\necho ran\n", 0o755),
  fileEntry("usr/lib/tool/empty", ""),
  fileEntry("usr/lib/tool/odd-ü", "x".repeat(1001)),
  linkEntry("usr/bin/run", "../lib/tool/bin/run"),
  folderEntry("usr/lib/tool/folder"),
];
const deb = {
  package: "tool",
  version: "1.2.3",
  architecture: "amd64",
  depends: ["libc6 (>= 2.28)"],
  recommends: [],
  suggests: ["git"],
  summary: "A tool",
  description: "Its text\n\nin parts",
};
const rpm = {
  name: "tool",
  version: "1.2.3",
  release: "1",
  architecture: "x86_64",
  license: "Apache-2.0",
  summary: "A tool",
  description: "Its text",
  requires: ["/bin/sh"],
  recommends: ["git"],
  foreign: (path: string) => !path.startsWith("usr/lib/tool"),
};
const missing = async (program: string): Promise<boolean> =>
  promisify(execFile)(program, ["--version"]).then(
    () => false,
    () => true,
  );
const without = { dpkg: await missing("dpkg-deb"), rpm: await missing("rpm") };
const run = async (program: string, ...args: string[]): Promise<string> =>
  (await promisify(execFile)(program, args, { env: { ...process.env, LC_ALL: "C.UTF-8" } })).stdout;

describe("a tree", () => {
  it("has every folder above its files, and each before what is in it", () => {
    const paths = withParents(ENTRIES).map(({ path }) => path);
    for (const [i, path] of paths.entries())
      if (path.includes("/")) expect(paths.slice(0, i)).toContain(path.slice(0, path.lastIndexOf("/")));
    expect(new Set(paths).size).toBe(paths.length);
  });
});

describe("a .deb", () => {
  it("is the same bytes for the same content, and our own reader reads it", async () => {
    using scratch = new Scratch();
    await writeDeb(deb, ENTRIES, scratch.path("a.deb"));
    await writeDeb(deb, ENTRIES.toReversed(), scratch.path("b.deb"));
    const bytes = readFileSync(scratch.path("a.deb"));
    expect(bytes.equals(readFileSync(scratch.path("b.deb")))).toBe(true);
    const { control, members } = await readDebHead(bytes, "a.deb");
    expect(members).toEqual(["debian-binary", "control.tar.gz", "data.tar.gz"]);
    expect(control).toContain("Package: tool\nVersion: 1.2.3\nArchitecture: amd64\n");
    expect(control).toContain("Depends: libc6 (>= 2.28)\nSuggests: git\n");
    expect(control).not.toContain("Recommends");
    expect(control).toMatch(/Description: A tool\n Its text\n \.\n in parts\n$/);
  });

  it.skipIf(without.dpkg)("is what dpkg-deb unpacks", async () => {
    using scratch = new Scratch();
    await writeDeb(deb, ENTRIES, scratch.path("a.deb"));
    await run("dpkg-deb", "--extract", scratch.path("a.deb"), scratch.path("out"));
    expect(await run(scratch.path("out/usr/bin/run"))).toBe("ran\n");
    expect(readFileSync(scratch.path("out/usr/lib/tool/odd-ü"), "utf8")).toBe("x".repeat(1001));
    expect(await run("dpkg-deb", "--field", scratch.path("a.deb"), "Installed-Size")).toBe("2\n");
  });

  it("refuses a name that dpkg could not read", async () => {
    using scratch = new Scratch();
    const long = [fileEntry(`usr/${"n".repeat(120)}`, "x")];
    await expect(writeDeb(deb, long, scratch.path("a.deb"))).rejects.toThrow("too long a name");
  });
});

describe("an .rpm", () => {
  it("is the same bytes for the same content; digests and sizes are those of its parts", async () => {
    using scratch = new Scratch();
    await writeRpm(rpm, ENTRIES, scratch.path("a.rpm"));
    await writeRpm(rpm, ENTRIES.toReversed(), scratch.path("b.rpm"));
    const bytes = readFileSync(scratch.path("a.rpm"));
    expect(bytes.equals(readFileSync(scratch.path("b.rpm")))).toBe(true);
    const main = bytes.indexOf(Buffer.from("8eade801", "hex"), 100);
    const payload = bytes.indexOf(Buffer.from("1f8b08", "hex"), main);
    expect(main % 8).toBe(0);
    const sha256 = createHash("sha256").update(bytes.subarray(main, payload)).digest("hex");
    expect(bytes.subarray(0, main).toString("latin1")).toContain(sha256);
    const digest = createHash("sha256").update(bytes.subarray(payload)).digest("hex");
    expect(bytes.subarray(main, payload).toString("latin1")).toContain(digest);
    const cpio = gunzipSync(bytes.subarray(payload)).toString("latin1");
    expect(cpio).toContain("./usr/lib/tool/bin/run\0");
    expect(cpio.endsWith("TRAILER!!!\0") || /TRAILER!!!\0+$/.test(cpio)).toBe(true);
  });

  it.skipIf(without.rpm)("is what rpm believes", async () => {
    using scratch = new Scratch();
    const file = scratch.path("a.rpm");
    await writeRpm(rpm, ENTRIES, file);
    expect(await run("rpm", "-K", file)).toMatch(/digests OK\n$/);
    expect((await run("rpm", "-qpl", file)).trimEnd().split("\n")).toEqual([
      "/usr/bin/run",
      "/usr/lib/tool",
      "/usr/lib/tool/bin",
      "/usr/lib/tool/bin/run",
      "/usr/lib/tool/empty",
      "/usr/lib/tool/folder",
      "/usr/lib/tool/odd-ü",
    ]);
    expect(
      await run("rpm", "-qp", "--qf", "%{SUMMARY}|%{DESCRIPTION}|%{SIZE}|[%{FILEMODES:perms} ]", file),
    ).toBe(
      `A tool|Its text|${19 + 0 + 1001 + 19}|lrwxrwxrwx drwxr-xr-x drwxr-xr-x -rwxr-xr-x -rw-r--r-- drwxr-xr-x -rw-r--r-- `,
    );
    expect(await run("rpm", "-qp", "--recommends", file)).toBe("git\n");
    // One byte of the payload, one of the header.
    const bytes = readFileSync(file);
    for (const at of [bytes.length - 10, bytes.indexOf("Its text")]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const { code } = await run("rpm", "-K", scratch.write("bad.rpm", damaged)).then(
        () => ({ code: 0 }),
        (error: { code: number }) => error,
      );
      expect(code).not.toBe(0);
    }
  });

  it("aligns numbers, and ends the store with the trailer of its region", () => {
    const header = rpmHeader(
      63,
      new Map([
        [1000, { type: "string", text: "ab" }],
        [1009, { type: "int32", numbers: [7] }],
        [1030, { type: "int16", numbers: [1, 2, 3] }],
      ]),
    );
    const count = header.readUInt32BE(8);
    const store = header.subarray(16 + count * 16);
    expect([count, header.readUInt32BE(12)]).toEqual([4, store.length]);
    expect(header.readUInt32BE(16)).toBe(63);
    expect(store.readUInt32BE(4)).toBe(7);
    expect(store.readInt32BE(store.length - 8)).toBe(-4 * 16);
    expect(header.readUInt32BE(16 + 8)).toBe(store.length - 16);
  });
});

it("the newest version of a library's symbols is what a package asks for", () => {
  const text = Buffer.from(
    "\0GLIBC_2.9\0GLIBC_2.28\0GLIBC_2.17\0GLIBCXX_3.4.9\0GLIBCXX_3.4.21\0GLIBC_PRIVATE\0",
  );
  expect(symbolVersions(text)).toEqual({ GLIBC: "2.28", GLIBCXX: "3.4.21" });
});
