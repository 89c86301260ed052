import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scratch } from "../support/scratch.ts";
import { AIRGAP, Box, changesOn, mark, nobodysPackages, packTool, settingsOf } from "./rig/box.ts";
import type { Host } from "./rig/host.ts";
import { installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually, output } from "./rig/shell.ts";
import { debianWithFirewalls, hostsArePossible, smallBundle } from "./rig/small.ts";
import { elSystem } from "./rig/system/el.ts";

const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const STAGE_NAMES = ["hosts", "trust", "serve", "repository", "packages", "runtime"].flatMap((stage) => [
  "--only",
  stage,
]);
const scratch = new Scratch();

let rig: Rig;
let box: Box;
let bundle = "";
let cluster = "";
let hosts: Host[] = [];
let [register, debian, el]: Host[] = [];

const install = (...more: string[]): string[] => [
  "install",
  cluster,
  "--bundle",
  bundle,
  "--yes",
  ...STAGE_NAMES,
  ...more,
];

/** What of a host's files is airgap's own doing, by host and path, with its digest. */
async function ownFiles(host: Host): Promise<[string, string][]> {
  const places =
    "/etc/airgap /etc/containerd /etc/crictl.yaml /etc/hosts /etc/hostname /etc/fstab /etc/sysctl.d /etc/sysctl.conf /etc/modules-load.d/airgap.conf";
  const more =
    "/etc/yum.repos.d /etc/dnf/dnf.conf /usr/local/share/ca-certificates /etc/pki/ca-trust/source/anchors /etc/systemd/system/airgap*";
  const text = await host.sh(
    `find ${places} ${more} -type f ! -name '*.airgap' ! -name '*.rpmnew' -exec sha256sum {} + 2>/dev/null || :`,
  );
  return text.split("\n").map((line) => [`${host.name} ${line.slice(66)}`, line.slice(0, 64)]);
}

/** Hosts as they come: with settings of their own that have to be lived with, and given back. */
const OWN: Record<string, string> = {
  d1: `
    printf '192.0.2.7 printer # ours\n' >>/etc/hosts
    printf 'nameserver 127.0.0.53\n' >/etc/resolv.conf
    printf '/no/such/swapfile none swap sw 0 0\n' >>/etc/fstab
    printf 'net.ipv4.ip_forward = 0\n' >>/etc/sysctl.conf
    mkdir -p /etc/docker && printf '{"log-driver":"journald"}' >/etc/docker/daemon.json
    ufw disable >/dev/null; firewall-cmd -q --add-port=6443/tcp; firewall-cmd -q --permanent --add-port=6443/tcp`,
  e1: `
    mkdir -p /etc/containerd && printf 'version = 2\n[debug]\nlevel = "debug"\n' >/etc/containerd/config.toml && chmod 600 /etc/containerd/config.toml
    printf 'exclude=kernel*\n' >>/etc/dnf/dnf.conf`,
  register: `
    systemctl disable --now firewalld; nft flush ruleset
    ufw allow 22/tcp; ufw allow 8080/tcp; yes | ufw enable`,
};

