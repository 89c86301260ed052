import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { planUpgrade, wholePlan } from "../../src/install/upgrade/stages.ts";
import { hostsIn, type Plan, stepsOn } from "../../src/plan/stage.ts";
import { expectGolden, updating } from "../support/install/golden.ts";
import { HOME } from "../support/install/site.ts";
import { differenceText, stageText } from "../support/install/text.ts";
import { type UpgradeWishes, upgradeOf } from "../support/install/upgrade-site.ts";

const GOLDEN = join(HOME, "upgrades");

const HOSTS = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane"] },
  { name: "master2", address: "10.0.0.13", roles: ["control-plane"] },
  { name: "node1", address: "10.0.0.15", roles: ["worker"] },
  { name: "node2", address: "10.0.0.16", roles: ["worker"] },
  { name: "register", address: "10.0.0.20", roles: ["registry"] },
];
/** One host of each family among control planes and workers. */
const MIXED: Pick<UpgradeWishes, "os" | "on"> = {
  os: "debian-12",
  on: { master2: "rocky-9.4", node2: "rocky-9.4" },
};
const cluster = { hosts: HOSTS, endpoint: { address: "10.0.0.200" } };

const CASES: Record<string, UpgradeWishes> = {
  "1.23-docker-to-1.28-containerd": {
    ...MIXED,
    from: "v1.23.17",
    carried: ["v1.24.17", "v1.25.16", "v1.26.15", "v1.27.16", "v1.28.15"],
    docker: true,
    cluster,
  },
  "1.28-to-1.34": {
    ...MIXED,
    from: "v1.28.2",
    carried: ["v1.29.15", "v1.30.14", "v1.31.14", "v1.32.13", "v1.33.13", "v1.34.4"],
    workers: 2,
    cluster,
  },
  "1.34-to-1.37": { ...MIXED, from: "v1.34.4", carried: ["v1.35.9", "v1.36.5", "v1.37.1"], cluster },
};

/** Long contents of files: golden files of installations show them. */
const shorter = (text: string): string =>
  text.replace(
    /^( *)(put|put_block)( .*<<'(\w+)'\n)((?:(?! *\4$).*\n)*)( *\4)$/gm,
    (_, indent: string, put: string, head: string, _mark: string, body: string, end: string) => {
      const lines = body.trimEnd().split("\n");
      const shown =
        lines.length <= 5 ? lines : [...lines.slice(0, 2), `${indent}# … ${lines.length - 2} more lines`];
      return `${indent}${put}${head}${shown.join("\n")}\n${end}`;
    },
  );

const stagesOf = (plan: Plan, stone: string): Plan => ({
  stages: plan.stages.filter(({ name }) => name.startsWith(`${stone}-`)),
});

/** A minor's stages; beside the minor before it, only what differs in more than the version. */
function textOf(plan: Plan, stone: string, before: string | undefined): string {
  const { stages } = stagesOf(plan, stone);
  return stages
    .map(({ name }) => {
      const text = shorter(stageText(plan, name));
      const earlier = before && name.replace(stone, before);
      const known = earlier && plan.stages.some((stage) => stage.name === earlier);
      if (!before || !known) return `##### ${name}\n\n${text}`;
      const base = shorter(stageText(plan, earlier))
        .replaceAll(before, stone)
        .replaceAll(before.slice(1), stone.slice(1));
      return `##### ${name}, only what differs from ${earlier}\n\n${differenceText(base, text)}`;
    })
    .join("\n");
}

describe.each(Object.entries(CASES))("the plan of %s", (name, wishes) => {
  const plan = wholePlan(planUpgrade(upgradeOf(wishes)));

  it("is what it is", () => {
    if (updating) {
      rmSync(join(GOLDEN, name), { recursive: true, force: true });
      mkdirSync(join(GOLDEN, name), { recursive: true });
    }
    const stones = [...new Set(plan.stages.flatMap(({ name }) => /^(v[\d.]+)-/.exec(name)?.[1] ?? []))];
    for (const [i, stone] of stones.entries())
      expectGolden(textOf(plan, stone, stones[i - 1]), join(GOLDEN, name, `${stone}.txt`));
    expect(readdirSync(join(GOLDEN, name)).sort()).toEqual(stones.map((stone) => `${stone}.txt`).sort());
  });

  it("names every step once a host", () => {
    for (const host of hostsIn(plan)) {
      const ids = stepsOn(plan, host).map(({ stage, step }) => `${stage}/${step.id}`);
      expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
    }
  });
});
