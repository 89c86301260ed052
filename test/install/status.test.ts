import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { authorize } from "../../src/install/authorize.ts";
import { checkHosts } from "../../src/install/hosts-check.ts";
import { type ClusterStatus, status, token } from "../../src/install/status.ts";
import { makeAuthority } from "../../src/pki/certificate.ts";
import { PlayedSite } from "../support/install/played-site.ts";
import { HOME } from "../support/install/site.ts";

let site: PlayedSite;
beforeEach(async () => {
  site = new PlayedSite();
  await site.write();
  return () => site[Symbol.dispose]();
});
const emit = (): void => {};
const options = (): { clusterFile: string; open: PlayedSite["open"]; emit: () => void } => ({
  clusterFile: site.clusterFile,
  open: site.open,
  emit,
});

const condition = (type: string, state: string, message = ""): object => ({ type, status: state, message });
const node = (name: string, labels: object, conditions: object[], version = "v1.28.2"): object => ({
  metadata: { name, labels },
  status: {
    conditions,
    addresses: [
      { type: "Hostname", address: name },
      { type: "InternalIP", address: "10.0.0.12" },
    ],
    nodeInfo: { kubeletVersion: version, containerRuntimeVersion: "containerd://1.7.27" },
  },
});
const pod = (name: string, phase: string, ready: boolean, reason?: string): object => ({
  metadata: { namespace: "kube-system", name },
  status: {
    phase,
    conditions: [condition("Ready", ready ? "True" : "False")],
    ...(reason
      ? { containerStatuses: [{ state: { running: {} } }, { state: { waiting: { reason } } }] }
      : {}),
  },
});
const plane = { "node-role.kubernetes.io/control-plane": "" };

/** What a member of etcd says that is healthy. */
const WELL = "=== health\nhttps://127.0.0.1:2379 is healthy\n=== status\n[]\n=== alarms\n";

function play(
  nodes: object[],
  pods: object[],
  more: {
    certificates?: string;
    origins?: Record<string, string>;
    disks?: Record<string, string>;
    etcd?: string;
  } = {},
): void {
  for (const name of ["master1", "node1"]) {
    site
      .host(name)
      .answers(/kubectl get nodes -o json/, JSON.stringify({ items: nodes }))
      .answers(/kubectl get pods --all-namespaces -o json/, JSON.stringify({ items: pods }))
      .answers(/^show_certificates$/, name === "master1" ? (more.certificates ?? "") : "")
      .answers(/^show_etcd_status /, more.etcd ?? WELL)
      .answers(/^show_disks$/, more.disks?.[name] ?? "/ 100000000 50000000\n")
      .answers(/^show_image_origins$/, more.origins?.[name] ?? "https://register.site.local\n");
  }
}
const ready = [condition("MemoryPressure", "False"), condition("Ready", "True")];
const ask = (more: object = {}): Promise<ClusterStatus> => status({ ...options(), ...more });