describe.runIf(hostsArePossible)("bare hosts, up to a running container runtime", () => {
  const before: Record<string, string[]> = {};
  const after: Record<string, string[]> = {};
  /** What the same files have been while nothing was installed: at first, and with packages. */
  const own = new Set<string>();

  async function keepOwn(): Promise<void> {
    for (const line of (await Promise.all(hosts.map(ownFiles))).flat()) own.add(line.join(" "));
  }

  beforeAll(async () => {
    await installPrograms();
    await packTool();
    bundle = await smallBundle(scratch.path("connected"), AIRGAP);
    rig = await Rig.create("10.78.0");
    const firewalls = await debianWithFirewalls();
    hosts = await Promise.all([
      rig.host({ name: "register", password: PASSWORD, tree: firewalls }),
      rig.host({ name: "d1", password: PASSWORD, tree: firewalls }),
      rig.host({ name: "e1", password: PASSWORD, tree: (await elSystem()).root }),
    ]);
    [register, debian, el] = hosts;
    await Promise.all(hosts.map((host) => host.sh(OWN[host.name] ?? "")));
    box = new Box(
      rig,
      scratch.path("site"),
      [
        [debian as Host, "control-plane"],
        [el as Host, "worker"],
        [register as Host, "registry"],
      ],
      { AIRGAP_SSH_PASSWORD: PASSWORD },
    );
    cluster = await box.cluster();
    for (const host of hosts) before[host.name] = await settingsOf(host);
    await keepOwn();
    await mark(hosts);
  });

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]();
  });

  it("a dry run changes nothing", async () => {
    await mark(hosts);
    await box.expect(
      0,
      [...install(), "--dry-run"],
      [/d1: hosts-file: /, /e1: sysctl-file: .*\+ net.ipv4.ip_forward = 1/, /of \d+ steps would change/],
    );
    expect(await changesOn(hosts)).toEqual([]);
  });

  it("are made so", async () => {
    await box.expect(0, install(), [/steps were applied/]);
    for (const host of [debian, el]) {
      expect(await host?.sh("ctr -n k8s.io images ls -q")).toContain("registry.k8s.io/pause");
      expect(await host?.sh("ctr plugins ls | grep cri")).toMatch(/ok/);
    }
    expect(await debian?.sh("cat /etc/hosts")).toContain("192.0.2.7 printer # ours");
    expect(await debian?.sh("cat /etc/docker/daemon.json")).toBe('{"log-driver":"journald"}');
    expect(await debian?.sh("swapon --show; grep -c '^# airgap: /no/such/swapfile' /etc/fstab")).toBe("1");
    expect(await debian?.sh("firewall-cmd --list-ports")).toMatch(/10250\/tcp.*/);
    expect(await el?.sh("cat /etc/containerd/config.toml")).toMatch(/level = "debug"/);
    expect(await el?.sh("cat /etc/dnf/dnf.conf")).toMatch(/exclude=kernel\* .*kubelet/);
    expect(await register?.sh("ufw show added")).toMatch(/ufw allow 8080\/tcp[\s\S]*ufw allow 443\/tcp/);
  });

  it("again: nothing to do, and nothing is touched", async () => {
    await mark(hosts);
    const services = (): Promise<string[]> =>
      Promise.all(
        hosts.map((host) => host.sh("systemctl show -p Id,MainPID containerd airgap-serve kubelet")),
      );
    const running = await services();
    await box.expect(0, [...install(), "--dry-run"], [/Nothing to do/]);
    await box.expect(0, install(), [/nothing to do/]);
    expect(await changesOn(hosts)).toEqual([]);
    expect(await services()).toEqual(running);
  });

  /** Whom the server runs as, what it may do, and who else reads what it reads. */
  async function serverIsConfined(): Promise<void> {
    const server = register as Host;
    const sh = (script: string): Promise<string> => server.sh(script);
    const pid = await sh("systemctl show -p MainPID --value airgap-serve");
    expect(await sh(`ps -o user:20= -p ${pid}`)).toBe("airgap-serve");
    // CAP_NET_BIND_SERVICE, for port 443.
    expect(await sh(`grep -E '^Cap(Eff|Bnd)' /proc/${pid}/status | cut -f2 | uniq`)).toBe("0000000000000400");
    const exposure = await sh("systemd-analyze security --no-pager airgap-serve | tail -n 1");
    expect(Number(/: ([\d.]+) /.exec(exposure)?.[1]), exposure).toBeLessThan(3);
    expect(await sh("stat -c '%U %G %a' /var/lib/airgap/bundles /var/lib/airgap/bundles/* | sort -u")).toBe(
      "root airgap-serve 640\nroot airgap-serve 750",
    );
    expect(await sh("stat -c '%U %G %a' /etc/airgap/serve /etc/airgap/serve/* | sort -u")).toBe(
      "root airgap-serve 640\nroot airgap-serve 750",
    );
    // Not su: it opens a session of the user, which lasts a while and keeps the user from being deleted.
    for (const user of ["nobody", "airgap-serve"])
      expect(
        await sh(
          `for file in /var/lib/airgap/bundles/* /etc/airgap/serve/tls.key; do setpriv --reuid=${user} --regid=$(id -g ${user}) --clear-groups sh -c "head -c 1 $file >/dev/null 2>&1 && echo reads; echo >>$file && echo writes" 2>/dev/null || :; done`,
        ),
      ).toBe(user === "nobody" ? "" : "reads\nreads");
    const health = await box.run(["curl", "-s", "-k", `https://${server.address}/healthz`]);
    expect(health.stdout).toMatch(/"status":\s*"ok"/);
  }

  it("are served by a user who can do nothing else", () => serverIsConfined());

  it("are served by that user from then on where an earlier version's server ran as root", async () => {
    await register?.sh(`set -ex
      systemctl stop airgap-serve
      sed -i -E '/^(User|Group|UMask|AmbientCapabilities|CapabilityBoundingSet|System|Restrict|Protect|Private)/d' /etc/systemd/system/airgap-serve.service
      systemctl daemon-reload; systemctl start airgap-serve
      userdel airgap-serve; groupdel airgap-serve 2>/dev/null || :
      rm -f /var/lib/airgap/airgap-serve-user /var/lib/airgap/undo/*-serve+user
      chown -R root:root /var/lib/airgap/bundles /etc/airgap/serve
      chmod 755 /var/lib/airgap/bundles /etc/airgap/serve; chmod 644 /var/lib/airgap/bundles/*; chmod 600 /etc/airgap/serve/tls.key`);
    expect(await register?.sh("ps -o user= -p $(systemctl show -p MainPID --value airgap-serve)")).toBe(
      "root",
    );
    await box.expect(0, install(), [/steps were applied/]);
    await serverIsConfined();
    await box.expect(0, [...install(), "--dry-run"], [/Nothing to do/]);
  });

  async function reset(): Promise<void> {
    await box.expect(0, ["reset", cluster, "--yes"], [/d1: \d+ steps? undone/]);
    expect(await register?.sh("getent passwd airgap-serve; getent group airgap-serve || :")).toBe("");
    await Promise.all(
      hosts.map(async (host) => {
        after[host.name] = await settingsOf(host);
      }),
    );
    await keepOwn();
  }

  it("are given back as they were, packages kept", async () => {
    await reset();
    const differences = hosts.map(async (host) => {
      const [then = [], now = []] = [before[host.name], after[host.name]];
      const gained = await nobodysPackages(
        host,
        now.filter((line) => !then.includes(line)),
      );
      return [
        ...then.filter((line) => !now.includes(line)).map((line) => `${host.name} - ${line}`),
        ...gained.map((line) => `${host.name} + ${line}`),
      ];
    });
    expect((await Promise.all(differences)).flat()).toEqual([]);
  });

  it("are made so and given back once more, to the same end", async () => {
    const first = structuredClone(after);
    await box.expect(0, install(), [/steps were applied/]);
    await reset();
    expect(after).toEqual(first);
  });

  it("killed at 20 moments and run again: converges, and no file is half written", {
    timeout: 1_200_000,
  }, async () => {
    await mark(hosts);
    const seen = new Set<string>();
    let interrupted = 0;
    for (let i = 0; i < 20; i++) {
      const { child, printed, ended } = box.start(install());
      // Some at the very beginning, most while hosts are worked on.
      const working = (): boolean => /^(?:hosts|trust|serve|repository|packages|runtime)$/m.test(printed());
      let over = false;
      void ended.then(() => {
        over = true;
      });
      if (i % 5 > 0) await eventually("work to begin", 60, () => working() || over || undefined);
      await sleep(Math.random() * (i % 5 > 0 ? 2500 : 1500));
      child.kill("SIGKILL");
      // One that was quicker than its end begins anew.
      if ((await ended) === 0) await reset();
      else interrupted++;
      checkHome();
      for (const line of (await Promise.all(hosts.map(ownFiles))).flat()) seen.add(line.join(" "));
    }
    expect(interrupted).toBeGreaterThan(10);
    await box.expect(0, install());
    const final = new Set((await Promise.all(hosts.map(ownFiles))).flat().map((line) => line.join(" ")));
    const half = [...seen].filter((line) => !final.has(line) && !own.has(line));
    expect(half).toEqual([]);
    for (const host of hosts)
      expect(
        await host.sh(
          "find / /var -xdev \\( -name '*.airgap' -o -name '*.part' -o -name '*.new' \\) -newer /run/mark; ls -d /run/airgap.lock 2>/dev/null || :",
        ),
      ).toBe("");
    await box.expect(0, [...install(), "--dry-run"], [/Nothing to do/]);
    const connections = async (): Promise<boolean> =>
      (await output("ps", ["-eo", "args"])).includes(join(scratch.dir, "site/.airgap"));
    await eventually(
      "connections of killed runs to end",
      30,
      async () => !(await connections()) || undefined,
    );
  });

  /** The state beside the cluster file can be read at any time. */
  function checkHome(): void {
    const home = scratch.path("site/.airgap/bare");
    expect(() => JSON.parse(readFileSync(join(home, "secrets.json"), "utf8"))).not.toThrow();
    const journal = new DatabaseSync(join(home, "journal.sqlite"), { readOnly: true });
    try {
      expect(journal.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    } finally {
      journal.close();
    }
  }

  it("a reset that is killed is finished by the next one", async () => {
    const bare = structuredClone(after);
    const { child, printed, ended } = box.start(["reset", cluster, "--yes"]);
    await eventually("work to begin", 60, () => /undone/.test(printed()) || undefined);
    child.kill("SIGKILL");
    await ended;
    await reset();
    expect(after).toEqual(bare);
  });

  it("interrupted by Ctrl-C: says how to go on, and goes on", async () => {
    const { child, printed, ended } = box.start(install());
    await eventually("work to begin", 60, () => /^trust$/m.test(printed()) || undefined);
    child.kill("SIGINT");
    expect(await ended).toBe(4);
    expect(printed()).toMatch(/Stopped by SIGINT; nothing is lost[\s\S]*run the same command again/);
    await box.expect(0, install(), [/steps were applied/]);
  });
});
