import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PackageSetSpec } from "../../../src/lock/spec.ts";
import { chainsTo, summarise } from "../../../src/packages/report.ts";
import type { Closure } from "../../../src/packages/types.ts";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { statusText, type TestDeb, writeDebRepository } from "../../support/deb-metadata.ts";
import { debSet, packageContext } from "../../support/packages.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

const deb = (name: string, version = "1-1", more: Partial<TestDeb> = {}): TestDeb => ({
  name,
  version,
  ...more,
});

/** The one transaction for repositories that are given as their packages, on hosts that have some of them. */
async function solved(
  repositories: TestDeb[][],
  install: string[],
  { installed, ...over }: Partial<Omit<PackageSetSpec, "installed">> & { installed?: TestDeb[] } = {},
): Promise<Closure> {
  for (const [i, debs] of repositories.entries()) await writeDebRepository(`${at.dir}/r${i}`, debs);
  if (installed) await writeFile(`${at.dir}/status`, statusText(installed));
  const listed = repositories.map((_, i) => ({ id: `r${i}`, uris: `r${i}`, suites: ["./"] }));
  const set = debSet({
    repositories: listed,
    install,
    ...over,
    ...(installed ? { installed: "status" } : {}),
  });
  const [found] = await resolveClosures(set, at.context);
  return found as Closure;
}

const ids = ({ packages }: Closure): string[] => packages.map(({ id }) => id);

describe("what hosts have", () => {
  const [old, newer] = [deb("init", "1-1"), deb("init", "3-1", { depends: ["initlib"] })];
  const agent = deb("agent", "1-1", { breaks: ["init (<< 2)"] });

  test("is upgraded where an upgrade lifts Breaks, and that is said", async () => {
    const found = await solved([[old, newer, deb("initlib"), agent]], ["agent"], { installed: [old] });
    expect(ids(found)).toEqual(["agent=1-1", "init=3-1", "initlib=1-1"]);
    expect(found.removes).toEqual([]);
    expect(chainsTo(summarise("debian12", [found]), "init")).toContain(
      "  hosts have init=1-1, which can't stay (agent=1-1 breaks it): init=3-1",
    );
  });

  test("goes where no upgrade helps", async () => {
    const found = await solved([[old, agent]], ["agent"], { installed: [old] });
    expect([ids(found), found.removes]).toEqual([["agent=1-1"], ["init=1-1"]]);
  });

  test("is upgraded with what it depends on in that very version", async () => {
    const tool = (version: string): TestDeb => deb("tool", version, { depends: [`lib (= ${version})`] });
    const debs = [deb("lib", "1-1"), deb("lib", "2-1"), tool("1-1"), tool("2-1")];
    const app = deb("app", "1-1", { depends: ["lib (>= 2)"] });
    const found = await solved([[...debs, app]], ["app"], { installed: [deb("lib", "1-1"), tool("1-1")] });
    expect(ids(found)).toEqual(["app=1-1", "lib=2-1", "tool=2-1"]);
  });

  test("goes where what was asked for takes away what it depends on", async () => {
    const keeper = deb("keeper", "1-1", { depends: ["cap"] });
    const had = deb("app", "1-1", { provides: ["cap"] });
    const found = await solved([[deb("app", "2-1"), keeper]], ["app"], { installed: [had, keeper] });
    expect([ids(found), found.removes]).toEqual([["app=2-1"], ["keeper=1-1"]]);
  });

  test("is never downgraded unasked", async () => {
    const [one, two] = [deb("lib", "1-1"), deb("lib", "2-1")];
    const debs = [
      one,
      two,
      deb("p", "1-1", { breaks: ["lib (= 2-1)"] }),
      deb("x", "1-1", { depends: ["lib"] }),
    ];
    await expect(solved([debs], ["p", "x"], { installed: [two] })).rejects.toThrow(
      /lib=1-1 \(r0 \.\/\) is older than what hosts have, lib=2-1/,
    );
    at.context.cacheDir += "2";
    expect(ids(await solved([debs], ["lib=1-1"], { installed: [two] }))).toEqual(["lib=1-1"]);
  });

  test("in a version that fulfils no name:any is not downgraded for it either", async () => {
    const debs = [
      deb("app", "1-1", { depends: ["script:any"] }),
      deb("script", "18-1", { arch: "amd64", multiArch: "allowed" }),
    ];
    await expect(
      solved([debs], ["app"], { installed: [deb("script", "20-1", { arch: "amd64" })] }),
    ).rejects.toThrow(/script=18-1 .* is older than what hosts have, script=20-1/);
  });
});

