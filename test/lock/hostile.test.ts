import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { diffLocks, readLockOf } from "../../src/bundle/diff.ts";
import { exportPackages } from "../../src/bundle/export-packages.ts";
import { listBundle } from "../../src/bundle/list.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { graphOf } from "../../src/copy.ts";
import { AirgapError, Exit } from "../../src/errors.ts";
import { readBundle } from "../../src/install/bundle.ts";
import { LOCK_LIMITS } from "../../src/lock/json.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { parseLock } from "../../src/lock/parse.ts";
import { canonicalJson } from "../../src/oci/canonical-json.ts";
import { carriedBy, planPush } from "../../src/site/push/plan.ts";
import { bundleLibrary } from "../../src/site/serve/library.ts";
import { type Crafted, craftAll, tarOf, withTitles } from "../support/crafted.ts";
import { mutate } from "../support/mutate.ts";
import { Random } from "../support/random.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

const emit = (): void => {};
const good = await craftAll();
const goodPath = scratch.write("good.tar", tarOf(good.lock, good.contents.values()));
const crafted = ({ lock, contents }: Crafted): string =>
  scratch.write("crafted.tar", tarOf(lock, contents.values()));

async function opened<T>(path: string, use: (bundle: BundleReader) => Promise<T>): Promise<T> {
  const bundle = BundleReader.open(path);
  try {
    return await use(bundle);
  } finally {
    bundle.close();
  }
}

/** What commands do with a bundle that somebody hands them. */
const COMMANDS: Record<string, (path: string) => unknown> = {
  list: listBundle,
  verify: (path) => verifyBundle(path, { quick: false, emit }),
  diff: (path) => diffLocks(readLockOf(goodPath), readLockOf(path)),
  push: (path) =>
    opened(path, async (bundle) => {
      const rules = { target: { host: "h.site", prefix: "" }, layout: "host" as const, map: [] };
      for (const { root } of planPush(bundle.lock, rules))
        await graphOf(bundle.source(), root.descriptor, carriedBy(bundle.lock));
    }),
  export: (path) => exportPackages({ bundle: path, dir: scratch.path("out"), emit }),
  serve: (path) =>
    opened(path, async (bundle) => {
      const { files } = bundleLibrary([bundle]);
      await files?.list("files");
      for (const { kind, name } of bundle.lock.items)
        if (kind === "packages") await files?.list(`packages/${name}`);
    }),
  install: readBundle,
};

/** Exit codes by command; what is no error of ours is a bug. */
async function exitsOf(path: string): Promise<Record<string, number>> {
  const exits: Record<string, number> = {};
  for (const [name, command] of Object.entries(COMMANDS)) {
    try {
      await command(path);
      exits[name] = 0;
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      exits[name] = error.exit;
    }
  }
  return exits;
}

describe("a lock with everything in it", () => {
  it("is taken by every command", async () => {
    const all = Object.keys(COMMANDS).map((name) => [name, 0]);
    expect(await exitsOf(goodPath)).toEqual(Object.fromEntries(all));
  });
});

describe("a lock that was changed at random", () => {
  it.each([1, 2, 3, 4])(
    "is refused or understood, and is never a bug (seed %i)",
    async (seed) => {
      const random = new Random(seed);
      let refused = 0;
      for (let i = 0; i < 250; i++) {
        const lock = mutate(good.lock, random);
        const text = canonicalJson(lock);
        const path = scratch.write("changed.tar", tarOf(lock, good.contents.values()));
        const exits = await exitsOf(path).catch((error: unknown) => {
          throw new Error(`change ${i} of seed ${seed}: ${text.slice(0, 4000)}`, { cause: error });
        });
        // Nothing else than a check of what came from outside: neither usage nor a failure half-way.
        // `not-found` is a bundle that carries no packages any more.
        expect([0, Exit.check]).toContain(exits["list"]);
        expect([0, Exit.check, ...(text.includes('"kind":"packages"') ? [] : [Exit.failed])]).toContain(
          exits["export"],
        );
        for (const name of ["verify", "diff", "push", "serve", "install"])
          expect([0, Exit.check], `${name} of change ${i} of seed ${seed}`).toContain(exits[name]);
        if (exits["list"] !== 0) refused++;
      }
      expect(refused).toBeGreaterThan(150);
      expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    },
    60_000,
  );

  it("is refused when a key is not known, whichever object has it", () => {
    const objects: Record<string, unknown>[] = [];
    const lock = structuredClone(good.lock);
    const visit = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      if (!Array.isArray(value)) objects.push(value as Record<string, unknown>);
      Object.values(value).forEach(visit);
    };
    visit(lock);
    for (const object of objects) {
      Object.defineProperty(object, "__proto__", { value: {}, enumerable: true, configurable: true });
      expect(() => parseLock(Buffer.from(canonicalJson(lock)), "x")).toThrow(/has the key/);
      Reflect.deleteProperty(object, "__proto__");
    }
    expect(parseLock(Buffer.from(canonicalJson(lock)), "x")).toEqual(good.lock);
  });
});

