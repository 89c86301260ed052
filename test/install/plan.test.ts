import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { secretTexts } from "../../src/cluster/secrets.ts";
import type { PlanInput } from "../../src/install/context.ts";
import { planInstall } from "../../src/install/plan.ts";
import { STAGE_NAMES, scriptOrder } from "../../src/install/stages/index.ts";
import { loadLibrary, renderScript } from "../../src/plan/script.ts";
import { narrow, type Plan, type Work } from "../../src/plan/stage.ts";
import type { Step } from "../../src/plan/step.ts";
import { turnsOf } from "../../src/plan/turns.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";
import { systems } from "../support/install/systems.ts";
import { Random } from "../support/random.ts";
import { Scratch } from "../support/scratch.ts";

const VERSIONS = ["v1.20.15", "v1.23.17", "v1.24.9", "v1.26.3", "v1.28.2", "v1.31.1", "v1.34.2"];

/** A cluster of somebody, the same for the same seed. */
function randomWishes(seed: number): Wishes {
  const random = new Random(seed);
  const version = random.pick(VERSIONS);
  const minor = Number(version.split(".")[1]);
  const count = 1 + random.below(4);
  const external = random.chance(0.4);
  const login = random.chance(0.4) ? { user: "robot", passwordEnv: "SITE_PASSWORD" } : {};
  const odd = ["it's", 'a "quoted" one', "$HOME `id` \\n", "ünïcode", "-e"];
  const nodes = Array.from({ length: count }, (_, i) => ({
    name: `${random.pick(["node", "worker", "k8s-n"])}${i}`,
    address: `10.0.${random.below(3)}.${20 + i}`,
    roles: ["worker"],
    ...(random.chance(0.3)
      ? {
          labels: { [`l${i}`]: random.pick(["a", "b", ""]) },
          taints: [random.pick(["gpu:NoSchedule", "k=v:NoExecute"])],
        }
      : {}),
  }));
  const planes = random.chance(0.3) ? 3 : 1;
  const masters = Array.from({ length: planes }, (_, i) => ({
    name: `master${i}`,
    address: `10.0.0.${10 + i}`,
    roles: [
      "control-plane",
      ...(random.chance(0.3) ? ["worker"] : []),
      ...(i === 0 && !external ? ["registry"] : []),
    ],
  }));
  const docker = random.chance(0.3);
  return {
    os: random.pick(systems),
    on: Object.fromEntries(
      nodes.filter(() => random.chance(0.5)).map(({ name }) => [name, random.pick(systems)]),
    ),
    facts: {
      ...(random.chance(0.3) ? { routes: [] } : {}),
      ...(random.chance(0.3) ? { nameservers: ["127.0.0.1"] } : {}),
      ...(random.chance(0.3) ? { proxies: ["http_proxy=http://p:3128"] } : {}),
      ...(random.chance(0.3) ? { firewall: random.pick(["firewalld", "ufw"] as const) } : {}),
      ...(random.chance(0.3) ? { zram: true, enabled: ["zramswap"] } : {}),
      ...(random.chance(0.2) ? { machineId: "cafe" } : {}),
      ...(random.chance(0.2) ? { setsClock: false } : {}),
    },
    cluster: {
      name: random.pick(["site", "a-1"]),
      kubernetes: {
        version,
        ...(random.chance(0.3) ? { proxyMode: minor >= 31 ? "nftables" : "ipvs" } : {}),
        ...(random.chance(0.3) ? { dnsHosts: { "app.site": "10.0.0.50", "*.x.site": "10.0.0.51" } } : {}),
      },
      runtime: docker ? "docker" : "containerd",
      network: random.pick([
        null,
        "none",
        { name: "flannel" },
        { name: "flannel", backend: "host-gw" },
        { name: "calico" },
      ]),
      registry: {
        ...login,
        ...(random.chance(0.3) ? { scheme: "http" } : {}),
        ...(random.chance(0.3) ? { port: 5000 } : {}),
        ...(external
          ? {
              mode: "external",
              layout: random.pick(["host", "path", "flat"]),
              ...(random.chance(0.5) ? { prefix: "k8s" } : {}),
              caFile: "ca.crt",
            }
          : {}),
      },
      ...(external ? { repository: { host: random.pick(["master0", nodes[0]?.name ?? "master0"]) } } : {}),
      ...(planes > 1 || random.chance(0.2) ? { endpoint: { address: "10.0.0.200" } } : {}),
      addons: random.chance(0.4) ? ["dashboard", { manifest: "manifests/shop.yaml" }] : [],
      time: random.chance(0.3) ? { servers: ["ntp.site", "10.0.0.1"] } : {},
      ssh: random.chance(0.3) ? { user: "ops", sudo: true } : {},
      hosts: [...masters, ...nodes],
      kubeadm: random.chance(0.3)
        ? { ClusterConfiguration: { apiServer: { extraArgs: { a: random.pick(odd) } } } }
        : {},
    },
    bundle: {
      manifests: ["flannel", "calico", "dashboard"],
      files: docker ? ["cri-dockerd.tgz"] : [],
      ...(random.chance(0.2) ? { unsigned: ["kubelet"], moduleHotfixes: true } : {}),
    },
    secrets:
      "user" in login
        ? {
            registryPassword: `${random.pick(odd)}-secret`,
            ...(external ? {} : { htpasswd: "robot:$2b$10$abcdefghijklmnopqrstuv" }),
          }
        : {},
  };
}

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);
const stepsOf = (plan: Plan): { host: string; stage: string; step: Step }[] =>
  plan.stages.flatMap(({ name, waves }) =>
    waves.flatMap((wave) =>
      wave.flatMap(({ host, steps }) => steps.map((step) => ({ host, stage: name, step }))),
    ),
  );

