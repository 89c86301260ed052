import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { mergedEntries } from "../../src/packages/deb/data.ts";
import { parseBaseRepository } from "../../src/rehearse/base-repositories.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

const hasDpkg = (() => {
  try {
    execFileSync("dpkg-deb", ["--version"]);
    return true;
  } catch {
    return false;
  }
})();

/** A package as dpkg-deb makes it. */
function makeDeb(name: string, lay: (root: string) => void): Buffer {
  const root = scratch.path(name);
  mkdirSync(join(root, "DEBIAN"), { recursive: true });
  writeFileSync(
    join(root, "DEBIAN/control"),
    `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n`,
  );
  lay(root);
  const file = scratch.path(`${name}.deb`);
  execFileSync("dpkg-deb", ["--root-owner-group", "-b", root, file], { stdio: "ignore" });
  return readFileSync(file);
}

describe.runIf(hasDpkg)("a root file system of packages", () => {
  it("has each folder once, and everything of /bin and /lib below /usr", async () => {
    const long = `${"n".repeat(98)}.so`;
    const first = makeDeb("first", (root) => {
      mkdirSync(join(root, "bin"));
      mkdirSync(join(root, "lib/x86_64-linux-gnu"), { recursive: true });
      writeFileSync(join(root, "bin/tool"), "tool");
      execFileSync("ln", [join(root, "bin/tool"), join(root, "bin/hard")]);
      writeFileSync(join(root, `lib/x86_64-linux-gnu/${long}`), "long");
      symlinkSync(long, join(root, "lib/x86_64-linux-gnu/short.so"));
    });
    const second = makeDeb("second", (root) => {
      mkdirSync(join(root, "usr/bin"), { recursive: true });
      mkdirSync(join(root, "etc"));
      writeFileSync(join(root, "usr/bin/other"), Buffer.alloc(70_000, "o"));
      writeFileSync(join(root, "etc/libs"), "not a folder of libraries");
    });
    const seen = new Set<string>();
    const chunks: Buffer[] = [];
    for (const [name, deb] of [["first", first] as const, ["second", second] as const])
      for await (const chunk of mergedEntries(deb, name, seen)) chunks.push(chunk);
    const tar = scratch.write("root.tar", Buffer.concat([...chunks, Buffer.alloc(1024)]));
    const names = execFileSync("tar", ["-tf", tar], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map((name) => name.replace(/^\.\//, ""));
    expect(names.toSorted()).toEqual(
      [
        "etc/",
        "etc/libs",
        "usr/",
        "usr/bin/",
        "usr/bin/hard",
        "usr/bin/other",
        "usr/bin/tool",
        "usr/lib/",
        "usr/lib/x86_64-linux-gnu/",
        `usr/lib/x86_64-linux-gnu/${long}`,
        "usr/lib/x86_64-linux-gnu/short.so",
      ].toSorted(),
    );
    mkdirSync(scratch.path("out"));
    execFileSync("tar", ["-xf", tar, "-C", scratch.path("out")]);
    const read = (name: string): string => readFileSync(scratch.path(`out/${name}`), "utf8");
    expect([
      read("usr/bin/hard"),
      read("usr/lib/x86_64-linux-gnu/short.so"),
      read("usr/bin/other").length,
    ]).toEqual(["tool", "long", 70_000]);
  });

  it("is not made of a damaged package", async () => {
    const deb = makeDeb("damaged", (root) => writeFileSync(join(root, "file"), "x"));
    const all = async (bytes: Buffer): Promise<void> => {
      for await (const _ of mergedEntries(bytes, "damaged", new Set()));
    };
    await expect(all(deb.subarray(0, deb.length - 40))).rejects.toThrow("damaged");
    await expect(all(Buffer.from("!<arch>\n"))).rejects.toThrow("no Debian package");
  });
});

describe("a repository for what hosts have before", () => {
  it("is a line of apt's sources that names its key", () => {
    expect(
      parseBaseRepository(
        "deb [arch=amd64 signed-by=/k.gpg] http://ftp.debian.org/debian bookworm main contrib",
        0,
      ),
    ).toEqual({
      trusted: false,
      repository: {
        id: "base0",
        uris: "http://ftp.debian.org/debian",
        suites: ["bookworm"],
        components: ["main", "contrib"],
        signedBy: "/k.gpg",
      },
    });
    expect(parseBaseRepository("deb [trusted=yes] file:/srv/debs ./", 1)).toMatchObject({
      trusted: true,
      repository: { suites: ["./"] },
    });
    for (const wrong of [
      "deb http://ftp.debian.org/debian bookworm main",
      "deb-src [signed-by=/k] http://x y z",
      "deb [signed-by=/k] http://x bookworm",
      "rm -rf /",
    ])
      expect(() => parseBaseRepository(wrong, 0), wrong).toThrow("no line of apt's sources");
  });
});