describe("which of several that provide the same", () => {
  test("goes by when the name was first met, whatever later repositories add", async () => {
    const provider = (name: string, version = "1-1"): TestDeb => deb(name, version, { provides: ["term"] });
    const first = [deb("app", "1-1", { depends: ["term"] }), provider("aterm"), provider("zterm")];
    expect(ids(await solved([first, [provider("aterm", "1-1+u1")]], ["app"]))).toEqual([
      "app=1-1",
      "zterm=1-1",
    ]);
  });

  test("goes by the priority of the version that would be taken, not of others", async () => {
    const debs = [
      deb("app", "1-1", { depends: ["cap"] }),
      deb("one", "2-1", { provides: ["cap"], priority: "extra" }),
      deb("one", "1-1", { provides: ["cap"], priority: "optional" }),
      deb("two", "1-1", { provides: ["cap"], priority: "optional" }),
    ];
    expect(ids(await solved([debs], ["app"]))).toEqual(["app=1-1", "two=1-1"]);
  });

  test("another provider before an older version", async () => {
    const debs = [
      deb("app", "1-1", { depends: ["web"] }),
      deb("web", "1-1"),
      deb("web", "2-1", { depends: ["helper"] }),
      deb("helper", "1-1", { breaks: ["web"] }),
      deb("zweb", "1-1", { provides: ["web"] }),
    ];
    expect(ids(await solved([debs], ["app"]))).toEqual(["app=1-1", "zweb=1-1"]);
  });

  test("an unversioned Provides fulfils no range, and breaks by none", async () => {
    const debs = [
      deb("app", "1-1", { depends: ["cap (<< 9) | other"], breaks: ["cap (<< 9)"] }),
      deb("acap", "1-1", { provides: ["cap"] }),
      deb("other", "1-1", { depends: ["acap"] }),
    ];
    expect(ids(await solved([debs], ["app"]))).toEqual(["acap=1-1", "app=1-1", "other=1-1"]);
  });

  test("requests are followed one after the other, as they stand", async () => {
    const debs = [
      deb("one", "1-1", { depends: ["cap"] }),
      deb("two", "1-1", { depends: ["bcap"] }),
      deb("bcap", "1-1", { provides: ["cap"] }),
      deb("ccap", "1-1", { provides: ["cap"] }),
    ];
    expect(ids(await solved([debs], ["two", "one"]))).toEqual(["bcap=1-1", "one=1-1", "two=1-1"]);
    expect(ids(await solved([debs], ["one", "two"]))).toEqual(["bcap=1-1", "ccap=1-1", "one=1-1", "two=1-1"]);
  });
});

