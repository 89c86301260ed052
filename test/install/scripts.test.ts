import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { readGatheredFacts } from "../../src/install/gathered-facts.ts";
import { planInstall } from "../../src/install/plan.ts";
import { scriptOrder } from "../../src/install/stages/index.ts";
import { loadLibrary, renderScript } from "../../src/plan/script.ts";
import { stepsOn } from "../../src/plan/stage.ts";
import { turnsOf } from "../../src/plan/turns.ts";
import { expectGolden, updating } from "../support/install/golden.ts";
import { PlayedSite } from "../support/install/played-site.ts";
import { runShell, SHELLS } from "../support/install/shells.ts";
import { HOME, siteOf, type Wishes } from "../support/install/site.ts";
import { RAW } from "../support/install/systems.ts";
import { short } from "../support/install/text.ts";
import { Scratch } from "../support/scratch.ts";

const GOLDEN = join(HOME, "scripts");

/** A small cluster of each family. */
const SITES: Record<string, Wishes> = {
  "el7-docker": { os: "centos-7.9", cluster: { runtime: "docker", kubernetes: { version: "v1.23.17" } } },
  el9: { os: "rocky-9.4" },
  "debian-ubuntu": {
    os: "debian-12",
    on: { node1: "ubuntu-24.04" },
    facts: { proxies: ["http_proxy=http://10.0.0.1:3128"] },
    cluster: {
      kubernetes: { version: "v1.34.2" },
      network: { name: "calico" },
      addons: ["dashboard", { manifest: "manifests/shop.yaml" }],
    },
    bundle: { manifests: ["calico", "dashboard"], files: [] },
  },
  "registry-apart": {
    os: "debian-12",
    cluster: {
      registry: { mode: "external", scheme: "http", user: "robot", passwordEnv: "SITE_PASSWORD" },
      hosts: [
        { name: "master1", address: "10.0.0.12", roles: ["control-plane", "worker"] },
        { name: "register", address: "10.0.0.20", roles: ["registry"] },
      ],
    },
    secrets: { registryPassword: "swordfish" },
  },
};

/** A script for each turn: its number with the host's name, and its text. */
function scriptsOf(wishes: Wishes): { name: string; host: string; text: string }[] {
  const input = siteOf(wishes);
  const turns = turnsOf(planInstall(input), scriptOrder(input.cluster.hosts, input.cluster.repository.host));
  return turns.map(({ host, steps }, i) => ({
    name: `${i + 1}-${host}`,
    host,
    text: renderScript(host, steps),
  }));
}

