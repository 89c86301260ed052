import { describe, expect, test } from "vitest";
import { parseStream } from "../../../src/discovery/documents/parse.ts";
import { Text } from "../../../src/discovery/documents/text.ts";
import { operatorImages } from "../../../src/discovery/images/operators.ts";
import { OPERATORS, type Operator } from "../../../src/discovery/images/operators-data.ts";
import { manyVersions } from "../../../src/discovery/images/versions.ts";
import { walkDocument } from "../../../src/discovery/images/walk.ts";
import { tryParseReference } from "../../../src/oci/reference.ts";

const TABLE: Operator[] = [
  {
    name: "db-operator",
    resources: ["db.example.org/*"],
    image: "org/db-operator",
    unless: ["spec.image"],
    known: [{ version: "v2.1", images: ["reg.site/db:9", "reg.site/proxy:9"], source: "itself" }],
    command: "docker run {image} --list",
  },
  {
    name: "search",
    resources: ["search.example.org/Search"],
    unless: ["spec.image"],
    versioned: [{ kind: "Search", field: "spec.version", image: "reg.site/search" }],
    advice: "name it",
  },
  { name: "vm", resources: ["vm.example.org/VM"], image: "vm/operator", siblings: ["handler"] },
];

function ask(text: string, table = TABLE): { images: string[]; warnings: string[] } {
  const roots = [...parseStream(new Text("x.yaml", text))].map(({ root }) => root);
  const { sightings, warnings } = operatorImages(
    roots,
    roots.flatMap((root) => walkDocument(root)),
    table,
  );
  return { images: sightings.map(({ reference }) => reference), warnings };
}

const deployment = (image: string): string =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: op }\nspec: { template: { spec: { containers: [{ name: a, image: '${image}' }] } } }\n`;
const resource = (group: string, kind: string, spec: string): string =>
  `apiVersion: ${group}/v1\nkind: ${kind}\nmetadata: { name: r }\nspec: { ${spec} }\n`;

describe("what operators pull beside what files name", () => {
  test("a known version gives its images, another one a warning with the command", () => {
    expect(ask(deployment("mirror.site/org/db-operator:v2.1"))).toEqual({
      images: ["reg.site/db:9", "reg.site/proxy:9"],
      warnings: [],
    });
    const { images, warnings } = ask(deployment("org/db-operator:v3"));
    expect(images).toEqual([]);
    expect(warnings.join()).toContain("docker run docker.io/org/db-operator:v3 --list");
  });

  test("a resource that names a version gives the image, one that names an image is silent", () => {
    expect(ask(resource("search.example.org", "Search", "version: 9.1.0"))).toEqual({
      images: ["reg.site/search:9.1.0"],
      warnings: [],
    });
    expect(ask(resource("search.example.org", "Search", "version: 9.1.0, image: 'a:1'"))).toEqual({
      images: [],
      warnings: [],
    });
    expect(ask(resource("search.example.org", "Search", "replicas: 1")).warnings.join()).toContain(
      "Search/r is of search",
    );
    expect(ask(resource("db.example.org", "Anything", "x: 1")).warnings).toHaveLength(1);
  });

  test("siblings have the operator's registry and tag", () => {
    expect(ask(deployment("reg.site/vm/operator:v1")).images).toEqual(["reg.site/vm/handler:v1"]);
  });

  test("an operator by digest does not tell its siblings' tag: that is said", () => {
    const { images, warnings } = ask(deployment(`reg.site/vm/operator@sha256:${"a".repeat(64)}`));
    expect(images).toEqual([]);
    expect(warnings.join()).toContain("is vm");
  });

  test("several images of one resource, by its type too, and helpers", () => {
    const table: Operator[] = [
      {
        name: "beats",
        resources: ["beat.example.org/Beat"],
        versioned: [
          { kind: "Beat", field: "spec.version", image: "reg.site/beats/{spec.type}" },
          { kind: "Beat", field: "spec.agentVersion", image: "reg.site/agent" },
        ],
        helpers: ["busybox:1.37.0"],
        advice: "name it",
      },
    ];
    expect(
      ask(resource("beat.example.org", "Beat", "type: filebeat, version: 9.1, agentVersion: 2.0"), table),
    ).toEqual({
      images: ["docker.io/library/busybox:1.37.0", "reg.site/beats/filebeat:9.1", "reg.site/agent:2.0"],
      warnings: [],
    });
    expect(ask(resource("beat.example.org", "Beat", "version: 9.1"), table).warnings).toHaveLength(1);
  });

  test.each([
    ["ask.example.org", "Unknown", "an operator may pull"],
    ["apps.kruise.io", "CloneSet", ""],
    ["cert-manager.io", "Certificate", ""],
    ["networking.k8s.io", "Ingress", ""],
    ["rbac.authorization.k8s.io", "Role", ""],
  ])("a resource of %s %s: %s", (group, kind, said) => {
    const { warnings } = ask(resource(group, kind, "image: a/b:1"));
    expect(warnings.map((warning) => warning.slice(0, kind.length + group.length + 3))).toEqual(
      said ? [`${kind} (${group})`] : [],
    );
    expect(warnings.join()).toContain(said);
  });

  test("a spec of ours names more than it says; a cluster file has no images", () => {
    const ours = (kind: string): string[] =>
      ask(`apiVersion: airgap/v1\nkind: ${kind}\nname: site\n`).warnings;
    expect(ours("Bundle")).toEqual([expect.stringMatching(/airgap build SPEC/)]);
    expect(ours("Cluster")).toEqual([]);
  });

  test("every version of a product in variables: how many, and how to choose", () => {
    const env = ["7.0.1", "7.0.2", "8.0.0"].map(
      (v) => `{ name: RELATED_IMAGE_DB_${v.replaceAll(".", "_")}, value: 'reg.site/db:${v}' }`,
    );
    const text = deployment("org/op:1").replace(
      "image: 'org/op:1'",
      `image: 'org/op:1', env: [${env.join(", ")}]`,
    );
    const sightings = [...parseStream(new Text("x.yaml", text))].flatMap(({ root }) => walkDocument(root));
    expect(manyVersions(sightings)).toEqual([
      expect.stringContaining("names 3 versions of reg.site/db in its variables"),
    ]);
    expect(manyVersions(sightings).join()).toContain('ignoreImages: ["reg.site/db:*"]');
    expect(manyVersions(sightings.slice(0, 3))).toEqual([]);
  });

  test("nothing is said of what is not there", () => {
    expect(ask(deployment("org/other:1"))).toEqual({ images: [], warnings: [] });
  });
});

test("the table is well-formed", () => {
  for (const operator of OPERATORS) {
    expect(operator.resources.length).toBeGreaterThan(0);
    for (const each of operator.resources) expect(each).toMatch(/^[a-z0-9.-]+\.[a-z0-9]+\/(?:\*|[A-Z]\w+)$/);
    expect(operator.command ?? operator.advice, `${operator.name} tells what to do`).toBeDefined();
    for (const { images, source, version } of operator.known ?? []) {
      expect([source, version].every(Boolean)).toBe(true);
      for (const image of images) expect(tryParseReference(image)?.tag, image).toBeDefined();
    }
    for (const { image } of operator.versioned ?? [])
      expect(tryParseReference(`${image.replace(/\{.*\}/, "x")}:1`)).toBeDefined();
  }
});