describe("Recommends", () => {
  test("one that conflicts does not lose the others", async () => {
    const debs = [
      deb("app", "1-1", { depends: ["core"], recommends: ["helper", "mailer"] }),
      deb("core", "1-1", { recommends: ["docs"] }),
      ...["docs", "helper"].map((name) => deb(name)),
      deb("mailer", "1-1", { conflicts: ["core"] }),
    ];
    expect(ids(await solved([debs], ["app"], { recommends: true }))).toEqual([
      "app=1-1",
      "core=1-1",
      "docs=1-1",
      "helper=1-1",
    ]);
  });

  test("another provider where the first breaks what is in", async () => {
    const debs = [
      deb("app", "1-1", { depends: ["cap"], recommends: ["mail"] }),
      deb("base", "1-1", { provides: ["cap"] }),
      deb("mail", "1-1", { breaks: ["cap"] }),
      deb("zmail", "1-1", { provides: ["mail"] }),
    ];
    expect(ids(await solved([debs], ["app"], { recommends: true }))).toEqual([
      "app=1-1",
      "base=1-1",
      "zmail=1-1",
    ]);
  });

  test("are taken along where an older version has to be taken, too", async () => {
    const debs = [
      deb("app", "2-1", { depends: ["gone"] }),
      deb("app", "1-1", { depends: ["lib"], recommends: ["docs", "never"] }),
      deb("lib", "1-1", { recommends: ["more"] }),
      deb("docs", "1-1", { depends: ["style"] }),
      ...["style", "more"].map((name) => deb(name)),
      deb("never", "1-1", { conflicts: ["app"] }),
    ];
    expect(ids(await solved([debs], ["app"], { recommends: true }))).toEqual([
      "app=1-1",
      "docs=1-1",
      "lib=1-1",
      "more=1-1",
      "style=1-1",
    ]);
  });
});

describe("what apt weighs up when something is broken", () => {
  test("an upgrade that takes away what weighs more needs is held back", async () => {
    const user = deb("user", "1-1", { depends: ["core"], priority: "important" });
    const installed = [
      user,
      deb("tool", "1-1", { provides: ["base"] }),
      deb("core", "1-1", { depends: ["base"] }),
      deb("dict"),
      deb("spell", "1-1", { provides: ["words"], recommends: ["dict (<= 1-1)"] }),
    ];
    const debs = [
      deb("tool", "2-1", { recommends: ["dict (>= 2)"] }),
      deb("core", "2-1", { depends: ["words"] }),
      deb("dict", "2-1"),
      deb("spell", "2-1"),
      user,
    ];
    const found = await solved([debs], ["tool"], { installed, recommends: true });
    expect([ids(found), found.removes]).toEqual([["core=2-1", "dict=2-1", "tool=2-1"], []]);
  });

  test("what came in for something that was given up is not carried", async () => {
    const debs = [
      deb("app", "1-1", { recommends: ["extra"] }),
      deb("extra", "1-1", { depends: ["lib"], conflicts: ["base"] }),
      deb("lib"),
    ];
    const base = deb("base", "1-1", { essential: true });
    const found = await solved([[...debs, base]], ["app"], { installed: [base], recommends: true });
    expect([ids(found), found.removes]).toEqual([["app=1-1"], []]);
  });

  test("a candidate that was given up counts as possible until its state changes", async () => {
    const debs = [
      deb("app", "1-1", { recommends: ["gone | other"] }),
      deb("gone", "1-1", { depends: ["nothing"] }),
      deb("other", "1-1", { depends: ["base (>= 2)", "app (= 3) | gone"] }),
      deb("base", "2-1"),
    ];
    const found = await solved([debs], ["app"], { installed: [deb("base")], recommends: true });
    expect(ids(found)).toEqual(["app=1-1", "base=2-1"]);
  });

  test("where it finds no way, the answer says what to ask it for", async () => {
    const installed = [deb("old", "1-1", { conflicts: ["shell"] }), deb("base")];
    const debs = [
      deb("app", "1:2-1", { depends: ["none | shell"] }),
      deb("shell", "3-1", { depends: ["term"] }),
      deb("term", "1-1", { depends: ["old", "base"] }),
      deb("old", "2-1", { depends: ["app (<= 2-1) | other"] }),
      deb("other"),
    ];
    const found = await solved([debs], ["app"], { installed });
    const all = ["app=1:2-1", "old=2-1", "other=1-1", "shell=3-1", "term=1-1"];
    expect([ids(found), found.removes, found.inFull]).toEqual([all, [], all]);
    expect(at.events).toContainEqual({
      type: "warning",
      message: `debian12: apt does not find its way to app by itself; on hosts, name every package: apt-get install ${all.join(" ")}`,
    });
  });
});
