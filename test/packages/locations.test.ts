import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Heads } from "../../src/packages/heads.ts";
import { below, placesBelow } from "../../src/packages/locations.ts";
import { serveFolder } from "../support/folder-server.ts";
import { packageContext } from "../support/packages.ts";

const BASE = "http://mirror.site/r";

describe("a file name in metadata", () => {
  // What apt 3.0 and dnf 4.23 ask for, apart from the case of hexadecimal digits and dnf's `~`.
  test.each([
    ["app_2%3a1.0~rc1-1+b1_amd64.deb", "app_2%253a1.0%7erc1-1%2Bb1_amd64.deb"],
    ["lib-1%3A2.0-1.noarch.rpm", "lib-1%253A2.0-1.noarch.rpm"],
    ["./pool/g/g++/g++_1_all.deb", "pool/g/g%2B%2B/g%2B%2B_1_all.deb"],
    ["tool 1+x#y.rpm", "tool%201%2Bx%23y.rpm"],
    ["a?b=c&d.rpm", "a%3Fb=c&d.rpm"],
    ["app-1.0^20240101-1.rpm", "app-1.0%5E20240101-1.rpm"],
    ["100%.rpm", "100%25.rpm"],
    ["größe.deb", "gr%C3%B6%C3%9Fe.deb"],
    ["𝛼.deb", "%F0%9D%9B%BC.deb"],
    ["tool-1:2.0.rpm", "tool-1:2.0.rpm"],
  ])("%s is asked for as %s", (href, path) => {
    expect(below(BASE, href, "x")).toBe(`${BASE}/${path}`);
  });

  test("is a path as it stands on a disk", () => {
    expect(below("/srv/r", "app_2%3a1+b1.deb", "x")).toBe("/srv/r/app_2%3a1+b1.deb");
  });

  test("that may be encoded already is tried as it stands, after every mirror has been asked", () => {
    expect(placesBelow([BASE, "https://b.site/"], "a%2Bb.rpm", "x")).toEqual([
      `${BASE}/a%252Bb.rpm`,
      "https://b.site/a%252Bb.rpm",
      `${BASE}/a%2Bb.rpm`,
      "https://b.site/a%2Bb.rpm",
    ]);
    expect(placesBelow([BASE], "a+b.rpm", "x")).toHaveLength(1);
  });

  test.each([
    "",
    "/etc/shadow",
    "../x",
    "a/../../x",
    "%2e%2e/x",
    "a/..%2fx",
    "http://other.site/x",
    "file:///etc/shadow",
    "//other.site/x",
    "a\\b",
    "a%00b",
  ])("%j is refused", (href) => {
    expect(() => below(BASE, href, "x")).toThrow(/is not to be trusted/);
    expect(() => placesBelow([BASE], href, "x")).toThrow(/is not to be trusted/);
  });
});

describe("a server", () => {
  let at: Awaited<ReturnType<typeof packageContext>>;
  let closers: (() => void)[] = [];
  beforeEach(async () => {
    at = await packageContext();
  });
  afterEach(async () => {
    for (const close of closers) close();
    closers = [];
    await at.close();
  });

  /** The start of a package that metadata call `href` and the server's disk `file`. */
  async function read(href: string, file: string, decode?: (path: string) => string): Promise<string[]> {
    const folder = join(at.dir, "r");
    await mkdir(folder);
    await writeFile(join(folder, file), "content");
    const { url, asked, close } = await serveFolder(folder, decode);
    closers.push(close);
    const of = {
      id: href,
      places: placesBelow([url], href, "x"),
      http: at.context.http({}),
      size: 7,
      checksum: { algorithm: "sha256", value: "0".repeat(64) },
    };
    const check = async (): Promise<void> => {};
    const text = await new Heads(at.dir).read(of, 7, (bytes) => bytes.toString(), check);
    expect(text).toBe("content");
    return asked;
  }

  test("that has an encoded name on its disk gives the file at once", async () => {
    expect(await read("app_2%3a1.0_amd64.deb", "app_2%3a1.0_amd64.deb")).toHaveLength(1);
  });

  test("that reads + as a space, as S3 does, gives the file", async () => {
    const s3 = (path: string): string => decodeURIComponent(path.replaceAll("+", " "));
    expect(await read("libx_1.6+ds.deb", "libx_1.6+ds.deb", s3)).toEqual(["/libx_1.6%2Bds.deb"]);
  });

  test("whose metadata hold encoded names gives the file on the second try", async () => {
    expect(await read("a%2Bb.rpm", "a+b.rpm")).toEqual(["/a%252Bb.rpm", "/a%2Bb.rpm"]);
  });
});
