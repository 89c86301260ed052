import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must, output } from "../shell.ts";
import { elName, rpmVersion } from "../system/el.ts";
import type { Package } from "./content.ts";

/** Changes that make one package what it is on the other family of systems. */
const CHANGES: Record<string, (tree: string) => Promise<Partial<Package>>> = {
  // Docker's RPM brings a configuration that has CRI switched off.
  "containerd.io": async (tree) => {
    await mkdir(join(tree, "etc/containerd"), { recursive: true });
    await writeFile(join(tree, "etc/containerd/config.toml"), 'disabled_plugins = ["cri"]\n');
    return { config: ["/etc/containerd/config.toml"] };
  },
  "iptables-nft": async (tree) => {
    const names = ["iptables", "ip6tables", "ebtables", "arptables"].flatMap((name) => [
      name,
      `${name}-save`,
      `${name}-restore`,
    ]);
    for (const name of names) await must("ln", ["-sf", "xtables-nft-multi", join(tree, "usr/sbin", name)]);
    return { provides: ["iptables = 1.8.9", "ebtables = 1.8.9"] };
  },
  // Its program looks for the configuration where Debian has it, and hosts of the rig can't set the clock.
  chrony: async (tree) => {
    await must("rm", ["-rf", join(tree, "etc"), join(tree, "usr/lib/systemd")]);
    await mkdir(join(tree, "usr/lib/systemd/system"), { recursive: true });
    await mkdir(join(tree, "etc"), { recursive: true });
    await writeFile(
      join(tree, "etc/chrony.conf"),
      "pool 2.rocky.pool.ntp.org iburst\ndriftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\nlogdir /var/log/chrony\n",
    );
    const unit = [
      "[Unit]",
      "Description=NTP client/server",
      "Conflicts=ntpd.service systemd-timesyncd.service",
      "[Service]",
      "ExecStart=/usr/sbin/chronyd -x -d -u root -f /etc/chrony.conf",
    ];
    await writeFile(
      join(tree, "usr/lib/systemd/system/chronyd.service"),
      [...unit, "[Install]", "WantedBy=multi-user.target", ""].join("\n"),
    );
    return { config: ["/etc/chrony.conf"], folders: ["/var/lib/chrony"] };
  },
};

/** Old and new names of folders that are one since the merge of /usr. */
async function mergeUsr(tree: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    if (!existsSync(join(tree, name))) continue;
    await mkdir(join(tree, "usr", name), { recursive: true });
    await must("cp", ["-a", `${join(tree, name)}/.`, join(tree, "usr", name)]);
    await must("rm", ["-rf", join(tree, name)]);
  }
  const unwanted = ["doc", "man", "lintian", "locale", "bug", "doc-base"].map((name) =>
    join(tree, "usr/share", name),
  );
  await must("rm", [
    "-rf",
    ...unwanted,
    ...["etc/init.d", "etc/default", "etc/apparmor.d", "etc/ufw", "etc/logcheck"].map((name) =>
      join(tree, name),
    ),
  ]);
}

interface Deb {
  name: string;
  version: string;
  depends: string[];
  file: string;
}

async function readDeb(file: string): Promise<Deb> {
  const field = (name: string): Promise<string> => output("dpkg-deb", ["--field", file, name]);
  const relations = [await field("Pre-Depends"), await field("Depends")].filter(Boolean).join(", ");
  const depends = relations.split(",").flatMap((group) => /^\s*([a-z0-9.+-]+)/.exec(group)?.[1] ?? []);
  return { name: await field("Package"), version: await field("Version"), depends, file };
}

/**
 * Makes packages of the other family out of .debs: the same files, names and relations as that family has them.
 * @param debs a folder of .debs that is closed over a base system
 */
export async function repackedPackages(debs: string, stage: string): Promise<Package[]> {
  const found = await Promise.all(
    (await readdir(debs)).filter((name) => name.endsWith(".deb")).map((name) => readDeb(join(debs, name))),
  );
  const packages: Package[] = [];
  for (const { name, version, depends, file } of found) {
    // containerd.io brings its own runc.
    if (name === "runc") continue;
    const own = elName(name);
    const tree = join(stage, own);
    await mkdir(tree, { recursive: true });
    const runc = found.find((deb) => deb.name === "runc");
    for (const deb of name === "containerd" && runc !== undefined ? [file, runc.file] : [file])
      await must("dpkg-deb", ["-x", deb, tree]);
    await mergeUsr(tree);
    const libraries = name === "containerd" ? [...depends, ...(runc?.depends ?? [])] : depends;
    const requires = [...new Set(libraries.map(elName))].filter(
      (capability) => !["runc", "adduser", "init-system-helpers", "debconf"].includes(capability),
    );
    const more = (await CHANGES[own]?.(tree)) ?? {};
    packages.push({
      name: own,
      version: rpmVersion(version),
      summary: `${own} of the test rig`,
      arch: "amd64",
      requires,
      tree,
      ...more,
    });
  }
  return packages;
}
