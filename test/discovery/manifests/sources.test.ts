import { describe, expect, test } from "vitest";
import { parseStream } from "../../../src/discovery/documents/parse.ts";
import { Text } from "../../../src/discovery/documents/text.ts";
import { findImages, group } from "../../../src/discovery/images/find.ts";
import { imagesInList } from "../../../src/discovery/images/list.ts";
import { walkDocument } from "../../../src/discovery/images/walk.ts";
import { findImagesAt } from "../../../src/discovery/manifests/find-images.ts";
import { describeUnread, searchPaths } from "../../../src/discovery/manifests/search.ts";
import { Http } from "../../../src/http.ts";
import { Scratch } from "../../support/scratch.ts";

const roots = (text: string) => [...parseStream(new Text("x.yaml", text))].map(({ root }) => root);
const carried = (text: string): string[] =>
  findImages(roots(text)).flatMap(({ reference, confidence }) =>
    confidence === "possible" ? [] : [reference],
  );
const digest = `sha256:${"a".repeat(64)}`;

describe("what a running cluster reports", () => {
  test("events of both kinds, with and without a tag", () => {
    const events = [
      {
        apiVersion: "v1",
        kind: "Event",
        message: 'Container image "gone.site/job/runner:3" already present on machine',
      },
      {
        apiVersion: "v1",
        kind: "Event",
        message: 'Successfully pulled image "org/web:2.0" in 3.1s. Image size: 12 bytes.',
      },
      {
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
        note: 'Failed to pull image "busybox": not found; Pulling image: "org/b:1"',
      },
      {
        apiVersion: "v1",
        kind: "Event",
        message: "Scaled up replica set web/a:1 to 1",
        reason: "image x/y:1",
      },
    ];
    expect(carried(JSON.stringify({ apiVersion: "v1", kind: "List", items: events }))).toEqual([
      "docker.io/library/busybox:latest",
      "docker.io/org/b:1",
      "docker.io/org/web:2.0",
      "gone.site/job/runner:3",
    ]);
  });

  test("nodes: by tag where there is one, else by digest", () => {
    const images = [
      { names: [`docker.io/library/nginx@${digest}`, "docker.io/library/nginx:1.27"] },
      { names: [`quay.io/a/b@${digest}`] },
      { names: ["<none>@<none>", "<none>:<none>"] },
      { names: null },
    ];
    expect(
      carried(
        JSON.stringify({ apiVersion: "v1", kind: "Node", metadata: { name: "n" }, status: { images } }),
      ),
    ).toEqual(["docker.io/library/nginx:1.27", `quay.io/a/b@${digest}`]);
  });

  test("an id of an image is no name, in events, nodes and lists", () => {
    const event = { kind: "Event", message: `Container image "${digest}" already present on machine` };
    const node = { kind: "Node", status: { images: [{ names: [digest] }, { names: ["a".repeat(64)] }] } };
    for (const object of [event, node])
      expect(carried(JSON.stringify({ apiVersion: "v1", metadata: { name: "n" }, ...object }))).toEqual([]);
    expect(imagesInList(new Text("x.txt", `${digest}\nacme/web:2.0\n`))).toBeUndefined();
  });
});

describe("lists of images", () => {
  const list = (text: string): string[] | undefined => {
    const found = imagesInList(new Text("x.txt", text));
    return found && group(found).map(({ reference }) => reference);
  };

  test.each([
    ["one a line", "acme/web:2.0\nacme/db:9.1\nregistry.k8s.io/pause:3.10\n"],
    [
      "with comments, blank lines, carriage returns",
      "# all\r\nacme/web:2.0  # web\r\n\r\n  acme/db:9.1\r\nregistry.k8s.io/pause:3.10",
    ],
    ["as YAML", "---\n- acme/web:2.0\n- 'acme/db:9.1'\n- \"registry.k8s.io/pause:3.10\"\n"],
    ["as JSON", '[\n  "acme/web:2.0",\n  "acme/db:9.1",\n  "registry.k8s.io/pause:3.10"\n]\n'],
    ["several a line", "acme/web:2.0 acme/db:9.1\nregistry.k8s.io/pause:3.10\n"],
    ["apart by commas", "acme/web:2.0,acme/db:9.1,registry.k8s.io/pause:3.10"],
    ["with schemes", "docker://acme/web:2.0\ndocker://acme/db:9.1\ndocker://registry.k8s.io/pause:3.10\n"],
  ])("%s", (_, text) => {
    expect(list(text)).toEqual([
      "docker.io/acme/db:9.1",
      "docker.io/acme/web:2.0",
      "registry.k8s.io/pause:3.10",
    ]);
  });

  test("a name without tag among others means latest, as it would for docker pull", () => {
    expect(list("nginx\nredis\npostgres:16\n")).toHaveLength(3);
    expect(list("busybox\nacme/web:2.0\n")).toEqual([
      "docker.io/acme/web:2.0",
      "docker.io/library/busybox:latest",
    ]);
  });

  test.each([
    "a: b\n",
    "hello\nworld\n",
    "see nginx:1.2\n",
    "",
    "# only\n",
    "acme/web:2.0\nnot an image\n",
    "kind: Pod\n",
  ])("%j is none", (text) => {
    expect(list(text)).toBeUndefined();
  });
});

