import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { afterAll, describe, expect, it } from "vitest";
import { draftOf, publish, replaceFile, replaceFileSync } from "../src/atomic.ts";
import { Scratch } from "./support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());
const path = scratch.path("file");
const alone = (): void => expect(readdirSync(scratch.dir)).toEqual(["file"]);

describe("a file that is replaced", () => {
  it.each([true, false])("is the new one, and nothing else stays (durable: %s)", async (durable) => {
    writeFileSync(path, "old");
    await replaceFile(path, (draft) => writeFile(draft, "new"), { durable });
    expect(readFileSync(path, "utf8")).toBe("new");
    alone();
  });

  it("is the old one while it is written, and when writing fails", async () => {
    writeFileSync(path, "old");
    const failing = replaceFile(path, async (draft) => {
      await writeFile(draft, "half");
      expect(readFileSync(path, "utf8")).toBe("old");
      throw new Error("broken off");
    });
    await expect(failing).rejects.toThrow("broken off");
    expect(readFileSync(path, "utf8")).toBe("old");
    alone();
  });

  it("has the mode that is asked for, whatever the umask and the old one's mode", () => {
    writeFileSync(path, "old");
    chmodSync(path, 0o666);
    const umask = process.umask(0o077);
    try {
      replaceFileSync(path, "shared", 0o644);
      expect(statSync(path).mode & 0o777).toBe(0o644);
      replaceFileSync(path, "secret", 0o600);
    } finally {
      process.umask(umask);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).toBe("secret");
    alone();
  });

  it("is left alone when its folder is gone", () => {
    expect(() => replaceFileSync(scratch.path("none/file"), "x")).toThrow(/ENOENT/);
    expect(existsSync(scratch.path("none"))).toBe(false);
  });

  it("can be written by several at once: each draft is another", async () => {
    expect(draftOf(path)).not.toBe(draftOf(path));
    const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(1000));
    await Promise.all(texts.map((text) => replaceFile(path, (draft) => writeFile(draft, text))));
    expect(texts).toContain(readFileSync(path, "utf8"));
    const draft = draftOf(path);
    writeFileSync(draft, "published");
    await publish(draft, path);
    expect(readFileSync(path, "utf8")).toBe("published");
    alone();
  });
});
