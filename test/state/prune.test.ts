import { existsSync, mkdirSync, symlinkSync, utimesSync } from "node:fs";
import { expect, it } from "vitest";
import { parseBytes } from "../../src/format.ts";
import { listCache, pruneCache } from "../../src/state/prune.ts";
import { Scratch } from "../support/scratch.ts";

const DAY = 24 * 3600;

it("lists the cache by parts, removes what is old, and follows no link", async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.path("cache/content"), { recursive: true });
  mkdirSync(scratch.path("cache/packages/heads"), { recursive: true });
  mkdirSync(scratch.path("outside"));
  scratch.write("outside/precious", "p");
  const old = [scratch.write("cache/content/a", "aaaa"), scratch.write("cache/packages/heads/b", "bb")];
  scratch.write("cache/content/new", "n");
  symlinkSync(scratch.path("outside"), scratch.path("cache/link"));
  const now = Date.now();
  for (const path of [...old, scratch.path("outside/precious")])
    utimesSync(path, now / 1000 - 40 * DAY, now / 1000 - 40 * DAY);
  expect((await listCache(scratch.path("cache"))).parts.slice(0, 1)).not.toEqual([]);
  const listed = await listCache(scratch.path("cache"));
  expect(listed.parts.find(({ name }) => name === "content")).toEqual({
    name: "content",
    files: 2,
    bytes: 5,
  });
  expect(await pruneCache(scratch.path("cache"), 30, now)).toMatchObject({ files: 2, bytes: 6 });
  expect(existsSync(scratch.path("cache/content/new"))).toBe(true);
  expect(existsSync(scratch.path("cache/packages"))).toBe(false);
  await pruneCache(scratch.path("cache"), 0, now + 1000);
  expect(existsSync(scratch.path("cache/content"))).toBe(false);
  expect(existsSync(scratch.path("outside/precious"))).toBe(true);
  expect(await listCache(scratch.path("none"))).toMatchObject({ parts: [], bytes: 0 });
});

it("reads sizes as people write them", () => {
  expect(["10M", "10MiB", "1.5 GiB", "500k", "2000"].map(parseBytes)).toEqual([
    10 << 20,
    10 << 20,
    1.5 * 2 ** 30,
    500 << 10,
    2000,
  ]);
  expect(["", "M", "-1", "10X", "0", "1e9"].map(parseBytes)).toEqual(Array(6).fill(undefined));
});