describe("lists with lines that are something else", () => {
  const read = async (text: string) => {
    using scratch = new Scratch();
    const path = scratch.write("images.txt", text);
    const { images, warnings } = await findImagesAt({ paths: [path], values: [], set: [], emit: () => {} });
    return [images.map(({ reference }) => reference), warnings.map((each) => each.replace(/^.*images/, ""))];
  };
  const is = (line: number, text: string) =>
    `.txt:${line}: '${text}' is not an image; the bundle will have no image for it`;

  test.each([
    ["a heading", "Images of Acme:\nacme/web:2.0\nacme/db:9.1\n", is(1, "Images of Acme:")],
    ["a template", "{{ .hub }}/a:1\nacme/web:2.0\n\nacme/db:9.1\n", is(1, "{{ .hub }}/a:1")],
    ["a word", "acme/web:2.0\nacme/db:9.1\n;end\n", is(3, ";end")],
  ])("%s: the others are found without a host too, and it is named", async (_, text, warning) => {
    expect(await read(text)).toEqual([["docker.io/acme/db:9.1", "docker.io/acme/web:2.0"], [warning]]);
  });

  test("a line of words is searched as text", async () => {
    const found = ["docker.io/acme/db:9.1", "docker.io/acme/web:2.0", "reg.site/a:1"];
    expect(await read("acme/web:2.0\nthen reg.site/a:1 as well\nacme/db:9.1\n")).toEqual([found, []]);
  });

  test("prose that names an image, and YAML, are no lists", async () => {
    expect(await read("acme/web:2.0\nis what we use\nbeside redis\n")).toEqual([[], []]);
    expect(await read("images:\n- acme/web:2.0\n- acme/db:9.1\n")).toEqual([
      ["docker.io/acme/db:9.1", "docker.io/acme/web:2.0"],
      [],
    ]);
  });
});

describe("what stands for an image and is none", () => {
  const ask = (containers: string): string[] => {
    const said: string[] = [];
    for (const root of roots(
      `apiVersion: v1\nkind: Pod\nmetadata: { name: r }\nspec:\n  containers:\n${containers}`,
    ))
      walkDocument(root, { unread: (each) => said.push(describeUnread(each)) });
    return said;
  };

  test.each([
    ['"quay.io/Upper/img:1"', "quay.io/Upper/img:1"],
    ['"quay.io/x/{{ .Values.img }}:1"', "quay.io/x/{{ .Values.img }}:1"],
    ['"$(IMG)"', "$(IMG)"],
    ["https://quay.io/x/y:1", "https://quay.io/x/y:1"],
    ['"quay.io/x/y:bad tag"', "quay.io/x/y:bad tag"],
    ['"quay.io/x/y:"', "quay.io/x/y:"],
    ["quay.io/x/y@sha256:abc", "quay.io/x/y@sha256:abc"],
    // The id of an image on one machine.
    [digest, digest],
    ["a".repeat(64), "a".repeat(64)],
    ["{{ image }}", "{{ image }}"],
    ["[a:1]", "[a:1]"],
  ])("%s is said, with its place", (image, written) => {
    expect(ask(`  - { name: a, image: ${image} }\n`)).toEqual([
      `x.yaml:6 Pod/r spec.containers[0].image: '${written}' is not an image; the bundle will have no image for it`,
    ]);
  });

  test.each(["true", "1.25", "0x1F", "No"])("%s is no text, which Kubernetes refuses", (image) => {
    expect(ask(`  - { name: a, image: ${image} }\n`).join()).toContain("a number or a boolean");
    expect(carried(`apiVersion: v1\nkind: Pod\nspec: { containers: [{ image: ${image} }] }\n`)).toEqual([]);
  });

  test.each(["~", "", "null", "Null", "''", '" "', "auto"])("%j is left to somebody else", (image) => {
    expect(ask(`  - { name: a, image: ${image} }\n`)).toEqual([]);
    expect(
      carried(`apiVersion: v1\nkind: Pod\nspec: { containers: [{ name: a, image: ${image} }] }\n`),
    ).toEqual([]);
  });
});

describe("paths", () => {
  const search = async (path: string, baseDir: string, stdin?: string) => {
    const warnings: string[] = [];
    const http = new Http();
    const { finds } = await searchPaths([path], {
      values: [],
      set: [],
      strict: false,
      whole: false,
      reach: { baseDir, http: () => http, emit: () => {} },
      ...(stdin === undefined ? {} : { stdin: async () => Buffer.from(stdin) }),
      warn: (message) => warnings.push(message),
      note: () => {},
    });
    await http.close();
    return { references: finds.map(({ reference }) => reference), warnings };
  };

  test("- is what is piped in: objects or a list", async () => {
    using scratch = new Scratch();
    const pod = "kind: Pod\napiVersion: v1\nspec: { containers: [{ image: 'a/b:1' }] }\n";
    expect((await search("-", scratch.path("."), pod)).references).toEqual(["docker.io/a/b:1"]);
    expect((await search("-", scratch.path("."), "a/b:1\nc/d:2\n")).references).toEqual([
      "docker.io/a/b:1",
      "docker.io/c/d:2",
    ]);
    await expect(search("-", scratch.path("."))).rejects.toThrow(/no such file or folder/);
  });

  test("templates of manifests in a folder are named", async () => {
    using scratch = new Scratch();
    scratch.write("a.yaml", "kind: Pod\napiVersion: v1\n");
    scratch.write("b.yaml.tmpl", "image: {{ x }}\n");
    scratch.write("c.yml.j2", "image: {{ x }}\n");
    const { warnings } = await search(scratch.path("."), scratch.path("."));
    expect(warnings.join()).toContain("2 templates of manifests were not read (b.yaml.tmpl, c.yml.j2)");
  });
});