describe("names in a lock", () => {
  const set = (change: (lock: Lock) => void): string => {
    const lock = structuredClone(good.lock);
    change(lock);
    return canonicalJson(lock);
  };
  const facts = (lock: Lock) => {
    const item = lock.items.find(({ kind }) => kind === "packages");
    if (item?.kind !== "packages") throw new Error("no packages");
    return item.facts;
  };
  const BAD = [
    "../../x",
    "/abs",
    "a/../b",
    "a\nb",
    "$(id)",
    "a b",
    "'a'",
    "a;b",
    "-a",
    "",
    ".",
    "..",
    "a\u202eb",
    "a\u0000",
  ];
  const PLACES: Record<string, (lock: Lock, name: string) => void> = {
    "a package set": (lock, name) => void Object.assign(lock.items.at(-1) ?? {}, { name }),
    "a chart": (lock, name) => void Object.assign(lock.items.at(-2) ?? {}, { name }),
    "the tool": (lock, name) => void Object.assign(lock.items[2] ?? {}, { name }),
    "an image": (lock, name) => void Object.assign(lock.items[0] ?? {}, { name }),
    "the bundle": (lock, name) => void Object.assign(lock, { name }),
    "the site": (lock, siteName) => void Object.assign(lock, { siteName }),
    "a platform": (lock, name) => void Object.assign(lock, { platforms: [`${name}/amd64`] }),
    "a version of Kubernetes": (lock, name) => void Object.assign(lock, { kubernetes: [`v1.28.2${name}/`] }),
    "a repository": (lock, repository) => void Object.assign(facts(lock).packages[0] ?? {}, { repository }),
    "a package": (lock, name) => void Object.assign(facts(lock).packages[0] ?? {}, { name }),
    "a package's version": (lock, version) => void Object.assign(facts(lock).packages[0] ?? {}, { version }),
    "a role": (lock, name) => void Object.assign(facts(lock).roles, { [name]: { asked: [], packages: [] } }),
    "a key": (lock, name) => void Object.assign(facts(lock).keys, { [`keys/${name}.asc/`]: "" }),
    "a system": (lock, name) => void Object.assign(facts(lock), { for: [name] }),
    "an architecture": (lock, arch) => void Object.assign(facts(lock), { arch }),
    "a module": (lock, name) => void Object.assign(facts(lock).modules?.[0] ?? {}, { name }),
  };
  it.each(Object.entries(PLACES))("of %s are held to their grammar", (_, change) => {
    for (const name of BAD)
      expect(() => parseLock(Buffer.from(set((lock) => change(lock, name))), "x"), name).toThrow(
        expect.objectContaining({ code: "corrupt", exit: Exit.check }),
      );
  });

  it.each([
    "../x",
    "/x",
    "a//b",
    "a/./b",
    "a\\b",
    "C:x",
    "a\u202eb",
    "a\tb",
    "",
    "x/".repeat(600),
    "y".repeat(256),
  ])("of files lead nowhere else: %j", (name) => {
    expect(() =>
      parseLock(Buffer.from(set((lock) => void Object.assign(lock.items[1] ?? {}, { name }))), "x"),
    ).toThrow(/the file name/);
  });
});

