import { readdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type IndexEntry, PackageIndex } from "../../src/state/package-index.ts";
import { Scratch } from "../support/scratch.ts";

const entry = (name: string, provides: [string, string][] = []): IndexEntry => ({
  name,
  arch: "noarch",
  version: "1-1",
  data: { of: name },
  detail: { where: name },
  provides: [[name, "= 1-1"], ...provides],
  obsoletes: [`old-${name}`],
  supplements: [],
});

test("packages are found by name, capability and pattern, in the order of the metadata", async () => {
  using scratch = new Scratch();
  const index = await PackageIndex.open(scratch.path("i.sqlite"), "r1", async (writer) => {
    for (const name of ["b", "a", 'it\'s "odd"'])
      await writer.add(entry(name, [["cap", name === "a" ? "" : "= 2"]]));
    await writer.note("paths", ["/opt/x"]);
  });
  expect(await index.providers(["cap", "nobody"])).toEqual([
    { name: "cap", package: 1, range: "= 2" },
    { name: "cap", package: 2, range: "" },
    { name: "cap", package: 3, range: "= 2" },
  ]);
  expect((await index.named(["a", "b"])).map(({ id, name, data }) => [id, name, JSON.parse(data)])).toEqual([
    [1, "b", { of: "b" }],
    [2, "a", { of: "a" }],
  ]);
  expect(await index.globbed("[ab]")).toEqual(["a", "b"]);
  expect((await index.obsoleters(["old-a"])).map(({ name }) => name)).toEqual(["a"]);
  expect((await index.details([3])).map(({ detail }) => JSON.parse(detail))).toEqual([
    { where: 'it\'s "odd"' },
  ]);
  expect(await index.value("paths")).toEqual(["/opt/x"]);
  await index.close();
});

test("rows of any size and script arrive as they are, however many go at once", async () => {
  using scratch = new Scratch();
  const sizes = [10, 100_000, 1, 400_000, ...Array.from({ length: 3000 }, (_, i) => i)];
  const dataOf = (i: number, size: number): string => `${i} 空隙 ${"ö".repeat(size)}\u{1f4e6}"\\`;
  const index = await PackageIndex.open(scratch.path("i.sqlite"), "r1", async (writer) => {
    for (const [i, size] of sizes.entries())
      await writer.add({ ...entry(`p${i}`, [[`cap(${i % 7})`, `= ${i}`]]), data: dataOf(i, size) });
  });
  const rows = await index.packages(sizes.map((_, i) => i + 1));
  expect(rows.length).toBe(sizes.length);
  expect(
    rows.every(
      ({ id, name, data }) =>
        name === `p${id - 1}` && JSON.parse(data) === dataOf(id - 1, sizes[id - 1] as number),
    ),
  ).toBe(true);
  const provides = await index.providers(["cap(3)"]);
  expect(provides.map(({ range }) => Number(range.slice(2)))).toEqual(
    sizes.map((_, i) => i).filter((i) => i % 7 === 3),
  );
  await index.close();
});

test("is made once for a revision, anew for another, and for a damaged file", async () => {
  using scratch = new Scratch();
  let made = 0;
  const open = async (revision: string): Promise<void> => {
    const index = await PackageIndex.open(scratch.path("i.sqlite"), revision, async (writer) => {
      made++;
      await writer.add(entry(revision));
    });
    expect((await index.named([revision])).length).toBe(1);
    await index.close();
  };
  await open("r1");
  await open("r1");
  expect(made).toBe(1);
  await open("r2");
  expect(made).toBe(2);
  writeFileSync(
    scratch.path("i.sqlite"),
    "this is no database, but it is long enough to be looked at".repeat(100),
  );
  await open("r2");
  expect(made).toBe(3);
});

test("what fails half-way leaves nothing, and the old state stands", async () => {
  using scratch = new Scratch();
  const file = scratch.path("i.sqlite");
  const good = await PackageIndex.open(file, "r1", (writer) => writer.add(entry("a")));
  await good.close();
  const failing = PackageIndex.open(file, "r2", async (writer) => {
    for (let i = 0; i < 5000; i++) await writer.add(entry(`p${i}`));
    throw new Error("the mirror went away");
  });
  await expect(failing).rejects.toThrow("the mirror went away");
  expect(readdirSync(scratch.dir)).toEqual(["i.sqlite"]);
  const again = await PackageIndex.open(file, "r1", () => Promise.reject(new Error("must not be made")));
  await again.close();
});