/** A step in a script: its functions, and the line that runs it. */
const STEP = /^check\(\) \{[\s\S]*?^run (\S+) .*$/gm;

/** Of every step, the script where the very same text stands first. */
const firstPlaces = new Map<string, string>();
for (const [site, wishes] of Object.entries(SITES))
  for (const { name, text } of scriptsOf(wishes))
    for (const [step] of text.matchAll(STEP))
      if (!firstPlaces.has(step)) firstPlaces.set(step, `${site}/${name}`);

/** A file's content that is long: its digest stands in the check, and the cases show it whole. */
const FILE = /^(put \S+ \d+ <<'(\w+)'\n.*\n)([\s\S]*?\n)\2$/m;
const withoutContent = (step: string): string =>
  step.replace(FILE, (whole, first: string, mark: string, rest: string) => {
    const more = rest.split("\n").length - 1;
    return more < 4 ? whole : `${first}# … ${more} more lines\n${mark}`;
  });

/** A script without the functions, and without steps that a golden file shows already. */
function shownText(site: string, { name, text }: { name: string; text: string }): string {
  const here = `${site}/${name}`;
  return text
    .replace(loadLibrary(), "# … the functions of manifests/host/lib …\n")
    .replaceAll(STEP, (step, id: string) => {
      const first = firstPlaces.get(step);
      return first === here ? withoutContent(short(step)) : `# … ${id}, the same as in ${first}`;
    })
    .replaceAll(/^(# … .*)\n\n(?=# … )/gm, "$1\n")
    .replaceAll(
      /^# … \S+, the same as in (\S+)\n(?:# … \S+, the same as in \1\n)+/gm,
      (lines, first: string) => {
        const ids = [...lines.matchAll(/^# … (\S+),/gm)].map(([, id]) => id);
        return `# … ${ids.join(" ")}, the same as in ${first}\n`;
      },
    );
}

/** What steps take from the functions' file. */
const VARIABLES = "airgap_home=/var/lib/airgap\nairgap_failed=0\n";
/** Every shell file that reaches a host, or is run here. */
const shellFiles = (): string[] =>
  readdirSync("manifests/host", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".sh"))
    .map((name) => join("manifests/host", name));
const shellcheck = spawnSync("shellcheck", ["--version"], { encoding: "utf8" });

describe.each(Object.entries(SITES))("the scripts of %s", (name, wishes) => {
  it("are what they are, in the order in which they are run", () => {
    const scripts = scriptsOf(wishes);
    if (updating) rmSync(join(GOLDEN, name), { recursive: true, force: true });
    for (const script of scripts)
      expectGolden(short(shownText(name, script)), join(GOLDEN, name, `${script.name}.txt`));
    expect(readdirSync(join(GOLDEN, name))).toEqual(scripts.map((script) => `${script.name}.txt`));
  });

  it("hold every step of the plan once", () => {
    const plan = planInstall(siteOf(wishes));
    const ran = scriptsOf(wishes).flatMap(({ host, text }) =>
      [...text.matchAll(/^run ('?)([^ ']+)\1 /gm)].map((match) => `${host} ${match[2]}`),
    );
    const wanted = siteOf(wishes).cluster.hosts.flatMap((host) =>
      stepsOn(plan, host.name).map(({ stage, step }) => `${host.name} ${stage}/${step.id}`),
    );
    expect(ran.toSorted()).toEqual(wanted.toSorted());
  });

  it.each(SHELLS)("are taken for scripts by %s", (...shell) => {
    for (const { text } of scriptsOf(wishes))
      expect(runShell([...shell, "-n"], text)).toMatchObject({ code: 0, output: "" });
  });

  it.skipIf(shellcheck.error)("have nothing that shellcheck finds", { timeout: 120_000 }, () => {
    using scratch = new Scratch();
    // The functions are the same in each: they are looked at once.
    const whole = Object.keys(SITES)[0] === name;
    const files = scriptsOf(wishes).map(({ name: file, text }, i) =>
      scratch.write(`${file}.sh`, whole && i === 0 ? text : text.replace(loadLibrary(), VARIABLES)),
    );
    const found = spawnSync("shellcheck", ["--shell=sh", "--format=gcc", ...files], { encoding: "utf8" });
    expect(found.stdout.replaceAll(`${scratch.dir}/`, "")).toBe("");
    expect(found.status).toBe(0);
  });
});

it("the functions that every script carries are ASCII: one other character doubles the memory of each script", () => {
  expect([...loadLibrary()].filter((character) => character > "\u007f")).toEqual([]);
});

describe("shellcheck", () => {
  it.skipIf(shellcheck.error)("finds nothing in what hosts are asked by", () => {
    const { stdout } = spawnSync("shellcheck", ["--shell=sh", "--format=gcc", ...shellFiles()], {
      encoding: "utf8",
    });
    expect(stdout).toBe("");
  });
});

describe("a script that a person runs", () => {
  it("refuses everybody but root, before anything else", () => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("bin"));
    writeFileSync(scratch.path("bin/id"), "#!/bin/sh\necho 1000\n", { mode: 0o755 });
    const file = scratch.write("one.sh", scriptsOf({ os: "debian-12" })[0]?.text ?? "");
    const ran = spawnSync("/bin/sh", [file], { encoding: "utf8", env: { PATH: scratch.path("bin") } });
    expect(ran).toMatchObject({ status: 1, stdout: "", stderr: "Run this script as root.\n" });
  });
});

describe("install --script", () => {
  it("asks for the facts of hosts that nothing may connect to, takes them, and sends nothing", async () => {
    using site = new PlayedSite();
    await site.write();
    const dir = site.scratch.path("out");
    const { AirgapError } = await import("../../src/errors.ts");
    const open = (): Promise<never> => Promise.reject(new AirgapError("network", "no route to host"));
    const error = await site.install({ script: dir, open }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringContaining("Cannot read the facts of master1, node1"),
    });
    expect(readFileSync(join(dir, "facts.sh"), "utf8")).toBe(readFileSync("manifests/host/facts.sh", "utf8"));

    const raw = readFileSync(join(RAW, "rocky-9.4.txt"), "utf8");
    writeFileSync(join(dir, "facts/master1"), raw);
    writeFileSync(
      join(dir, "facts/node1"),
      raw.replaceAll("10.0.0.12", "10.0.0.15").replace(/^(machine-id|product-uuid|mac)\|.*\n/gm, "$1|\n"),
    );
    expect(readGatheredFacts(dir, "node1")).toMatchObject({
      time: { host: 0, ours: 0 },
      os: { id: "rocky" },
    });
    expect(readGatheredFacts(dir, "node9")).toBeUndefined();
    const { scripts, steps } = await site.install({ script: dir, open });
    for (const file of scripts ?? []) expect(statSync(file).mode & 0o777).toBe(0o700);
    expect(scripts?.map((file) => basename(file))).toEqual([
      "01-master1.sh",
      "02-node1.sh",
      "03-master1.sh",
      "04-node1.sh",
      "05-master1.sh",
    ]);
    expect(steps).toEqual([]);
    expect(site.hosts.size).toBe(0);

    writeFileSync(join(dir, "facts/node1"), "half of it");
    await expect(site.install({ script: dir, open })).rejects.toMatchObject({ code: "protocol" });
  });
});
