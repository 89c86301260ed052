import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PackageSetSpec } from "../../../src/lock/spec.ts";
import { modulesYaml as carriedYaml } from "../../../src/packages/rpm/carried.ts";
import { readModules } from "../../../src/packages/rpm/modulemd.ts";
import { platformsOf } from "../../../src/packages/rpm/modules.ts";
import type { Closure } from "../../../src/packages/types.ts";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { artifactOf, modulesYaml, type TestDefaults, type TestStream } from "../../support/modules.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { type TestRpm, writeRpmRepository } from "../../support/rpm-metadata.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

async function* pieces(text: string, size = 7): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

const head = "document: modulemd\nversion: 2\ndata:\n";
const wordy = "  summary: s\n  description: d\n  license: { module: [MIT] }\n";

describe("modules.yaml", () => {
  test("numbers are words: a stream 1.10 is not 1.1, a version has 64 bits", async () => {
    const text = `---\n${head}  name: perl\n  stream: 1.10\n  version: 8060020220413134936\n  context: 00000000\n${wordy}  artifacts:\n    rpms:\n    - perl-4:5.26.3-1.el8.x86_64\n    - perl-libs-0:5-1.noarch\n    - no artifact\n...\n`;
    const { streams, problems } = await readModules(pieces(text), "x");
    expect(problems).toEqual([]);
    expect(streams).toMatchObject([
      { name: "perl", stream: "1.10", version: "8060020220413134936", context: "00000000" },
    ]);
    expect(streams[0]?.artifacts).toEqual(["perl-4:5.26.3-1.el8.x86_64", "perl-libs-5-1.noarch"]);
  });

  test("documents of other kinds are passed over, broken ones are told of and the rest is read", async () => {
    const good = `---\n${head}  name: a\n  stream: "1"\n  version: 1\n${wordy}`;
    const others =
      "---\ndocument: modulemd-translations\nversion: 1\ndata: {}\n---\ndocument: modulemd\nversion: 3\ndata: {}\n";
    const broken = `---\n${head}  name: [\n---\n${head}  name: b\n  stream: "1"\n  version: 1\n`;
    const { streams, problems } = await readModules(pieces(`# a comment\n${others}${broken}${good}`), "x");
    expect(streams.map(({ name }) => name)).toEqual(["a"]);
    expect(problems).toEqual([
      expect.stringMatching(/^document \d: /),
      expect.stringContaining("module b has no summary, description or license"),
    ]);
  });

  test("what builders need is not parsed, wherever it stands, and whatever it looks like", async () => {
    const text = `---\n${head}  name: a\n  xmd:\n    deep: [1, 2]\n  stream: "1"\n  version: 1\n  components:\n    rpms:\n      a:\n        rationale: 'It\n\n'\n        x: y\n${wordy}  profiles:\n    default:\n      rpms:\n      - a\n`;
    expect((await readModules(pieces(text), "x")).streams).toMatchObject([
      { name: "a", stream: "1", profiles: { default: ["a"] } },
    ]);
    const flow = `--- {document: modulemd, version: "2", data: {name: a}}\n---\n{"document": "modulemd"}\n`;
    expect((await readModules(pieces(flow), "x")).streams).toEqual([]);
  });

  test("dependencies of version 1 and 2, defaults", async () => {
    const one = `---\ndocument: modulemd\nversion: 1\ndata:\n  name: a\n  stream: x\n  version: 1\n${wordy}  dependencies:\n    requires:\n      base: f29\n`;
    const two = `---\n${head}  name: b\n  stream: x\n  version: 1\n${wordy}  dependencies:\n  - buildrequires: { platform: [el8] }\n    requires: { platform: [el8], perl: [], python: ["2", "-3"] }\n`;
    const defaults =
      "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: a\n  modified: 201812071200\n  stream: x\n  profiles:\n    x: [common]\n";
    const read = await readModules(pieces(one + two + defaults), "x");
    expect(read.streams.map(({ requires }) => requires)).toEqual([
      [{ base: ["f29"] }],
      [{ platform: ["el8"], perl: [], python: ["2", "-3"] }],
    ]);
    expect(read.defaults).toEqual([
      { module: "a", stream: "x", profiles: { x: ["common"] }, modified: 201812071200 },
    ]);
  });

  test("hostile input: aliases that multiply, documents without end, names that are paths", async () => {
    const lines = Array.from(
      { length: 9 },
      (_, i) => `  x${i + 1}: &x${i + 1} [${Array(9).fill(`*x${i}`).join(", ")}]\n`,
    ).join("");
    const bomb = `---\n${head}  x0: &x0 [a, a]\n${lines}  name: *x9\n`;
    expect((await readModules(pieces(bomb, 1000), "x")).problems).toEqual([expect.stringMatching(/alias/i)]);
    const path = `---\n${head}  name: ../../etc\n  stream: "1"\n  version: 1\n${wordy}`;
    expect((await readModules(pieces(path), "x")).problems).toEqual([
      expect.stringContaining("is no name of a module"),
    ]);
    const endless = async function* (): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(1 << 20, "a\n");
    };
    await expect(readModules(endless(), "x")).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("a document of more than"),
    });
  });
});

