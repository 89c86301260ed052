import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PackageSetSpec } from "../../../src/lock/spec.ts";
import { chainsTo, summarise } from "../../../src/packages/report.ts";
import type { Closure } from "../../../src/packages/types.ts";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { type TestRpm, writeRpmRepository } from "../../support/rpm-metadata.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeEach(async () => {
  at = await packageContext();
});
afterEach(() => at.close());

const rpm = (name: string, evr = "1-1", more: Partial<TestRpm> = {}): TestRpm => ({ name, evr, ...more });

/** The one transaction for repositories that are given as their packages. */
async function solved(
  repositories: TestRpm[][],
  install: string[],
  over: Partial<PackageSetSpec> = {},
): Promise<Closure> {
  for (const [i, rpms] of repositories.entries()) await writeRpmRepository(`${at.dir}/r${i}`, rpms);
  const listed = repositories.map((_, i) => ({ id: `r${i}`, baseurl: `r${i}` }));
  const [found] = await resolveClosures(rpmSet({ repositories: listed, install, ...over }), at.context);
  return found as Closure;
}

const carried = ({ packages }: Closure): string[] =>
  packages
    .filter(({ alternative }) => alternative === undefined)
    .map(({ name, version }) => `${name}-${version}`)
    .sort();

describe("hosts with something older than the set can stand", () => {
  const hosts = async (...lines: string[]): Promise<{ installed: string }> => {
    await writeFile(`${at.dir}/hosts.rpms`, lines.map((line) => `${line}\n`).join(""));
    return { installed: "hosts.rpms" };
  };

  test("a conflict with an installed version brings the upgrade that lifts it, and says why", async () => {
    const rpms = [
      rpm("init", "1-1"),
      rpm("init", "3-1", { requires: ["initlib"] }),
      rpm("initlib"),
      rpm("monitor", "1-1", { conflicts: ["init < 2"] }),
    ];
    const found = await solved([rpms], ["monitor"], await hosts("init-1-1.noarch"));
    expect(carried(found)).toEqual(["init-3-1", "initlib-1-1", "monitor-1-1"]);
    expect(chainsTo(summarise("el9", [found]), "initlib").slice(1)).toEqual([
      "  monitor-1-1.noarch was asked for: monitor",
      "  hosts have init-1-1.noarch, which can't stay (monitor-1-1.noarch conflicts with init < 2): init-3-1.noarch",
      "  init-3-1.noarch requires initlib: initlib-1-1.noarch",
    ]);
  });

  test("an upgrade that breaks what hosts have brings that one's upgrade too", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["lib >= 2"] }),
      rpm("lib", "1-1"),
      rpm("lib", "2-1"),
      rpm("tool", "1-1", { requires: ["lib = 1-1"] }),
      rpm("tool", "2-1", { requires: ["lib = 2-1"] }),
    ];
    const found = await solved([rpms], ["app"], await hosts("lib-1-1.noarch", "tool-1-1.noarch"));
    expect(carried(found)).toEqual(["app-1-1", "lib-2-1", "tool-2-1"]);
  });

  test("what obsoletes an installed package takes its place", async () => {
    const rpms = [
      rpm("cron", "1-1"),
      rpm("timers", "2-1", { obsoletes: ["cron < 2"] }),
      rpm("agent", "1-1", { conflicts: ["cron"] }),
    ];
    const found = await solved([rpms], ["agent"], await hosts("cron-1-1.noarch"));
    expect(carried(found)).toEqual(["agent-1-1", "timers-2-1"]);
  });

  test("what was split into several packages is replaced by all of them", async () => {
    const rpms = [
      rpm("tools", "1-1"),
      rpm("tools-base", "2-1", { obsoletes: ["tools"] }),
      rpm("tools-extra", "2-1", { obsoletes: ["tools"] }),
    ];
    const found = await solved([rpms], ["tools-base"], await hosts("tools-1-1.noarch"));
    expect(carried(found)).toEqual(["tools-base-2-1", "tools-extra-2-1"]);
  });

  test("what has it by two Obsoletes was not split: one of these takes its place", async () => {
    const rpms = [
      rpm("tools", "1-1"),
      rpm("atools", "2-1", { obsoletes: ["tools < 2"] }),
      rpm("btools", "2-1", { obsoletes: ["tools < 3"] }),
    ];
    expect(carried(await solved([rpms], ["atools"], await hosts("tools-1-1.noarch")))).toEqual([
      "atools-2-1",
    ]);
  });

  test("what a newer build gave away, by the same Obsoletes, comes with that build", async () => {
    const rpms = [
      rpm("tools", "1-1"),
      rpm("tools", "2-1", { obsoletes: ["tools < 2"] }),
      rpm("tools-extra", "2-1", { obsoletes: ["tools < 2"] }),
    ];
    expect(carried(await solved([rpms], ["tools"], await hosts("tools-1-1.noarch")))).toEqual([
      "tools-2-1",
      "tools-extra-2-1",
    ]);
  });

  test("what holds there of a rich requirement goes on to hold", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["lib >= 2"] }),
      rpm("lib", "1-1"),
      rpm("lib", "2-1"),
      rpm("base"),
      rpm("tool", "1-1", { requires: ["(lib < 2 if base)", "(gone if base)"] }),
      rpm("tool", "2-1"),
    ];
    const old = ["lib-1-1.noarch", "tool-1-1.noarch"];
    expect(carried(await solved([rpms], ["app"], await hosts(...old)))).toEqual(["app-1-1", "lib-2-1"]);
    expect(carried(await solved([rpms], ["app"], await hosts(...old, "base-1-1.noarch")))).toEqual([
      "app-1-1",
      "lib-2-1",
      "tool-2-1",
    ]);
  });

  test("what does not go together there is left as it is", async () => {
    const rpms = [
      rpm("app"),
      rpm("cron", "1-1", { conflicts: ["timers"], obsoletes: ["jobs"] }),
      rpm("timers"),
      rpm("jobs"),
      rpm("lib", "1-1"),
      rpm("lib", "2-1"),
    ];
    const old = [
      "cron-1-1.noarch",
      "timers-1-1.noarch",
      "jobs-1-1.noarch",
      "lib-1-1.noarch",
      "lib-2-1.noarch",
    ];
    expect(carried(await solved([rpms], ["app"], await hosts(...old)))).toEqual(["app-1-1"]);
  });

  test("what they do without, though something of theirs recommends it, is not recommended again", async () => {
    const rpms = [
      rpm("shell", "1-1", { recommends: ["colours"] }),
      rpm("colours"),
      rpm("app", "1-1", { recommends: ["colours", "docs"] }),
      rpm("docs"),
      rpm("shell-extra", "1-1", { supplements: ["shell"] }),
      rpm("app-extra", "1-1", { supplements: ["(app and shell)"] }),
    ];
    const found = await solved([rpms], ["app"], { ...(await hosts("shell-1-1.noarch")), recommends: true });
    expect(carried(found)).toEqual(["app-1-1", "app-extra-1-1", "docs-1-1"]);
  });

  test("what they have decides what is taken for a capability", async () => {
    const rpms = [
      rpm("shell", "1-1", { suggests: ["bweb"] }),
      rpm("aweb", "1-1", { provides: ["www"] }),
      rpm("bweb", "1-1", { provides: ["www"] }),
    ];
    expect(carried(await solved([rpms], ["www"]))).toEqual(["aweb-1-1"]);
    expect(carried(await solved([rpms], ["www"], await hosts("shell-1-1.noarch")))).toEqual(["bweb-1-1"]);
  });

  test("an upgrade of what hosts have comes before something new, where both provide what is needed", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["web >= 2"] }),
      rpm("aweb", "9-1", { provides: ["web = 9"] }),
      rpm("web", "1-1"),
      rpm("web", "2-1"),
    ];
    expect(carried(await solved([rpms], ["app"], await hosts("web-1-1.noarch")))).toEqual([
      "app-1-1",
      "web-2-1",
    ]);
    expect(carried(await solved([rpms], ["app"]))).toEqual(["app-1-1", "aweb-9-1"]);
  });

  test("what hosts have is kept where something of it is asked for by a capability", async () => {
    const rpms = [rpm("web", "1-1", { provides: ["www"] }), rpm("aweb", "9-1", { provides: ["www"] })];
    expect(carried(await solved([rpms], ["www"], await hosts("web-1-1.noarch")))).toEqual([]);
  });

  test("a capability is asked for in its newest form, though hosts have it in an older one", async () => {
    const rpms = [
      rpm("old", "1-1", { provides: ["www"] }),
      rpm("old", "2-1", { provides: ["www"], conflicts: ["old < 2"], requires: ["nothing"] }),
      rpm("new", "1-1", { provides: ["www"], requires: ["lib"] }),
      rpm("lib"),
    ];
    const found = await solved([rpms], ["www"], await hosts("old-1-1.noarch"));
    expect(carried(found)).toEqual(["lib-1-1", "new-1-1"]);
    expect(found.asked).toEqual([{ text: "www", package: "new-1-1.noarch" }]);
  });

  test("nothing is downgraded, where dnf would", async () => {
    const rpms = [
      rpm("app", "1-1", { requires: ["web < 2"] }),
      rpm("web", "1-1"),
      rpm("aweb", "1-1", { provides: ["web = 1"] }),
    ];
    const found = await solved([rpms], ["app"], await hosts("web-2-1.noarch"));
    expect(carried(found)).toEqual(["app-1-1", "aweb-1-1"]);
  });

  test("where nothing can take its place it is an error, since dnf removes nothing unasked", async () => {
    const rpms = [rpm("cron", "1-1"), rpm("agent", "1-1", { conflicts: ["cron"] })];
    await expect(solved([rpms], ["agent"], await hosts("cron-1-1.noarch"))).rejects.toThrow(
      /hosts have cron-1-1[\s\S]*conflicts with cron/,
    );
  });
});

