import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { emitStream } from "../../../src/discovery/documents/emit.ts";
import { findImages } from "../../../src/discovery/images/find.ts";
import { buildKustomization } from "../../../src/discovery/kustomize/build.ts";
import { parseRemote, shownRemote } from "../../../src/discovery/kustomize/remote.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function tree(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "kustomize-test-"));
  folders.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const deployment = (name: string, image: string, more = ""): string =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: ${name} }\nspec:\n  template:\n    spec:\n      containers:\n      - name: main\n        image: ${image}\n${more}`;

interface Loose {
  kind: string;
  metadata: Record<string, never>;
  // biome-ignore lint/suspicious/noExplicitAny: built objects are of any shape
  [key: string]: any;
}

async function build(root: string, folder = ".") {
  const warnings: string[] = [];
  const built = await buildKustomization(join(root, folder), {
    strict: true,
    warn: (message) => warnings.push(message),
  });
  const objects = parseAllDocuments(emitStream(built.documents), { version: "1.1" }).map(
    (document) => document.toJS() as Loose,
  );
  return {
    objects,
    images: findImages(built.documents).map(({ reference }) => reference),
    finds: findImages(built.documents),
  };
}

describe("a kustomization", () => {
  test("bases, components, images by name, tag, digest; a text in a ConfigMap stays", async () => {
    const root = tree({
      "base/kustomization.yaml": "resources: [web.yaml, config.yaml]\n",
      "base/web.yaml": deployment(
        "web",
        "org/web:1",
        "      initContainers:\n      - { name: i, image: 'reg.site/init:1' }\n",
      ),
      "base/config.yaml":
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\ndata: { helper-image: 'org/web:1' }\n",
      "extra/kustomization.yaml":
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [job.yaml]\n",
      "extra/job.yaml":
        "apiVersion: batch/v1\nkind: Job\nmetadata: { name: j }\nspec: { template: { spec: { containers: [{ name: a, image: 'org/job:1' }] } } }\n",
      "site/kustomization.yaml": `resources: [../base]\ncomponents: [../extra]\nimages:\n- { name: org/web, newName: reg.site/web, newTag: v2 }\n- { name: reg.site/init, digest: 'sha256:${"a".repeat(64)}' }\n- { name: org/job, newTag: '7' }\n`,
    });
    const { images, finds } = await build(root, "site");
    expect(images).toEqual([
      "docker.io/org/job:7",
      "docker.io/org/web:1",
      `reg.site/init@sha256:${"a".repeat(64)}`,
      "reg.site/web:v2",
    ]);
    expect(finds.find(({ reference }) => reference === "docker.io/org/web:1")?.places).toMatchObject([
      { file: "base/config.yaml", line: 4 },
    ]);
  });

  test("strategic merges by name, deletions, replacements of lists in custom resources", async () => {
    const root = tree({
      "kustomization.yaml":
        "resources: [a.yaml, b.yaml, c.yaml]\npatches:\n- path: merge.yaml\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: { name: b }\n    $patch: delete\n- target: { kind: Thing }\n  patch: |\n    apiVersion: example.org/v1\n    kind: Thing\n    metadata: { name: any }\n    spec: { containers: [{ name: y, image: 'org/y:1' }] }\n",
      "a.yaml": deployment(
        "a",
        "org/a:1",
        "      - name: side\n        image: org/side:1\n      - name: old\n        image: org/old:1\n",
      ),
      "b.yaml": deployment("b", "org/b:1"),
      "c.yaml":
        "apiVersion: example.org/v1\nkind: Thing\nmetadata: { name: c }\nspec: { containers: [{ name: x, image: 'org/x:1' }] }\n",
      "merge.yaml":
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a }\nspec: { template: { spec: { containers: [{ name: new, image: 'org/new:1' }, { name: main, image: 'org/a:2' }, { name: old, $patch: delete }] } } }\n",
    });
    const { images, objects } = await build(root);
    expect(images).toEqual([
      "docker.io/org/a:2",
      "docker.io/org/new:1",
      "docker.io/org/side:1",
      "docker.io/org/y:1",
    ]);
    expect(objects.map(({ kind }) => kind)).toEqual(["Deployment", "Thing"]);
    expect(objects[0]?.["spec"].template.spec.containers.map(({ name }: { name: string }) => name)).toEqual([
      "new",
      "main",
      "side",
    ]);
  });

  test("JSON patches, replacements, generators, names and namespaces", async () => {
    const root = tree({
      "kustomization.yaml":
        "namePrefix: p-\nnamespace: ns\nresources: [web.yaml]\nconfigMapGenerator:\n- name: settings\n  literals: [IMAGE=org/from-literal:3]\n  files: [extra.yaml]\n  envs: [x.env]\npatches:\n- target: { kind: Deployment, name: web }\n  patch: |\n    - { op: replace, path: /spec/template/spec/containers/0/image, value: 'org/json:1' }\n    - { op: add, path: /spec/template/spec/containers/0/envFrom, value: [{ configMapRef: { name: settings } }] }\nreplacements:\n- source: { kind: ConfigMap, name: settings, fieldPath: data.TAG }\n  targets:\n  - select: { kind: Deployment }\n    fieldPaths: ['spec.template.spec.containers.[name=main].image']\n    options: { delimiter: ':', index: 1 }\n",
      "web.yaml": deployment("web", "org/web:1"),
      "extra.yaml": "sidecar: { image: 'org/in-file:4' }\n",
      "x.env": "# a comment\nTAG=v9\n",
    });
    const { images, objects } = await build(root);
    expect(images).toEqual([
      "docker.io/org/from-literal:3",
      "docker.io/org/in-file:4",
      "docker.io/org/json:v9",
    ]);
    const web = objects.find(({ kind }) => kind === "Deployment");
    expect(web).toMatchObject({
      metadata: { name: "p-web", namespace: "ns" },
      spec: { template: { spec: { containers: [{ envFrom: [{ configMapRef: { name: "p-settings" } }] }] } } },
    });
  });
});

describe("remote bases", () => {
  const git = (folder: string, ...args: string[]): string =>
    execFileSync("git", ["-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
      encoding: "utf8",
    }).trim();
  const repository = (files: Record<string, string>): { folder: string; commit: string } => {
    const folder = tree(files);
    git(folder, "init", "--quiet");
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true");
    git(folder, "add", "-A");
    git(folder, "commit", "--quiet", "-m", "x");
    return { folder, commit: git(folder, "rev-parse", "HEAD") };
  };
  const FETCH = {
    fetch: async (url: string) =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: f }\ndata: { url: '${url}' }\n`,
  };
  const kustomization = (base: string): string =>
    tree({ "kustomization.yaml": `resources: ['${base}']\nnamePrefix: p-\n` });

  test("at a full commit are fetched by git, with their own bases", async () => {
    const { folder, commit } = repository({
      "deploy/site/kustomization.yaml": "resources: [../base]\n",
      "deploy/base/kustomization.yaml": "resources: [a.yaml]\n",
      "deploy/base/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n",
    });
    const base = `file://${folder}//deploy/site?ref=${commit}`;
    const built = await buildKustomization(kustomization(base), { strict: true, warn: () => {}, ...FETCH });
    expect(emitStream(built.documents)).toContain("name: p-a");
    expect(built.remotes).toEqual([base]);
    const away = `file://${folder}//deploy/site?ref=${"0".repeat(40)}`;
    await expect(
      buildKustomization(kustomization(away), { strict: true, warn: () => {}, ...FETCH }),
    ).rejects.toThrow(/git could not fetch/);
  });

  test("may not lead to files of this machine", async () => {
    const own = tree({ "kustomization.yaml": "resources: []\n" });
    const { folder, commit } = repository({ "kustomization.yaml": `resources: ['${own}']\n` });
    await expect(
      buildKustomization(kustomization(`file://${folder}?ref=${commit}`), {
        strict: true,
        warn: () => {},
        ...FETCH,
      }),
    ).rejects.toThrow(/outside its repository/);
  });

  test("a single file by URL is read", async () => {
    const built = await buildKustomization(kustomization("https://example.org/x/a.yaml"), {
      strict: true,
      warn: () => {},
      ...FETCH,
    });
    expect(emitStream(built.documents)).toContain("url: https://example.org/x/a.yaml");
  });

  test("at a tag are told, and the rest is the answer", async () => {
    const warnings: string[] = [];
    const root = tree({
      "kustomization.yaml": "resources: [a.yaml, 'https://github.com/o/r//x?ref=v1.2.3']\n",
      "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n",
    });
    const built = await buildKustomization(root, {
      strict: false,
      warn: (message) => warnings.push(message),
      ...FETCH,
    });
    expect(built.documents).toHaveLength(1);
    expect(warnings.join()).toMatch(/can change under the same name.*\?ref=COMMIT/);
  });

  test.each([
    ["https://github.com/o/r//deploy?ref=v1", "https://github.com/o/r", "deploy", "v1"],
    ["https://github.com/o/r/deploy/x?ref=v1", "https://github.com/o/r", "deploy/x", "v1"],
    ["github.com/o/r?ref=v1&timeout=90s", "https://github.com/o/r", "", "v1"],
    ["git@github.com:o/r.git//deploy?ref=v1", "git@github.com:o/r.git", "deploy", "v1"],
    ["https://git.site/a/b/c.git/deploy?version=v1", "https://git.site/a/b/c.git", "deploy", "v1"],
    ["ssh://git@git.site:2222/a/b.git", "ssh://git@git.site:2222/a/b.git", "", undefined],
    ["git::https://git.site/a/b//c?ref=v1", "https://git.site/a/b", "c", "v1"],
  ])("%s", (name, address, path, ref) => {
    expect(parseRemote(name)).toEqual({ repository: address, path, ref });
  });

  test.each([
    ["https://ghp_token@github.com/o/r//d?ref=v1", "https://github.com/o/r//d?ref=v1"],
    ["https://me:p@ss@git.site/o/r?ref=v1", "https://git.site/o/r?ref=v1"],
    ["git::https://token@git.site/o/r//d?ref=v1", "git::https://git.site/o/r//d?ref=v1"],
    ["https://git.site/x.yaml?private_token=abc&ref=v1", "https://git.site/x.yaml?private_token=***&ref=v1"],
    ["ssh://git@git.site:2222/a/b.git?ref=v1", "ssh://git@git.site:2222/a/b.git?ref=v1"],
    ["ssh://git:pass@git.site/a/b.git", "ssh://git.site/a/b.git"],
    ["git@github.com:o/r.git//deploy?ref=v1", "git@github.com:o/r.git//deploy?ref=v1"],
    ["github.com/o/r//users/a@b?ref=v1", "github.com/o/r//users/a@b?ref=v1"],
  ])("%s is shown, and put into the lock, without its login", (name, shown) => {
    expect(shownRemote(name)).toBe(shown);
  });

  test.each(["https://github.com/o/r//../../etc?ref=v1", "-upload-pack=x//y", "ext::sh -c x//y"])(
    "%s is none",
    (name) => {
      expect(parseRemote(name)).toBeUndefined();
    },
  );
});

