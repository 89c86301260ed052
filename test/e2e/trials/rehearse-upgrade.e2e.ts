import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RehearsalResult } from "../../../src/rehearse/rehearse.ts";
import { siteBundle } from "../rig/bundle.ts";
import { RealEngine } from "../rig/engine.ts";
import { compiled, installPrograms } from "../rig/prepare.ts";
import { say } from "../rig/shell.ts";

const [FROM, TO] = ["v1.33.13", "v1.34.4"] as const;

/** What comes back when its node was drained. */
const IDLE = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: idle }
spec:
  selector: { matchLabels: { app: idle } }
  template:
    metadata: { labels: { app: idle } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - { name: idle, image: "busybox:1.35.0", command: [sh, -c, "while :; do sleep 1; done"] }
`;

describe.runIf(compiled(FROM) && compiled(TO))(`the rehearsal of an upgrade from ${FROM} to ${TO}`, () => {
  let engine: RealEngine;
  let bundles: { old: string; next: string };

  beforeAll(async () => {
    await installPrograms();
    const common = { runtime: "containerd", application: "v0.1", systems: ["debian"] } as const;
    bundles = {
      old: await siteBundle({ ...common, systems: ["debian"], version: FROM }),
      next: await siteBundle({ ...common, systems: ["debian"], version: TO }),
    };
    engine = await RealEngine.start();
  });

  afterAll(() => engine?.[Symbol.asyncDispose]());

  it("goes through both states, with what each bundle carries", { timeout: 1_800_000 }, async () => {
    const more = { name: "up", network: "flannel", addons: [{ manifest: "apps/" }] };
    const apps = { "idle.yaml": IDLE };
    const older = await engine.site("old", { ...more, kubernetes: { version: FROM } }, apps);
    const newer = await engine.site("new", { ...more, kubernetes: { version: TO } }, apps);
    const from = ["--from", older.cluster, "--from-bundle", bundles.old];
    const spec = ["--spec", await engine.specOfHosts()];
    const { code, stdout, stderr } = await engine.rehearse(
      newer.cluster,
      bundles.next,
      "--json",
      ...from,
      ...spec,
    );
    expect(`${code} ${code === 0 ? "" : `${stdout}\n${stderr}`.slice(-6000)}`).toBe("0 ");
    const { proved, stages, upgrade, seconds } = JSON.parse(stdout) as RehearsalResult;
    say(
      `the rehearsal took ${seconds} s: ${stages.map(({ stage, ms }) => `${stage} ${Math.round(ms / 1000)}`).join(", ")}`,
    );
    expect(proved.filter(({ good }) => !good)).toEqual([]);
    expect([upgrade?.from, upgrade?.through.at(-1)]).toEqual([FROM, TO]);
    expect(await engine.left()).toEqual([]);
  });
});