describe("whom dnf prefers of several that provide the same", () => {
  const app = rpm("app", "1-1", { requires: ["web"] });
  test.each([
    [
      "the package of that name, in a higher version",
      [rpm("aweb", "1-1", { provides: ["web = 1"] }), rpm("web", "2-1")],
      "web",
    ],
    [
      "another one, in a higher version",
      [rpm("web", "1-1"), rpm("zweb", "1-1", { provides: ["web = 9"] })],
      "zweb",
    ],
    [
      "the first by name: a version without a release is none of its releases' lower",
      [rpm("aweb", "10-1", { provides: ["web = 3"] }), rpm("zweb", "1-2", { provides: ["web = 3-1.el9"] })],
      "aweb",
    ],
    [
      "the same, the other way round",
      [rpm("aweb", "10-1", { provides: ["web = 3-1.el9"] }), rpm("zweb", "1-2", { provides: ["web = 3"] })],
      "aweb",
    ],
    [
      "the higher version, though a newer build without it is there",
      [rpm("web", "1-1"), rpm("zweb", "2-1", { provides: ["web = 3"] }), rpm("zweb", "3-1")],
      "zweb",
    ],
    [
      "a version without a release behind all that stand behind its releases",
      [
        rpm("aweb", "1-1", { provides: ["web = 3"] }),
        rpm("bweb", "1-1", { provides: ["web < 3-2"] }),
        rpm("cweb", "1-1", { provides: ["web = 3-2"] }),
      ],
      "cweb",
    ],
  ])("%s", async (_, rpms, expected) => {
    expect((await solved([[app, ...rpms]], ["app"])).packages.map(({ name }) => name)).toContain(expected);
  });

  test("asking for a capability carries who was chosen for it, though another comes in that has it too", async () => {
    const rpms = [
      rpm("lib", "1-1", { provides: ["base", "web = 2"] }),
      rpm("lib", "2-1", { provides: ["web >= 3"] }),
      rpm("aweb", "10-1", { provides: ["web = 1"], requires: ["base < 2"] }),
    ];
    const found = await solved([rpms], ["web"]);
    expect(carried(found)).toEqual(["aweb-10-1", "lib-1-1"]);
    expect(found.asked).toEqual([{ text: "web", package: "aweb-10-1.noarch" }]);
  });
});

