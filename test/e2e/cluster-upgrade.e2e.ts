import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InstallResult } from "../../src/install/install.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import type { UpgradeResult } from "../../src/install/upgrade/upgrade.ts";
import { Scratch } from "../support/scratch.ts";
import { applicationImage, applicationPort } from "./rig/application.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { Host } from "./rig/host.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually, say } from "./rig/shell.ts";
import {
  clusterFile,
  heardOutside,
  kubectl,
  type Member,
  nodesReady,
  notSo,
  Operator,
  slowest,
} from "./rig/site.ts";

const [FROM, TO] = ["v1.33.13", "v1.34.4"] as const;
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const scratch = new Scratch();

/** Two pods, of which one may go at a time. The service has a moment to forget a pod before it stops to answer. */
async function writeShop(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "shop.yaml"),
    `apiVersion: apps/v1
kind: Deployment
metadata: { name: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec:
      terminationGracePeriodSeconds: 8
      shareProcessNamespace: true
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: shop } } }
      containers:
        - name: shop
          image: ${applicationImage}:v0.1
          lifecycle: { preStop: { exec: { command: [sleep, "5"] } } }
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: shop }
spec:
  minAvailable: 1
  selector: { matchLabels: { app: shop } }
---
apiVersion: v1
kind: Service
metadata: { name: shop }
spec:
  type: NodePort
  selector: { app: shop }
  ports: [{ port: 80, targetPort: 8080, nodePort: ${applicationPort} }]
`,
  );
}

/** Asks an address again and again, each time by a new connection, until it is told to stop. */
function asker(rig: Rig, url: string): () => Promise<{ asked: number; failed: string[] }> {
  let going = true;
  const failed: string[] = [];
  let asked = 0;
  const loop = (async () => {
    while (going) {
      asked++;
      const { code, stderr } = await rig.run(["curl", "-fsS", "-m", "3", "-o", "/dev/null", url]);
      if (code !== 0) failed.push(`${new Date().toISOString()} ${stderr.trim()}`);
      await sleep(300);
    }
  })();
  return async () => {
    going = false;
    await loop;
    return { asked, failed };
  };
}

