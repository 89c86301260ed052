import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it, test } from "vitest";
import { libraryIn, type Ran, runShell, SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

const FSTAB =
  "# file systems\n/dev/sda1 / ext4 defaults 0 1\n/dev/sda5\tnone\tswap sw 0 0\nUUID=1 swap swap defaults 0 0\n";

describe.each(SHELLS)("functions that prepare a host, by %s", (...shell) => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = new Scratch();
    mkdirSync(scratch.path("kept"));
    mkdirSync(scratch.path("bin"));
    return () => scratch[Symbol.dispose]();
  });

  /** A program that a function calls; by this name it is found before the machine's own. */
  const program = (name: string, body: string): void =>
    writeFileSync(scratch.path(`bin/${name}`), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  /** Keeps what it is called with. */
  const recorded = (name: string): void => program(name, `echo "${name} $*" >>'${scratch.path("calls")}'`);
  const calls = (): string[] =>
    existsSync(scratch.path("calls"))
      ? readFileSync(scratch.path("calls"), "utf8").trimEnd().split("\n")
      : [];
  /** Functions with every file of /etc and /proc put below a folder. */
  const sh = (script: string): Ran => {
    const library = libraryIn(scratch.dir).replaceAll(
      /(?<=[\s<>=])\/(?=(?:etc|proc|sys)\/)/g,
      `${scratch.dir}/`,
    );
    return runShell(shell, `${library}PATH='${scratch.path("bin")}':$PATH\nset -e\n${script}\n`);
  };
  const good = (script: string): string => {
    const { code, output } = sh(script);
    expect(code, output).toBe(0);
    return output;
  };
  const refused = (script: string): string => {
    const { code, output } = sh(script);
    expect(code, output).toBe(1);
    return output;
  };
  const file = (path: string, text: string): void => {
    mkdirSync(scratch.path(path.slice(0, path.lastIndexOf("/"))), { recursive: true });
    writeFileSync(scratch.path(path), text);
  };
  const read = (path: string): string => readFileSync(scratch.path(path), "utf8");

  describe("kernel.sh", () => {
    beforeEach(() => {
      file(
        "etc/sysctl.conf",
        "# mine\nnet.ipv4.ip_forward=0\n net/ipv4/ip_forward = 0\nnet.ipv4.ip_forwarding = 0\nvm.swappiness = 60\n",
      );
      file("proc/sys/net/ipv4/ip_forward", "0\n");
      file("proc/sys/vm/swappiness", "60\n");
    });
    const settings = "net.ipv4.ip_forward=1 'vm.swappiness=0 fs.may_detach_mounts=1'";

    it("sets what the kernel has, and takes it back", () => {
      expect(refused(`sysctls_are_set ${settings}`)).toBe("net.ipv4.ip_forward is not 1\n");
      good(`set_sysctls ${settings}\nsysctls_are_set ${settings}`);
      expect(read("proc/sys/net/ipv4/ip_forward")).toBe("1\n");
      expect(read("proc/sys/vm/swappiness")).toBe("0\n");
      expect(existsSync(scratch.path("proc/sys/fs"))).toBe(false);
      expect(read("etc/sysctl.conf")).toBe(
        "# mine\n# airgap: net.ipv4.ip_forward=0\n# airgap:  net/ipv4/ip_forward = 0\nnet.ipv4.ip_forwarding = 0\n# airgap: vm.swappiness = 60\n",
      );
      // The first value counts, not one of a second run.
      file("proc/sys/net/ipv4/ip_forward", "7\n");
      good(`set_sysctls ${settings}\nrestore_sysctls\nrestore_sysctls`);
      expect(read("proc/sys/net/ipv4/ip_forward")).toBe("0\n");
      expect(read("proc/sys/vm/swappiness")).toBe("60\n");
      expect(read("etc/sysctl.conf")).toMatch(/^# mine\nnet.ipv4.ip_forward=0\n/);
    });

    it("sees what /etc/sysctl.conf would override, and nothing else", () => {
      file("proc/sys/net/ipv4/ip_forward", "1\n");
      expect(refused("sysctls_are_set net.ipv4.ip_forward=1 ''")).toBe(
        "/etc/sysctl.conf overrides some of them\n",
      );
      file(
        "etc/sysctl.conf",
        "net.ipv4.ip_forwarding = 0\nnetXipv4.ip_forward = 0\n# net.ipv4.ip_forward = 0\n",
      );
      good("sysctls_are_set net.ipv4.ip_forward=1 ''");
    });

    it("knows a module that is loaded, and one that is built in", () => {
      mkdirSync(scratch.path("sys/module/nf_conntrack"), { recursive: true });
      file("proc/filesystems", "nodev\tproc\nnodev\toverlay\n");
      good("modules_are_loaded overlay nf_conntrack");
      expect(refused("modules_are_loaded overlay br_netfilter")).toBe(
        "the kernel module br_netfilter is not loaded\n",
      );
      file("proc/filesystems", "nodev\toverlayish\n");
      expect(refused("modules_are_loaded overlay")).toContain("overlay");
    });
  });

  describe("swap.sh", () => {
    it("switches swap off for good, and restores it", () => {
      file("proc/swaps", "Filename Type\n/dev/sda5 partition\n");
      file("etc/fstab", FSTAB);
      file("etc/initramfs-tools/conf.d/resume", "RESUME=UUID=1\n");
      program("swapoff", `echo Filename >'${scratch.path("proc/swaps")}'`);
      recorded("swapon");
      program(
        "systemctl",
        `[ "$1" != is-enabled ] || cat '${scratch.path("mask")}'\n[ "$1" != mask ] || echo masked >'${scratch.path("mask")}'`,
      );
      expect(refused("swap_is_off")).toBe("swap is on: /dev/sda5 partition\n");
      good("switch_swap_off\nswap_is_off\nswitch_swap_off");
      expect(read("etc/fstab")).toBe(
        FSTAB.replace("/dev/sda5", "# airgap: /dev/sda5").replace("UUID", "# airgap: UUID"),
      );
      expect(read("etc/initramfs-tools/conf.d/resume")).toBe("RESUME=none\n");
      good("restore_swap\nrestore_swap");
      expect([read("etc/fstab"), read("etc/initramfs-tools/conf.d/resume")]).toEqual([
        FSTAB,
        "RESUME=UUID=1\n",
      ]);
      expect(calls()).toEqual(["swapon -a"]);
    });
  });

  describe("time.sh", () => {
    it("leaves chrony with our sources alone", () => {
      file("etc/chrony.conf", "pool a.ntp.org iburst\nserver b\nsourcedir /run/x\ndriftfile /d\n");
      const conf = `'${scratch.path("etc/chrony.conf")}'`;
      const configure = `configure_chrony ${conf} <<'AIRGAP'\nserver 10.0.0.1 iburst\nAIRGAP\n`;
      expect(refused(`chrony_reads ${conf} 'server 10.0.0.1 iburst'`)).toContain(
        "names other sources of time",
      );
      good(`${configure}${configure}chrony_reads ${conf} 'server 10.0.0.1 iburst'`);
      expect(read("etc/chrony.conf")).toBe(
        "# airgap: pool a.ntp.org iburst\n# airgap: server b\n# airgap: sourcedir /run/x\ndriftfile /d\n# BEGIN airgap\nserver 10.0.0.1 iburst\n# END airgap\n",
      );
      expect(refused(`chrony_reads ${conf} 'server 10.0.0.2 iburst'`)).toContain(
        "server 10.0.0.2 iburst is not in",
      );
    });
  });

  describe("trust.sh", () => {
    it("asks nothing of a host without the tool", () => {
      good("trust_store_has no-such-tool /nowhere LINE\nupdate_trust_store no-such-tool");
    });

    it("finds a certificate by a line of it, and rebuilds the store without it", () => {
      recorded("update-it");
      file("etc/bundle", "one\n-LINE\n");
      const bundle = `'${scratch.path("etc/bundle")}'`;
      good(`trust_store_has update-it ${bundle} -LINE`);
      expect(refused(`trust_store_has update-it ${bundle} OTHER`)).toContain("does not have the certificate");
      file("etc/ca.crt", "x");
      good(`remove_from_trust_store '${scratch.path("etc/ca.crt")}' update-it --fresh`);
      expect(existsSync(scratch.path("etc/ca.crt"))).toBe(false);
      expect(calls()).toEqual(["update-it --fresh"]);
    });
  });

  describe("apt.sh", () => {
    beforeEach(() => {
      program(
        "dpkg-query",
        `printf '%s\\n' 'socat install ok installed 1.7' 'kubelet hold ok installed 1.27' 'gone deinstall ok config-files 1'`,
      );
    });
    test.each([
      ["''", "socat=9", 0, ""],
      ["socat=1.7", "''", 0, ""],
      ["kubelet=1.28", "''", 1, "kubelet=1.28 is not installed\n"],
      ["''", "'socat=1 gone=1'", 1, "gone is not installed\n"],
      ["''", "soca=1", 1, "soca is not installed\n"],
    ])("apt_has %s %s gives %i", (pinned, others, code, said) => {
      expect(sh(`apt_has ${pinned} ${others}`)).toMatchObject({ code, output: said });
    });

    it("asks apt for what is not there, and for every pinned package", () => {
      program("dpkg", ":");
      program(
        "apt-get",
        `case "$*" in *' -s '*) echo 'Inst kubelet [1.27] (1.28 site)'; echo 'Inst runc (1.1 site)' ;; *) echo "$*" >>'${scratch.path("calls")}' ;; esac`,
      );
      good("apt_install /apt.conf '' 'kubelet=1.28' 'socat=1.7 runc=1.1'");
      expect(calls()).toEqual([
        "-c /apt.conf -y update",
        "-c /apt.conf -y install --allow-change-held-packages kubelet=1.28 runc=1.1",
      ]);
      expect(read("kept/installed-packages")).toBe("runc\n");
    });

    it("waits for nobody but the holder of dpkg's lock", () => {
      program("dpkg", "echo 'dpkg: error: cannot access archive'; exit 2");
      expect(refused("apt_install /apt.conf '' '' 'socat=1.7'")).toBe("dpkg: error: cannot access archive\n");
    });
  });

  describe("dnf.sh", () => {
    beforeEach(() => {
      program(
        "rpm",
        `case "$*" in '-q --quiet socat' | '-q --quiet kubelet-1.28-1.x86_64' | '-q --quiet --whatprovides perl(Foo)') ;; -qa*) echo socat ;; *) exit 1 ;; esac`,
      );
    });
    test.each([
      ["kubelet-1.28-1.x86_64", "socat-1.7-1.x86_64", 0, ""],
      ["kubelet-1.29-1.x86_64", "", 1, "kubelet-1.29-1.x86_64 is not installed\n"],
      ["''", "conntrack-tools-1-2.x86_64", 1, "conntrack-tools is not installed\n"],
      ["''", "'perl-Foo-1-2.noarch perl(Foo)'", 0, ""],
      ["''", "'perl-Bar-1-2.noarch perl(Bar) >= 2'", 1, "perl(Bar) >= 2 is not installed\n"],
    ])("rpm_has %s %s gives %i", (pinned, others, code, said) => {
      expect(sh(`rpm_has ${pinned} ${others}`)).toMatchObject({ code, output: said });
    });

    it.each([
      [
        "dnf",
        "4.14.0",
        "--setopt=install_weak_deps=False --setopt=optional_metadata_types= --disableexcludes=all",
      ],
      [
        "dnf",
        "dnf5 version 5.2",
        "--setopt=install_weak_deps=False --setopt=optional_metadata_types= --setopt=disable_excludes=*",
      ],
      ["yum", "3.4.3", "--disableexcludes=all"],
    ])("%s %s is told the site's repositories alone", (manager, version, options) => {
      program(
        manager,
        `case "$*" in --version) echo '${version}' ;; *--assumeno*) exit 1 ;; *) echo "$*" >>'${scratch.path("calls")}' ;; esac`,
      );
      good(
        `dnf_install ${manager} 'airgap-a airgap-b' '' kubelet-1.28-1.x86_64 socat-1.7-1.x86_64 'perl-Bar-1-2.noarch perl(Bar)'`,
      );
      expect(
        calls().map((call) => call.replace("--enablerepo=airgap-b --enablerepo=airgap-a", "REPOSITORIES")),
      ).toEqual([
        `--disablerepo=* REPOSITORIES ${options} clean metadata`,
        `--disablerepo=* REPOSITORIES ${options} -y install kubelet-1.28-1.x86_64 perl-Bar-1-2.noarch`,
      ]);
    });

    it.each([
      ["[main]\ngpgcheck=1\n", "[main]\nexclude=kubelet runc\ngpgcheck=1\n"],
      ["[main]\nexclude=kernel*\n", "[main]\nexclude=kernel* kubelet runc\n"],
      ["[main]\nexcludepkgs = kernel*, php\n", "[main]\nexcludepkgs = kernel*, php kubelet runc\n"],
      ["", "[main]\nexclude=kubelet runc\n"],
    ])("keeps packages from updates in %j", (before, after) => {
      file("etc/dnf.conf", before);
      const conf = `'${scratch.path("etc/dnf.conf")}'`;
      expect(refused(`dnf_excludes ${conf} kubelet runc`)).toContain("kubelet is not held");
      good(`dnf_exclude ${conf} kubelet runc\ndnf_excludes ${conf} kubelet runc`);
      expect(read("etc/dnf.conf")).toBe(after);
      good(`give_back ${conf}`);
      expect(read("etc/dnf.conf")).toBe(before);
    });
  });

  describe("packages.sh", () => {
    it("disables what came with the cluster, and leaves what was there", () => {
      recorded("systemctl");
      good("disable_if_ours 'docker-ce docker.io' docker.socket docker");
      expect(calls()).toEqual([]);
      file("kept/installed-packages", "runc\ndocker.io\n");
      good("disable_if_ours 'docker-ce docker.io' docker.socket docker\ndisable_if_ours docker docker");
      expect(calls()).toEqual(["systemctl disable --now docker.socket docker"]);
    });
  });

  describe("identity.sh", () => {
    it("knows whose a host is", () => {
      good(
        "! belongs_to site || exit 1\nclaim site\nbelongs_to site\n! belongs_to sit || exit 1\nrelease\n! belongs_to site || exit 1",
      );
    });
    it("renames a host, and back", () => {
      file("etc/hostname", "bare\n");
      recorded("hostname");
      program("hostnamectl", "exit 1");
      good("set_hostname node1\nrestore_hostname");
      expect(read("etc/hostname")).toBe("bare\n");
      expect(calls()).toEqual(["hostname node1", "hostname bare"]);
    });
  });
});
