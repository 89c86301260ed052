import { execFileSync } from "node:child_process";
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isAirgapError } from "../../src/errors.ts";
import { type InstallOptions, type InstallResult, install } from "../../src/install/install.ts";
import { reset } from "../../src/install/reset.ts";
import { STAGE_NAMES } from "../../src/install/stages/index.ts";
import { writeBundleFile } from "../support/install/bundle-file.ts";
import { ScratchHost } from "../support/install/scratch-host.ts";
import { clusterText, HOME, siteOf, type Wishes } from "../support/install/site.ts";
import { type System, systems } from "../support/install/systems.ts";
import { Random } from "../support/random.ts";
import { Scratch } from "../support/scratch.ts";

/** Calls of stand-ins that only look. */
const LOOKING =
  /^(?:systemctl (?:is-|--quiet is-)|systemctl is-enabled|uname|hostname$|getenforce|getsebool|firewall-cmd (?!.*--(?:add|remove))|ufw show|dpkg-query|rpm -q|apt-mark showhold|ctr .*images ls|ctr plugins ls|docker image (?:ls|inspect)|kubectl .*(?:get|diff)|kubectl (?:get|diff)|getent|ip -4 route show|ip -o addr show|ip neigh show|ip neigh del|timeout|sleep|date)/;

const ALONE = {
  hosts: [{ name: "master1", address: "10.0.0.12", roles: ["control-plane", "worker", "registry"] }],
};

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

/** Programs for the hosts: they say yes to everything. */
function packed(): Buffer {
  for (const program of ["bin/airgap", "node/bin/node", "cri-dockerd/cri-dockerd"]) {
    const path = scratch.path(`airgap-0.1.0/${program}`);
    mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    writeFileSync(path, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  }
  return execFileSync("tar", ["-czf", "-", "-C", scratch.dir, "airgap-0.1.0"]);
}

interface Built {
  hosts: Record<string, ScratchHost>;
  run(more?: Partial<InstallOptions>): Promise<InstallResult>;
  /** A new host in the place of one that is lost. */
  empty(name: string): void;
  reset(packages: boolean): Promise<unknown>;
}

async function build(wishes: Wishes): Promise<Built> {
  const input = siteOf(wishes);
  const clusterFile = scratch.write("cluster.yaml", clusterText(wishes.cluster));
  await writeBundleFile(scratch.path("site.tar"), input.bundle, packed());
  mkdirSync(scratch.path("api"));
  scratch.write("api/version", input.cluster.kubernetes.version);
  scratch.write(
    "api/corefile",
    ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa\n    forward . /etc/resolv.conf\n}\n",
  );
  mkdirSync(scratch.path("manifests"));
  copyFileSync(join(HOME, "manifests/shop.yaml"), scratch.path("manifests/shop.yaml"));
  const make = (name: string, folder = "hosts"): ScratchHost => {
    const host = new ScratchHost(
      name,
      wishes.on?.[name] ?? wishes.os ?? "debian-12",
      scratch.path(folder),
      scratch.path("api"),
      input.cluster.runtime,
    );
    host.address = input.cluster.hosts.find((each) => each.name === name)?.address ?? "";
    return host;
  };
  const hosts = Object.fromEntries(input.cluster.hosts.map(({ name }) => [name, make(name)]));
  const open = async ({ name }: { name: string }): Promise<ScratchHost> => hosts[name] as ScratchHost;
  return {
    hosts,
    empty: (name) => {
      hosts[name] = make(name, "replaced");
    },
    run: (more = {}) =>
      install({
        clusterFile,
        bundle: scratch.path("site.tar"),
        dryRun: false,
        ignoreChecks: [],
        open,
        emit: () => {},
        ...more,
      }),
    reset: (packages) => reset({ clusterFile, packages, sure: async () => true, open, emit: () => {} }),
  };
}

