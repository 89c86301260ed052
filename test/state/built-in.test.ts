import { expect, test, vi } from "vitest";
import { Journal } from "../../src/state/journal.ts";
import { loadNative } from "../../src/state/sqlite-native.ts";
import { Scratch } from "../support/scratch.ts";

vi.mock("sqlite3", () => {
  throw new Error("not compiled");
});

// Every test of the index, with the SQLite of Node.
await import("./package-index.test.ts");

test("here the native module does not load", async () => {
  await expect(loadNative()).rejects.toThrow();
});

test("the journal is kept by Node's own SQLite, and a damaged one is called damaged", async () => {
  using scratch = new Scratch();
  const file = scratch.path("journal.sqlite");
  const journal = await Journal.open(file);
  await journal.begin("install", "log");
  journal.step("node1", "kernel", "done", 12.4);
  await journal.remember({ name: "node1", settings: "{}", facts: "f" });
  await journal.end("done");
  expect(await journal.steps(5)).toEqual([{ run: 1, host: "node1", step: "kernel", state: "done", ms: 12 }]);
  expect(await journal.hosts()).toEqual([{ name: "node1", settings: "{}", facts: "f" }]);
  await journal.close();
  await expect(Journal.open(scratch.write("bad.sqlite", "no database ".repeat(500)))).rejects.toMatchObject({
    code: "corrupt",
  });
  await expect(Journal.open(scratch.path("none/x.sqlite"))).rejects.toMatchObject({ code: "disk" });
});
