import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PackageSetSpec } from "../../../src/lock/spec.ts";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { type TestRpm, writeRpmRepository } from "../../support/rpm-metadata.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

/** What is chosen from one repository, without the mere alternatives. */
async function closure(
  rpms: TestRpm[],
  install: string[],
  over: Partial<PackageSetSpec> = {},
): Promise<string[]> {
  await writeRpmRepository(`${at.dir}/repo`, rpms);
  const set = rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install, ...over });
  const [found] = await resolveClosures(set, at.context);
  return (found?.packages ?? []).filter(({ alternative }) => alternative === undefined).map(({ id }) => id);
}

const rpm = (name: string, evr = "1-1", more: Partial<TestRpm> = {}): TestRpm => ({ name, evr, ...more });

describe("what can be asked for", () => {
  const rpms = [
    rpm("kubelet", "1.28.2-0"),
    rpm("kubelet", "1.29.0-0"),
    rpm("kube-x", "2:1-1"),
    rpm("web", "1-1", { provides: ["webserver = 2"], files: ["/usr/sbin/web", "/opt/web/data"] }),
  ];
  test.each([
    ["kubelet", "kubelet-1.29.0-0.noarch"],
    ["kubelet-1.28.2", "kubelet-1.28.2-0.noarch"],
    ["kubelet-1.28.*", "kubelet-1.28.2-0.noarch"],
    ["kubelet-1.28.2-0.noarch", "kubelet-1.28.2-0.noarch"],
    ["kubelet.noarch", "kubelet-1.29.0-0.noarch"],
    ["kube-x-2:1", "kube-x-2:1-1.noarch"],
    ["webserver", "web-1-1.noarch"],
    ["webserver >= 2", "web-1-1.noarch"],
    ["/usr/sbin/web", "web-1-1.noarch"],
    ["/opt/web/data", "web-1-1.noarch"],
  ])("%s", async (asked, answer) => {
    expect(await closure(rpms, [asked])).toEqual([answer]);
  });

  test("a pattern stands for every name that fits", async () => {
    expect(await closure(rpms, ["kube*"])).toEqual(["kube-x-2:1-1.noarch", "kubelet-1.29.0-0.noarch"]);
  });

  test("what is not there is refused with what comes nearest", async () => {
    await expect(closure(rpms, ["kubelet-1.30"])).rejects.toMatchObject({
      code: "unsatisfiable",
      message: expect.stringMatching(/base.*kubelet-1\.30.*nearest: .*kubelet-1\.29\.0-0/),
    });
    await expect(closure(rpms, ["kubelett"])).rejects.toThrow(/similar name: kubelet/);
  });
});

