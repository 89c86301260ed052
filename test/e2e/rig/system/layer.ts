import { readFileSync } from "node:fs";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runcFit } from "../programs.ts";
import { must } from "../shell.ts";

const here = (file: string): string => join(import.meta.dirname, file);

/** What a tree depends on besides its packages: changes here make new trees. */
export const layerRecipe = (): string[] =>
  ["rig-boot.sh", "rig-boot.service", "layer.ts", "mmdebstrap.ts"].map((file) =>
    readFileSync(here(file), "utf8"),
  );

/** Services that end what can't work in a host without hardware, and would only keep it from being up. */
const MASKED = [
  "systemd-networkd-wait-online.service",
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
];

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
  // Debian's unit starts only where the clock may be set; hosts of the rig share the machine's, and leave it alone.
  await mkdir(join(units, "chrony.service.d"), { recursive: true });
  await writeFile(
    join(units, "chrony.service.d/rig.conf"),
    "[Unit]\nConditionCapability=\n[Service]\nExecStart=\nExecStart=/usr/sbin/chronyd -F 1 -x\n",
  );
  // A container that ignores being asked to end must not hold up a reboot for minutes.
  await mkdir(join(root, "etc/systemd/system.conf.d"), { recursive: true });
  await writeFile(join(root, "etc/systemd/system.conf.d/rig.conf"), "[Manager]\nDefaultTimeoutStopSec=8s\n");
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
    "net/netfilter/nf_tables",
    "drivers/net/vxlan/vxlan",
    "drivers/net/veth",
  ];
  await writeFile(join(folder, "modules.builtin"), builtIn.map((path) => `kernel/${path}.ko\n`).join(""));
  await writeFile(join(folder, "modules.order"), "");
  await must("chroot", [root, "depmod", release]);
}

/** Takes away what must differ from host to host. */
export async function removeIdentity(root: string): Promise<void> {
  await must("sh", [
    "-c",
    'rm -f "$0"/etc/ssh/ssh_host_* "$0"/etc/machine-id "$0"/var/lib/dbus/machine-id "$0"/etc/resolv.conf "$0"/etc/hostname',
    root,
  ]);
}
