import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { describe, expect, test } from "vitest";
import { compareVersions, inRange, newest } from "../../../src/discovery/charts/semver.ts";
import { readArchive, readFolder } from "../../../src/discovery/charts/tree.ts";
import type { Find } from "../../../src/discovery/images/find.ts";
import { findImagesAt } from "../../../src/discovery/manifests/find-images.ts";
import { searchPaths } from "../../../src/discovery/manifests/search.ts";
import { Http } from "../../../src/http.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import { Registries } from "../../../src/transport/registry/registries.ts";
import { startRegistry } from "../../support/registry.ts";
import { Scratch } from "../../support/scratch.ts";

const hasHelm = (() => {
  try {
    execFileSync("helm", ["version", "--short"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

const CHART: Record<string, string> = {
  "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3\nappVersion: 4.5.6\n",
  "values.yaml":
    "web: { image: { registry: reg.site, repository: org/web, tag: '' } }\nmetrics: { enabled: false, image: { repository: org/metrics, tag: v1 } }\noperator: { image: { repository: org/operator, tag: '' }, cloud: generic }\nworkerImage: org/worker:7\n",
  "templates/web.yaml":
    "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec:\n  containers:\n  - name: w\n    image: {{ .Values.web.image.registry }}/{{ .Values.web.image.repository }}:{{ .Values.web.image.tag | default .Chart.AppVersion }}\n  - name: o\n    image: {{ .Values.operator.image.repository }}-{{ .Values.operator.cloud }}:{{ .Chart.AppVersion }}\n{{- if .Values.metrics.enabled }}\n  - name: m\n    image: {{ .Values.metrics.image.repository }}:{{ .Values.metrics.image.tag }}\n{{- end }}\n",
  "templates/hook.yaml":
    "apiVersion: batch/v1\nkind: Job\nmetadata: { name: migrate, annotations: { helm.sh/hook: pre-install } }\nspec: { template: { spec: { containers: [{ name: j, image: {{ .Values.workerImage }} }] } } }\n",
};

function write(scratch: Scratch, folder: string, files: Record<string, string>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(scratch.path(folder), path)), { recursive: true });
    writeFileSync(join(scratch.path(folder), path), text);
  }
  return scratch.path(folder);
}

async function archive(
  files: Record<string, string>,
  more: { name: string; type: "symlink"; linkname: string }[] = [],
): Promise<Buffer> {
  const tar = pack();
  for (const [name, text] of Object.entries(files)) tar.entry({ name }, text);
  for (const header of more) tar.entry(header);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}
const packed = (files: Record<string, string>): Promise<Buffer> =>
  archive(Object.fromEntries(Object.entries(files).map(([path, text]) => [`shop/${path}`, text])));

interface Options {
  set?: string[];
  values?: string;
  registries?: Registries;
  strict?: boolean;
}

async function search(
  path: string,
  { set = [], values, registries, strict = false }: Options = {},
): Promise<{ finds: Find[]; warnings: string[]; notes: string[] }> {
  const http = new Http({ retries: 0 });
  const [warnings, notes]: [string[], string[]] = [[], []];
  try {
    const { finds } = await searchPaths([path], {
      values: values === undefined ? [] : [{ file: "v.yaml", text: values }],
      set,
      strict,
      whole: false,
      reach: {
        baseDir: "/",
        http: () => http,
        emit: () => {},
        ...(registries ? { registry: (host, repository) => registries.source(host, repository) } : {}),
      },
      warn: (message) => warnings.push(message),
      note: (message) => notes.push(message),
    });
    return { finds, warnings, notes };
  } finally {
    await http.close();
  }
}

const rendered = (finds: Find[]): string[] =>
  finds
    .filter(({ behind, confidence }) => !behind && confidence !== "possible")
    .map(({ reference }) => reference);
const withoutHelm = async <T>(work: () => Promise<T>): Promise<T> => {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nowhere";
  try {
    return await work();
  } finally {
    process.env["PATH"] = path;
  }
};

describe("without helm", () => {
  test("the values are read, that is said, and it is likely at most", async () => {
    using scratch = new Scratch();
    const { finds, warnings } = await withoutHelm(() => search(write(scratch, "shop", CHART)));
    expect(rendered(finds)).toEqual([
      "docker.io/org/operator:4.5.6",
      "docker.io/org/worker:7",
      "reg.site/org/web:4.5.6",
    ]);
    expect(finds.find(({ behind }) => behind)).toMatchObject({
      reference: "docker.io/org/metrics:v1",
      places: [{ behind: "metrics.enabled" }],
    });
    expect(finds.every(({ confidence }) => confidence !== "certain")).toBe(true);
    expect(warnings.join()).toContain("helm is not on the PATH");
  });

  test("values and --set change what they say, sub-charts get theirs and the global ones", async () => {
    using scratch = new Scratch();
    const folder = write(scratch, "shop", {
      ...CHART,
      "Chart.yaml": `${CHART["Chart.yaml"]}dependencies: [{ name: db, version: 1.0.0, repository: '', alias: store, condition: store.enabled }]\n`,
      "charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\nappVersion: '16'\n",
      "charts/db/values.yaml": "image: { repository: org/db }\n",
    });
    const { finds } = await withoutHelm(() =>
      search(folder, {
        set: ["metrics.enabled=true,metrics.image.tag=v2", "store.image.tag=17"],
        values: "global: { imageRegistry: mirror.site }\nstore: { enabled: true }\nworkerImage: null\n",
      }),
    );
    expect(rendered(finds)).toEqual([
      "mirror.site/org/db:17",
      "mirror.site/org/metrics:v2",
      "mirror.site/org/operator:4.5.6",
      "reg.site/org/web:4.5.6",
    ]);
    const off = await withoutHelm(() => search(folder, { set: ["store.enabled=false"] }));
    expect(off.finds.find(({ reference }) => reference.includes("org/db"))).toMatchObject({
      behind: true,
      places: [{ behind: "store.enabled" }],
    });
  });

  test.each([
    [
      "image: { keda: { registry: reg.site, repository: org/keda, tag: '' }, api: { registry: reg.site, repository: org/api } }",
      ["reg.site/org/api:4.5.6", "reg.site/org/keda:4.5.6"],
    ],
    [
      "imageRegistry: reg.site\nimageNamespace: team\nimage: { name: controller, repository: '' }\nhook: { image: { name: hook } }",
      ["reg.site/team/controller:4.5.6", "reg.site/team/hook:4.5.6"],
    ],
    ["image: { registry: ~, defaultRegistry: reg.site, repository: org/x, tag: v1 }", ["reg.site/org/x:v1"]],
    [
      "defaultRegistry: reg.site/org\nui: { image: { registry: '', name: ui, tag: v2 } }",
      ["reg.site/org/ui:v2"],
    ],
  ])("names are put together in %s", async (values, references) => {
    using scratch = new Scratch();
    const folder = write(scratch, "shop", {
      "Chart.yaml": CHART["Chart.yaml"] as string,
      "values.yaml": `${values}\n`,
    });
    expect(rendered((await withoutHelm(() => search(folder))).finds)).toEqual(references);
  });

  test("a build needs it", async () => {
    using scratch = new Scratch();
    await expect(withoutHelm(() => search(write(scratch, "shop", CHART), { strict: true }))).rejects.toThrow(
      /helm is not on the PATH/,
    );
  });
});

describe.skipIf(!hasHelm)("rendered by helm", () => {
  test("what it gives is certain, hooks too; the values say what is switched off", async () => {
    using scratch = new Scratch();
    const { finds, notes } = await search(write(scratch, "shop", CHART));
    expect(finds.map(({ reference, confidence, behind = false }) => [reference, confidence, behind])).toEqual(
      [
        ["docker.io/org/metrics:v1", "likely", true],
        ["docker.io/org/operator-generic:4.5.6", "certain", false],
        ["docker.io/org/worker:7", "certain", false],
        ["reg.site/org/web:4.5.6", "certain", false],
      ],
    );
    expect(notes.join()).toContain("Job/migrate (pre-install)");
  });

  test("values and --set are helm's", async () => {
    using scratch = new Scratch();
    const { finds } = await search(write(scratch, "shop", CHART), {
      set: ["metrics.enabled=true"],
      values: "web: { image: { tag: v9 } }\n",
    });
    expect(rendered(finds)).toEqual([
      "docker.io/org/metrics:v1",
      "docker.io/org/operator-generic:4.5.6",
      "docker.io/org/worker:7",
      "reg.site/org/web:v9",
    ]);
  });

  test("a template that needs values is left out with a warning, and is an error of a build", async () => {
    using scratch = new Scratch();
    const folder = write(scratch, "shop", {
      ...CHART,
      "templates/need.yaml": '{{ required "give a password" .Values.password }}\n',
    });
    const { finds, warnings } = await search(folder);
    expect(rendered(finds)).toContain("reg.site/org/web:4.5.6");
    expect(warnings.join()).toContain("give a password");
    await expect(search(folder, { strict: true })).rejects.toThrow(/give a password/);
  });

  test("a missing sub-chart is named, the rest is rendered", async () => {
    using scratch = new Scratch();
    const folder = write(scratch, "shop", {
      ...CHART,
      "Chart.yaml": `${CHART["Chart.yaml"]}dependencies: [{ name: cache, version: ^1, repository: 'http://127.0.0.1:9/charts' }]\n`,
    });
    const { finds, warnings } = await search(folder);
    expect(rendered(finds)).toContain("reg.site/org/web:4.5.6");
    expect(warnings.join()).toContain("sub-chart cache ^1 cannot be fetched");
    await expect(search(folder, { strict: true })).rejects.toThrow(/cache/);
  });

  test("from a repository, with a sub-chart of another version range, checked against the index", async () => {
    const db = await archive({
      "db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.4.0\n",
      "db/templates/x.yaml":
        "apiVersion: v1\nkind: Pod\nmetadata: { name: db }\nspec: { containers: [{ name: d, image: org/db:16 }] }\n",
    });
    const shop = await packed({
      ...CHART,
      "Chart.yaml":
        `${CHART["Chart.yaml"]}dependencies: [{ name: db, version: 1.x, repository: 'REPO' }]\n`.replace(
          "REPO",
          "http://127.0.0.1:PORT/",
        ),
    });
    const files = new Map<string, Buffer>();
    await using server = await serve(files);
    const chart = await packed({
      ...CHART,
      "Chart.yaml": `${CHART["Chart.yaml"]}dependencies: [{ name: db, version: 1.x, repository: '${server.url}' }]\n`,
    });
    files.set("/shop-1.2.3.tgz", chart);
    files.set("/db-1.4.0.tgz", db);
    const entry = (name: string, version: string, bytes: Buffer): string =>
      `  - { version: ${version}, digest: ${digestOf(bytes).slice(7)}, urls: [${name}-${version}.tgz] }\n`;
    files.set(
      "/index.yaml",
      Buffer.from(
        `apiVersion: v1\nentries:\n  db:\n${entry("db", "1.4.0", db)}${entry("db", "2.0.0", db)}  shop:\n${entry("shop", "1.2.3", chart)}`,
      ),
    );
    const { finds } = await search(`${server.url}shop-1.2.3.tgz`);
    expect(rendered(finds)).toContain("docker.io/org/db:16");
    files.set("/db-1.4.0.tgz", shop);
    await expect(search(`${server.url}shop-1.2.3.tgz`)).rejects.toThrow(/wrong content: the index says/);
  });

  test("from a registry", async () => {
    await using registry = await startRegistry();
    const layer = await packed(CHART);
    const config = Buffer.from("{}");
    const describe = (mediaType: string, bytes: Buffer) => ({
      mediaType,
      digest: registry.store.addBlob("charts/shop", bytes),
      size: bytes.length,
    });
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: describe("application/vnd.cncf.helm.config.v1+json", config),
        layers: [describe("application/vnd.cncf.helm.chart.content.v1.tar+gzip", layer)],
      }),
    );
    registry.store.addManifest(
      "charts/shop",
      "application/vnd.oci.image.manifest.v1+json",
      manifest,
      "1.2.3",
    );
    const type = "application/vnd.oci.image.manifest.v1+json";
    const image = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: type,
        config: describe("application/vnd.oci.image.config.v1+json", Buffer.from("{ }")),
        layers: [],
      }),
    );
    registry.store.addManifest("charts/shop", type, image);
    const index = (...children: Buffer[]): Buffer =>
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: "application/vnd.oci.image.index.v1+json",
          manifests: children.map((bytes) => ({
            mediaType: type,
            digest: digestOf(bytes),
            size: bytes.length,
          })),
        }),
      );
    const indexType = "application/vnd.oci.image.index.v1+json";
    registry.store.addManifest("charts/shop", indexType, index(image, manifest), "0.9.0");
    registry.store.addManifest("charts/shop", indexType, index(image), "0.8.0");
    const registries = new Registries({ trust: () => ({ insecure: true }) });
    try {
      await expect(search(`oci://${registry.host}/charts/shop:0.8.0`, { registries })).rejects.toThrow(
        /not a Helm chart/,
      );
      for (const tag of [":1.2.3", "", ":0.9.0"])
        expect(
          rendered((await search(`oci://${registry.host}/charts/shop${tag}`, { registries })).finds),
        ).toContain("reg.site/org/web:4.5.6");
    } finally {
      await registries.close();
    }
  });
});