test("what is decided first follows the priority of repositories, not their place in the list", async () => {
  const rest = [rpm("atool", "1-1", { provides: ["tool"] }), rpm("clib", "1-1", { provides: ["lib"] })];
  const first = [
    rpm("alib", "1-1", { provides: ["lib"], requires: ["base"] }),
    rpm("blib", "1-1", { provides: ["lib"] }),
    rpm("btool", "1-1", { provides: ["tool"], conflicts: ["alib"] }),
    rpm("ctool", "1-1", { provides: ["tool"] }),
    rpm("base"),
    rpm("app", "1-1", { requires: ["tool", "lib"] }),
  ];
  const repositories = [
    { id: "r0", baseurl: "r0" },
    { id: "r1", baseurl: "r1", priority: 50 },
  ];
  expect(carried(await solved([rest, first], ["app"], { repositories }))).toEqual([
    "alib-1-1",
    "app-1-1",
    "base-1-1",
    "ctool-1-1",
  ]);
});

describe("rich dependencies that spell out to very many alternatives", () => {
  const many = (capability: string, count: number): TestRpm[] =>
    Array.from({ length: count }, (_, i) => rpm(`${capability}${i}`, "1-1", { provides: [capability] }));
  const wide = "(x if (a and b))";
  const candidates = [
    rpm("app", "1-1", { requires: ["tool"] }),
    rpm("atool", "1-1", { provides: ["tool = 2"] }),
    rpm("ztool", "1-1", { provides: ["tool = 1"], requires: [wide] }),
  ];

  test("a candidate that nobody needs does not matter, and one that is needed can be had", async () => {
    const rpms = [...candidates, ...many("a", 90), ...many("b", 90), ...many("x", 30)];
    expect(carried(await solved([rpms], ["app"]))).toEqual(["app-1-1", "atool-1-1"]);
    expect(carried(await solved([rpms], ["ztool"]))).toEqual(["ztool-1-1"]);
  });

  test("where it is beyond what can be worked with, that package is named, and only when it is needed", async () => {
    const rpms = [...candidates, ...many("a", 200), ...many("b", 200), ...many("x", 150)];
    expect(carried(await solved([rpms], ["app"]))).toEqual(["app-1-1", "atool-1-1"]);
    await expect(solved([rpms], ["ztool"])).rejects.toMatchObject({
      code: "unsatisfiable",
      message: expect.stringContaining(`ztool-1-1.noarch (r0) has ${wide}, which spells out to more`),
    });
  });
});