describe("status", () => {
  it("of a cluster that is well", async () => {
    play(
      [node("master1", plane, ready), node("node1", {}, ready)],
      [pod("coredns-1", "Running", true), pod("job", "Succeeded", false)],
      {
        certificates: `=== ca.crt\n${readFileSync(join(HOME, "certificates/kubernetes.pem"), "utf8")}`,
      },
    );
    expect(await ask()).toMatchObject({
      cluster: "site",
      version: "v1.28.2",
      healthy: true,
      problems: [],
      nodes: [
        {
          name: "master1",
          roles: ["control-plane"],
          ready: true,
          address: "10.0.0.12",
          version: "v1.28.2",
          runtime: "containerd://1.7.27",
          conditions: [],
        },
        { name: "node1", roles: ["worker"] },
      ],
      pods: { total: 2, notReady: [] },
      certificates: [
        { host: "master1", name: "ca.crt", days: expect.any(Number), until: expect.any(String) },
      ],
      etcd: [{ host: "master1", healthy: true, alarms: [] }],
      origins: [
        { host: "master1", onlySite: true },
        { host: "node1", onlySite: true },
      ],
    });
  });

  it("names everything that is not", async () => {
    const { cert } = await makeAuthority({ commonName: "old", days: 12 });
    play(
      [
        node(
          "master1",
          plane,
          [condition("DiskPressure", "True"), condition("Ready", "False", "container runtime is down")],
          "v1.27.1",
        ),
      ],
      [pod("coredns-1", "Pending", false, "ImagePullBackOff"), pod("web", "Running", false)],
      {
        certificates: `=== apiserver.crt\n${cert}=== junk.crt\nnot a certificate\n`,
        etcd: "=== health\nunhealthy: no leader\n=== status\n=== alarms\nmemberID:7 alarm:NOSPACE\n",
        origins: {
          node1: "https://register.site.local/v2/x\nhttps://registry-1.docker.io\nupstream registries\n",
        },
      },
    );
    const { healthy, problems, certificates, origins } = await ask();
    expect(healthy).toBe(false);
    expect(problems).toEqual([
      "node1 is not in the cluster",
      "master1: container runtime is down, DiskPressure",
      "master1 is at v1.27.1, not v1.28.2",
      "kube-system/coredns-1: ImagePullBackOff",
      "kube-system/web: Running",
      expect.stringMatching(/^master1: apiserver\.crt expires in 1[12] days$/),
      "etcd on master1: unhealthy: no leader",
      "etcd has no space left and takes no writes (alarm NOSPACE): docs/etcd.md",
      "node1 also looks for images at https://registry-1.docker.io, upstream registries",
    ]);
    expect(certificates).toHaveLength(1);
    expect(origins[1]).toEqual({
      host: "node1",
      onlySite: false,
      others: ["https://registry-1.docker.io", "upstream registries"],
    });
  });

  it("says where a pod that is not ready is, and why", async () => {
    const stuck = (name: string, node: string, status: object): object => ({
      metadata: { namespace: "shop", name },
      ...(node ? { spec: { nodeName: node } } : {}),
      status: { phase: "Pending", ...status },
    });
    const waiting = { waiting: { reason: "ImagePullBackOff", message: "Back-off pulling image x" } };
    play(
      [node("master1", plane, ready), node("node1", {}, ready)],
      [
        stuck("init", "node1", {
          initContainerStatuses: [{ state: waiting }],
          containerStatuses: [{ state: { waiting: { reason: "PodInitializing" } } }],
        }),
        stuck("nowhere", "", {
          conditions: [{ type: "PodScheduled", status: "False", message: "0/2 nodes are available" }],
        }),
        stuck("gone", "node1", { phase: "Failed", reason: "Evicted", message: "low on disk" }),
        stuck("ended", "node1", {
          phase: "Failed",
          containerStatuses: [{ state: { terminated: { reason: "Error" } } }],
        }),
      ],
    );
    expect((await ask()).problems).toEqual([
      "shop/init on node1: ImagePullBackOff (Back-off pulling image x)",
      "shop/nowhere: Pending (0/2 nodes are available)",
      "shop/gone on node1: Evicted (low on disk)",
      "shop/ended on node1: Error",
    ]);
  });

  const planes = (n: number): object[] =>
    Array.from({ length: n }, (_, i) => ({
      name: `master${i + 1}`,
      address: `10.0.0.${12 + i}`,
      roles: i === 0 ? ["control-plane", "registry"] : ["control-plane"],
    }));
  const lost =
    (...names: string[]): PlayedSite["open"] =>
    async (host) => {
      if (names.includes(host.name)) throw new AirgapError("network", `${host.name}: no connection`);
      return site.open(host);
    };

  it("asks whichever control plane answers, and names hosts that do not", async () => {
    await site.write({ endpoint: { address: "10.0.0.200" }, hosts: planes(3) });
    const nodes = ["master1", "master2", "master3"].map((name) => node(name, plane, ready));
    for (const name of ["master2", "master3"])
      site
        .host(name)
        .answers(/^show_certificates$/, "")
        .answers(/^show_etcd_status /, WELL)
        .answers(/^show_disks$/, "")
        .answers(/^show_image_origins$/, "https://register.site.local\n");
    site.host("master2").answers(/get nodes/, { code: 1, stdout: "", stderr: "refused" });
    site
      .host("master3")
      .answers(/get nodes/, JSON.stringify({ items: nodes }))
      .answers(/get pods/, JSON.stringify({ items: [] }));
    const found = await ask({ open: lost("master1") });
    expect(found).toMatchObject({
      healthy: false,
      unreachable: [{ host: "master1", message: "master1: no connection" }],
      problems: ["master1: no connection"],
      origins: [{ host: "master2" }, { host: "master3" }],
    });
    expect(await ask({ open: lost("master1"), hosts: ["master3"] })).toMatchObject({ healthy: true });
    await expect(ask({ open: lost("master1", "master2", "master3") })).rejects.toMatchObject({
      code: "network",
    });
  });

  it("fails where no control plane is reached, whatever else is", async () => {
    await expect(ask({ open: lost("master1") })).rejects.toMatchObject({
      code: "network",
      message: "master1: no connection",
    });
  });

  it("of some hosts only", async () => {
    play([node("master1", plane, ready), node("node1", {}, ready)], []);
    expect((await ask({ hosts: ["node1"] })).nodes.map(({ name }) => name)).toEqual(["node1"]);
    await expect(ask({ hosts: ["nodeX"] })).rejects.toMatchObject({ code: "usage" });
  });

  it("survives answers that are not what they should be", async () => {
    play(
      [{}, { metadata: [], status: 7 }, node("node1", {}, [])],
      [{}, { status: { conditions: "x", containerStatuses: 1 } }],
    );
    expect(await ask()).toMatchObject({ healthy: false });
    site.host("master1").answers(/./, "");
    const host = site.host("master1");
    host.run = async () => ({ code: 0, stdout: "<html>", stderr: "" });
    await expect(ask()).rejects.toMatchObject({ code: "protocol" });
    host.run = async () => ({ code: 1, stdout: "", stderr: "connection refused" });
    await expect(ask()).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining("the cluster does not answer: connection refused"),
    });
  });

  it("reads the registries that a runtime asks out of its own files, by sh", () => {
    const dir = site.scratch.path("root");
    execFileSync("mkdir", ["-p", `${dir}/etc/containerd/certs.d/docker.io`, `${dir}/etc/docker`]);
    execFileSync("sh", ["-c", `cat >"${dir}/etc/containerd/certs.d/docker.io/hosts.toml"`], {
      input:
        'server = "https://register.site.local"\n[host."https://mirror.example/v2/x"]\n  capabilities = ["pull"]\n',
    });
    execFileSync("sh", ["-c", `cat >"${dir}/etc/docker/daemon.json"`], {
      input: '{"registry-mirrors": ["https://a.example", "http://b.example"], "log-driver": "x"}',
    });
    let asked = "";
    const host = site.host("master1");
    play([node("master1", plane, ready), node("node1", {}, ready)], []);
    const run = host.run.bind(host);
    host.run = async (text, more) => {
      if (!text.endsWith("\nshow_image_origins\n")) return run(text, more);
      asked = text.replaceAll(" /etc/", ` ${dir}/etc/`).replaceAll("</etc/", `<${dir}/etc/`);
      return { code: 0, stdout: execFileSync("sh", { input: asked, encoding: "utf8" }), stderr: "" };
    };
    return expect(ask()).resolves.toMatchObject({
      origins: [
        {
          host: "master1",
          others: [
            "https://mirror.example/v2/x",
            "upstream registries",
            "https://a.example",
            "http://b.example",
          ],
        },
        {},
      ],
    });
  });
});