describe("what is refused, with advice", () => {
  const failure = async (root: string, folder = "."): Promise<{ message: string; suggestions: string[] }> =>
    build(root, folder).then(
      () => Promise.reject(new Error("was built")),
      (error) => error,
    );

  test.each([
    "https://example.org/x/y?ref=v1",
    "github.com/org/repo//deploy",
    "git@example.org:org/repo.git",
  ])("the remote base %s", async (base) => {
    const { message, suggestions } = await failure(
      tree({ "kustomization.yaml": `resources: ['${base}']\n` }),
    );
    expect(message).toContain(base);
    expect(suggestions.join()).toContain("kubectl kustomize");
  });

  test("a cycle, naming it", async () => {
    const root = tree({
      "a/kustomization.yaml": "resources: [../b]\n",
      "b/kustomization.yaml": "resources: [../c]\n",
      "c/kustomization.yaml": "components: [../a]\n",
    });
    const { message } = await failure(root, "a");
    expect(message).toMatch(/cycle: .*a → .*b → .*c → .*a$/);
  });

  test("a file outside of its folder, also behind a link", async () => {
    const outside = tree({ secret: "x: y\n" });
    const root = tree({
      "kustomization.yaml": "configMapGenerator: [{ name: x, files: [link] }]\n",
      "b/kustomization.yaml": "resources: [../loose.yaml]\n",
      "loose.yaml": "a: b\n",
    });
    symlinkSync(join(outside, "secret"), join(root, "link"));
    expect((await failure(root)).message).toContain("outside its folder");
    expect((await failure(root, "b")).message).toContain("outside its folder");
  });

  test.each([
    ["kind: Kustomization\nresources: [nowhere.yaml]\n", "nowhere.yaml, which does not exist"],
    ["helmCharts: [{ name: x }]\n", "Helm charts"],
    ["transformers: [web.yaml]\n", "transformer plugins"],
    ["resources: [\n", "kustomization.yaml:2"],
    [
      'resources: [web.yaml]\npatches: [{ patch: "kind: Nothing\\nmetadata: { name: x }" }]\n',
      "does not match any object",
    ],
    [
      "resources: [web.yaml]\npatches: [{ target: { kind: Deployment }, patch: '- { op: remove, path: /spec/nothing }' }]\n",
      "there is nothing at /spec/nothing",
    ],
  ])("%s", async (kustomization, message) => {
    expect(
      (await failure(tree({ "kustomization.yaml": kustomization, "web.yaml": deployment("web", "a:1") })))
        .message,
    ).toContain(message);
  });

  test("an expression that could take forever is compared as it stands", async () => {
    const root = tree({
      "kustomization.yaml":
        "resources: [web.yaml]\npatches: [{ target: { name: '(a+)+b' }, patch: '- { op: remove, path: /spec }' }]\n",
      "web.yaml": deployment("a".repeat(200), "x:1"),
    });
    const started = Date.now();
    expect((await build(root)).images).toEqual(["docker.io/library/x:1"]);
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  test("without strictness the rest is built, and what is missing is told", async () => {
    const root = tree({
      "kustomization.yaml": "resources: ['https://example.org/x?ref=v1', web.yaml]\n",
      "web.yaml": deployment("web", "a:1"),
    });
    const warnings: string[] = [];
    const { documents } = await buildKustomization(root, {
      strict: false,
      warn: (message) => warnings.push(message),
    });
    expect(documents).toHaveLength(1);
    expect(warnings.join()).toContain("not in the answer");
  });
});
