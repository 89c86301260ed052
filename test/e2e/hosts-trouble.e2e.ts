import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scratch } from "../support/scratch.ts";
import { AIRGAP, Box, changesOn, mark, packTool } from "./rig/box.ts";
import type { Host } from "./rig/host.ts";
import { startRegistry } from "./rig/images/registry.ts";
import { installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually, must } from "./rig/shell.ts";
import { hostsArePossible, smallBundle } from "./rig/small.ts";
import { debianTree } from "./rig/system/debian.ts";
import { elSystem } from "./rig/system/el.ts";

const ROOT = `root-${Math.random().toString(36).slice(2)}`;
const REGISTRY = `registry-${Math.random().toString(36).slice(2)}`;
const STAGE_NAMES = ["hosts", "trust", "serve", "repository", "packages", "runtime"];
const only = (...stages: string[]): string[] => stages.flatMap((stage) => ["--only", stage]);
const scratch = new Scratch();

let rig: Rig;
let box: Box;
let bundle = "";
let cluster = "";
let hosts: Host[] = [];

const at = (name: string): Host => hosts.find((host) => host.name === name) as Host;
const install = (...more: string[]): string[] => [
  "install",
  cluster,
  "--bundle",
  bundle,
  ...(more.includes("--only") ? [] : only(...STAGE_NAMES)),
  ...more,
];

/** Waits until a run has come to a stage. */
async function begins(stage: string, printed: () => string, ended: Promise<unknown>): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  await eventually(
    `the stage ${stage} to begin`,
    200,
    () => over || new RegExp(`^${stage}$`, "m").test(printed()) || undefined,
  );
  if (over) throw new Error(`it ended before ${stage}:\n${printed().slice(-3000)}`);
}