describe("a token", () => {
  it("is printed for the dashboard, and for nothing that is not there", async () => {
    site.host("master1").answers(/^account_token airgap-dashboard-admin request$/, "eyJhbGciOi\n");
    expect(await token({ ...options(), name: "dashboard" })).toBe("eyJhbGciOi");
    await expect(token({ ...options(), name: "grafana" })).rejects.toMatchObject({
      code: "usage",
      suggestions: ["--token dashboard"],
    });
    const host = site.host("master1");
    host.run = async () => ({ code: 44, stdout: "", stderr: "" });
    await expect(token({ ...options(), name: "dashboard" })).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("hosts check", () => {
  it("gives facts and every finding, and changes nothing", async () => {
    site.tell("node1", "listening|10250");
    const found = await checkHosts(options());
    expect(Object.keys(found.facts)).toEqual(["master1", "node1"]);
    expect(found.findings.map(({ host, check }) => `${host} ${check}`)).toEqual(["node1 ports"]);
    for (const host of site.hosts.values()) expect([...host.sent, ...host.commands]).toEqual([]);
  });

  it("of some hosts connects to those alone", async () => {
    expect(Object.keys((await checkHosts({ ...options(), hosts: ["node1"] })).facts)).toEqual(["node1"]);
    expect(site.opened).toEqual(["node1"]);
    await expect(checkHosts({ ...options(), hosts: ["x"] })).rejects.toMatchObject({ code: "usage" });
  });

  it("with a bundle says what that lacks", async () => {
    site.tell("node1", "machine|aarch64");
    const host = site.host("node1");
    host.facts = host.facts?.replace("machine|x86_64\n", "");
    const { findings } = await checkHosts({ ...options(), bundle: site.scratch.path("site.tar") });
    expect(findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining(["bundle-platform", "bundle-packages"]),
    );
  });
});

describe("authorize", () => {
  it.skipIf(spawnSync("ssh-keygen", ["-?"]).error)(
    "puts the cluster file's key on every host, made when it is not there, and proves that it lets us in",
    async () => {
      await site.write({ ssh: { user: "ops", identityFile: "keys/site", passwordEnv: "SITE_SSH" } });
      const opened: object[] = [];
      const open: PlayedSite["open"] = (host) => {
        opened.push({
          name: host.name,
          password: host.ssh.passwordEnv !== undefined,
          key: host.ssh.identityFile,
        });
        return site.open(host);
      };
      execFileSync("mkdir", [site.scratch.path("keys")]);
      for (const name of ["master1", "node1"])
        site.host(name).answers(/^authorize_key /, name === "node1" ? "present ops\n" : "installed ops\n");
      const key = site.scratch.path("keys/site");
      expect(await authorize({ ...options(), open })).toEqual({
        hosts: [
          { host: "master1", user: "ops", state: "installed", key },
          { host: "node1", user: "ops", state: "present", key },
        ],
      });
      expect(opened).toEqual([
        { name: "master1", password: true, key },
        { name: "node1", password: true, key },
        { name: "master1", password: false, key },
        { name: "node1", password: false, key },
      ]);
      const line = readFileSync(`${key}.pub`, "utf8").trim();
      expect(site.host("master1").commands[0]).toContain(`'${line}'`);
      expect(readFileSync(key, "utf8")).toContain("PRIVATE KEY");
      expect(site.host("master1").commands.join()).not.toContain("PRIVATE KEY");
      // Once more: the key that is there is taken.
      await authorize({ ...options(), open, hosts: ["node1"] });
      expect(readFileSync(`${key}.pub`, "utf8").trim()).toBe(line);
      await expect(authorize({ ...options(), open, hosts: ["nodeX"] })).rejects.toMatchObject({
        code: "usage",
      });
    },
  );

  it("takes nothing for a key that is none", async () => {
    await site.write({ ssh: { identityFile: "site" } });
    site.scratch.write("site", "x");
    site.scratch.write("site.pub", "ssh-ed25519 AAAA'; rm -rf / #\n");
    await expect(authorize(options())).rejects.toMatchObject({ code: "spec" });
    expect(site.opened).toEqual([]);
  });

  it("says so when no host is reached by SSH", async () => {
    await site.write({
      hosts: [
        { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"], connection: "local" },
      ],
    });
    await expect(authorize(options())).rejects.toMatchObject({ code: "usage" });
  });
});

describe("status of load balancers", () => {
  const LB = (n: number) => ({ name: `lb${n}`, address: `10.0.0.${17 + n}`, roles: ["load-balancer"] });
  const HOSTS = [
    { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
    { name: "node1", address: "10.0.0.15", roles: ["worker"] },
    ...[LB(1), LB(2)],
  ];
  const head = "csv # pxname,svname,status,check_status";
  const well = `${head}\ncsv control-planes,master1,UP,L7OK\n`;
  const runs = "runs haproxy\nruns keepalived\n";

  beforeEach(async () => {
    await site.write({ endpoint: { address: "10.0.0.200" }, hosts: HOSTS });
    play([], []);
  });
  const say = (lb1: string, lb2: string): void => {
    site.host("lb1").answers(/^show_balancer 9999 10\.0\.0\.200$/, lb1);
    site.host("lb2").answers(/^show_balancer /, lb2);
  };
  const about = ({ problems }: ClusterStatus): string[] =>
    problems.filter((problem) => /lb|10\.0\.0\.200|the API/.test(problem));

  it("says who holds the address, and what each knows of its servers", async () => {
    say(`${runs}holds 10.0.0.200\n${well}`, `${runs}${well}`);
    const found = await status(options());
    const servers = [{ address: "api", host: "master1", up: true, state: "UP", check: "L7OK" }];
    expect(found.endpoint).toEqual({
      addresses: [{ name: "api", address: "10.0.0.200", port: 6443, heldBy: ["lb1"] }],
      loadBalancers: ["lb1", "lb2"].map((host) => ({ host, haproxy: true, keepalived: true, servers })),
    });
    expect(about(found)).toEqual([]);
  });

  it("names what is wrong: nobody or two hold it, a program that ended, a server that is down", async () => {
    const down = `${head}\ncsv control-planes,master1,DOWN,L4TOUT\n`;
    say(`${runs}${down}`, `runs haproxy\n${down}`);
    expect(about(await status(options()))).toEqual([
      "no load balancer holds 10.0.0.200",
      "lb2: keepalived does not run",
      "master1 does not serve the API for lb1, lb2 (DOWN, L4TOUT)",
    ]);
  });

  it("asks only those that are named", async () => {
    say(`${runs}holds 10.0.0.200\n${well}`, "never");
    const { endpoint } = await status({ ...options(), hosts: ["lb1"] });
    expect(endpoint?.loadBalancers.map(({ host }) => host)).toEqual(["lb1"]);
  });
});
