import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { formatPreview } from "../../src/plan/preview.ts";
import { Journal } from "../../src/state/journal.ts";
import { PlayedSite } from "../support/install/played-site.ts";

const MASTER = { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] };
const NODE = { name: "node1", address: "10.0.0.15", roles: ["worker"] };
const NEXT = { name: "node2", address: "10.0.0.16", roles: ["worker"] };

let site: PlayedSite;
beforeEach(async () => {
  site = new PlayedSite();
  await site.write();
  return () => site[Symbol.dispose]();
});

/** A host that has joined, as its facts say. */
function joined(name: string, ...paths: string[]): void {
  for (const path of paths) site.tell(name, `exists|${path}`);
  site.tell(name, "owner|site");
}

async function journal<T>(ask: (journal: Journal) => Promise<T>): Promise<T> {
  const opened = await Journal.open(site.scratch.path(".airgap/site/journal.sqlite"));
  try {
    return await ask(opened);
  } finally {
    await opened.close();
  }
}

describe("install", () => {
  it("makes a cluster of bare hosts, and has nothing to do the second time", async () => {
    const first = await site.install();
    expect(first).toMatchObject({
      cluster: "site",
      findings: [],
      kubeconfig: site.scratch.path(".airgap/site/kubeconfig"),
    });
    expect(first.changed).toBe(first.steps.length);
    expect(site.host("master1").piped.map(({ command }) => command)).toEqual([
      expect.stringContaining("/var/lib/airgap/bundles/site-"),
    ]);
    expect(site.host("node1").piped).toEqual([]);
    const order = site.host("master1").applied;
    const stages = [...new Set(order.map((step) => step.split("/")[0]))];
    expect(stages).toEqual([
      "hosts",
      "trust",
      "serve",
      "repository",
      "packages",
      "runtime",
      "control-plane",
      "network",
      "workers",
      "verify",
    ]);

    const sent = new Map([...site.hosts].map(([name, host]) => [name, host.sent.length]));
    const again = await site.install();
    expect(again).toMatchObject({ changed: 0, kubeconfig: first.kubeconfig });
    for (const [name, host] of site.hosts) {
      const now = host.sent.slice(sent.get(name));
      expect(now.map(({ mode }) => mode)).toEqual(["check"]);
      expect(host.commands.filter((command) => command.includes("admin.conf"))).toHaveLength(
        name === "master1" ? 1 : 0,
      );
    }
  });

  it("keeps a journal of runs, steps and hosts beside the cluster file, for the user's eyes only", async () => {
    await site.install();
    const [steps, hosts] = await journal(
      async (opened) => [await opened.steps(1000), await opened.hosts()] as const,
    );
    expect(steps[0]).toMatchObject({ run: 1, host: "master1", step: "verify/probe-gone", state: "done" });
    expect(steps.length).toBe(site.host("master1").applied.length + site.host("node1").applied.length);
    expect(hosts.map(({ name }) => name)).toEqual(["master1", "node1"]);
    expect(JSON.parse(hosts[1]?.facts ?? "")).toMatchObject({ os: { id: "rocky" } });
    expect(JSON.parse(hosts[1]?.settings ?? "")).toMatchObject({ address: "10.0.0.15", roles: ["worker"] });
    const home = site.scratch.path(".airgap");
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(readFileSync(`${home}/.gitignore`, "utf8")).toBe("*\n");
    for (const name of ["secrets.json", "kubeconfig"])
      expect(statSync(`${home}/site/${name}`).mode & 0o777).toBe(0o600);
  });

  it("keeps a host's first facts when it is run again", async () => {
    await site.install();
    site.tell("node1", "hostname|other");
    site.tell("node1", "kubelet|v1.28.2");
    await site.install();
    const [, node] = await journal((opened) => opened.hosts());
    expect(JSON.parse(node?.facts ?? "")).toMatchObject({ versions: {} });
  });

  it("changes nothing when a check fails, and names the check: exit 3", async () => {
    site.tell("node1", "listening|10250");
    const error = await site.install().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringContaining("node1: ports: another program already listens on 10250"),
    });
    expect((error as { suggestions: string[] }).suggestions.at(-1)).toBe(
      "if it does no harm here: --ignore-check ports",
    );
    for (const host of site.hosts.values())
      expect([...host.sent, ...host.commands, ...host.piped]).toEqual([]);

    await site.install({ ignoreChecks: ["ports"] });
    expect(site.told).toContain("node1: another program already listens on 10250 (ports)");
    await expect(site.install({ ignoreChecks: ["portz"] })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("There is no check 'portz'"),
    });
  });

  it("goes on where it was when a step has failed", async () => {
    site.host("node1").failing.set("runtime/service", ["containerd does not run"]);
    await expect(site.install()).rejects.toMatchObject({
      code: "step-failed",
      message: expect.stringContaining("node1: runtime/service"),
    });
    expect(site.host("master1").applied).toContain("control-plane/init");
    expect(site.host("node1").applied.at(-1)).not.toMatch(/^workers\//);
    expect([...site.hosts.values()].flatMap(({ applied }) => applied).join()).not.toContain("verify/");
    const before = site.host("master1").applied.length;
    await site.install();
    const after = site.host("master1").applied.slice(before);
    expect(after.every((step) => /^(?:addons|verify)\//.test(step))).toBe(true);
    expect(after.at(-1)).toMatch(/^verify\//);
    const [last] = await journal((opened) => opened.steps(1));
    expect(last).toMatchObject({ run: 2, state: "done" });
  });

  it("runs only the stages and hosts that are named", async () => {
    await site.install({ only: ["hosts"], hosts: ["node1"] });
    expect(site.host("node1").applied.every((step) => step.startsWith("hosts/"))).toBe(true);
    expect(site.host("master1").applied).toEqual([]);
    await site.install({ skip: ["hosts", "control-plane", "network", "workers", "verify"] });
    expect(site.host("master1").applied.some((step) => /^(?:hosts|control-plane)\//.test(step))).toBe(false);
    expect(site.host("master1").applied).toContain("runtime/pull");
  });

  it("says so when the wish names a host that is not there", async () => {
    await expect(site.install({ hosts: ["nodeX"] })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("nodeX"),
    });
    expect(site.opened).toEqual([]);
  });

  it("keeps all secrets out of log, journal and messages", async () => {
    vi.stubEnv("SITE_PASSWORD", "correct horse battery");
    try {
      await site.write({ registry: { user: "site", passwordEnv: "SITE_PASSWORD" } });
      const secrets = (): string[] => {
        const kept = JSON.parse(readFileSync(site.scratch.path(".airgap/site/secrets.json"), "utf8")) as {
          keys: { ca: { key: string } };
          joinToken: string;
        };
        return [
          kept.keys.ca.key.split("\n")[1] ?? "?",
          kept.joinToken,
          "correct horse battery",
          Buffer.from("site:correct horse battery").toString("base64"),
        ];
      };
      // A host that prints everything that it is told.
      const host = site.host("node1");
      const run = host.run.bind(host);
      host.run = (script, options) => {
        host.failing.set("runtime/config", [script]);
        return run(script, options);
      };
      const error = (await site.install().catch((thrown: unknown) => thrown)) as Error & { data: unknown };
      const logs = readdirSync(site.scratch.path(".airgap/site/runs")).map((name) =>
        readFileSync(site.scratch.path(`.airgap/site/runs/${name}`), "utf8"),
      );
      const told = await journal((opened) => opened.hosts());
      const everything = [
        error.message,
        JSON.stringify(error.data),
        JSON.stringify(site.events),
        ...logs,
        JSON.stringify(told),
      ].join("\n");
      expect(everything).toContain("airgap_mode=apply");
      expect(everything).toContain("***");
      for (const secret of secrets()) expect(everything.includes(secret), secret.slice(0, 6)).toBe(false);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe("day two", () => {
  it("adding a worker touches that worker only", async () => {
    await site.install();
    joined("master1", "/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf");
    joined("node1", "/etc/kubernetes/kubelet.conf");
    const applied = { master1: site.host("master1").applied.length, node1: site.host("node1").sent.length };
    site.host("master1").so.delete("workers/token");
    await site.write({ hosts: [MASTER, NODE, NEXT] });
    // What is about the whole cluster is to be asked anew.
    for (const step of ["nodes", "probe", "node-port", "probe-gone"])
      site.host("master1").so.delete(`verify/${step}`);
    await site.install();

    expect(site.host("node2").applied).toContain("workers/join");
    const node1 = site.host("node1").sent.slice(applied.node1);
    expect(
      node1.filter(
        ({ mode, steps }) => mode === "apply" && steps.some((step) => !step.startsWith("verify/")),
      ),
    ).toEqual([]);
    expect(
      site
        .host("node1")
        .applied.filter(
          (step) => !node1.includes(site.host("node1").sent[0] as never) && step === "workers/join",
        ),
    ).toHaveLength(1);
    // The control plane gives the worker a token and looks at the nodes; nothing else of it is changed.
    expect(site.host("master1").applied.slice(applied.master1)).toEqual([
      "workers/token",
      "verify/nodes",
      "verify/probe",
      "verify/node-port",
      "verify/probe-gone",
    ]);
  });

  it.each([
    ["a whole run", {}],
    ["--only workers", { only: ["workers" as const] }],
    ["--hosts", { hosts: ["node1"] }],
  ])("a worker whose join failed after it had its kubelet.conf gets a token by %s", async (_, options) => {
    site.host("node1").failing.set("workers/join", ["kubeadm join failed"]);
    await expect(site.install()).rejects.toMatchObject({ code: "step-failed" });
    joined("master1", "/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf");
    joined("node1", "/etc/kubernetes/kubelet.conf", "/var/lib/airgap/kubeadm-began");
    // A cluster that stands gets another token for each run.
    site.host("master1").so.delete("workers/token");
    site.host("node1").so.delete("workers/unfinished");
    const before = ["master1", "node1"].map((name) => site.host(name).applied.length);
    await site.install(options);
    // What the cluster knows of the join that did not finish goes first.
    expect(site.host("master1").applied.slice(before[0]).slice(0, 2)).toEqual([
      "workers/forget-node1",
      "workers/token",
    ]);
    expect(site.host("node1").applied.slice(before[1]).slice(0, 2)).toEqual([
      "workers/unfinished",
      "workers/join",
    ]);
  });

  it("nobody gets a token where all have joined", async () => {
    await site.install();
    joined("master1", "/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf");
    joined("node1", "/etc/kubernetes/kubelet.conf");
    const sent = site.host("master1").sent.length;
    await site.install();
    expect(
      site
        .host("master1")
        .sent.slice(sent)
        .flatMap(({ steps }) => steps),
    ).not.toContain("workers/token");
  });

  it("a host taken out of the file is said, and stays what it is", async () => {
    await site.write({ hosts: [MASTER, NODE, NEXT] });
    await site.install();
    const sent = site.host("node2").sent.length;
    await site.write({ hosts: [MASTER, NODE] });
    await site.install();
    expect(site.events).toContainEqual({
      type: "warning",
      message: "node2 is no longer in the cluster file; airgap leaves the host unchanged",
      suggestion: `airgap reset ${site.clusterFile} --hosts node2`,
    });
    expect(site.host("node2").sent).toHaveLength(sent);
    expect(
      [...site.hosts.values()]
        .flatMap(({ commands }) => commands)
        .filter((command) => /drain|delete node/.test(command)),
    ).toEqual([]);
  });
});

describe("a dry run", () => {
  it("runs the checks only and says per step what would change, with a diff for files", async () => {
    const host = site.host("node1");
    host.so.add("hosts/hostname");
    host.says.set("hosts/swap", { check: "swap is on: /dev/dm-1\n" });
    host.says.set("runtime/crictl", { show: "runtime-endpoint: unix:///run/other.sock\ntimeout: 10\n" });
    const { steps, changed } = await site.install({ dryRun: true });
    expect(changed).toBe(0);
    for (const { sent, piped } of site.hosts.values()) {
      expect(sent.map(({ mode }) => mode)).toEqual(["check"]);
      expect(piped).toEqual([]);
      expect(sent[0]?.script).not.toMatch(/^(?:apply\(\)|taken_back\(\) \{(?! :; \}))/m);
    }
    expect(steps).toContainEqual({
      host: "node1",
      stage: "hosts",
      step: "hostname",
      title: "The host's name is node1",
      state: "already",
    });
    expect(steps).toContainEqual(
      expect.objectContaining({
        host: "node1",
        step: "swap",
        state: "would-change",
        reason: "swap is on: /dev/dm-1",
      }),
    );
    expect(steps).toContainEqual(
      expect.objectContaining({
        step: "crictl",
        host: "node1",
        diff: [
          "- runtime-endpoint: unix:///run/other.sock",
          "+ runtime-endpoint: unix:///run/containerd/containerd.sock",
          "+ image-endpoint: unix:///run/containerd/containerd.sock",
          "  timeout: 10",
        ],
      }),
    );
    const text = formatPreview(steps as Parameters<typeof formatPreview>[0]);
    expect(text).toContain("  node1: swap: Swap is off, now and after a reboot");
    expect(text.at(-1)).toBe(`${steps.length - 1} of ${steps.length} steps would change something`);
    const secrets = JSON.parse(readFileSync(site.scratch.path(".airgap/site/secrets.json"), "utf8")) as {
      keys: { ca: { key: string } };
      joinToken: string;
    };
    for (const secret of [secrets.keys.ca.key.split("\n")[1] ?? "?", secrets.joinToken])
      expect(JSON.stringify(steps)).not.toContain(secret);
    expect(existsSync(site.scratch.path(".airgap/site/journal.sqlite"))).toBe(false);
  });

  it("says that nothing is to do when all is so", async () => {
    await site.install();
    const { steps } = await site.install({ dryRun: true });
    expect(formatPreview(steps as Parameters<typeof formatPreview>[0])).toEqual([
      "Nothing to do: every step is already done",
    ]);
  });
});
