import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ExtractOptions, extractBundle } from "../../src/bundle/extract.ts";
import { bundleWithChartNamed, bundleWithCharts } from "../support/charts.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";

const extract = (bundle: string, dir: string | undefined, more: Partial<ExtractOptions> = {}) =>
  extractBundle({ bundle, dir, items: [], kinds: [], emit: () => {}, ...more });

const filesIn = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(join(dir, path)).isFile())
    .toSorted();

const ALL = [
  "charts/web-new/rendered.yaml",
  "charts/web-new/values/0.yaml",
  "charts/web-new/web-1.1.0+build.2.tgz",
  "charts/web/rendered.yaml",
  "charts/web/web-1.0.0.tgz",
  "files/tools/t.tgz",
  "manifests/m/m.yaml",
];

describe("extract", () => {
  it("takes out everything but images, and again changes nothing", async () => {
    using scratch = new Scratch();
    const { bundle, archive } = await bundleWithCharts(scratch);
    const out = scratch.path("out");
    const done = await extract(bundle, out);
    expect(filesIn(out)).toEqual(ALL);
    expect(done.map(({ kind, name, files }) => [kind, name, files])).toEqual([
      ["charts", "web", 2],
      ["charts", "web-new", 3],
      ["files", "tools/t.tgz", 1],
      ["manifests", "m", 1],
    ]);
    for (const { path } of done) expect(statSync(path).isDirectory() || statSync(path).isFile()).toBe(true);
    expect(readFileSync(join(out, "charts/web/web-1.0.0.tgz")).equals(archive)).toBe(true);
    expect(readFileSync(join(out, "files/tools/t.tgz"), "utf8")).toBe("a tool");
    const before = ALL.map((path) => readFileSync(join(out, path), "hex"));
    const inode = statSync(join(out, "files/tools/t.tgz")).ino;
    await extract(bundle, out);
    expect(ALL.map((path) => readFileSync(join(out, path), "hex"))).toEqual(before);
    expect(statSync(join(out, "files/tools/t.tgz")).ino).toBe(inode);
  });

  it("packs a chart that was a folder as an archive that tar reads", async () => {
    using scratch = new Scratch();
    const { bundle } = await bundleWithCharts(scratch);
    await extract(bundle, scratch.path("out"), { kinds: ["charts"] });
    const archive = scratch.path("out/charts/web-new/web-1.1.0+build.2.tgz");
    const listed = execFileSync("tar", ["tzf", archive, "--quoting-style=literal"], { encoding: "utf8" });
    expect(listed.trim().split("\n")).toEqual([
      "web/Chart.yaml",
      "web/templates/größe.yaml",
      "web/values.yaml",
    ]);
    expect(filesIn(scratch.path("out")).filter((path) => !path.startsWith("charts/"))).toEqual([]);
  });

  it("tells what it would write, and writes nothing", async () => {
    using scratch = new Scratch();
    const { bundle } = await bundleWithCharts(scratch);
    const listed = await extract(bundle, undefined);
    const done = await extract(bundle, scratch.path("out"));
    expect(listed.map(({ path, ...rest }) => ({ ...rest, path: scratch.path(`out/${path}`) }))).toEqual(done);
    for (const { path, size } of done.filter(({ kind }) => kind !== "files"))
      expect(filesIn(path).reduce((sum, file) => sum + statSync(join(path, file)).size, 0)).toBe(size);
  });

  it("takes out the items that are named, of the kinds that are named", async () => {
    using scratch = new Scratch();
    const { bundle } = await bundleWithCharts(scratch);
    await extract(bundle, scratch.path("one"), { items: ["m"] });
    expect(filesIn(scratch.path("one"))).toEqual(["manifests/m/m.yaml"]);
    await extract(bundle, scratch.path("two"), { items: ["web"], kinds: ["charts", "files"] });
    expect(filesIn(scratch.path("two"))).toEqual(["charts/web/rendered.yaml", "charts/web/web-1.0.0.tgz"]);
    await expect(extract(bundle, scratch.path("x"), { items: ["web-nev"] })).rejects.toMatchObject({
      code: "not-found",
      suggestions: [`airgap extract ${bundle} DIR web-new`],
    });
    await expect(extract(bundle, scratch.path("x"), { kinds: ["packages"] })).rejects.toThrow(
      /carries no packages/,
    );
  });

  it("says how an image is taken out", async () => {
    using scratch = new Scratch();
    writeLayout(scratch.path("layout"), { v1: makeImage("one", [bytesOf("one", 100)]) });
    scratch.spec('images: [{ ref: "x.site/a:v1", from: "oci:layout:v1" }]');
    await scratch.build();
    await expect(
      extract(scratch.path("site.tar"), scratch.path("x"), { items: ["x.site/a:v1"] }),
    ).rejects.toMatchObject({
      code: "usage",
      suggestions: [`airgap copy oci-archive:${scratch.path("site.tar")}:x.site/a:v1 oci:DIR`],
    });
    await expect(extract(scratch.path("site.tar"), scratch.path("x"))).rejects.toMatchObject({
      code: "not-found",
    });
  });

  it.each([
    ["..", "1"],
    [".", "1"],
    ["", "1"],
    ["a\\b", "1"],
    ["web", "../../x"],
    ["../../x", "1"],
    ["__proto__", "1"],
  ])("writes nothing outside of its folder for a chart called %j %j", async (name, version) => {
    using scratch = new Scratch();
    const bundle = await bundleWithChartNamed(scratch, name, version);
    await extract(bundle, scratch.path("out/in")).catch((error: unknown) =>
      expect(error).toMatchObject({ code: "corrupt" }),
    );
    const allowed = filesIn(scratch.dir).filter((path) => path !== "named.tar");
    expect(allowed.filter((path) => !path.startsWith("out/in/charts/web/"))).toEqual([]);
    for (const archive of allowed.filter((path) => path.endsWith(".tgz")))
      for (const line of execFileSync("tar", ["tzPf", scratch.path(archive)], { encoding: "utf8" })
        .trim()
        .split("\n"))
        expect(line.split("/").some((part) => part === ".." || part === "")).toBe(false);
  });

  it("writes through no link that is in its folder", async () => {
    using scratch = new Scratch();
    const { bundle } = await bundleWithCharts(scratch);
    mkdirSync(scratch.path("elsewhere"));
    for (const [link, target] of [
      ["charts", scratch.path("elsewhere")],
      ["files/tools/t.tgz", scratch.path("elsewhere/t.tgz")],
      ["charts/web-new/web-1.1.0+build.2.tgz", scratch.path("elsewhere/c.tgz")],
    ] as const) {
      const out = scratch.path(`out-${link.replaceAll("/", "-")}`);
      mkdirSync(join(out, link, ".."), { recursive: true });
      symlinkSync(target, join(out, link));
      await expect(extract(bundle, out)).rejects.toMatchObject({ code: "disk" });
      expect(filesIn(scratch.path("elsewhere"))).toEqual([]);
    }
    writeFileSync(scratch.path("file"), "");
    await expect(extract(bundle, scratch.path("file"))).rejects.toThrow();
  });
});