test("which platform systems are, where it is known", () => {
  expect(platformsOf(["rocky-9.4", "rhel-9"])).toEqual(new Set(["el9"]));
  expect(platformsOf(["fedora-41"])).toEqual(new Set(["f41"]));
  expect(platformsOf(["rocky-8", "openEuler-22.03"])).toBeUndefined();
});

const rpm = (name: string, evr = "1-1", more: Partial<TestRpm> = {}): TestRpm => ({ name, evr, ...more });

describe("streams", () => {
  const web1 = rpm("web", "1-1.m1");
  const web2 = rpm("web", "2-1.m2", { requires: ["lib"] });
  const lib = rpm("lib", "1-1.m2");
  const plain = rpm("web", "3-1");
  const other = rpm("other", "1-1", { provides: ["web"] });
  const user = rpm("user", "1-1", { requires: ["web"] });
  const rpms = [web1, web2, lib, plain, other, user];
  const streams: TestStream[] = [
    {
      name: "web",
      stream: "1",
      artifacts: [artifactOf(web1)],
      profiles: { common: ["web"], minimal: ["web"] },
    },
    {
      name: "web",
      stream: "2",
      artifacts: [artifactOf(web2)],
      profiles: { common: ["web"] },
      requires: { platform: ["el9"], libs: ["a"] },
    },
    { name: "libs", stream: "a", artifacts: [artifactOf(lib)] },
  ];
  const defaults: TestDefaults[] = [
    { module: "web", stream: "1", profiles: { "1": ["common"], "2": ["common"] } },
  ];

  async function resolve(
    install: string[],
    own = defaults,
    over: Partial<PackageSetSpec> = {},
  ): Promise<Closure> {
    await writeRpmRepository(`${at.dir}/repo`, rpms, { modules: modulesYaml(streams, own) });
    const [found] = await resolveClosures(
      rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install, ...over }),
      at.context,
    );
    return found as Closure;
  }
  const ids = async (...given: Parameters<typeof resolve>): Promise<string[]> =>
    (await resolve(...given)).packages.map(({ id }) => id);

  test("the default stream alone is seen; what is called like its packages or provides them is not", async () => {
    expect(await ids(["user"])).toEqual(["user-1-1.noarch", "web-1-1.m1.noarch"]);
    await expect(resolve(["other"])).rejects.toMatchObject({
      code: "unsatisfiable",
      message: expect.stringContaining(
        "other-1-1.noarch (base) is hidden: it provides web, which the module stream web:1 has a package for",
      ),
      suggestions: ["moduleHotfixes: true  # at that repository, in the spec"],
    });
    await expect(resolve(["lib"])).rejects.toMatchObject({
      suggestions: ['"@libs:a"  # in install:, enables that stream'],
    });
  });

  test("without a default the packages outside of modules are what there is", async () => {
    expect(await ids(["web"], [])).toEqual(["web-3-1.noarch"]);
  });

  test.each(["@web:2", "@web:2/common", "@web:2:1:c0ffee:x86_64", "@web:2::x86_64", "@w*:2"])(
    "%s enables its stream and what that requires",
    async (asked) => {
      expect(await ids([asked])).toEqual(["lib-1-1.m2.noarch", "web-2-1.m2.noarch"]);
    },
  );

  test("@web is the default stream, or the one that is named beside it", async () => {
    expect(await ids(["@web"])).toEqual(["web-1-1.m1.noarch"]);
    expect(await ids(["@web", "@web:2"])).toEqual(["lib-1-1.m2.noarch", "web-2-1.m2.noarch"]);
  });

  test("a stream without profiles is enabled, for what is named beside it", async () => {
    expect(await ids(["@libs", "lib"])).toEqual(["lib-1-1.m2.noarch"]);
  });

  test("what hosts have is seen whatever modules say, and says which stream they have enabled", async () => {
    const { writeFile } = await import("node:fs/promises");
    await writeFile(`${at.dir}/hosts`, "other-1-1.noarch\n");
    expect(await ids(["user"], defaults, { installed: "hosts" })).toEqual(["user-1-1.noarch"]);
    await writeFile(`${at.dir}/hosts`, "web-2-1.m2.noarch\n");
    expect(await ids(["user", "lib"], defaults, { installed: "hosts" })).toEqual([
      "lib-1-1.m2.noarch",
      "user-1-1.noarch",
    ]);
    expect(await ids(["@web", "user", "lib"], defaults, { installed: "hosts" })).toEqual([
      "lib-1-1.m2.noarch",
      "user-1-1.noarch",
    ]);
    await expect(resolve(["@web:1"], defaults, { installed: "hosts" })).rejects.toMatchObject({
      code: "unsatisfiable",
    });
    expect(at.events).toContainEqual({
      type: "warning",
      message: expect.stringContaining("hosts have packages of web:2, and web:1 is asked for"),
    });
  });

  test("a hotfix repository is not filtered", async () => {
    expect(
      await ids(["user"], defaults, {
        repositories: [{ id: "base", baseurl: "repo", moduleHotfixes: true }],
      }),
    ).toEqual(["other-1-1.noarch", "user-1-1.noarch"]);
  });

  test("what can't be meant is refused with what can", async () => {
    await expect(resolve(["@web"], [])).rejects.toMatchObject({
      code: "spec",
      suggestions: ['"@web:1"', '"@web:2"'],
    });
    await expect(resolve(["@web:1", "@web:2"])).rejects.toThrow(
      /web:1 is asked for too, and hosts can have one stream/,
    );
    await expect(resolve(["@web:1/devel"])).rejects.toMatchObject({
      message: expect.stringContaining("no profile devel"),
      suggestions: ['"@web:1/common"', '"@web:1/minimal"'],
    });
    await expect(resolve(["@web:2"], [])).rejects.toMatchObject({
      message: expect.stringContaining("no profile of it is the default; it has common"),
      suggestions: ['"@web:2/common"'],
    });
    await expect(resolve(["@webb"])).rejects.toMatchObject({
      code: "unsatisfiable",
      message: expect.stringContaining('is "webb"'),
      suggestions: ['"@web"'],
    });
    await expect(resolve(["@web:9"])).rejects.toMatchObject({
      message: expect.stringContaining("streams of web: web:1, web:2"),
      suggestions: ['"@web:1"', '"@web:2"'],
    });
  });

  test("a platform that the systems are not", async () => {
    const el8 = { for: ["rocky-8"] };
    await expect(resolve(["@web:2"], defaults, el8)).rejects.toThrow(
      /streams web:2 can't be enabled together[\s\S]*module\(platform:el9\)/,
    );
    expect(await ids(["web"], defaults, el8)).toEqual(["web-3-1.noarch"]);
    expect(at.events).toContainEqual({
      type: "warning",
      message: expect.stringContaining("not all module streams go together"),
    });
    expect(await ids(["@web:2"], defaults, { for: ["openEuler-22.03"] })).toContain("web-2-1.m2.noarch");
  });

  test("roles can have different streams", async () => {
    await writeRpmRepository(`${at.dir}/repo`, rpms, { modules: modulesYaml(streams, defaults) });
    const install = { worker: ["@web:2"], "load-balancer": ["web"] };
    const found = await resolveClosures(
      rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install }),
      at.context,
    );
    expect(found.map(({ packages }) => packages.map(({ id }) => id))).toEqual([
      ["lib-1-1.m2.noarch", "web-2-1.m2.noarch"],
      ["web-1-1.m1.noarch"],
    ]);
    expect(found.map(({ modules }) => modules?.map(({ name, stream }) => `${name}:${stream}`))).toEqual([
      ["libs:a", "web:2"],
      ["web:1"],
    ]);
  });

  test("what is carried says of its modules what concerns it, with the stream as the default", async () => {
    const { modules = [], packages } = await resolve(["@web:2"]);
    const yaml =
      carriedYaml(
        modules,
        new Set(packages.map(({ id }) => id)),
        new Set(packages.map(({ name }) => name)),
      ) ?? "";
    const again = await readModules(pieces(yaml), "carried");
    expect(again.problems).toEqual([]);
    expect(
      again.streams.map(({ name, stream, artifacts, requires }) => ({ name, stream, artifacts, requires })),
    ).toEqual([
      { name: "libs", stream: "a", artifacts: ["lib-1-1.m2.noarch"], requires: [{ platform: ["el9"] }] },
      {
        name: "web",
        stream: "2",
        artifacts: ["web-2-1.m2.noarch"],
        requires: [{ platform: ["el9"], libs: ["a"] }],
      },
    ]);
    expect(again.defaults.map(({ module, stream, profiles }) => ({ module, stream, profiles }))).toEqual([
      { module: "libs", stream: "a", profiles: {} },
      { module: "web", stream: "2", profiles: { "2": ["common"] } },
    ]);
    expect(carriedYaml(modules, new Set(), new Set())).toBeUndefined();
  });

  test("modules.yaml that is not what repomd.xml says is refused", async () => {
    await writeRpmRepository(`${at.dir}/repo`, rpms, { modules: modulesYaml(streams, defaults) });
    const { writeFile } = await import("node:fs/promises");
    await writeFile(`${at.dir}/repo/repodata/modules.gz`, gzipSync("---\n"));
    const set = rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install: ["web"] });
    await expect(resolveClosures(set, at.context)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("modules.gz"),
    });
  });
});
