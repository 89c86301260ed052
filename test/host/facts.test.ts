import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { hostname, release, totalmem } from "node:os";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { factsScript, parseFacts } from "../../src/host/facts.ts";
import { expectGolden } from "../support/install/golden.ts";
import { formatJson } from "../support/install/json.ts";
import { runShell, SHELLS } from "../support/install/shells.ts";
import { RAW, READ, systems } from "../support/install/systems.ts";
import { Random } from "../support/random.ts";

const raw = (system: string): string => readFileSync(join(RAW, `${system}.txt`), "utf8");
/** The least that a script says that came to its end. */
const least = (lines: string): string => `kernel|6.1.0\n${lines}\nend|1764000003\n`;
const read = (lines: string) => parseFacts(least(lines), "h", 1_764_000_000);

describe("what facts.sh prints on each system", () => {
  test.each(systems)("%s", (system) => {
    expectGolden(
      `${formatJson(parseFacts(raw(system), system, 1_764_000_000))}\n`,
      join(READ, `${system}.json`),
    );
  });

  it("is there for every system, and for no other", () => {
    expect(readdirSync(RAW).sort()).toEqual(systems.map((system) => `${system}.txt`).sort());
    expect(readdirSync(READ).sort()).toEqual(systems.map((system) => `${system}.json`).sort());
  });
});

describe.each(SHELLS)("facts.sh by %s", (...shell) => {
  it("says what this machine is, and changes nothing", () => {
    const { code, stdout } = runShell(shell, factsScript());
    expect(code).toBe(0);
    const facts = parseFacts(stdout, "here", Date.now() / 1000);
    expect(facts).toMatchObject({
      kernel: release(),
      hostname: hostname(),
      machine: process.arch === "x64" ? "x86_64" : "aarch64",
    });
    expect(Math.abs(facts.time.host - facts.time.ours)).toBeLessThan(30);
    expect(facts.free["/"]?.kib).toBeGreaterThan(0);
    expect(facts.memoryKiB / (totalmem() / 1024)).toBeCloseTo(1, 1);
    expect(facts.cores).toBeGreaterThan(0);
  });

  it.each(["127.0.0.1", "::1"])("finds who listens at %s, without ss too", async (address) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const script = factsScript();
      const without = script.replace("if have ss;", "if false;");
      expect(without).not.toBe(script);
      const { stdout } = runShell(shell, without);
      expect(parseFacts(stdout, "here", 0).listening).toContain(port);
    } finally {
      server.close();
    }
  });
});