/** Sites that between them have every stage, every kind of package manager and every runtime. */
const SITES: Record<string, Wishes> = {
  "CentOS 7 with Docker, served by another host": {
    os: "centos-7.9",
    on: { register: "rocky-9.4" },
    cluster: {
      runtime: "docker",
      kubernetes: { version: "v1.23.17" },
      hosts: [
        {
          name: "master1",
          address: "10.0.0.12",
          roles: ["control-plane", "worker"],
          labels: { disk: "ssd" },
          taints: ["gpu:NoSchedule"],
        },
        { name: "register", address: "10.0.0.20", roles: ["registry"] },
      ],
    },
  },
  "Rocky 9 with add-ons and a worker": {
    os: "rocky-9.4",
    cluster: {
      addons: ["dashboard", { manifest: "manifests/shop.yaml" }],
      kubernetes: { version: "v1.28.2", dnsHosts: { "app.site": "10.244.0.2" } },
    },
    bundle: { manifests: ["flannel", "dashboard"] },
  },
  "Debian 12 with a registry that others fill": {
    os: "debian-12",
    cluster: {
      ...ALONE,
      registry: {
        mode: "external",
        scheme: "http",
        layout: "path",
        prefix: "k8s",
        user: "robot",
        passwordEnv: "SITE_PASSWORD",
      },
    },
  },
  "Ubuntu 24.04 with Docker and the bundle's cri-dockerd": {
    os: "ubuntu-24.04",
    facts: { firewall: "ufw" },
    cluster: { ...ALONE, runtime: "docker", network: { name: "calico" } },
    bundle: { manifests: ["calico"], files: ["cri-dockerd.tgz"] },
  },
};
/** Two control planes that are load balancers themselves. */
const BALANCED: Wishes = {
  os: "rocky-9.4",
  cluster: {
    endpoint: { address: "10.0.0.200", port: 8443 },
    hosts: [
      { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry", "load-balancer"] },
      { name: "master2", address: "10.0.0.13", roles: ["control-plane", "load-balancer"] },
    ],
  },
  bundle: {
    packages: {
      all: [
        ...["containerd.io 1.7.27-3.1.el9", "=kubelet 1.28.2-150500.1.1", "=kubeadm 1.28.2-150500.1.1"],
        "=kubectl 1.28.2-150500.1.1",
      ],
      "load-balancer": ["keepalived 2.2.8-1.el9", "haproxy 2.4.22-1.el9"],
    },
  },
};
SITES["Rocky 9, two control planes that share an address"] = BALANCED;
const seen = new Set<string>();

/** Bare, installed, nothing to do, put right where somebody has changed it, and bare again. */
async function roundTrip(wishes: Wishes): Promise<void> {
  const { hosts, run, reset: takeBack } = await build(wishes);
  const before = Object.fromEntries(Object.entries(hosts).map(([name, host]) => [name, host.snapshot()]));
  const first = await run();
  for (const host of Object.values(hosts)) expect(host.unknown, host.name).toBe("");
  expect(
    first.steps
      .filter(({ state }) => state !== "done" && state !== "already")
      .map(({ host, step, state }) => `${host} ${step} ${state}`),
  ).toEqual([]);
  for (const { stage } of first.steps) seen.add(stage);

  // So already: the checks are all that is sent, and they only look.
  const calls = Object.fromEntries(
    Object.entries(hosts).map(([name, host]) => [name, [host.calls.length, host.modes.length] as const]),
  );
  const between = Object.fromEntries(Object.entries(hosts).map(([name, host]) => [name, host.snapshot()]));
  const again = await run();
  expect(again.steps.filter(({ state }) => state !== "already")).toEqual([]);
  expect(again.changed).toBe(0);
  for (const [name, host] of Object.entries(hosts)) {
    const [called, sent] = calls[name] ?? [0, 0];
    expect(host.calls.slice(called).filter((call) => !LOOKING.test(call))).toEqual([]);
    // What load balancers see is asked beside.
    expect(host.modes.slice(sent).filter((mode) => mode !== "other")).toEqual(["check"]);
    expect(host.snapshot()).toEqual(between[name]);
  }

  const { master1 } = hosts;
  if (master1 === undefined) throw new Error("there is no master1");
  rmSync(join(master1.root, "etc/crictl.yaml"), { force: true });
  appendFileSync(join(master1.root, "etc/sysctl.conf"), "net.ipv4.ip_forward=0\n");
  writeFileSync(join(master1.root, "proc/sys/net/ipv4/ip_forward"), "0\n");
  const mended = (await run()).steps
    .filter(({ state }) => state === "done")
    .map(({ stage, step }) => `${stage}/${step}`);
  const hasCrictl = first.steps.some(({ step }) => step === "crictl");
  expect(mended).toEqual(["hosts/sysctl", ...(hasCrictl ? ["runtime/crictl"] : [])]);

  await takeBack(true);
  for (const [name, host] of Object.entries(hosts)) {
    expect(host.unknown, name).toBe("");
    // The last line had no end, which our block asked for.
    expect(host.snapshot()).toEqual({ ...before[name], "etc/hosts": `${before[name]?.["etc/hosts"]}\n` });
  }
}

describe("install, install again and reset, with scripts that are really run", () => {
  it.each(Object.entries(SITES))("%s", { timeout: 120_000 }, async (_, wishes) => {
    vi.stubEnv("SITE_PASSWORD", "swordfish");
    try {
      await roundTrip(wishes);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("comes to the same when the host dies again and again in the middle", { timeout: 240_000 }, async () => {
    const { hosts, run, reset: takeBack } = await build({ os: "rocky-9.4", cluster: ALONE });
    const { master1 } = hosts;
    if (master1 === undefined) throw new Error("there is no master1");
    appendFileSync(join(master1.root, "etc/hosts"), "\n");
    await run();
    const whole = master1.snapshot();
    const all = master1.calls.length;
    await takeBack(true);
    const before = master1.calls.length;

    const random = new Random(17);
    let deaths = 0;
    for (let i = 0; i < 8; i++) {
      master1.dieAfter(1 + random.below(all / 2));
      const outcome = await run({ patienceMs: 0 }).catch((error: unknown) => error);
      if (!isAirgapError(outcome)) continue;
      expect(outcome, outcome.message).toMatchObject({
        code: expect.stringMatching(/^(?:interrupted|network)$/),
      });
      deaths++;
    }
    rmSync(join(master1.root, "dies-at"), { force: true });
    expect(deaths).toBeGreaterThan(3);
    expect(master1.calls.length).toBeGreaterThan(before);
    await run();
    expect(master1.snapshot()).toEqual(whole);
    expect(master1.unknown).toBe("");
    expect((await run()).changed).toBe(0);
  });

  it("comes to the same when a control plane that joins dies again and again", {
    timeout: 240_000,
  }, async () => {
    const { hosts, run } = await build(BALANCED);
    const { master1, master2 } = hosts;
    if (master1 === undefined || master2 === undefined) throw new Error("there are no two");
    const random = new Random(23);
    let deaths = 0;
    // The first time it goes as far as it gets; then it dies nearer and nearer to its end.
    for (let i = 0; i < 10; i++) {
      const dying = i % 3 === 2 ? master1 : master2;
      dying.dieAfter(20 + random.below(90));
      const outcome = await run({ patienceMs: 0 }).catch((error: unknown) => error);
      if (!isAirgapError(outcome)) continue;
      expect(outcome, outcome.message).toMatchObject({
        code: expect.stringMatching(/^(?:interrupted|network)$/),
      });
      deaths++;
    }
    for (const host of [master1, master2]) rmSync(join(host.root, "dies-at"), { force: true });
    expect(deaths).toBeGreaterThan(4);
    await run();
    expect((await run()).changed).toBe(0);
    const lines = (name: string): string[] =>
      readFileSync(scratch.path(`api/${name}`), "utf8")
        .trimEnd()
        .split("\n")
        .sort();
    expect({ nodes: lines("nodes"), members: lines("members") }).toEqual({
      nodes: ["master1", "master2"],
      members: ["master1", "master2"],
    });
    for (const host of [master1, master2]) expect(host.unknown).toBe("");
  });

  it("a control plane that comes back empty joins with --replace, and never without it", {
    timeout: 240_000,
  }, async () => {
    const { hosts, run, empty } = await build(BALANCED);
    await run();
    empty("master2");
    await expect(run()).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("a member of etcd and a node of that name"),
    });
    const { steps } = await run({ replace: ["master2"] });
    const done = steps.filter(({ state }) => state === "done").map(({ host, step }) => `${host} ${step}`);
    expect(done.filter((each) => /forget-|join/.test(each))).toEqual([
      "master1 forget-master2",
      "master2 join",
    ]);
    expect((await run()).changed).toBe(0);
    for (const host of Object.values(hosts)) expect(host.unknown).toBe("");
  });

  it("has been at every stage that does something, but for those that only real hosts can play", () => {
    expect(STAGE_NAMES.filter((stage) => !seen.has(stage))).toEqual(["etcd"]);
  });

  // What the others do differently is in the cases; each takes seconds.
  const others = systems.filter((system) => system !== "centos-7.9");
  it.runIf(process.env["EVERY_SYSTEM"] === "1").each(others)("%s", { timeout: 120_000 }, (os: System) =>
    roundTrip({ os, cluster: ALONE }),
  );
});