describe("titles in an artifact", () => {
  it.each([
    ["that leads out", ["ok", "../escape"]],
    ["that is absolute", ["/etc/passwd"]],
    ["that is not seen", ["a\u200bb"]],
    ["with a control character", ["a\u001b[1mb"]],
    ["that is too long", ["a".repeat(300)]],
    ["twice", ["a/b", "a/b"]],
    ["twice but for case", ["Packages/App.rpm", "packages/app.rpm"]],
    ["twice but for how letters are composed", ["caf\u00e9", "cafe\u0301"]],
    ["of a file that is a folder too", ["a", "a/b"]],
  ])("%s is found by verify, and nothing is exported or served", async (_, titles) => {
    const path = crafted(withTitles("packages", "el9", titles));
    await expect(verifyBundle(path, { quick: true, emit })).rejects.toMatchObject({
      code: "check-failed",
      data: { findings: [{ what: "name", items: ["el9"] }] },
    });
    expect(await exitsOf(path)).toMatchObject({ verify: 3, export: 3, serve: 3, install: 0 });
    expect(existsSync(scratch.path("escape"))).toBe(false);
  });

  it("of a file is its item's name", async () => {
    const path = crafted(withTitles("file", "notes.txt", ["other.txt"]));
    expect(await exitsOf(path)).toMatchObject({ verify: 3, serve: 3, install: 3 });
    expect(await exitsOf(crafted(withTitles("file", "notes.txt", ["notes.txt"])))).toMatchObject({
      verify: 0,
      serve: 0,
      install: 0,
    });
  });
});

describe("exporting packages", () => {
  const bundle = withTitles("packages", "el9", ["Packages/a", "keys/b.asc"]);

  it("writes through no link that was there already", async () => {
    const [out, outside] = [scratch.path("links"), scratch.path("outside")];
    for (const folder of [out, outside]) mkdirSync(folder);
    writeFileSync(`${outside}/mine`, "mine");
    const path = crafted(bundle);
    for (const link of ["el9", "el9/Packages", "el9/Packages/a"]) {
      symlinkSync(link.endsWith("/a") ? `${outside}/mine` : outside, `${out}/${link}`);
      await expect(exportPackages({ bundle: path, dir: out, emit })).rejects.toMatchObject({ code: "disk" });
      expect(readdirSync(outside)).toEqual(["mine"]);
      expect(readFileSync(`${outside}/mine`, "utf8")).toBe("mine");
      rmSync(`${out}/${link}`);
      if (link !== "el9/Packages/a") mkdirSync(`${out}/${link}`);
    }
    expect(await exportPackages({ bundle: path, dir: out, emit })).toMatchObject([{ files: 2 }]);
    expect(readFileSync(`${out}/el9/Packages/a`, "utf8")).toBe("content of Packages/a");
  });

  it("says which package is not one", async () => {
    const path = crafted(withTitles("packages", "el9", ["Packages/a.rpm"]));
    await expect(exportPackages({ bundle: path, dir: scratch.path("rpms"), emit })).rejects.toMatchObject({
      code: "corrupt",
      exit: Exit.check,
      message: expect.stringMatching(/a\.rpm is not a whole RPM/),
    });
  });
});

describe("limits of a lock", () => {
  const text = canonicalJson(good.lock);
  const parse = (changed: string) => () => parseLock(Buffer.from(changed), "x");
  const refuses = (changed: string, message: RegExp): void =>
    expect(parse(changed)).toThrow(expect.objectContaining({ code: "corrupt", exit: 3 })) ??
    expect(parse(changed)).toThrow(message);

  it("are depth, values, bytes, items, blobs and the length of texts", () => {
    const open = text.slice(0, -1);
    refuses(`${open},"x":${"[".repeat(200_000)}${"]".repeat(200_000)}}`, /nested more than 32 levels/);
    refuses(`${open},"x":${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}}`, /nested more than 32 levels/);
    refuses(`${open},"x":[${"[],".repeat(1_100_000)}[]]}`, /holds \d+ values/);
    refuses(`${open},"x":"${"x".repeat(LOCK_LIMITS.size)}"}`, /at most 33554432/);
    refuses(text.replace('"name":"site"', `"name":"${"x".repeat(10_000)}"`), /has 10000 characters/);
    const blob = (i: number) => `{"digest":"sha256:${i.toString(16).padStart(64, "0")}","size":1}`;
    const blobs = Array.from({ length: LOCK_LIMITS.blobs + 1 }, (_, i) => blob(i)).join(",");
    refuses(text.replace(/"blobs":\[.*?\]/, `"blobs":[${blobs}]`), /at most 100000/);
  });

  it("do not count what stands in strings", () => {
    const brackets = `"wantedBy":["${"[{,".repeat(2000)}\\\\\\"["]`;
    expect(parse(text.replace('"wantedBy":["images[0]"]', brackets))).not.toThrow();
  });
});
