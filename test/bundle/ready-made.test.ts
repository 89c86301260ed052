import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBundleSpec } from "../../src/bundle/spec.ts";

const folder = join(import.meta.dirname, "../../bundles");
const specs = readdirSync(folder).filter((name) => name.endsWith(".yaml") && !name.endsWith(".cluster.yaml"));

describe("the ready-made specs", () => {
  it.each(specs)("%s is one, named like its file", async (name) => {
    expect((await readBundleSpec(join(folder, name))).name).toBe(name.replace(".yaml", ""));
  });
});