describe.runIf(compiled(FROM) && compiled(TO))(`scenario I: a cluster goes from ${FROM} to ${TO}`, () => {
  let rig: Rig;
  let operator: Operator;
  let members: Member[] = [];
  let cluster = "";
  let bundles: { old: string; next: string };
  let cp1: Host;
  let w1: Host;

  const write = (version: string): Promise<string> =>
    clusterFile(scratch.path("site"), members, { kubernetes: { version }, addons: [{ manifest: "apps/" }] });
  const upgrade = (...more: string[]) => ["upgrade", cluster, "--bundle", bundles.next, "--yes", ...more];

  beforeAll(async () => {
    await installPrograms();
    const common = { runtime: "containerd", application: "v0.1" } as const;
    bundles = {
      old: await siteBundle({ ...common, version: FROM, systems: ["debian"] }),
      // The same as that of the other tests: built once.
      next: await siteBundle({ ...common, version: TO, systems: ["debian", "el"] }),
    };
    rig = await Rig.create("10.75.0");
    const host = (name: string): Promise<Host> => rig.host({ name, password: PASSWORD });
    [cp1, w1] = await Promise.all([host("cp1"), host("w1")]);
    members = [
      [cp1, "control-plane", "worker", "registry"],
      [w1, "worker"],
    ];
    await writeShop(scratch.path("site/apps"));
    cluster = await write(FROM);
    operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
    await operator.expect(0, "install", cluster, "--bundle", bundles.old, "--yes");
    await nodesReady(cp1, 2);
    cluster = await write(TO);
  }, 1_800_000);

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]?.();
  });

  it("refuses with all reasons at once, and changes nothing", async () => {
    await kubectl(cp1, "create", "poddisruptionbudget", "stuck", "--selector=app=shop", "--min-available=2");
    await kubectl(cp1, "run", "alone", `--image=${applicationImage}:v0.1`);
    await eventually("the budget to be counted and the pod to be placed", 60, async () => {
      const budget = await kubectl(cp1, "get", "pdb", "stuck", "-o", "jsonpath={.status.expectedPods}");
      const node = await kubectl(cp1, "get", "pod", "alone", "-o", "jsonpath={.spec.nodeName}");
      return budget === "2" && node !== "";
    });
    const said = await operator.expect(3, ...upgrade());
    expect(said).toMatch(/disruption-budgets: the disruption budget default\/stuck/);
    expect(said).toMatch(/unmanaged-pods: .*default\/alone on /);
    expect(await cp1.sh("ls /var/lib/airgap/bundles")).not.toMatch(/\n/);
    await kubectl(cp1, "delete", "pdb/stuck", "pod/alone", "--grace-period=1");
  });

  it("a dry run shows the steps by version and host", async () => {
    const said = await operator.expect(0, ...upgrade("--dry-run"));
    expect(said).toMatch(/^VERSION +PART +HOST +STEPS$/m);
    expect(said).toMatch(/^v1\.34\.4 +control-plane +cp1 .*upgrade, drain-cp1, .*kubelet, node-cp1$/m);
    expect(said).toMatch(/^v1\.34\.4 +workers +w1 .*kubeadm, configuration/m);
  });

  it("goes there though it is killed in the middle, and the application answers all the time", {
    timeout: 1_500_000,
  }, async () => {
    expect(await heardOutside(rig, `http://${w1.address}:${applicationPort}/`)).toBe("shop v0.1");
    const stop = asker(rig, `http://${w1.address}:${applicationPort}/`);
    const pid = scratch.path("pid");
    const airgap = join(import.meta.dirname, "../../bin/airgap");
    const first = rig.run(["sh", "-c", 'echo $$ >"$0"; exec "$@"', pid, airgap, ...upgrade()], {
      env: { ...process.env, NO_COLOR: "1", AIRGAP_SSH_PASSWORD: PASSWORD },
      timeoutMs: 900_000,
    });
    const over = first.then(({ code, stderr }) =>
      code === null ? "killed" : `ended with ${code}: ${stderr.slice(-3000)}`,
    );
    await eventually("kubeadm to have begun", 600, async () => {
      const ended = await Promise.race([over, sleep(200, undefined)]);
      if (ended !== undefined) throw new Error(`the upgrade was not to end yet: ${ended}`);
      return (await cp1.exec(["test", "-e", "/var/lib/airgap/upgrade-began"])).code === 0 ? true : undefined;
    });
    process.kill(Number(await readFile(pid, "utf8")), "SIGKILL");
    expect(await over).toBe("killed");
    const { from, changed, kept, time, steps } = await operator.json<UpgradeResult>(...upgrade());
    say(
      `the second run took ${Math.round((time?.total ?? 0) / 1000)} s, ${changed} steps; kept ${kept.length} files; ${slowest(steps as InstallResult["steps"])}`,
    );
    expect(from).toBe(FROM);
    expect((await nodesReady(cp1, 2)).sort()).toEqual(["cp1", "w1"]);
    const { asked, failed } = await stop();
    say(`${failed.length} of ${asked} requests failed\n${failed.join("\n")}`);
    expect(asked).toBeGreaterThan(100);
    expect(failed.length).toBeLessThanOrEqual(2);
  });

  it("everything is at the new version, and takes pods", async () => {
    const { healthy, problems, nodes } = await operator.json<ClusterStatus>("status", cluster);
    expect({ healthy, problems }).toEqual({ healthy: true, problems: [] });
    expect(nodes.map(({ name, version }) => [name, version])).toEqual([
      ["cp1", TO],
      ["w1", TO],
    ]);
    const unschedulable = await kubectl(cp1, "get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}");
    expect(unschedulable).toBe("");
    const images = await kubectl(
      cp1,
      "-n",
      "kube-system",
      "get",
      "pods",
      "-o",
      "jsonpath={.items[*].spec.containers[*].image}",
    );
    expect(images).not.toContain(FROM);
    expect(images).toContain(`kube-proxy:${TO}`);
  });

  it("what was there before is beside the cluster file", async () => {
    const folder = scratch.path(`site/.airgap/rig/upgrade/${TO}/cp1`);
    expect((await readdir(folder)).sort()).toEqual(["etcd.db", "kubernetes.tar.gz"]);
    expect((await readFile(join(folder, "etcd.db"))).length).toBeGreaterThan(100_000);
  });

  it("a second upgrade and an install have nothing to do", async () => {
    const again = await operator.json<UpgradeResult>(...upgrade());
    expect({ through: again.through, todo: notSo(again.steps as InstallResult["steps"]) }).toEqual({
      through: [],
      todo: [],
    });
    const { steps } = await operator.json<InstallResult>(
      "install",
      cluster,
      "--bundle",
      bundles.next,
      "--yes",
    );
    // The old bundle is not served beside the new one any more.
    expect(notSo(steps).filter((step) => !/^cp1 serve\/(?:unit|service) /.test(step))).toEqual([]);
  });
});