async function serve(files: Map<string, Buffer>) {
  const server = createServer((request, response) => {
    const found = files.get(request.url ?? "");
    response.writeHead(found ? 200 : 404).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("what a chart's publisher names in annotations", () => {
  const annotated = {
    ...CHART,
    "Chart.yaml": `${CHART["Chart.yaml"]}annotations:\n  artifacthub.io/images: |\n    - name: a\n      image: org/runtime:1\n    - name: w\n      image: reg.site/org/web:0.9\n  helm.sh/images: |\n    - { name: m, image: 'org/exporter:2', condition: metrics.enabled }\n    - { name: n, image: 'org/always:3' }\n  other/note: org/nothing:4\n`,
  };
  const named = (finds: Find[]): [string, boolean | undefined][] =>
    finds
      .filter(({ reference }) => /runtime|exporter|always|nothing|web:0/.test(reference))
      .map(({ reference, behind }) => [reference, behind]);

  test("is carried, a condition is a switch, and another tag of what is rendered is stale", async () => {
    using scratch = new Scratch();
    const { finds } = await search(write(scratch, "shop", annotated));
    expect(named(finds).filter(([reference]) => !reference.includes("web"))).toEqual([
      ["docker.io/org/always:3", undefined],
      ["docker.io/org/exporter:2", true],
      ["docker.io/org/runtime:1", undefined],
    ]);
    const on = await search(write(scratch, "shop", annotated), { set: ["metrics.enabled=true"] });
    expect(named(on.finds)).toContainEqual(["docker.io/org/exporter:2", undefined]);
  });
});

describe("charts that lead out are refused", () => {
  test.each(["../evil", "shop/../../evil", "/etc/evil", "shop/..\\..\\evil"])("the path %s", async (name) => {
    await expect(
      readArchive(await archive({ "shop/Chart.yaml": "x", [name]: "y" }), "x.tgz"),
    ).rejects.toThrow(/leads outside/);
  });

  test("a link in an archive, and one out of a folder", async () => {
    await expect(
      readArchive(await archive({}, [{ name: "shop/x", type: "symlink", linkname: "/etc/passwd" }]), "x.tgz"),
    ).rejects.toThrow(/is a link/);
    using scratch = new Scratch();
    const folder = write(scratch, "shop", CHART);
    symlinkSync("/etc/hostname", join(folder, "templates/x.yaml"));
    await expect(readFolder(folder)).rejects.toThrow(/leads outside/);
  });

  test("a link to a sub-chart beside it and one within its working tree are followed, as helm does", async () => {
    using scratch = new Scratch();
    const folder = write(scratch, "repo/charts/shop", CHART);
    const library = write(scratch, "elsewhere/lib", {
      "Chart.yaml": "name: lib\nversion: 0.0.1\n",
      "x.tpl": "y",
    });
    const shared = write(scratch, "repo/shared", { "a.yaml": "a: 1" });
    mkdirSync(join(folder, "charts"), { recursive: true });
    symlinkSync(library, join(folder, "charts/lib"));
    expect((await readFolder(folder)).get("charts/lib/x.tpl")?.toString()).toBe("y");
    symlinkSync(shared, join(folder, "files"));
    await expect(readFolder(folder)).rejects.toThrow(/files leads outside/);
    mkdirSync(scratch.path("repo/.git"));
    expect((await readFolder(folder)).has("files/a.yaml")).toBe(true);
    symlinkSync("/etc/hostname", join(library, "secret"));
    await expect(readFolder(folder)).rejects.toThrow(/charts\/lib\/secret leads outside/);
  });

  test("links that cannot be followed are left out and told where the chart is only searched", async () => {
    using scratch = new Scratch();
    const folder = write(scratch, "shop", {
      "Chart.yaml": "name: shop\nversion: 0.1.0\n",
      "values.yaml": "image: reg.site/web:1\n",
    });
    symlinkSync("/etc/hostname", join(folder, "outside.json"));
    symlinkSync("missing.json", join(folder, "broken.json"));
    await expect(readFolder(folder)).rejects.toMatchObject({
      suggestions: [expect.stringMatching(/^cp -rL/)],
    });
    let complete = true;
    const { images, warnings } = await findImagesAt({
      ...{ paths: [folder], values: [], set: [], emit: () => {} },
      incomplete: () => {
        complete = false;
      },
    });
    expect(images.map(({ reference }) => reference)).toEqual(["reg.site/web:1"]);
    expect(warnings.slice(0, 2)).toEqual([
      expect.stringMatching(/the link broken\.json is broken .*not in the answer/),
      expect.stringMatching(/the link outside\.json leads outside the chart: .*not in the answer/),
    ]);
    expect(complete).toBe(false);
  });

  test("a link that leads back to its own folder ends", async () => {
    using scratch = new Scratch();
    const folder = write(scratch, "shop", CHART);
    symlinkSync("..", join(folder, "templates/again"));
    await expect(readFolder(folder)).rejects.toThrow(/leads back/);
  });

  test("what unpacks to too much, and what is no archive", async () => {
    const bomb = gzipSync(
      Buffer.concat([
        await new Promise<Buffer>((resolve) => {
          const tar = pack();
          const chunks: Buffer[] = [];
          tar.on("data", (chunk: unknown) => void chunks.push(chunk as Buffer));
          tar.on("end", () => resolve(Buffer.concat(chunks)));
          tar.entry({ name: "shop/a" }, Buffer.alloc(60 << 20));
          tar.entry({ name: "shop/b" }, Buffer.alloc(60 << 20));
          tar.finalize();
        }),
      ]),
    );
    expect(bomb.length).toBeLessThan(1 << 20);
    await expect(readArchive(bomb, "x.tgz")).rejects.toThrow(/more than 100 MiB/);
    await expect(readArchive(Buffer.from("no gzip"), "x.tgz")).rejects.toThrow(/not a packaged chart/);
  });

  test("a folder that is no chart", async () => {
    using scratch = new Scratch();
    await expect(search(write(scratch, "x", { "Chart.yaml": "name: [\n" }))).rejects.toThrow(/Chart\.yaml:2/);
  });
});

describe("ranges of versions, as Helm takes them", () => {
  test.each([
    ["1.2.3", "^1.2", true],
    ["2.0.0", "^1.2", false],
    ["0.2.9", "^0.2.3", true],
    ["0.3.0", "^0.2.3", false],
    ["0.0.4", "^0.0.3", false],
    ["1.2.9", "~1.2.3", true],
    ["1.3.0", "~1.2", false],
    ["1.9.0", "~1", true],
    ["1.5.0", ">= 1.2, < 1.6", true],
    ["1.6.0", ">=1.2 <1.6", false],
    ["1.4.7", "1.2 - 1.4.9", true],
    ["3.1.0", "1.x || 3.*", true],
    ["2.1.0", "1.x || 3.*", false],
    ["1.2.3", "", true],
    ["1.2.3-rc.1", "^1.2", false],
    ["1.2.3-rc.1", ">=1.2.3-0", true],
    ["v1.33.0", ">=1.25.0-0", true],
    ["1.2.4", "!=1.2.4", false],
    ["1.3.0", ">1.2", true],
    ["1.2.9", ">1.2", false],
    ["1.2.9", "<=1.2", true],
  ])("%s in %s: %s", (version, range, answer) => {
    expect(inRange(version, range)).toBe(answer);
  });

  test("order, and the newest", () => {
    expect(["1.0.0", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-rc", "0.9.9", "x"].sort(compareVersions)).toEqual([
      "x",
      "0.9.9",
      "1.0.0-rc",
      "1.0.0-rc.2",
      "1.0.0-rc.10",
      "1.0.0",
    ]);
    expect(newest(["1.0.0", "1.2.0", "2.0.0-rc.1"])).toBe("1.2.0");
    expect(newest(["1.0.0", "1.2.0", "2.0.0-rc.1"], "2.0.0-rc.1")).toBe("2.0.0-rc.1");
    expect(newest(["1.0.0"], "^2")).toBeUndefined();
  });
});
