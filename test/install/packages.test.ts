import { describe, expect, it, test } from "vitest";
import { planInstall } from "../../src/install/plan.ts";
import { libraryIn, runShell, SHELLS } from "../support/install/shells.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";
import type { System } from "../support/install/systems.ts";
import { Scratch } from "../support/scratch.ts";

/** How a host's install step is applied. */
function applyOn(os: System, more: Wishes = {}): string {
  const plan = planInstall(siteOf({ os, ...more }));
  const wave = plan.stages.find(({ name }) => name === "packages")?.waves[0];
  const step = wave?.find(({ host }) => host === "node1")?.steps.find(({ id }) => id === "install");
  if (step === undefined) throw new Error("nothing is installed");
  return step.apply;
}

/** Runs it with a package manager that says beforehand what it would do. */
function transaction(os: System, table: string, more: Wishes = {}): { code: number | null; output: string } {
  using scratch = new Scratch();
  const script = `${libraryIn(scratch.dir)}
manager() {
  case "$*" in
  *--version*) echo 4.14.0 ;;
  *--assumeno* | *' -s install'*) cat <<'TABLE'
${table}
TABLE
  ;;
  *' install '*) echo "INSTALLED $*" ;;
  esac
}
dnf() { manager dnf "$@"; }
yum() { manager yum "$@"; }
apt-get() { manager apt-get "$@"; }
rpm() { case "$*" in -qa*) ;; *) return 1 ;; esac; }
dpkg() { :; }
dpkg-query() { return 1; }
mkdir -p "$airgap_home"
set -eu
${applyOn(os, more)}`;
  // dash has no functions with a dash in their names.
  const bash = SHELLS.find(([name]) => name === "bash");
  if (bash === undefined) throw new Error("bash is not here");
  return runShell(["bash", "bash"], script);
}

const DNF_INSTALL = `Dependencies resolved.
================================================================================
 Package          Arch     Version               Repository                Size
================================================================================
Installing:
 containerd.io    x86_64   1.7.27-3.1.el9        airgap-el9-all            44 M
 kubelet          x86_64   1.28.2-150500.1.1     airgap-el9-all            20 M
Installing dependencies:
 container-selinux
                  noarch   3:2.229.0-1.el9       airgap-el9-all            55 k
`;
const END =
  "\nTransaction Summary\n================================================================================\nInstall  4 Packages\n\nOperation aborted.";

describe.each(["rocky-9.4", "centos-7.9"] as const)("a transaction on %s", (os) => {
  const manager = os === "centos-7.9" ? "yum" : "dnf";

  it("that only installs is made", () => {
    const { code, output } = transaction(os, DNF_INSTALL + END);
    expect(output).toContain(`INSTALLED ${manager} --disablerepo=*`);
    expect(output).toContain("kubelet-1.28.2-150500.1.1.x86_64");
    expect(code).toBe(0);
  });

  it.each([
    [
      "Removing:\n podman           x86_64   5.2.2-1.el9           @appstream                16 M\n",
      "would remove or downgrade podman",
    ],
    [
      "Removing dependent packages:\n buildah          x86_64   1.37.2-1.el9          @appstream                30 M\n",
      "would remove or downgrade buildah",
    ],
    [
      "Removing for dependencies:\n buildah          x86_64   1.37.2-1.el7          @extras                   30 M\n",
      "would remove or downgrade buildah",
    ],
    [
      "Downgrading:\n glibc            x86_64   2.17-1.el7            airgap-el9-all            4 M\n",
      "would remove or downgrade glibc",
    ],
    [
      "Installing:\n containerd.io    x86_64   1.7.27-3.1.el9        airgap-el9-all            44 M\n     replacing  runc.x86_64 4:1.1.12-3.el9\n",
      "would remove or downgrade runc.x86_64",
    ],
  ])("that would also do this is refused: %j", (section, message) => {
    const { code, output } = transaction(os, DNF_INSTALL + section + END);
    expect(output).toContain(`package-removal: ${manager} ${message}`);
    expect(output).not.toContain("INSTALLED");
    expect(code).toBe(1);
    expect(transaction(os, DNF_INSTALL + section + END, { ignored: ["package-removal"] }).output).toContain(
      "INSTALLED",
    );
  });

  test.each([
    "glibc",
    "glibc-common",
    "systemd-libs",
    "openssl-libs",
    "kernel-core",
    "selinux-policy-targeted",
    "rpm",
    "dnf-plugins-core",
    "sudo",
  ])("that would upgrade %s is refused", (name) => {
    const table = `${DNF_INSTALL}Upgrading:\n socat            x86_64   1.7.4-6               airgap-el9-all            1 M\n ${name.padEnd(16)} x86_64   2.34-100              airgap-el9-all            4 M\n${END}`;
    expect(transaction(os, table).output).toContain(
      `base-packages: ${manager} would replace packages that the system depends on: ${name}\n`,
    );
    expect(transaction(os, table, { ignored: ["base-packages"] }).output).toContain("INSTALLED");
  });

  it("that upgrades what nothing stands on is made", () => {
    expect(
      transaction(
        os,
        `${DNF_INSTALL}Upgrading:\n libseccomp       x86_64   2.5.2-2               airgap-el9-all            1 M\n${END}`,
      ).code,
    ).toBe(0);
  });
});

describe("a transaction on Debian", () => {
  const plain =
    "Inst containerd (1.6.20~ds1-1+deb12u1 site [amd64])\nConf containerd (1.6.20~ds1-1+deb12u1 site [amd64])";
  const apt = (more: string, wishes?: Wishes) =>
    transaction("debian-12", `NOTE: This is only a simulation!\n${plain}\n${more}`, wishes);

  it("that only installs is made, upgrades of what nothing stands on too", () => {
    expect(apt("").output).toContain("INSTALLED apt-get -c /etc/airgap/packages/apt.conf -y install");
    expect(apt("Inst libseccomp2 [2.5.4-1] (2.5.5-1 site [amd64])").code).toBe(0);
  });

  it.each([
    ["Remv podman [4.3.1+ds1-8]", "package-removal: apt would remove podman"],
    [
      "Inst libc6 [2.36-9] (2.41-1 site [amd64])",
      "base-packages: apt would replace packages that the system depends on: libc6",
    ],
    ["Inst libssl3 [3.0.11-1] (3.0.15-1 site [amd64])", "the system depends on: libssl3"],
    ["Inst systemd [252.1] (252.2 site [amd64])", "the system depends on: systemd"],
  ])("is refused for %s", (line, message) => {
    const { code, output } = apt(line);
    expect([code, output]).toEqual([1, expect.stringContaining(message)]);
    expect(output).not.toContain("INSTALLED");
    expect(apt(line, { ignored: ["package-removal", "base-packages"] }).output).toContain("INSTALLED");
  });
});
