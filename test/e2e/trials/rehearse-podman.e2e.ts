import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RehearsalResult } from "../../../src/rehearse/rehearse.ts";
import { siteBundle } from "../rig/bundle.ts";
import { RealEngine } from "../rig/engine.ts";
import { compiled, installPrograms } from "../rig/prepare.ts";
import { say } from "../rig/shell.ts";

const VERSION = "v1.34.4";

describe.runIf(compiled(VERSION))("a rehearsal in containers of Podman", () => {
  let engine: RealEngine;
  let bundle = "";

  beforeAll(async () => {
    await installPrograms();
    bundle = await siteBundle({
      ...{ version: VERSION, systems: ["debian"], runtime: "containerd", application: "v0.1" },
    });
    engine = await RealEngine.start("podman");
  });

  afterAll(() => engine?.[Symbol.asyncDispose]());

  it("goes through the whole installation, and leaves nothing", { timeout: 1_800_000 }, async () => {
    const site = await engine.site("pods", {
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
      ...["--json", "--spec", await engine.specOfHosts()],
    );
    expect(`${code} ${code === 0 ? "" : `${stdout}\n${stderr}`.slice(-6000)}`).toBe("0 ");
    const { proved, seconds, stages, hosts, engine: about } = JSON.parse(stdout) as RehearsalResult;
    say(
      `the rehearsal took ${seconds} s: ${stages.map(({ stage, ms }) => `${stage} ${Math.round(ms / 1000)}`).join(", ")}`,
    );
    expect(proved.filter(({ good }) => !good)).toEqual([]);
    expect(about.name).toContain("Podman");
    for (const host of hosts)
      expect(Math.min(host.diskBytes, host.memoryBytes, host.receivedBytes, host.sentBytes)).toBeGreaterThan(
        10_000,
      );
    expect(await engine.left()).toEqual([]);
  });
});
