import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { type PayloadEntry, payloadEntries } from "../../../src/packages/rpm/payload.ts";
import { smallRpm } from "../../support/rpm.ts";
import { Scratch } from "../../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

const hasRpmbuild = spawnSync("rpmbuild", ["--version"]).status === 0;

async function entriesOf(rpm: Buffer): Promise<PayloadEntry[]> {
  const found: PayloadEntry[] = [];
  for await (const entry of payloadEntries(rpm, "one-1-1.noarch")) found.push(entry);
  return found;
}

/** An entry of cpio's "newc" form. */
function entry(name: string, content = "", { mode = 0o100644, names = 1, magic = "070701" } = {}): string {
  const numbers = [7, mode, 0, 0, names, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const pad = (text: string): string => text + "\0".repeat(-text.length & 3);
  const head = `${magic}${numbers.map((value) => value.toString(16).padStart(8, "0")).join("")}${name}\0`;
  return pad(head) + pad(content);
}

const rpmOf = async (payload: string | Buffer): Promise<Buffer> => {
  const rpm = await smallRpm({ name: "one", evr: "1-1", payload: "" });
  return Buffer.concat([rpm, Buffer.from(payload as string)]);
};
const END = entry("TRAILER!!!");

describe.runIf(hasRpmbuild)("the files of a package that rpmbuild made", () => {
  it.each(["w1.gzdio", "w2.xzdio", "w3.zstdio", "w1.bzdio"])("compressed as %s", async (form) => {
    const folder = scratch.path(form);
    mkdirSync(folder);
    const spec = `
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _binary_payload ${form}
Name: one
Version: 1
Release: 1
Summary: x
License: x
BuildArch: noarch
AutoReqProv: no
%description
x
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/var/empty
printf hello > %{buildroot}/usr/bin/a
ln %{buildroot}/usr/bin/a %{buildroot}/usr/bin/b
chmod 4755 %{buildroot}/usr/bin/a
: > %{buildroot}/usr/bin/c
ln %{buildroot}/usr/bin/c %{buildroot}/usr/bin/d
head -c 200000 /dev/zero > %{buildroot}/usr/bin/large
ln -s usr/bin %{buildroot}/bin
chmod 0700 %{buildroot}/var/empty
%files
/usr/bin/*
/bin
%dir /var/empty
`;
    writeFileSync(`${folder}/one.spec`, spec);
    const args = ["-bb", "--quiet", "--define", `_topdir ${folder}`, `${folder}/one.spec`];
    execFileSync("rpmbuild", args, { stdio: "ignore" });
    const found = await entriesOf(readFileSync(`${folder}/RPMS/noarch/one-1-1.noarch.rpm`));
    const byPath = new Map(found.map((each) => [each.path, each]));
    expect([...byPath.keys()].toSorted()).toEqual(
      ["a", "b", "c", "d", "large"]
        .map((name) => `usr/bin/${name}`)
        .concat("var/empty", "bin")
        .toSorted(),
    );
    expect(byPath.get("bin")).toMatchObject({ kind: "link", target: "usr/bin" });
    expect(byPath.get("var/empty")).toEqual({ path: "var/empty", kind: "folder", mode: 0o700 });
    expect(byPath.get("usr/bin/large")?.content?.length).toBe(200_000);
    for (const [names, content, mode] of [
      [["usr/bin/a", "usr/bin/b"], "hello", 0o4755],
      [["usr/bin/c", "usr/bin/d"], "", 0o644],
    ] as const) {
      const [file, other] = found.filter(({ path }) => names.some((name) => name === path));
      expect(file).toMatchObject({ kind: "file", mode, content: Buffer.from(content) });
      expect(other).toMatchObject({ kind: "hard", target: file?.path });
    }
  });
});

describe("a payload", () => {
  it("may be uncompressed, and its devices are passed over", async () => {
    const payload = entry("./dev/null", "", { mode: 0o020666 }) + entry("/etc/x", "abc") + END;
    expect(await entriesOf(await rpmOf(payload))).toEqual([
      { path: "etc/x", kind: "file", mode: 0o644, content: Buffer.from("abc") },
    ]);
  });

  it.each([
    ["cut short", entry("etc/x", "abcdefgh").slice(0, -6)],
    ["without an end", entry("etc/x", "abc")],
    ["with a path that leads out", entry("../etc/x", "abc") + END],
    ["with a path that leads out later", entry("usr/../../x", "abc") + END],
    ["with no cpio in it", "x".repeat(300)],
    ["with a form for large files", entry("etc/x", "abc", { magic: "07070X" }) + END],
    ["damaged where it is compressed", gzipSync(entry("etc/x", "a".repeat(5000)) + END).subarray(0, 60)],
  ])("%s is refused", async (_, payload) => {
    await expect(entriesOf(await rpmOf(payload))).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("one-1-1.noarch"),
    });
  });

  it("is not read of a file that is no RPM, or ends in its header", async () => {
    const rpm = await smallRpm({ name: "one", evr: "1-1" });
    await expect(entriesOf(rpm.subarray(0, 200))).rejects.toThrow("cut short");
    await expect(entriesOf(Buffer.alloc(500))).rejects.toThrow("is no RPM");
  });
});
