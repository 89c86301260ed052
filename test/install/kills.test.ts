import { describe, expect, it } from "vitest";
import type { Facts } from "../../src/host/facts.ts";
import { planInstall } from "../../src/install/plan.ts";
import { type Plan, stepsByHost } from "../../src/plan/stage.ts";
import type { RecordingHost } from "../support/install/recording-host.ts";
import { Rig } from "../support/install/runs.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";

const MOMENTS = 20;

const plane = (n: number) => ({ name: `cp${n}`, address: `10.0.0.${10 + n}`, roles: ["control-plane"] });
const host = (name: string, last: number, ...roles: string[]) => ({
  name,
  address: `10.0.0.${last}`,
  roles,
});
const REGISTER = host("register", 20, "registry");
const NODE = host("node1", 15, "worker");

const SITES: Record<string, Wishes> = {
  "C: three control planes behind two load balancers": {
    os: "debian-12",
    cluster: {
      endpoint: { address: "10.0.0.200" },
      hosts: [
        ...[1, 2, 3].map(plane),
        host("lb1", 18, "load-balancer"),
        host("lb2", 19, "load-balancer"),
        ...[NODE, REGISTER],
      ],
    },
  },
  "G: etcd on hosts of its own": {
    os: "debian-12",
    bundle: { files: ["etcd"] },
    cluster: {
      etcd: "external",
      hosts: [plane(1), NODE, REGISTER, ...[1, 2, 3].map((n) => host(`etcd${n}`, 30 + n, "etcd"))],
    },
  },
  "D: Harbor": {
    os: "debian-12",
    cluster: {
      registry: {
        host: "register.site.local",
        mode: "harbor",
        harbor: { projects: [{ name: "apps", public: true }] },
      },
      hosts: [plane(1), NODE, REGISTER],
    },
  },
};

/** What a host's facts are after what it has been through. */
function traces({ so }: RecordingHost, begun: boolean): Partial<Facts> {
  const stands = so.has("control-plane/init") || so.has("control-plane/join");
  const exists = [
    ...(stands || begun ? ["/etc/kubernetes/admin.conf"] : []),
    ...(stands || begun || so.has("workers/join") ? ["/etc/kubernetes/kubelet.conf"] : []),
    ...(stands || begun || so.has("etcd/service") ? ["/var/lib/etcd/member"] : []),
    ...(begun ? ["/var/lib/airgap/kubeadm-began"] : []),
  ];
  return exists.length === 0 ? {} : { owner: "site", exists };
}

/** The plan as it is for hosts that have come so far; what it sends is there. */
function planFor(wishes: Wishes, rig?: Rig, begun?: string): Plan {
  const hosts = Object.values(rig?.hosts ?? {});
  const hostFacts = Object.fromEntries(hosts.map((each) => [each.name, traces(each, each.name === begun)]));
  const plan = planInstall(siteOf({ ...wishes, hostFacts }));
  for (const { step } of [...stepsByHost(plan).values()].flat()) delete step.upload;
  for (const each of hosts) each.knows(plan);
  return plan;
}

const names = (plan: Plan): string[] => [...stepsByHost(plan).keys()];
const JOINING = /^control-plane\/(?:init|join)$/;

class Killed extends Error {}

/**
 * Runs a plan until so many steps were begun; then airgap is gone. The scripts that hosts work on end with it, or they go
 * on to their end.
 * @returns the host whose kubeadm was in the middle
 */
async function runUntil(rig: Rig, plan: Plan, moment: number, goesOn: boolean): Promise<string | undefined> {
  let begun = 0;
  let middle: string | undefined;
  for (const each of Object.values(rig.hosts))
    each.onStep = (step, word) => {
      const sent = each.sent.at(-1);
      if (sent?.mode !== "apply" || word !== "begin" || each.so.has(step) || ++begun < moment) return;
      if (goesOn) for (const left of sent.steps.slice(sent.steps.indexOf(step))) each.so.add(left);
      else if (JOINING.test(step)) middle = each.name;
      throw new Killed();
    };
  await expect(rig.run(plan)).rejects.toBeInstanceOf(Killed);
  // The others notice that nobody listens any more.
  await new Promise((wake) => setTimeout(wake, 5));
  for (const each of Object.values(rig.hosts)) each.onStep = () => {};
  return middle;
}

const stateOf = (rig: Rig, plan: Plan): Record<string, string[]> =>
  Object.fromEntries(
    [...stepsByHost(plan)].map(([name, steps]) => [
      name,
      steps
        .map(({ stage, step }) => `${stage}/${step.id}`)
        .filter((step) => rig.host(name).so.has(step))
        .toSorted(),
    ]),
  );

describe.each(Object.entries(SITES))("%s", (_, wishes) => {
  it(`comes to the same when airgap is killed at any of ${MOMENTS} moments`, {
    timeout: 120_000,
  }, async () => {
    const first = planFor(wishes);
    using whole = new Rig(first, names(first));
    await whole.run(first);
    const last = planFor(wishes, whole);
    expect((await whole.run(last)).changed).toBe(0);
    const wanted = stateOf(whole, last);
    const count = Object.values(whole.hosts).reduce((sum, { applied }) => sum + applied.length, 0);

    for (let i = 0; i < MOMENTS; i++) {
      const moment = 1 + Math.floor(((i + 0.5) / MOMENTS) * count);
      using rig = new Rig(first, names(first));
      const middle = await runUntil(rig, first, moment, i % 2 === 1);
      const resumed = planFor(wishes, rig, middle);
      await rig.run(resumed);
      const end = planFor(wishes, rig);
      expect((await rig.run(end)).changed, `killed at step ${moment}`).toBe(0);
      expect(stateOf(rig, end), `killed at step ${moment}`).toEqual(wanted);
      const applied = Object.values(rig.hosts).flatMap((each) =>
        each.applied.map((step) => `${each.name} ${step}`),
      );
      expect(applied.filter((each) => each.endsWith(" control-plane/init")).length).toBeLessThanOrEqual(1);
      expect(applied.filter((each, at) => applied.indexOf(each) !== at)).toEqual([]);
    }
  });
});
