import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { planInstall } from "../../src/install/plan.ts";
import { stepsOn } from "../../src/plan/stage.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";
import { Scratch } from "../support/scratch.ts";

const OFFLINE = ["security", "--offline=true", "--no-pager"];
// Since systemd 250.
const offline = spawnSync("systemd-analyze", [...OFFLINE, "--help"]).status === 0;

const stepsOf = (wishes: Wishes) =>
  stepsOn(planInstall(siteOf(wishes)), "master1").flatMap(({ stage, step }) =>
    stage === "serve" ? [step] : [],
  );
const unitOf = (wishes: Wishes): string =>
  stepsOf(wishes).find(({ id }) => id === "unit")?.file?.content ?? "";

describe("the service that serves", () => {
  it.each([
    [443, "CAP_NET_BIND_SERVICE"],
    [1023, "CAP_NET_BIND_SERVICE"],
    [1024, ""],
    [8443, ""],
  ])("may do at port %i what that needs, as a user of its own", (port, capability) => {
    const unit = unitOf({ cluster: { registry: { port } } });
    expect(unit).toContain("\nUser=airgap-serve\nGroup=airgap-serve\n");
    expect(unit).toContain(`\nAmbientCapabilities=${capability}\nCapabilityBoundingSet=${capability}\n`);
    expect(unit).toContain("\nProtectSystem=strict\n");
    expect(unit).not.toMatch(/^(?:ReadWritePaths|StateDirectory|CacheDirectory)=/m);
  });

  it.skipIf(!offline).each([443, 8443])("exposes less than 3.0 at port %i, as systemd counts", (port) => {
    using scratch = new Scratch();
    const file = scratch.write("airgap-serve.service", unitOf({ cluster: { registry: { port } } }));
    const { stdout, stderr, status } = spawnSync("systemd-analyze", [...OFFLINE, "--threshold=30", file], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1])).toBeLessThan(3);
    expect(status).toBe(0);
  });

  it("gets its user before the bundle comes, and what only that user reads is closed to others", () => {
    const steps = stepsOf({});
    const ids = steps.map(({ id }) => id);
    expect(ids.indexOf("user")).toBeLessThan(ids.indexOf("bundle-copy"));
    expect(ids.indexOf("bundle")).toBeLessThan(ids.indexOf("bundle-owner"));
    expect(ids.indexOf("bundle-owner")).toBeLessThan(ids.indexOf("service"));
    for (const { id, apply } of steps.filter(({ id }) => id === "key" || id === "users")) {
      expect(apply, id).toMatch(/^close \/etc\/airgap\/serve airgap-serve\n/);
      expect(apply, id).toMatch(/\nchgrp airgap-serve \/etc\/airgap\/serve\/\S+$/);
    }
  });
});
