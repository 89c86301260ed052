import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { type TestRpm, writeRpmRepository } from "../../support/rpm-metadata.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

const rpm = (name: string, more: Partial<TestRpm> = {}): TestRpm => ({ name, evr: "1-1", ...more });
const rpms = [
  ...["base", "shell", "extra", "doc", "langpack", "tool", "untyped"].map((name) => rpm(name)),
  rpm("newtool", { obsoletes: ["tool"] }),
];
const comps = `<?xml version="1.0"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>core</id><name>Core</name><name xml:lang="de">Kern</name><description>x</description>
    <packagelist>
      <packagereq type="mandatory">base</packagereq>
      <packagereq type="default">shell</packagereq>
      <packagereq type="optional">extra</packagereq>
      <packagereq type="conditional" requires="doc">langpack</packagereq>
      <packagereq>untyped</packagereq>
      <packagereq type="mandatory">nowhere</packagereq>
    </packagelist>
  </group>
  <group>
    <id>tools</id><name>Tool Box</name>
    <packagelist><packagereq type="mandatory">tool</packagereq></packagelist>
  </group>
  <group><id>docs</id><name>Documents</name><packagelist><packagereq>doc</packagereq></packagelist></group>
  <environment>
    <id>server-environment</id><name>Server</name>
    <grouplist><groupid>core</groupid></grouplist>
    <optionlist><groupid default="true">tools</groupid></optionlist>
  </environment>
</comps>`;

async function closure(
  install: string[],
  further: Record<string, string> = { group_gz: comps },
): Promise<string[]> {
  await writeRpmRepository(`${at.dir}/repo`, rpms, further);
  const [found] = await resolveClosures(
    rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install }),
    at.context,
  );
  return (found?.packages ?? []).map(({ name }) => name);
}

describe("groups", () => {
  test.each([
    ["@core", ["base", "shell", "untyped"]],
    ["@Core", ["base", "shell", "untyped"]],
    ["@tool box", ["newtool"]],
    ["@core/mandatory,optional", ["base", "extra", "untyped"]],
    ["@server-environment", ["base", "shell", "untyped"]],
    ["@Server", ["base", "shell", "untyped"]],
    ["@*o*s*", ["doc", "newtool"]],
  ])("%s", async (asked, names) => {
    expect(await closure([asked])).toEqual(names);
  });

  test("conditional ones come with what they are for", async () => {
    expect(await closure(["@core", "doc"])).toEqual(["base", "doc", "langpack", "shell", "untyped"]);
  });

  test.each(["group", "group_xz", "group_zst"])("%s in repomd.xml is read too", async (type) => {
    expect(await closure(["@docs"], { [type]: comps })).toEqual(["doc"]);
  });

  test("repositories add to groups of one id", async () => {
    await writeRpmRepository(`${at.dir}/a`, rpms, { group: comps });
    const more = `<comps><group><id>core</id><name>Core</name><packagelist><packagereq type="optional">base</packagereq><packagereq>extra</packagereq></packagelist></group></comps>`;
    await writeRpmRepository(`${at.dir}/b`, [], { group: more });
    const repositories = ["a", "b"].map((id) => ({ id, baseurl: id }));
    const [found] = await resolveClosures(rpmSet({ repositories, install: ["@core"] }), at.context);
    expect(found?.packages.map(({ name }) => name)).toEqual(["extra", "shell", "untyped"]);
    expect(found?.packages[0]?.reason).toEqual({ relation: "@core" });
  });

  test("a member that no repository has is told of", async () => {
    await closure(["@core"]);
    expect(at.events).toContainEqual({
      type: "warning",
      message: "el9: @core: no repository has nowhere of that group",
    });
  });

  test("an unknown group, with the nearest name", async () => {
    await expect(closure(["@cores"])).rejects.toMatchObject({
      code: "unsatisfiable",
      message: 'No module, group or environment in base is "cores"; a similar name: core',
      suggestions: ['"@core"'],
    });
    await expect(closure(["@something-else"])).rejects.toThrow(
      /groups: core, docs, server-environment, tools/,
    );
    await expect(closure(["@core"], {})).rejects.toThrow(/there are no groups/);
    await expect(closure(["@core/weird"])).rejects.toMatchObject({ code: "spec" });
  });

  test("comps.xml that is damaged is refused", async () => {
    await expect(closure(["@core"], { group: comps.slice(0, 900) })).rejects.toThrow(
      /comps\.xml of base is not the XML it should be/,
    );
  });
});
