import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Rehearsal } from "../../src/bundle/rehearsal.ts";
import type { RehearsalResult } from "../../src/rehearse/rehearse.ts";
import { Daemon } from "../support/daemon.ts";
import { AIRGAP } from "./rig/box.ts";
import { siteBundle } from "./rig/bundle.ts";
import { RealEngine, type RehearsedSite } from "./rig/engine.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { eventually, say } from "./rig/shell.ts";

const VERSION = "v1.34.4";
const common = { kubernetes: { version: VERSION } };

const recordOf = async ({ record }: RehearsedSite): Promise<Rehearsal> =>
  JSON.parse(await readFile(record, "utf8")) as Rehearsal;

/** A pod that asks for what is not on the site. */
const homesick = (image: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: homesick }
spec:
  selector: { matchLabels: { app: homesick } }
  template:
    metadata: { labels: { app: homesick } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: home
          image: ${image}
          command: [sh, -c, 'while :; do probe http://telemetry.example.com/v1; probe http://203.0.113.7/beat; sleep 1; done']
`;

describe.runIf(compiled(VERSION))("a rehearsal in containers of a real engine", () => {
  let engine: RealEngine;
  let bundle = "";
  let base = "";

  const gone = () =>
    eventually("everything to be removed", 10, async () => (await engine.left()).length === 0);

  beforeAll(async () => {
    await installPrograms();
    bundle = await siteBundle({
      ...{ version: VERSION, systems: ["debian", "el"], runtime: "containerd", application: "v0.1" },
    });
    engine = await RealEngine.start();
  });

  afterAll(() => engine?.[Symbol.asyncDispose]());

  it("the whole installation on hosts that are made of the bundle's DEBs and RPMs; an add-on that phones home is caught", {
    timeout: 600_000,
  }, async () => {
    const settings = [
      "/proc/sys/vm/swappiness",
      "/proc/sys/vm/overcommit_memory",
      "/proc/sys/kernel/panic",
      "/proc/swaps",
    ];
    const before = settings.map((file) => readFileSync(file, "utf8"));
    const whole = await engine.site(
      "whole",
      {
        ...common,
        network: "flannel",
        addons: ["workloads", { manifest: "apps/" }],
        hosts: [
          { name: "cp1", address: "10.91.0.11", roles: ["control-plane", "registry"] },
          { name: "w1", address: "10.91.0.12", roles: ["worker"] },
        ],
      },
      { "homesick.yaml": homesick("busybox:1.35.0") },
    );
    const { code, stdout, stderr } = await engine.rehearse(
      whole.cluster,
      bundle,
      ...["--json", "--spec", await engine.specOfHosts()],
      ...["--system", "cp1=debian-12", "--system", "w1=rocky-9"],
    );
    expect(`${code} ${code === 0 ? "" : `${stdout}\n${stderr}`.slice(-6000)}`).toBe("0 ");
    const result = JSON.parse(stdout) as RehearsalResult;
    say(
      `the rehearsal took ${result.seconds} s: ${result.stages.map(({ stage, ms }) => `${stage} ${Math.round(ms / 1000)}`).join(", ")}`,
    );
    expect(result.proved.map(({ what, good }) => [what, good])).toEqual(
      ["images", "packages", "nodes", "system pods", "DNS and pod to pod", "node ports", "add-ons"].map(
        (what) => [what, true],
      ),
    );
    expect(result.hosts.map(({ name, system, address, asked }) => [name, system, address, asked])).toEqual([
      ["cp1", "debian-12", "10.91.0.11", "10.91.0.11"],
      ["w1", "rocky-9", "10.91.0.12", "10.91.0.12"],
    ]);
    for (const host of result.hosts) {
      expect(host.packages).toBeGreaterThan(5);
      expect(host.images).toBeGreaterThan(2);
      expect(Math.min(host.diskBytes, host.memoryBytes, host.receivedBytes, host.sentBytes)).toBeGreaterThan(
        10_000,
      );
    }
    const outside = result.outside.map(({ host, kind, to, what }) => `${host} ${kind} ${to} ${what}`);
    expect(outside.filter((line) => line.includes("telemetry.example.com")).join()).toMatch(/^(cp1|w1) name/);
    expect(outside).toContain("w1 address 203.0.113.7 tcp/80");
    expect(result.stages.map(({ stage }) => stage)).toEqual(
      expect.arrayContaining(["serve", "packages", "control-plane", "workers", "addons", "verify"]),
    );
    expect(result.adjusted.join("\n")).toMatch(
      /debian-12: \d+ packages? of the bundle and, from debian0.*libc6=/,
    );
    expect(result.adjusted.join("\n")).toMatch(
      /rocky-9: \d+ packages? of the bundle and, from base.*glibc-2/,
    );
    expect(result.proved[0]?.detail).toContain("w1 was told to pull: register.rig.test/team/shop:v0.1");
    expect(settings.map((file) => readFileSync(file, "utf8"))).toEqual(before);
    expect(await engine.left()).toEqual([]);
    base = result.hosts[0]?.image ?? "";
    const verified = await engine.airgap("verify", bundle, "--quick", "--rehearsed", whole.record);
    expect(verified.stdout).toMatch(
      /^Rehearsed: exactly this bundle passed on .* 2 throw-away hosts with debian-12, rocky-9/m,
    );
  });

  it("what a killed rehearsal left is cleared by the next one; an image that the bundle lacks is named", {
    timeout: 300_000,
  }, async () => {
    const lacking = await engine.site(
      "lacking",
      { ...common, network: "flannel", addons: [{ manifest: "apps/" }] },
      { "homesick.yaml": homesick("registry.example/team/forgotten:1.0") },
    );
    const args = engine.arguments(lacking.cluster, bundle, "--image", `debian-12=${base}`);
    const killed = await Daemon.start(
      AIRGAP,
      args,
      async () => (await engine.docker("ps", "-q")) !== "",
      engine.env,
    );
    killed.child.kill("SIGKILL");
    expect(await engine.left()).not.toEqual([]);
    const { code, stderr } = await engine.airgap(...args);
    expect(stderr).toContain("Removed what earlier rehearsals left");
    expect(stderr.replace(/\s+/g, " ")).toContain("registry.example/team/forgotten:1.0");
    expect(code).toBe(3);
    const record = await recordOf(lacking);
    expect([record.passed, record.failure]).toEqual([false, expect.stringContaining("forgotten:1.0")]);
    const refused = await engine.airgap("verify", bundle, "--quick", "--rehearsed", lacking.record);
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("did not pass")]);
    await gone();
  });

  it("a package that hosts were believed to have is named", { timeout: 300_000 }, async () => {
    const purge = ["--entrypoint", "/usr/bin/dpkg", base, "--purge", "--force-depends", "tzdata"];
    await engine.docker("create", "--name", "without", "--network", "none", ...purge);
    await engine.docker("start", "--attach", "without");
    await engine.docker("commit", "without", "without-tzdata:1");
    await engine.docker("rm", "without");
    const bare = await engine.site("bare", { ...common, network: "none" });
    const args = engine.arguments(bare.cluster, bundle, "--image", "debian-12=without-tzdata:1");
    const { code, stderr } = await engine.airgap(...args);
    expect(code).toBe(1);
    expect(stderr.replace(/\s+/g, " ")).toContain("Depends: tzdata but it is not installable");
    const { passed, failure } = await recordOf(bare);
    expect([passed, failure]).toEqual([false, expect.stringContaining("tzdata")]);
    await gone();
  });

  it("in containers of Podman hosts start, are looked at, and go", { timeout: 300_000 }, async () => {
    await using podman = await RealEngine.start("podman");
    const archive = join(podman.folder, "base.tar");
    await engine.docker("tag", base, "localhost/base:1");
    await engine.docker("save", "--output", archive, "localhost/base:1");
    await podman.docker("load", "--input", archive);
    const lacking = await podman.site(
      "lacking",
      { ...common, network: "flannel", addons: [{ manifest: "apps/" }] },
      { "homesick.yaml": homesick("registry.example/team/forgotten:1.0") },
    );
    const { code, stderr } = await podman.rehearse(lacking.cluster, bundle, "--image", "debian-12=base:1");
    expect(`${code} ${stderr.replace(/\s+/g, " ")}`).toMatch(/^3 .*registry\.example\/team\/forgotten:1\.0/);
    const { engine: about, hosts, passed } = await recordOf(lacking);
    expect([about.name, passed]).toEqual([expect.stringContaining("Podman"), false]);
    expect(hosts[0]).toMatchObject({ name: "cp1", system: "debian-12", address: "10.91.0.11" });
    expect(await podman.left()).toEqual([]);
  });
});
