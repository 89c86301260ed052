import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { PackagesItem } from "../../src/lock/lock.ts";
import { mergedEntries } from "../../src/packages/deb/data.ts";
import type { PackageFile } from "../../src/rehearse/base.ts";
import { baseRepositories, parseBaseRepository } from "../../src/rehearse/base-repositories.ts";
import { rpmBase } from "../../src/rehearse/base-rpm.ts";
import { smallRpm } from "../support/rpm.ts";
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
      format: "deb",
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
      expect(() => parseBaseRepository(wrong, 0), wrong).toThrow("is not a line of apt's sources");
  });

  it("or the settings of one of dnf's", () => {
    expect(parseBaseRepository("baseurl=https://example.org/os/ gpgkey=https://example.org/A,/B", 0)).toEqual(
      {
        format: "rpm",
        trusted: false,
        repository: {
          id: "base0",
          baseurl: "https://example.org/os/",
          gpgkey: ["https://example.org/A", "/B"],
        },
      },
    );
    expect(parseBaseRepository("  metalink=https://example.org/?a=b gpgcheck=0 ", 1)).toEqual({
      format: "rpm",
      trusted: true,
      repository: { id: "base1", metalink: "https://example.org/?a=b" },
    });
    for (const [wrong, why] of [
      ["baseurl=https://example.org/os/", "gpgkey= is missing"],
      ["baseurl=https://example.org/os/ gpgkey=,", "gpgkey= is missing"],
      ["baseurl=https://example.org/os/ gpgcheck=1", "gpgkey= is missing"],
      ["gpgkey=/K", "one of baseurl="],
      ["baseurl=/a mirrorlist=/b gpgkey=/K", "one of baseurl="],
      ["baseurl=/a gpgkey=/K gpgkey=/L", "gpgkey is there twice"],
      ["baseurl=/a gpgkey=/K enabled=0", "enabled=0 is not"],
      ["baseurl= gpgkey=/K", "baseurl= is not"],
    ])
      expect(() => parseBaseRepository(wrong as string, 0), wrong).toThrow(why);
  });
});

describe("what hosts have before", () => {
  const item = (name: string, format: "deb" | "rpm") =>
    ({ name, facts: { format } }) as unknown as PackagesItem;
  const lines = ["deb [trusted=yes] file:/srv/debs ./", "baseurl=/srv/rpms gpgkey=/K"];

  it("comes from repositories of the set's format, in the order given", async () => {
    const found = await baseRepositories(item("el9", "rpm"), { lines });
    expect(found?.repositories).toEqual([{ id: "base1", baseurl: "/srv/rpms", gpgkey: ["/K"] }]);
    expect([found?.installed, found?.unsigned]).toEqual([[], []]);
    const debs = await baseRepositories(item("d12", "deb"), { lines });
    expect([debs?.repositories.map(({ id }) => id), debs?.unsigned]).toEqual([["base0"], ["*"]]);
    expect(await baseRepositories(item("d12", "deb"), { lines: lines.slice(1) })).toBeUndefined();
  });

  it("is what the same set of the spec says, without its priorities", async () => {
    scratch.write(
      "hosts.rpms",
      "bash-5.1.8-9.el9.x86_64\nglibc-2.34-100.el9.i686\ngpg-pubkey-1-2\ntzdata-2024a-1.el9.noarch\n",
    );
    const spec = scratch.write(
      "spec.yaml",
      `apiVersion: airgap/v1
kind: Bundle
name: site
packages:
  - name: el9
    format: rpm
    for: [rocky-9]
    arch: x86_64
    repositories: [{ id: baseos, baseurl: "/srv/os", gpgkey: ["/K"], priority: 10 }]
    install: [chrony]
    installed: hosts.rpms
    unsigned: ["kubelet-*"]
`,
    );
    const found = await baseRepositories(item("el9", "rpm"), { spec, lines });
    expect(found?.repositories.map(({ id, priority }) => [id, priority])).toEqual([
      ["base1", undefined],
      ["baseos", undefined],
    ]);
    expect(found?.installed).toEqual(["bash", "glibc.i686", "tzdata"]);
    expect(found?.unsigned).toEqual(["kubelet-*"]);
    await expect(baseRepositories(item("el8", "rpm"), { spec, lines })).rejects.toThrow("no package set el8");
  });
});

describe("a bare host of RPM packages", () => {
  /** A package with these files: a text is a file, `-> target` a link, `/` a folder. */
  const rpmFile = async (name: string, files: Record<string, string>): Promise<PackageFile> => {
    const entry = (path: string, text: string): string => {
      const link = text.startsWith("-> ");
      const mode = link ? 0o120777 : text === "/" ? 0o040755 : 0o100644;
      const content = link ? text.slice(3) : text === "/" ? "" : text;
      const numbers = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length + 1, 0];
      const pad = (piece: string): string => piece + "\0".repeat(-piece.length & 3);
      const hex = numbers.map((value) => value.toString(16).padStart(8, "0")).join("");
      return pad(`070701${hex}${path}\0`) + pad(content);
    };
    const payload = Object.entries({ ...files, "TRAILER!!!": "" }).map(([path, text]) => entry(path, text));
    const head = await smallRpm({ name, evr: "1-1", payload: "" });
    const path = scratch.write(`${name}.rpm`, Buffer.concat([head, Buffer.from(payload.join(""))]));
    return { id: `${name}-1-1.noarch`, path };
  };
  const unpacked = async (folder: string, packages: PackageFile[]): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of rpmBase.bare(packages)) chunks.push(chunk);
    const tar = scratch.write(`${folder}.tar`, Buffer.concat(chunks));
    mkdirSync(scratch.path(folder));
    execFileSync("tar", ["-xf", tar, "-C", scratch.path(folder)]);
    return scratch.path(folder);
  };

  it("has files where the links of its packages lead, whatever their order", async () => {
    const long = `${"n".repeat(120)}.conf`;
    const root = await unpacked("el", [
      await rpmFile("tools", {
        "/usr/sbin/tool": "tool",
        "/sbin/old": "old",
        "/lib64/x.so": "x",
        "/etc": "/",
      }),
      await rpmFile("more", { "/etc": "/", [`/etc/${long}`]: "long", "/usr/bin": "/", "/var/run/a": "a" }),
      await rpmFile("filesystem", {
        "/bin": "-> usr/bin",
        "/usr/sbin": "-> bin",
        "/usr/bin": "/",
        "/var": "/",
        "/var/run": "-> ../run",
      }),
    ]);
    const read = (path: string): string => readFileSync(`${root}/${path}`, "utf8");
    expect(readdirSync(`${root}/usr/bin`).toSorted()).toEqual(["old", "tool"]);
    expect([read("sbin/tool"), read("usr/lib64/x.so"), read(`etc/${long}`), read("run/a")]).toEqual([
      "tool",
      "x",
      "long",
      "a",
    ]);
    expect(["bin", "usr/sbin"].map((path) => readlinkSync(`${root}/${path}`))).toEqual(["usr/bin", "bin"]);
  });

  it("is not made of links in a circle, or of a damaged package", async () => {
    const round = await rpmFile("round", { "/a": "-> b", "/b": "-> a", "/a/x": "x" });
    await expect(unpacked("round", [round])).rejects.toThrow("links in a circle at /");
    const broken = { ...round, path: scratch.write("broken.rpm", readFileSync(round.path).subarray(0, -30)) };
    await expect(unpacked("broken", [broken])).rejects.toMatchObject({ code: "corrupt" });
  });
});
