import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { clusterSchema } from "../../src/cluster/schema.ts";
import { CHECKS, UPGRADE_CHECKS } from "../../src/install/preflight/finding.ts";
import { STAGE_NAMES } from "../../src/install/stages/index.ts";
import type { JsonSchema } from "../../src/schema/schema.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/install.md"), "utf8");

/** Every key that holds a value: `registry.host`, `hosts[].labels`. */
function keysOf(schema: JsonSchema, path: string): string[] {
  const { properties, items, anyOf, oneOf } = schema as {
    properties?: Record<string, JsonSchema>;
    items?: JsonSchema;
    anyOf?: JsonSchema[];
    oneOf?: JsonSchema[];
  };
  const inner = [
    ...Object.entries(properties ?? {}).flatMap(([key, value]) =>
      keysOf(value, path === "" ? key : `${path}.${key}`),
    ),
    ...(items ? keysOf(items, `${path}[]`).filter((each) => each !== `${path}[]`) : []),
    ...[...(anyOf ?? []), ...(oneOf ?? [])]
      .flatMap((each) => keysOf(each, path))
      .filter((each) => each !== path),
  ];
  return inner.length > 0 ? inner : [path];
}

describe("docs/cluster.schema.json", () => {
  it("is what airgap schema cluster prints", () => {
    const kept = JSON.parse(
      readFileSync(join(import.meta.dirname, "../../docs/cluster.schema.json"), "utf8"),
    ) as Record<string, unknown>;
    expect(kept).toMatchObject(clusterSchema.json());
  });
});

describe("docs/install.md", () => {
  it("speaks of every key of the cluster file", () => {
    const keys = keysOf(clusterSchema.json(), "").filter(
      (key) => !key.startsWith("hosts[].ssh.") && key !== "addons[].manifest",
    );
    expect(keys).toContain("registry.passwordEnv");
    expect(keys.filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
  });

  it("speaks of every check and every stage", () => {
    const installing = Object.keys(CHECKS).filter((name) => !Object.hasOwn(UPGRADE_CHECKS, name));
    expect(installing.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
    expect(STAGE_NAMES.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("docs/upgrade.md", () => {
  it("speaks of every check of an upgrade", () => {
    const text = readFileSync(join(import.meta.dirname, "../../docs/upgrade.md"), "utf8");
    expect(Object.keys(UPGRADE_CHECKS).filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});
