import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cached } from "../cache.ts";
import { runcFit } from "../programs.ts";
import { must } from "../shell.ts";

export const here = (file: string): string => join(import.meta.dirname, file);

/** What every host has before anybody installs anything: an init, SSH, sudo and the usual small tools. */
const PACKAGES = [
  "systemd",
  "systemd-sysv",
  "dbus",
  "openssh-server",
  "sudo",
  "iproute2",
  "iputils-ping",
  "kmod",
  "procps",
  "ca-certificates",
  "openssl",
  "less",
  "login",
  "passwd",
];

/** The machine's own Debian sources; read when needed, since they are nobody else's business. */
export function aptSources(): string {
  const found = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"].find(
    (file) => existsSync(file) && /debian/.test(readFileSync(file, "utf8")),
  );
  if (found === undefined) throw new Error("the rig needs a Debian machine with its package sources in /etc/apt");
  return found;
}

/** Services that end what can't work in a host without hardware, and would only keep it from being up. */
const MASKED = ["systemd-networkd-wait-online.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"];

/** Makes a fresh tree a host of the rig: boot service, kernel's module list, the wrapper that containers start with. */
export async function layRigFiles(root: string): Promise<void> {
  const lib = join(root, "usr/local/lib/rig");
  await mkdir(lib, { recursive: true });
  await cp(here("rig-boot.sh"), join(lib, "boot"));
  await cp(join(await runcFit(), "runc-fit"), join(lib, "runc"));
  await must("chmod", ["0755", join(lib, "boot"), join(lib, "runc")]);
  const units = join(root, "etc/systemd/system");
  await cp(here("rig-boot.service"), join(units, "rig-boot.service"));
  await mkdir(join(units, "sysinit.target.wants"), { recursive: true });
  await symlink("/etc/systemd/system/rig-boot.service", join(units, "sysinit.target.wants/rig-boot.service"));
  for (const unit of MASKED) await symlink("/dev/null", join(units, unit));
  for (const runtime of ["containerd", "docker"]) {
    await mkdir(join(units, `${runtime}.service.d`), { recursive: true });
    const path = "PATH=/usr/local/lib/rig:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    await writeFile(join(units, `${runtime}.service.d/rig.conf`), `[Service]\nEnvironment=${path}\n`);
  }
  await layModules(root);
}

/** Lists as built in what this kernel has, as a distribution's kernel package does, so that modprobe answers as usual. */
async function layModules(root: string): Promise<void> {
  const release = (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim();
  const folder = join(root, "lib/modules", release);
  await mkdir(folder, { recursive: true });
  const builtIn = [
    "fs/overlayfs/overlay",
    "net/bridge/bridge",
    "net/bridge/br_netfilter",
    "net/netfilter/nf_conntrack",
    "drivers/net/vxlan/vxlan",
    "drivers/net/veth",
  ];
  await writeFile(join(folder, "modules.builtin"), builtIn.map((path) => `kernel/${path}.ko\n`).join(""));
  await writeFile(join(folder, "modules.order"), "");
  await must("chroot", [root, "depmod", release]);
}

/** A minimal Debian tree, kept in the cache and copied for each host. */
export function debianTree(): Promise<string> {
  const sources = aptSources();
  const own = ["rig-boot.sh", "rig-boot.service", "debian.ts"].map((file) => readFileSync(here(file), "utf8"));
  return cached("debian", [PACKAGES, readFileSync(sources, "utf8"), own], async (folder) => {
    const root = join(folder, "root");
    const excluded = ["doc", "man", "locale", "info"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
    const args = ["--quiet", "--variant=minbase", `--include=${PACKAGES.join(",")}`, ...excluded, "bookworm", root, sources];
    await must("mmdebstrap", args, { timeoutMs: 900_000 });
    await layRigFiles(root);
    await bare(root);
  });
}

/** Takes away what must differ from host to host, and points apt where nothing answers behind the gap. */
async function bare(root: string): Promise<void> {
  await must("rm", ["-rf", join(root, "etc/apt/sources.list.d"), join(root, "etc/machine-id"), join(root, "etc/resolv.conf"), join(root, "var/lib/apt/lists")]);
  await must("sh", ["-c", 'rm -f "$0"/etc/ssh/ssh_host_*', root]);
  await mkdir(join(root, "etc/apt/sources.list.d"), { recursive: true });
  await mkdir(join(root, "var/lib/apt/lists/partial"), { recursive: true });
  await writeFile(join(root, "etc/apt/sources.list"), "deb http://ftp.debian.org/debian bookworm main\n");
  await mkdir(dirname(join(root, "etc/rig/boot.env")), { recursive: true });
}
