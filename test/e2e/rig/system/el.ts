import { readFileSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../cache.ts";
import type { Package } from "../packages/content.ts";
import { buildRpms } from "../packages/rpm.ts";
import { must, output } from "../shell.ts";
import { layerRecipe, layRigFiles, removeIdentity } from "./layer.ts";
import { aptSources, BASE, bootstrap } from "./mmdebstrap.ts";

/** Debian packages that become RPMs of the rig's repository, with all they need beyond the base. */
const REPACKED = [
  "containerd",
  "runc",
  "conntrack",
  "socat",
  "ethtool",
  "iptables",
  "chrony",
  "bash-completion",
  "keepalived",
  "haproxy",
  "nftables",
];

/** How packages are called in that family of systems. */
const NAMES: Record<string, string> = {
  libc6: "glibc",
  iproute2: "iproute",
  procps: "procps-ng",
  conntrack: "conntrack-tools",
  iptables: "iptables-nft",
  containerd: "containerd.io",
  libsystemd0: "systemd-libs",
  "openssh-server": "openssh-server",
};

export const elName = (debianName: string): string => NAMES[debianName] ?? debianName;

const OS_RELEASE = `NAME="Rocky Linux"
VERSION="9.4 (Blue Onyx)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"
CPE_NAME="cpe:/o:rocky:rocky:9::baseos"
`;

export interface ElSystem {
  /** The tree that hosts start from. */
  root: string;
  /** Folder with the .debs to repack. */
  debs: string;
  /** `rpm -qa` of the tree. */
  installed: string;
  /** What belongs to which of its packages: a JSON list of `OwnedPackage`. */
  owned: string;
}

/** A package of the tree, as RPM knows it. */
export interface OwnedPackage {
  name: string;
  version: string;
  provides: string[];
  /** Names of other packages of the tree. */
  requires: string[];
  /** Files, links and folders, as Debian's package names them: some are gone, some were changed since. */
  paths: string[];
}

/** The package that says which system it is. */
export const RELEASE = {
  name: "rocky-release",
  version: "9.4-1",
  provides: ["system-release = 9.4-1", "system-release(releasever) = 9"],
};

/** A release of an RPM version can hold no dash, and neither can the version. */
export function rpmVersion(debianVersion: string): string {
  const cut = debianVersion.lastIndexOf("-");
  return cut < 0
    ? `${debianVersion}-1`
    : `${debianVersion.slice(0, cut).replaceAll("-", "_")}-${debianVersion.slice(cut + 1)}`;
}

/** The packages of the tree, out of dpkg's database. */
async function ownedPackages(root: string): Promise<OwnedPackage[]> {
  const admin = join(root, "var/lib/dpkg");
  const fields = ["Package", "Version", "Provides", "Pre-Depends", "Depends"].map((name) => `\${${name}}`);
  const list = await output("dpkg-query", [`--admindir=${admin}`, "-W", "-f", `${fields.join("\t")}\n`]);
  const lists = await readdir(join(admin, "info"));
  const all = await Promise.all(
    list.split("\n").map(async (line) => {
      const [name = "", version = "", provides = "", before = "", depends = ""] = line.split("\t");
      const file = lists.find((each) => each === `${name}.list` || each === `${name}:amd64.list`) ?? "";
      const paths = (await readFile(join(admin, "info", file), "utf8")).split("\n").filter(Boolean);
      const asked = `${before},${depends}`
        .split(",")
        .flatMap((item) => /^\s*([a-z0-9.+-]+)/.exec(item)?.[1] ?? []);
      return {
        ...{ name: elName(name), version: rpmVersion(version), provides: provided(name, provides) },
        ...{ requires: asked.map(elName), paths },
      };
    }),
  );
  const known = new Set(all.flatMap(({ name, provides }) => [name, ...provides]));
  return all.map((each) => ({
    ...each,
    requires: [...new Set(each.requires)].filter((name) => known.has(name) && name !== each.name),
  }));
}

/** What the tree holds, said in RPM's database: names and versions, no files. */
async function fillDatabase(root: string, owned: OwnedPackage[]): Promise<void> {
  const empty = join(root, "../empty");
  await mkdir(empty, { recursive: true });
  const base = { summary: "Part of the base system", arch: "amd64", requires: [], tree: empty } as const;
  const packages: Package[] = owned.map(({ name, version, provides }) => ({
    ...base,
    ...{ requires: [], name, version, provides },
  }));
  packages.push({ ...base, requires: [], ...RELEASE });
  // Debian's rpm keeps a database for each user; the others have one for the system.
  await mkdir(join(root, "etc/rpm"), { recursive: true });
  await writeFile(join(root, "etc/rpm/macros.dbpath"), "%_dbpath /var/lib/rpm\n");
  const folder = join(root, "tmp/base-rpms");
  await buildRpms(packages, folder);
  await must(
    "chroot",
    [
      root,
      "sh",
      "-c",
      "rpm --initdb; rpm --force-debian --install --justdb --nodeps --nosignature /tmp/base-rpms/*.rpm",
    ],
    {
      timeoutMs: 300_000,
    },
  );
  await must("rm", ["-rf", folder, empty]);
}

/** Capabilities besides the name: what Debian's package provides, its own name, and paths that are asked for as such. */
function provided(name: string, virtual: string): string[] {
  const extra: Record<string, string[]> = {
    bash: ["/bin/sh", "/bin/bash"],
    iproute2: ["iproute-tc"],
    "openssh-server": ["openssh"],
    mount: ["/bin/mount"],
  };
  const names = virtual.split(",").flatMap((item) => /^\s*([a-z0-9.+-]+)/.exec(item)?.[1] ?? []);
  return [...new Set([...(elName(name) === name ? [] : [name]), ...names, ...(extra[name] ?? [])])];
}

/** Files by which such a system is known, and the places where its programs look. */
async function layFamily(root: string): Promise<void> {
  const write = async (path: string, text: string, mode = 0o644): Promise<void> => {
    await mkdir(join(root, path, ".."), { recursive: true });
    await rm(join(root, path), { force: true });
    await writeFile(join(root, path), text, { mode });
  };
  await write("usr/lib/os-release", OS_RELEASE);
  await write("etc/redhat-release", "Rocky Linux release 9.4 (Blue Onyx)\n");
  await write(
    "etc/dnf/dnf.conf",
    "[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=False\n",
  );
  const mirror = "https://mirrors.rockylinux.org/mirrorlist?arch=$basearch&repo=BaseOS-$releasever";
  await write(
    "etc/yum.repos.d/rocky.repo",
    `[baseos]\nname=Rocky Linux $releasever - BaseOS\nmirrorlist=${mirror}\ngpgcheck=1\nenabled=1\n`,
  );
  const certificates = join(root, "usr/share/pki/ca-trust-source");
  for (const path of [
    certificates,
    join(root, "etc/pki/ca-trust/source/anchors"),
    join(root, "etc/pki/tls/certs"),
    join(root, "etc/sysconfig"),
  ])
    await mkdir(path, { recursive: true });
  await cp(join(root, "etc/ssl/certs/ca-certificates.crt"), join(certificates, "base.pem"));
  await rm(join(root, "etc/ssl/certs/ca-certificates.crt"));
  await symlink(
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    join(root, "etc/pki/tls/certs/ca-bundle.crt"),
  );
  await symlink("/etc/pki/tls/certs/ca-bundle.crt", join(root, "etc/ssl/certs/ca-certificates.crt"));
  await write(
    "usr/bin/update-ca-trust",
    await readFile(join(import.meta.dirname, "update-ca-trust.sh"), "utf8"),
    0o755,
  );
  await must("chroot", [root, "update-ca-trust"]);
}

/** Nothing of Debian's own tools may be there to be used by mistake. */
async function removeDebian(root: string): Promise<void> {
  const paths = [
    "usr/bin/apt*",
    "usr/bin/dpkg*",
    "usr/sbin/dpkg*",
    "usr/sbin/update-ca-certificates",
    "etc/apt",
    "etc/dpkg",
    "etc/debian_version",
    "usr/share/ca-certificates",
  ];
  await must("sh", [
    "-c",
    `cd "$0" && rm -rf ${paths.join(" ")} var/lib/dpkg var/lib/apt var/cache/apt var/log/apt var/log/dpkg.log`,
    root,
  ]);
}

/**
 * A tree whose package manager is dnf and whose files say that it is an Enterprise Linux 9: Debian's programs, with
 * all that a program asks about the system answered as such a system does.
 */
export async function elSystem(): Promise<ElSystem> {
  const recipe = [
    BASE,
    REPACKED,
    NAMES,
    readFileSync(aptSources(), "utf8"),
    layerRecipe(),
    readFileSync(import.meta.filename, "utf8"),
  ];
  const folder = await cached("el", recipe, async (folder) => {
    const [root, debs] = [join(folder, "root"), join(folder, "debs")];
    await mkdir(join(debs, "partial"), { recursive: true });
    const options = `--yes --quiet --no-install-recommends --download-only -o Dir::Cache::Archives=${debs}`;
    const hook = `APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get ${options} install ${REPACKED.join(" ")}`;
    await bootstrap(root, [...BASE, "dnf", "rpm"], [`--customize-hook=${hook}`]);
    await must("rm", ["-rf", join(debs, "partial"), join(debs, "lock")]);
    await layRigFiles(root);
    await removeIdentity(root);
    const owned = await ownedPackages(root);
    await writeFile(join(folder, "owned.json"), JSON.stringify(owned));
    await fillDatabase(root, owned);
    await layFamily(root);
    await writeFile(join(folder, "rpm-qa"), `${await output("chroot", [root, "rpm", "-qa"])}\n`);
    await removeDebian(root);
  });
  const at = (name: string): string => join(folder, name);
  return { root: at("root"), debs: at("debs"), installed: at("rpm-qa"), owned: at("owned.json") };
}
