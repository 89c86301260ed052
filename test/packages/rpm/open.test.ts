import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { primaryXml, repomdXml } from "../../support/rpm-metadata.ts";

const open = primaryXml([{ name: "app", evr: "1-1" }]);

async function namesOf(type: string, name: string, bytes: Buffer): Promise<string[]> {
  const { dir, context, close } = await packageContext();
  await mkdir(join(dir, "repodata"));
  await writeFile(join(dir, "repodata", name), bytes);
  await writeFile(join(dir, "repodata/repomd.xml"), repomdXml([{ type, name, bytes, open }]));
  try {
    const set = rpmSet({ repositories: [{ id: "r", baseurl: dir }], install: ["app"] });
    return (await resolveClosures(set, context)).flatMap(({ packages }) => packages.map(({ id }) => id));
  } finally {
    await close();
  }
}

test.each([
  ["bz2", "bzip2", ["-c"]],
  ["lzma", "xz", ["--format=lzma", "-c"]],
  ["xz", "xz", ["-c"]],
])("primary.xml.%s is read", async (suffix, command, args) => {
  const bytes = execFileSync(command, args, { input: open });
  expect(await namesOf("primary", `primary.xml.${suffix}`, bytes)).toEqual(["app-1-1.noarch"]);
});

test("a repository with sqlite alone is told as that, with what helps", async () => {
  await expect(namesOf("primary_db", "primary.sqlite.bz2", Buffer.from("x"))).rejects.toMatchObject({
    message: expect.stringMatching(/no primary metadata \(XML\) but only primary_db \(sqlite\)/),
    suggestions: [expect.stringMatching(/^createrepo_c DIR/), expect.anything()],
  });
});
