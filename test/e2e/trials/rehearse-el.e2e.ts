import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RehearsalResult } from "../../../src/rehearse/rehearse.ts";
import { siteBundle } from "../rig/bundle.ts";
import { RealEngine } from "../rig/engine.ts";
import { compiled, installPrograms } from "../rig/prepare.ts";
import { say } from "../rig/shell.ts";

const VERSION = "v1.34.4";

describe.runIf(compiled(VERSION))("a rehearsal on hosts whose package manager is dnf", () => {
  let engine: RealEngine;
  let bundle = "";

  beforeAll(async () => {
    await installPrograms();
    const side = { version: VERSION, systems: ["debian", "el"], runtime: "containerd" } as const;
    bundle = await siteBundle({ ...side, systems: [...side.systems], application: "v0.1" });
    engine = await RealEngine.start();
  });

  afterAll(() => engine?.[Symbol.asyncDispose]());

  it("makes them of RPM packages, and goes through the whole installation", {
    timeout: 900_000,
  }, async () => {
    const site = await engine.site("el", {
      kubernetes: { version: VERSION },
      network: "flannel",
      addons: ["workloads"],
      hosts: [
        { name: "cp1", address: "10.91.0.11", roles: ["control-plane", "registry"] },
        { name: "w1", address: "10.91.0.12", roles: ["worker"] },
      ],
    });
    const { code, stdout, stderr } = await engine.rehearse(
      site.cluster,
      bundle,
      ...[
        "--json",
        "--spec",
        await engine.specOfElHosts(),
        "--system",
        "cp1=rocky-9",
        "--system",
        "w1=rocky-9",
      ],
    );
    expect(`${code} ${code === 0 ? "" : `${stdout}\n${stderr}`.slice(-6000)}`).toBe("0 ");
    const { proved, hosts, stages, seconds, adjusted } = JSON.parse(stdout) as RehearsalResult;
    say(
      `the rehearsal took ${seconds} s: ${stages.map(({ stage, ms }) => `${stage} ${Math.round(ms / 1000)}`).join(", ")}`,
    );
    expect(proved.filter(({ good }) => !good)).toEqual([]);
    expect(hosts.map(({ name, system }) => [name, system])).toEqual([
      ["cp1", "rocky-9"],
      ["w1", "rocky-9"],
    ]);
    for (const host of hosts) expect(host.packages).toBeGreaterThan(5);
    expect(adjusted.join("\n")).toMatch(/rocky-9: \d+ packages? of the bundle and, from base.*glibc-2/);
    expect(await engine.left()).toEqual([]);
  });
});