describe("a name that was obsoleted", () => {
  const warned = (): string[] =>
    at.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));

  test("can't be asked for on hosts: that is said", async () => {
    const rpms = [rpm("oldtool"), rpm("newtool", "2-1", { obsoletes: ["oldtool < 2"] })];
    expect(carried(await solved([rpms], ["oldtool"]))).toEqual(["newtool-2-1"]);
    expect(warned()).toEqual([
      expect.stringMatching(/oldtool is carried as newtool-2-1.*install it as newtool$/),
    ]);
  });

  test("is no matter where its successor provides it", async () => {
    const rpms = [
      rpm("oldtool"),
      rpm("newtool", "2-1", { obsoletes: ["oldtool < 2"], provides: ["oldtool = 2"] }),
    ];
    expect(carried(await solved([rpms], ["oldtool"]))).toEqual(["newtool-2-1"]);
    expect(warned()).toEqual([]);
  });
});

describe("rich wishes", () => {
  const app = (recommends: string): TestRpm => rpm("app", "1-1", { recommends: [recommends] });
  test.each([
    ["(a and b)", ["app"], ["a", "app", "b"]],
    ["(a if b)", ["app"], ["app"]],
    ["(a if b)", ["app", "b"], ["a", "app", "b"]],
    // "gone or b" is one of its parts, so b is wished for; then a.
    ["(a if b else gone)", ["app"], ["a", "app", "b"]],
  ])("recommends %s, asked for %j", async (recommends, install, expected) => {
    const rpms = [rpm("a"), rpm("b"), app(recommends)];
    const found = await solved([rpms], install, { recommends: true });
    expect(found.packages.map(({ name }) => name)).toEqual(expected);
  });
});