describe("which of several is taken: as libsolv takes them", () => {
  test("repository priority before version", async () => {
    await writeRpmRepository(`${at.dir}/a`, [rpm("x", "2-1")]);
    const repositories = [
      { id: "a", baseurl: "a", priority: 99 },
      { id: "b", baseurl: "repo", priority: 10 },
    ];
    expect(await closure([rpm("x", "1-1")], ["x"], { repositories })).toEqual(["x-1-1.noarch"]);
  });

  test("names in byte order: a package called like the capability is not preferred", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["foo"] }),
      rpm("foo"),
      rpm("bar", "1-1", { provides: ["foo"] }),
    ];
    expect(await closure(rpms, ["app"])).toEqual(["app-1-1.noarch", "bar-1-1.noarch"]);
  });

  test("the higher version of what both provide comes first", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["cap"] }),
      rpm("a", "1-1", { provides: ["cap = 1"] }),
      rpm("b", "1-1", { provides: ["cap = 2"] }),
    ];
    expect(await closure(rpms, ["app"])).toContain("b-1-1.noarch");
  });

  test("what something chosen recommends comes first", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["cap"], recommends: ["b"] }),
      rpm("a", "1-1", { provides: ["cap"] }),
      rpm("b", "1-1", { provides: ["cap"] }),
    ];
    expect(await closure(rpms, ["app"])).toEqual(["app-1-1.noarch", "b-1-1.noarch"]);
  });

  test("asking for what is obsoleted gives what obsoletes it", async () => {
    expect(
      await closure([rpm("oldlib"), rpm("newlib", "1-1", { obsoletes: ["oldlib < 2"] })], ["oldlib"]),
    ).toEqual(["newlib-1-1.noarch"]);
  });

  test("obsoletes speak of names, not of what is provided", async () => {
    const rpms = [rpm("a", "1-1", { provides: ["cap"] }), rpm("b", "1-1", { obsoletes: ["cap"] })];
    expect(await closure(rpms, ["a", "b"])).toEqual(["a-1-1.noarch", "b-1-1.noarch"]);
  });

  test("one transaction for all: a later request settles an earlier choice", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["web"] }),
      rpm("aweb", "1-1", { provides: ["web"] }),
      rpm("bweb", "1-1", { provides: ["web"] }),
    ];
    expect(await closure(rpms, ["app", "bweb"])).toEqual(["app-1-1.noarch", "bweb-1-1.noarch"]);
  });

  test("an older version where the newest can't be had", async () => {
    const rpms = [rpm("x", "2-1", { requires: ["gone"] }), rpm("x", "1-1")];
    expect(await closure(rpms, ["x"])).toEqual(["x-1-1.noarch"]);
  });
});

describe("rich dependencies", () => {
  const others = [rpm("a"), rpm("b"), rpm("c")];
  const app = (requires: string): TestRpm => rpm("app", "1-1", { requires: [requires] });
  test.each([
    ["(a or b)", ["app"], ["a", "app"]],
    ["(a and b)", ["app"], ["a", "app", "b"]],
    ["(a if b)", ["app"], ["app"]],
    ["(a if b)", ["app", "b"], ["a", "app", "b"]],
    // dnf answers the same: the first by name of what ends the open "b or c", then what that asks for.
    ["(a if b else c)", ["app"], ["a", "app", "b"]],
    ["(a unless b)", ["app"], ["a", "app"]],
    ["((a and c) if b)", ["app", "b"], ["a", "app", "b", "c"]],
  ])("%s, asked for %j", async (requires, install, expected) => {
    expect(await closure([...others, app(requires)], install)).toEqual(
      expected.map((name) => `${name}-1-1.noarch`),
    );
  });

  test("with and without look at one package", async () => {
    const rpms = [rpm("p", "1-1", { provides: ["x = 1"] }), rpm("q", "1-1", { provides: ["x = 1", "y"] })];
    expect(await closure([...rpms, app("(x with y)")], ["app"])).toContain("q-1-1.noarch");
    at.context.cacheDir += "2";
    expect(await closure([...rpms, app("(x without y)")], ["app"])).toContain("p-1-1.noarch");
  });

  test("what hosts may need that have the condition is carried, and says why", async () => {
    await writeRpmRepository(`${at.dir}/repo`, [...others, app("(a if b)")]);
    const [found] = await resolveClosures(
      rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install: ["app"] }),
      at.context,
    );
    expect(found?.packages.map(({ id, alternative }) => [id, alternative])).toEqual([
      ["a-1-1.noarch", "app-1-1.noarch requires (a if b)"],
      ["app-1-1.noarch", undefined],
    ]);
  });
});

describe("a condition that fulfils itself", () => {
  test("brings nothing in, also where others could fulfil it too", async () => {
    await writeRpmRepository(`${at.dir}/repo`, [
      rpm("app", "1-1", { requires: ["(a if b)"] }),
      rpm("both", "1-1", { provides: ["a", "b"], requires: ["base"] }),
      rpm("another", "1-1", { provides: ["a"], requires: ["base"] }),
      rpm("base"),
    ]);
    const [found] = await resolveClosures(
      rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install: ["app"] }),
      at.context,
    );
    expect(found?.packages.map(({ id }) => id)).toEqual(["app-1-1.noarch"]);
  });
});