describe.runIf(hostsArePossible)("what goes wrong on real hosts", () => {
  beforeAll(async () => {
    await installPrograms();
    await packTool();
    bundle = await smallBundle(scratch.path("connected"), AIRGAP);
    rig = await Rig.create("10.82.0");
    const el = (await elSystem()).root;
    const debian = await debianTree();
    const trees = { register: debian, d1: debian, e1: el };
    hosts = await Promise.all(
      Object.entries(trees).map(([name, tree]) => rig.host({ name, tree, password: ROOT })),
    );
    box = new Box(
      rig,
      scratch.path("site"),
      [
        [at("d1"), "control-plane"],
        [at("e1"), "worker"],
        [at("register"), "registry"],
      ],
      { AIRGAP_SSH_PASSWORD: ROOT, REGISTRY_PASSWORD: REGISTRY },
    );
    cluster = await box.cluster((document) => {
      document["registry"] = { host: "register.rig.test", user: "site", passwordEnv: "REGISTRY_PASSWORD" };
    });
  });

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]();
  });

  it("everything that hosts are not ready for is told at once, and nothing is changed", async () => {
    await at("d1").sh(
      "mkdir -p /etc/kubernetes && printf 'clusters:\n- cluster:\n    server: https://192.0.2.9:6443\n' >/etc/kubernetes/kubelet.conf",
    );
    await at("d1").sh("systemd-run -q --unit=other openssl s_server -accept 6443 -nocert");
    await at("register").sh("mount -t tmpfs -o size=20m tmpfs /opt");
    const patterns = [
      /Nothing was changed: \d checks failed/,
      /d1: cluster: it was a node of https:\/\/192\.0\.2\.9:6443, which airgap did not set up/,
      /kubeadm reset/,
      /d1: ports: another program already listens on 6443/,
      /register: disk: \/opt has 20 MiB left; airgap itself needs 300 MiB/,
    ];
    await mark(hosts);
    await box.expect(3, install(), [...patterns, /--ignore-check NAME \(ports, cluster, disk\)/]);
    const { code, stdout } = await box.airgap(["hosts", "check", cluster, "--bundle", bundle, "--json"]);
    const { findings, facts } = JSON.parse(stdout) as {
      findings: { check: string; host?: string; severity: string }[];
      facts: Record<string, { os: { id: string } }>;
    };
    expect(code).toBe(3);
    expect(
      findings
        .filter(({ severity }) => severity === "error")
        .map(({ check, host }) => `${host} ${check}`)
        .sort(),
    ).toEqual(["d1 cluster", "d1 ports", "register disk"]);
    expect(
      Object.entries(facts)
        .map(([name, { os }]) => `${name} ${os.id}`)
        .sort(),
    ).toEqual(["d1 debian", "e1 rocky", "register debian"]);
    await box.expect(3, ["hosts", "check", cluster], [/d1: Debian GNU\/Linux 12/, /error: d1: cluster:/]);
    expect(await changesOn(hosts)).toEqual([]);
    await at("d1").sh("systemctl stop other; rm -r /etc/kubernetes");
    await at("register").sh("umount /opt");
  });

  it("a configuration that can't be read is not guessed at", async () => {
    await at("e1").sh("mkdir -p /etc/containerd && echo '[plugins' >/etc/containerd/config.toml");
    await mark(hosts);
    await box.expect(3, install(), [
      /e1: cannot read \/etc\/containerd\/config\.toml/,
      /mv \/etc\/containerd\/config\.toml/,
    ]);
    expect(await changesOn(hosts)).toEqual([]);
    await at("e1").sh("rm -r /etc/containerd");
  });

  it("a disk that is too small is seen before, and one that fills up is named", async () => {
    await at("register").sh("mkdir -p /var/lib/airgap && mount -t tmpfs -o size=60m tmpfs /var/lib/airgap");
    await box.expect(3, install(), [
      /register: disk: \/var\/lib\/airgap has 60 MiB left; the bundle needs \d+ MiB/,
    ]);
    const patterns = [
      /register: .*No space left on device/,
      /the host's disk is full/,
      /df -h/,
      /run the same command/,
    ];
    await box.expect(1, install("--ignore-check", "disk"), patterns);
    await at("register").sh("umount /var/lib/airgap");
    await box.expect(0, install("--only", "hosts", "--only", "trust", "--only", "serve"), [
      /steps were applied/,
    ]);
  });

  it("a host that boots in the middle is waited for", async () => {
    const { child, printed, ended } = box.start(install());
    try {
      await begins("packages", printed, ended);
      const boots = at("e1").boots;
      await at("e1").reboot();
      expect(at("e1").boots).toBeGreaterThan(boots);
      expect(await ended, printed().slice(-3000)).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
    await box.expect(0, [...install(), "--dry-run"], [/Nothing to do/]);
  });

  it("a host that stays off is named, the others go on with what does not need it, and so does it when it is back", async () => {
    await box.expect(0, ["reset", cluster, "--yes"]);
    const { child, printed, ended } = box.start(install("--patience", "8"));
    try {
      await begins("serve", printed, ended);
      await at("e1").unplug();
      expect(await ended, printed().slice(-3000)).toBe(4);
    } finally {
      child.kill("SIGKILL");
    }
    const told = printed().replace(/\s+/g, " ");
    expect(told).toMatch(/e1: (?:hosts|trust|repository) failed: .*(?:10\.82\.0\.13|the connection broke)/);
    expect(told).toMatch(/d1: runtime\/service: done/);
    expect(told).toMatch(/Fix the cause, then run the same command/);
    await box.expect(3, install(), [/e1: unreachable: no connection to 10\.82\.0\.13/]);
    await at("e1").boot();
    await box.expect(0, install(), [/steps were applied/]);
    await box.expect(0, [...install(), "--dry-run"], [/Nothing to do/]);
  });

  it("a server that is down is named, and started by the next whole run", async () => {
    await at("register").sh("systemctl stop airgap-serve");
    await at("d1").sh("apt-get -qq purge -y --allow-change-held-packages kubectl");
    const patterns = [
      /d1: packages\/install .* failed/,
      /a server of the site is unreachable/,
      /systemctl status airgap-serve/,
    ];
    await box.expect(1, install("--only", "packages"), patterns);
    await box.expect(0, install(), [/steps were applied/]);
    expect(await at("d1").sh("kubectl version || dpkg-query -W -f '${Status}' kubectl")).toBe(
      "hold ok installed",
    );
  });

  it("a server with a certificate of somebody else's is refused, and put right by the next whole run", async () => {
    await at("register").sh(`
      openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=register.rig.test -addext subjectAltName=DNS:register.rig.test -keyout /run/k -out /run/c 2>/dev/null
      cp /etc/airgap/serve/tls.key /run/key; cp /etc/airgap/serve/tls.crt /run/crt
      cat /run/k >/etc/airgap/serve/tls.key; cat /run/c >/etc/airgap/serve/tls.crt
      systemctl restart airgap-serve; sleep 2; rm /run/k`);
    await at("d1").sh("apt-get -qq purge -y --allow-change-held-packages kubectl");
    await at("e1").sh("dnf -q -y --disableexcludes=all remove kubeadm");
    const patterns = [
      /d1: packages\/install/,
      /e1: packages\/install/,
      /signed by an authority that the host does not trust/,
      /install without --only/,
    ];
    await box.expect(1, install("--only", "packages"), patterns);
    await box.expect(0, install(), [/steps were applied/]);
    await at("register").sh("cmp /run/key /etc/airgap/serve/tls.key && rm /run/key /run/crt /run/c");
  });

  it("passwords and keys are where they belong, and nowhere else", async () => {
    const home = scratch.path("site/.airgap/bare");
    const base64 = Buffer.from(`site:${REGISTRY}`).toString("base64");
    const kept = JSON.stringify(JSON.parse(readFileSync(join(home, "secrets.json"), "utf8")) as unknown);
    const keys = [...kept.matchAll(/-----BEGIN (?:RSA |EC )?PRIVATE KEY-----\\n([^\\]{40,})\\n/g)].map(
      ([, line = ""]) => line,
    );
    expect(keys.length).toBeGreaterThan(3);
    const secrets = [ROOT, REGISTRY, base64, ...keys].map((secret) => `${secret}\n`).join("");
    const places: Record<string, RegExp> = {
      register: /^\/etc\/airgap\/(?:packages\/auth\.conf|serve\/tls\.key)$/,
      d1: /^\/etc\/(?:airgap\/packages\/auth\.conf|containerd\/certs\.d\/\S+\/hosts\.toml)$/,
      e1: /^\/etc\/(?:yum\.repos\.d\/airgap\.repo|containerd\/certs\.d\/\S+\/hosts\.toml)$/,
    };
    for (const host of hosts) {
      const search =
        "cat >/run/secrets; grep -rlsF -f /run/secrets /etc /var /root /home /opt || :; journalctl --no-pager | grep -F -f /run/secrets || :; rm /run/secrets";
      const found = (await host.sh(search, { input: secrets })).split("\n").filter(Boolean);
      expect(found.filter((path) => !places[host.name]?.test(path))).toEqual([]);
      for (const path of found)
        expect(await host.sh(`stat -c '%U %G %a' '${path}'`), path).toBe(
          path.endsWith("/serve/tls.key") ? "root airgap-serve 640" : "root root 600",
        );
    }
    const mine = (
      await must(
        "sh",
        ["-c", 'grep -rlsF -f - "$0" "$1" || :', scratch.path("site"), scratch.path("connected")],
        { input: secrets },
      )
    ).stdout;
    expect(mine.split("\n").filter(Boolean)).toEqual([join(home, "secrets.json")]);
    expect((await must("stat", ["-c", "%a", home, join(home, "secrets.json")])).stdout).toBe("700\n600\n");
    expect(readdirSync(join(home, "runs")).length).toBeGreaterThan(5);
  });

  it("a registry of others: its authority, its name and its content are told apart, and one that is not there", async () => {
    const at = (name: string): string => scratch.path(name);
    for (const name of ["hub", "other"]) {
      const subject = [
        "-subj",
        `/CN=${name}`,
        "-addext",
        "subjectAltName=DNS:hub.rig.test",
        "-keyout",
        at(`${name}.key`),
        "-out",
        at(`${name}.pem`),
      ];
      await must("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...subject]);
    }
    const external = (host: string, authority: string): Promise<string> =>
      box.cluster((document) => {
        const [address, port] = [rig.network.operator, 5443];
        document["registry"] = { host, port, address, mode: "external", caFile: at(`${authority}.pem`) };
        document["repository"] = { host: "register" };
      }, "external");
    const refused = async (host: string, authority: string, ...patterns: RegExp[]): Promise<void> => {
      const flags = only("hosts", "trust", "serve", "registry");
      await box.expect(
        1,
        ["install", await external(host, authority), "--bundle", bundle, ...flags],
        [/register: registry\/images .* failed/, ...patterns],
      );
    };
    const tls = { certificate: at("hub.pem"), key: at("hub.key") };
    const storage = {
      storage: at("hub"),
      work: at("hub-work"),
      network: rig.network,
      address: rig.network.operator,
      port: 5443,
    };
    {
      await using _registry = await startRegistry({ ...storage, tls });
      await refused(
        "hub.rig.test",
        "other",
        /signed by an authority that the host does not trust/,
        /registry: \{ caFile: … \}/,
      );
      await refused(
        "hob.rig.test",
        "hub",
        /certificate is for another name/,
        /set registry\.host to a name in the certificate/,
      );
      await refused(
        "hub.rig.test",
        "hub",
        /the registry does not have.*registry\.k8s\.io\/pause/,
        /airgap push BUNDLE hub\.rig\.test:5443/,
      );
    }
    await refused("hub.rig.test", "hub", /is unreachable/);
  });
});
