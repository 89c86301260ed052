import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { assemble } from "../../src/bundle/assemble.ts";
import { readLockOf } from "../../src/bundle/diff.ts";
import { makeArtifact } from "../../src/lock/artifact.ts";
import { parseBundleSpec } from "../../src/lock/spec.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { carriedFactsOf } from "../support/facts.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const one = makeImage("one", [bytesOf("one", 2000)]);
const two = makeImage("two", [bytesOf("two", 2000)]);
const index = makeIndex([one, two]);

describe("files of a spec", () => {
  it("have a name each: two of one name are refused, and both are named", async () => {
    using scratch = new Scratch();
    for (const dir of ["a", "b"]) {
      mkdirSync(scratch.path(dir));
      scratch.write(`${dir}/tool`, dir);
    }
    scratch.spec("files: [{ path: a/tool }, { path: b/tool }]");
    await expect(scratch.build()).rejects.toMatchObject({
      code: "spec",
      message: expect.stringMatching(/tool.*files\[0\].*files\[1\]/),
      exit: 2,
    });
    expect(existsSync(scratch.path("site.lock.json"))).toBe(false);
    scratch.spec("files: [{ path: a/tool }, { path: b/tool, as: other }]");
    expect((await scratch.build()).items).toBe(2);
  });

  it("are refused by place when the URL is none or gives no name that a file may have", async () => {
    using scratch = new Scratch();
    for (const url of ["https://", "http://h/%zz", "http://h/..%2f..%2fetc", "http://h/a%00b", "http://h/"]) {
      scratch.spec(`files: [{ url: "${url}" }]`);
      await expect(scratch.build(), url).rejects.toMatchObject({
        code: "spec",
        message: expect.stringContaining("files[0]"),
      });
    }
  });

  it("that lie here are read where they lie, without a copy, and the reading can be stopped", async () => {
    using scratch = new Scratch();
    scratch.write("tool", "bytes");
    scratch.spec("files: [{ path: tool }]");
    await scratch.build();
    expect(
      existsSync(scratch.path("cache/content")) ? readdirSync(scratch.path("cache/content")) : [],
    ).toEqual([]);
    truncateSync(scratch.path("tool"), 20 * 1024 ** 3);
    const started = Date.now();
    await expect(scratch.build({ signal: AbortSignal.timeout(300) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    expect(Date.now() - started).toBeLessThan(5000);
  });

  it("that changed since they were locked are told, whether longer, shorter or other", async () => {
    using scratch = new Scratch();
    scratch.write("tool", "bytes");
    scratch.spec("files: [{ path: tool }]");
    await scratch.build();
    for (const changed of ["other", "byte", ""]) {
      scratch.write("tool", changed);
      const told = scratch.build({ locked: true, fresh: true });
      await expect(told).rejects.toMatchObject({
        code: "corrupt",
        message: expect.stringContaining(scratch.path("tool")),
      });
    }
    scratch.write("tool", "bytes and more");
    expect((await scratch.build({ locked: true, fresh: true })).items).toBe(1);
  });

  it("from the network say what is wrong with the cache that they can't be kept in", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    registry.hooks.push(
      (exchange) => exchange.url.pathname === "/tool" && exchange.send(200, {}, Buffer.from("bytes")),
    );
    scratch.spec(`files: [{ url: "${registry.url}/tool" }]`);
    scratch.write("cache", "a file where the folder should be");
    await expect(scratch.build()).rejects.toMatchObject({
      code: "disk",
      message: expect.stringContaining(scratch.path("cache")),
    });
  });
});

describe("a lock", () => {
  it("is never made with one name twice in a kind: nothing could read it", () => {
    const chart = (origin: string) =>
      makeArtifact({
        kind: "chart",
        name: "ingress",
        files: [],
        origins: [origin],
        wantedBy: [origin],
        facts: carriedFactsOf(),
      });
    const spec = parseBundleSpec("apiVersion: airgap/v1\nkind: Bundle\nname: x\n", "x.yaml");
    expect(() => assemble(spec, [chart("charts[0]"), chart("charts[1]")])).toThrow(
      /chart have the name ingress/,
    );
  });
});

describe("images that a spec names twice", () => {
  it("are carried for the platforms of both entries", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", index, "1");
    const ref = `${registry.host}/a/one:1`;
    scratch.spec(
      `images: [{ ref: ${ref}, platforms: [linux/amd64] }, { ref: ${ref}, platforms: [linux/arm64] }]`,
    );
    await scratch.build();
    const [item] = readLockOf(scratch.path("site.tar")).items;
    expect(item).toMatchObject({ root: { digest: index.root.digest }, wantedBy: ["images[0]", "images[1]"] });
    scratch.spec(`images: [{ ref: ${ref}, platforms: [linux/arm64] }, ${ref}]`);
    await scratch.build();
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root.digest).toBe(index.root.digest);
  });

  it("are refused when they are said to come from two places", async () => {
    using scratch = new Scratch();
    scratch.spec('images: [{ ref: r.site/a:1, from: "oci:x" }, { ref: r.site/a:1, from: "oci:y" }]');
    await expect(scratch.build()).rejects.toMatchObject({
      code: "spec",
      message: expect.stringMatching(/images\[0\].*images\[1\]/),
    });
  });
});

describe("a lock that is followed", () => {
  it("fits though another image carries what a sparse index leaves out", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/index", index, "1");
    fill(registry.store, "b/other", two, "1");
    scratch.spec(
      `images: [{ ref: ${registry.host}/a/index@${index.root.digest}, platforms: exact }, { ref: ${registry.host}/b/other:1, platforms: all }]`,
    );
    await scratch.build();
    const first = readFileSync(scratch.path("site.tar"));
    await scratch.build({ locked: true });
    expect(readFileSync(scratch.path("site.tar")).equals(first)).toBe(true);
  });

  it("wins over the lock that an interrupted build had saved, when --locked names another", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", two, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build({ lockOnly: true });
    const wanted = readFileSync(scratch.path("site.lock.json"));
    fill(registry.store, "a/one", one, "1");
    registry.hooks.push(
      (exchange) =>
        exchange.target.kind === "blob" &&
        exchange.target.digest === digestOf(bytesOf("one", 2000)) &&
        exchange.send(404),
    );
    await expect(scratch.build()).rejects.toMatchObject({ code: "not-found" });
    expect(existsSync(scratch.path("site.tar.part"))).toBe(true);
    registry.hooks.length = 0;
    scratch.write("site.lock.json", wanted);
    await scratch.build({ locked: true });
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root.digest).toBe(two.root.digest);
  });
});