describe("what can't be", () => {
  test("unless: the first, and the second not", async () => {
    await expect(
      closure([rpm("a"), rpm("b"), rpm("app", "1-1", { requires: ["(a unless b)"] })], ["app", "b"]),
    ).rejects.toThrow(/requires \(a unless b\)/);
  });

  test("the chain, in words, with what comes nearest", async () => {
    const rpms = [
      rpm("kubelet", "1.28.2-0", { requires: ["conntrack-tools >= 2"] }),
      rpm("conntrack-tools", "1.4-1"),
    ];
    await expect(closure(rpms, ["kubelet"])).rejects.toMatchObject({
      code: "unsatisfiable",
      data: {
        chain: [
          "kubelet was asked for: kubelet-1.28.2-0.noarch (base)",
          "kubelet-1.28.2-0.noarch (base) requires conntrack-tools >= 2, which nothing provides; nearest: conntrack-tools-1.4-1.noarch (base)",
        ],
      },
    });
  });

  test("a conflict deep down", async () => {
    const rpms = [rpm("a", "1-1", { requires: ["c"] }), rpm("b", "1-1", { conflicts: ["c"] }), rpm("c")];
    await expect(closure(rpms, ["a", "b"])).rejects.toThrow(
      /a was asked for[\s\S]*requires c[\s\S]*conflicts with c, which is c-1-1/,
    );
  });

  test("an i686 package answers nothing", async () => {
    const rpms = [
      rpm("app", "1-1", { arch: "x86_64", requires: ["libx.so"] }),
      rpm("libx", "1-1", { arch: "i686", provides: ["libx.so"] }),
    ];
    await expect(closure(rpms, ["app"])).rejects.toThrow(
      /libx\.so, which nothing provides; nearest: libx-1-1\.i686 \(base\), of another architecture/,
    );
  });
});

describe("hosts and roles", () => {
  test("what hosts have is left out, and is what solves for them", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["glibc", "lib"] }),
      rpm("glibc", "2.34-1"),
      rpm("glibc", "2.35-1"),
      rpm("lib"),
    ];
    await writeFile(`${at.dir}/hosts.rpms`, "glibc-2.34-1.noarch\nunknown-9-9.x86_64\ngpg-pubkey-1-2\n");
    expect(await closure(rpms, ["app"], { installed: "hosts.rpms" })).toEqual([
      "app-1-1.noarch",
      "lib-1-1.noarch",
    ]);
  });

  test("each role is one transaction of its own", async () => {
    await writeRpmRepository(`${at.dir}/repo`, [
      rpm("chrony"),
      rpm("kubelet"),
      rpm("keepalived", "1-1", { requires: ["snmp"] }),
      rpm("snmp"),
    ]);
    const install = { all: ["chrony"], worker: ["kubelet"], "load-balancer": ["keepalived"] };
    const found = await resolveClosures(
      rpmSet({ repositories: [{ id: "base", baseurl: "repo" }], install }),
      at.context,
    );
    expect(
      Object.fromEntries(found.map(({ role, packages }) => [role, packages.map(({ name }) => name)])),
    ).toEqual({
      all: ["chrony"],
      worker: ["chrony", "kubelet"],
      "load-balancer": ["chrony", "keepalived", "snmp"],
    });
  });

  test("weak dependencies only on wish", async () => {
    const rpms = [
      rpm("app", "1-1", { recommends: ["nice"] }),
      rpm("nice"),
      rpm("plugin", "1-1", { supplements: ["app"] }),
    ];
    expect(await closure(rpms, ["app"])).toEqual(["app-1-1.noarch"]);
    expect(await closure(rpms, ["app"], { recommends: true })).toEqual([
      "app-1-1.noarch",
      "nice-1-1.noarch",
      "plugin-1-1.noarch",
    ]);
  });
});