describe("facts", () => {
  it.each([
    ['os|ID="openEuler"\nos|VERSION_ID="22.03"', { id: "openeuler", version: "22.03", name: "openeuler" }],
    [
      'os|ID=kylin\nos|VERSION_ID="V10"\nos|PRETTY_NAME="Kylin V10"',
      { id: "kylin", version: "v10", name: "Kylin V10" },
    ],
    [
      "os|ID='rocky'\nos|ID_LIKE='rhel centos fedora'",
      { id: "rocky", version: "", like: ["rhel", "centos", "fedora"] },
    ],
    ["os|nothing=here\nos|", { id: "linux", version: "", like: [] }],
  ])("take os-release as it may be written: %s", (lines, os) => {
    expect(read(lines).os).toMatchObject(os);
  });

  it.each([
    ["cgroup|cgroup2fs", { cgroup: "v2" }],
    ["cgroup|tmpfs", { cgroup: "v1" }],
    ["systemd|systemd 219", { systemd: 219 }],
    ["systemd|systemd 257 (257.8-1~deb13u2)", { systemd: 257 }],
    ["glibc|glibc 2.17", { glibc: "2.17" }],
    ["selinux|Enforcing", { selinux: "Enforcing" }],
    ["active|firewalld.service", { firewall: "firewalld", active: ["firewalld"] }],
    ["active-firewall|ufw", { firewall: "ufw" }],
    ["active|firewalld.service\nactive-firewall|ufw", { firewall: "firewalld" }],
    [
      "kubelet|v1.28.2\ncontainerd|v1.7.27\ncri-dockerd|cri-dockerd 0.3.16 (9a87d6a)",
      { versions: { kubelet: "1.28.2", containerd: "1.7.27" } },
    ],
    [
      "address|eth0@if7 10.0.0.12/24\naddress|broken",
      { addresses: [{ interface: "eth0", cidr: "10.0.0.12/24" }] },
    ],
    [
      "route|default via 10.0.0.1 dev eth0\nroute|blackhole 10.1.0.0/16\nroute|unreachable 10.2.0.0/16 dev lo\nroute|10.0.0.0/24 dev eth0 proto kernel",
      {
        defaultRoute: true,
        routes: [
          { to: "default", interface: "eth0" },
          { to: "10.0.0.0/24", interface: "eth0" },
        ],
      },
    ],
    ["route6|default via fe80::1 dev eth0", { defaultRoute: true, routes: [] }],
    [
      "mac|00:00:00:00:00:00\nmac|02:fc:00:00:00:01\nmac|80:00:00:00:fe:80:00:00:00:00:00:00:00:00:00:01",
      { macs: ["02:fc:00:00:00:01"] },
    ],
    [
      "resolv-conf|nameserver 127.0.0.53\nresolv-conf|# nameserver 8.8.8.8\nresolv-conf-systemd|nameserver 10.0.0.2",
      { nameservers: ["127.0.0.53"], resolvedNameservers: ["10.0.0.2"] },
    ],
    ["capabilities|000001fffdffffff", { setsClock: false }],
    ["capabilities|000001ffffffffff", { setsClock: true }],
    [
      "containerd-config|version = 2\ncontainerd-config|\ncontainerd-config|[a]",
      { containerdConfig: "version = 2\n\n[a]\n" },
    ],
    ["kubelet-server|    server: https://10.0.0.12:6443", { kubeletServer: "https://10.0.0.12:6443" }],
    [
      "free-kib|/ 100 /\nfree-kib|/var/lib 50 /var",
      { free: { "/": { kib: 100, mount: "/" }, "/var/lib": { kib: 50, mount: "/var" } } },
    ],
    ["product-uuid|564D0000-7C3A", { productUuid: "564d0000-7c3a" }],
    ["module|overlay\nmodule|overlay", { modules: ["overlay"] }],
    ["swap|/swap.img   file 10 0 -2", { swap: ["/swap.img"] }],
    [
      "proxy|http_proxy=http://p:3128\nproxy|http_proxy=http://p:3128",
      { proxies: ["http_proxy=http://p:3128"] },
    ],
  ])("%s", (lines, facts) => {
    expect(read(lines)).toMatchObject(facts);
  });

  it("leave out what is not known", () => {
    const facts = read("package-manager|zypper\nselinux|rubbish\nglibc|musl\nsystemd|");
    for (const name of ["packageManager", "selinux", "glibc", "systemd", "firewall", "owner"])
      expect(Object.hasOwn(facts, name)).toBe(false);
  });

  it.each([
    "",
    "\n\n",
    "bash: sh: command not found",
    "kernel|6.1.0\n",
    "end|1\n",
    "<html>502</html>",
    "kernel|\nend|1",
  ])("refuse what did not come to its end: %j", (output) => {
    expect(() => parseFacts(output, "node1", 0)).toThrow(
      expect.objectContaining({ code: "protocol", message: expect.stringContaining("node1: ") }),
    );
  });

  it("may be anything at all without a crash", () => {
    const random = new Random(7);
    const source = [...raw("rocky-9.4"), ...raw("ubuntu-22.04")];
    const names = [
      ...new Set(
        raw("kylin-v10")
          .split("\n")
          .map((line) => line.split("|")[0] ?? ""),
      ),
    ];
    for (let i = 0; i < 300; i++) {
      const rubbish = (): string =>
        Array.from({ length: random.below(40) }, () =>
          random.pick([...source, "\0", "🦜", "|", " ", "="]),
        ).join("");
      const text = Array.from(
        { length: random.below(60) },
        () => `${random.chance(0.7) ? random.pick(names) : rubbish()}|${rubbish()}`,
      ).join("\n");
      const facts = parseFacts(least(text), "h", 0);
      expect(facts.cores).toBeGreaterThanOrEqual(0);
      for (const port of facts.listening) expect(Number.isInteger(port)).toBe(true);
    }
  });
});