/** Control planes join before workers. */
const rank = ({ roles }: { roles: readonly string[] }): number => (roles.includes("control-plane") ? 0 : 1);

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) frozen(inner);
  }
  return value;
}

describe("a plan", () => {
  const inputs = new Map<number, PlanInput>();
  const plans = new Map<number, Plan>();
  beforeAll(() => {
    for (const seed of SEEDS) {
      const input = siteOf(randomWishes(seed));
      inputs.set(seed, input);
      plans.set(seed, planInstall(input));
    }
  });
  const each = (look: (plan: Plan, input: PlanInput, seed: number) => void): void => {
    for (const seed of SEEDS) look(plans.get(seed) as Plan, inputs.get(seed) as PlanInput, seed);
  };

  it("is the same for the same input, and takes nothing from it away", () => {
    each((plan, input, seed) => {
      expect(planInstall(frozen(input)), `seed ${seed}`).toEqual(plan);
      expect(JSON.parse(JSON.stringify(plan)), "is data").toEqual(
        JSON.parse(JSON.stringify(planInstall(siteOf(randomWishes(seed))))),
      );
    });
  });

  it("asks neither clock nor chance", () => {
    const input = siteOf(randomWishes(3));
    const forbidden = (what: string) => () => {
      throw new Error(`a plan asked ${what}`);
    };
    const clock = vi.spyOn(Date, "now").mockImplementation(forbidden("the clock"));
    const chance = vi.spyOn(Math, "random").mockImplementation(forbidden("chance"));
    try {
      expect(planInstall(input)).toEqual(plans.get(3));
    } finally {
      clock.mockRestore();
      chance.mockRestore();
    }
  });

  it("has its stages in their order, each once, none empty", () => {
    each((plan) => {
      const names = plan.stages.map(({ name }) => name);
      expect(names).toEqual(STAGE_NAMES.filter((stage) => names.includes(stage)));
      for (const { waves } of plan.stages) {
        expect(waves.length).toBeGreaterThan(0);
        for (const wave of waves) {
          expect(wave.length).toBeGreaterThan(0);
          expect(new Set(wave.map(({ host }) => host)).size).toBe(wave.length);
          for (const { steps } of wave) expect(steps.length).toBeGreaterThan(0);
        }
      }
    });
  });

  it("lets control planes join one by one, after the first", () => {
    each((plan, { cluster }) => {
      const joining = ({ steps }: Work): boolean => steps.some(({ id }) => id === "init" || id === "join");
      const joins = (plan.stages.find(({ name }) => name === "control-plane")?.waves ?? [])
        .map((wave) => wave.filter(joining).map(({ host }) => host))
        .filter((wave) => wave.length > 0);
      expect(joins).toEqual(
        cluster.hosts.filter(({ roles }) => roles.includes("control-plane")).map(({ name }) => [name]),
      );
    });
  });

  it("makes every node a node once, and nobody else", () => {
    each((plan, { cluster }) => {
      const joins = stepsOf(plan).flatMap(({ host, stage, step }) =>
        step.id === "init" || step.id === "join" ? [`${host} ${stage}`] : [],
      );
      const [first, ...nodes] = cluster.hosts
        .filter(({ roles }) => roles.includes("control-plane") || roles.includes("worker"))
        .toSorted((a, b) => rank(a) - rank(b));
      expect(joins).toEqual([
        `${first?.name} control-plane`,
        ...nodes.map(
          ({ name, roles }) => `${name} ${roles.includes("control-plane") ? "control-plane" : "workers"}`,
        ),
      ]);
    });
  });

  it("has turns for people in which nothing comes before what it needs", () => {
    const needs: [stage: string, ...before: string[]][] = [
      ["repository", "serve"],
      ["packages", "serve"],
      ["runtime", "serve"],
      ["registry", "serve"],
      ["control-plane", "registry"],
      ["workers", "control-plane"],
      ["addons", "workers", "network"],
      ["verify", "addons", "workers", "network"],
    ];
    each((plan, { cluster }) => {
      const usual = scriptOrder(cluster.hosts, cluster.repository.host);
      // In whatever order hosts are asked, the ends must wait for each other.
      for (const hosts of [usual, usual.toReversed()]) {
        const order = turnsOf(plan, hosts).flatMap(({ steps }) => steps.map(({ stage }) => stage as string));
        for (const [stage, ...before] of needs) {
          const first = order.indexOf(stage);
          for (const each of before)
            if (first >= 0) expect(order.lastIndexOf(each), `${each} before ${stage}`).toBeLessThan(first);
        }
      }
    });
  });

  it("has steps with a name of their own on each host, a title and something in each part", () => {
    each((plan, { cluster }) => {
      const seen = new Set<string>();
      for (const { host, stage, step } of stepsOf(plan)) {
        expect(cluster.hosts.map(({ name }) => name)).toContain(host);
        const id = `${host} ${stage}/${step.id}`;
        expect(seen.has(id), id).toBe(false);
        seen.add(id);
        expect(step.id).toMatch(/^[a-z0-9][a-z0-9._-]*$/);
        expect(step.title).toMatch(/^\S.*\S$/);
        expect(step.title).not.toMatch(/[\n\r]|undefined|NaN|\[object/);
        for (const part of [step.check, step.apply, ...(step.undo === undefined ? [] : [step.undo])]) {
          expect(part.trim(), id).not.toBe("");
          expect(part, id).not.toMatch(/\bundefined\b|\[object Object\]|\$\{[a-z]+\(/);
        }
      }
    });
  });

  it("has no secret where it would be seen: names, titles, uploads", () => {
    each((plan, { secrets, cluster }) => {
      const hidden = secretTexts(secrets).filter((text) => text.length >= 4);
      const turns = turnsOf(plan, scriptOrder(cluster.hosts, cluster.repository.host));
      const shown = [
        ...stepsOf(plan).map(({ step: { id, title, upload } }) => JSON.stringify([id, title, upload])),
        ...turns.map(({ host }) => host),
      ].join("\n");
      for (const secret of hidden) expect(shown.includes(secret)).toBe(false);
      expect(hidden.length).toBeGreaterThan(3);
    });
  });

  it("never gives a secret to a program as an argument", () => {
    each((plan, { secrets }) => {
      const password = secrets.registryPassword;
      const texts = [secrets.joinToken, ...(password ? [password] : [])];
      for (const { stage, step } of stepsOf(plan)) {
        for (const part of [step.check, step.apply, step.undo ?? ""]) {
          // Here-documents go by stdin.
          const commands = part.replace(/<<'(AIRGAP\w*)'\n[\s\S]*?\n\1$/gm, "");
          for (const text of texts) expect(commands.includes(text), `${stage}/${step.id}`).toBe(false);
        }
      }
    });
  });

  it("is written as scripts that sh takes, each step with one turn", () => {
    using scratch = new Scratch();
    const files: string[] = [];
    each((plan, { cluster }, seed) => {
      const turns = turnsOf(plan, scriptOrder(cluster.hosts, cluster.repository.host));
      expect(
        turns
          .flatMap(({ host, steps }) => steps.map(({ stage, step }) => `${host} ${stage}/${step.id}`))
          .sort(),
      ).toEqual(
        stepsOf(plan)
          .map(({ host, stage, step }) => `${host} ${stage}/${step.id}`)
          .sort(),
      );
      for (let i = 1; i < turns.length; i++) expect(turns[i]?.host).not.toBe(turns[i - 1]?.host);
      turns.forEach(({ host, steps }, i) => {
        files.push(scratch.write(`${seed}-${i}.sh`, renderScript(host, steps).replace(loadLibrary(), "")));
      });
    });
    // How a step is taken back stands in its script as text.
    const undone = new Set(
      [...plans.values()].flatMap((plan) =>
        stepsOf(plan).map(({ step }) => `taken_back() {\n${step.undo ?? ":"}\n}\n`),
      ),
    );
    for (const text of undone) files.push(scratch.write(`undo-${files.length}.sh`, text));
    const all = files.map((file) => `sh -n '${file}' || echo '${basename(file)}'`).join("\n");
    expect(spawnSync("sh", [], { input: all, encoding: "utf8" })).toMatchObject({ stdout: "", stderr: "" });
  }, 60_000);

  it("that is narrowed to a new host has its labels and taints, which the first control plane sets", () => {
    const hosts = [
      {
        name: "master1",
        address: "10.0.0.12",
        roles: ["control-plane", "registry"],
        labels: { disk: "ssd" },
      },
      {
        ...{ name: "node1", address: "10.0.0.15", roles: ["worker"] },
        ...{ labels: { zone: "a" }, taints: ["gpu:NoSchedule"] },
      },
    ];
    const some = narrow(planInstall(siteOf({ cluster: { hosts } })), { hosts: ["node1"] });
    const marks = some.stages.flatMap(({ waves }) =>
      waves
        .flat()
        .flatMap(({ host, steps }) =>
          steps.filter(({ id }) => id.startsWith("node-")).map(({ id, apply }) => `${host} ${id}: ${apply}`),
        ),
    );
    expect(marks).toEqual(["master1 node-node1: mark_node node1 zone=a gpu=:NoSchedule"]);
  });
});

describe("stages", () => {
  it("import nothing that could ask somebody", () => {
    const folder = join(import.meta.dirname, "../../src/install");
    const seen = new Set<string>();
    const asking: string[] = [];
    const look = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, from = ""] of readFileSync(file, "utf8").matchAll(
        /^import (?!type)[\s\S]*?from "([^"]+)";$/gm,
      )) {
        if (/^node:(?:fs|http|https|child_process|os|timers|dns)/.test(from) || from === "undici")
          asking.push(`${basename(file)} ${from}`);
        // `isIP` is all that is taken of node:net. Reading a bundle, a cluster file or what the product ships comes before; their modules hold types and pure functions too.
        else if (
          from.startsWith(".") &&
          !/(?:bundle|cluster|shipped|user-manifests|tool|images|table)\.ts$/.test(from)
        )
          look(join(file, "..", from));
      }
    };
    look(join(folder, "plan.ts"));
    expect(asking).toEqual([]);
    expect(seen.size).toBeGreaterThan(30);
  });
});
