import { describe, expect, test } from "vitest";
import { parseStream } from "../../../src/discovery/documents/parse.ts";
import { Text } from "../../../src/discovery/documents/text.ts";
import { operatorImages } from "../../../src/discovery/images/operators.ts";
import { OPERATORS, type Operator } from "../../../src/discovery/images/operators-data.ts";
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

  test("nothing is said of what is not there", () => {
    expect(ask(deployment("org/other:1"))).toEqual({ images: [], warnings: [] });
  });
});

test("the table is well-formed", () => {
  for (const operator of OPERATORS) {
    expect(operator.resources.length).toBeGreaterThan(0);
    for (const each of operator.resources) expect(each).toMatch(/^[a-z0-9.-]+\.[a-z]+\/(?:\*|[A-Z]\w+)$/);
    expect(operator.command ?? operator.advice, `${operator.name} tells what to do`).toBeDefined();
    for (const { images, source, version } of operator.known ?? []) {
      expect([source, version].every(Boolean)).toBe(true);
      for (const image of images) expect(tryParseReference(image)?.tag, image).toBeDefined();
    }
    for (const { image } of operator.versioned ?? []) expect(tryParseReference(`${image}:1`)).toBeDefined();
  }
});