test("what supplements a capability of a package that comes in comes in too, though nobody names it", async () => {
  const rpms = [
    rpm("app", "1-1", { provides: ["look = 1"] }),
    rpm("theme", "1-1", { supplements: ["look"] }),
  ];
  expect(carried(await solved([rpms], ["app"], { recommends: true }))).toEqual(["app-1-1", "theme-1-1"]);
});

test("a package may conflict with what it provides itself, in a rich way too", async () => {
  const app = rpm("app", "1-1", { conflicts: ["((app if other) if third)"] });
  const rpms = [app, rpm("other"), rpm("third")];
  expect(carried(await solved([rpms], ["app"]))).toEqual(["app-1-1", "other-1-1", "third-1-1"]);
});

describe("packages that may be installed beside their other versions", () => {
  const kernel = (version: string): TestRpm =>
    rpm("kernel", version, { provides: [`kernel-uname-r = ${version}`] });
  const extra = (version: string): TestRpm =>
    rpm("kernel-modules-extra", version, {
      provides: ["installonlypkg(kernel-module)"],
      requires: [`kernel-uname-r = ${version}`],
    });
  const rpms = ["5.14-70", "5.14-162", "5.14-200"].flatMap((version) => [kernel(version), extra(version)]);

  test("two kernels with their modules, for hosts that differ", async () => {
    const asked = ["kernel-modules-extra-5.14-70", "kernel-modules-extra-5.14-162"];
    expect(carried(await solved([rpms], asked))).toEqual([
      "kernel-5.14-162",
      "kernel-5.14-70",
      "kernel-modules-extra-5.14-162",
      "kernel-modules-extra-5.14-70",
    ]);
  });

  test("the newest alone where none is named, and what hosts have stays beside it", async () => {
    expect(carried(await solved([rpms], ["kernel-modules-extra"]))).toEqual([
      "kernel-5.14-200",
      "kernel-modules-extra-5.14-200",
    ]);
    at.context.cacheDir += "2";
    await writeFile(`${at.dir}/hosts.rpms`, "kernel-5.14-70.noarch\n");
    expect(carried(await solved([rpms], ["kernel"], { installed: "hosts.rpms" }))).toEqual([
      "kernel-5.14-200",
    ]);
  });

  test("what supplements one of them comes in once", async () => {
    const more = ["1-1", "2-1"].map((version) =>
      rpm("kernel-tuning", version, { provides: ["installonlypkg(kernel)"], supplements: ["kernel"] }),
    );
    const found = await solved([[...rpms, ...more]], ["kernel"], { recommends: true });
    expect(carried(found)).toEqual(["kernel-5.14-200", "kernel-tuning-2-1"]);
  });

  test("nothing else may", async () => {
    const others = [rpm("lib", "1-1"), rpm("lib", "2-1")];
    await expect(solved([others], ["lib-1", "lib-2"])).rejects.toThrow(/only one of lib-/);
  });
});
