import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must, output } from "../shell.ts";
import type { Package } from "./content.ts";
import { detachedSigned, type PackagerKey, publicKeyOf, signRpms } from "./key.ts";

/** Everything of rpmbuild's that would change files or guess relations. */
const HEAD = [
  "%global debug_package %{nil}",
  "%global __os_install_post %{nil}",
  "%global _build_id_links none",
  "%global _binary_payload w1.gzdio",
  "Name: rig",
  "Version: 1",
  "Release: 1",
  "Summary: Packages of the test rig",
  "License: as the content",
  "AutoReqProv: no",
  "%description",
  "Nothing by itself.",
];

/** Splits `[epoch:]version[-release]`. */
function splitVersion(text: string): { epoch?: string; version: string; release: string } {
  const [, epoch, version = text, release = "1"] = /^(?:(\d+):)?(.+?)(?:-([^-]+))?$/.exec(text) ?? [];
  return { ...(epoch === undefined ? {} : { epoch }), version, release };
}

/** rpmbuild takes paths for patterns. */
const literal = (path: string): string => path.replace(/[\\[\]*%"]/g, "?");

async function section(content: Package): Promise<string[]> {
  const { name, summary, arch, requires, provides = [], config = [], folders = [], after, tree } = content;
  const { epoch, version, release } = splitVersion(content.version);
  const listed = (
    await output("find", [tree, "(", "-type", "f", "-o", "-type", "l", ")", "-printf", "/%P\\n"])
  )
    .split("\n")
    .filter(Boolean);
  return [
    `%package -n ${name}`,
    ...(epoch === undefined ? [] : [`Epoch: ${epoch}`]),
    `Version: ${version}`,
    `Release: ${release}`,
    `Summary: ${summary}`,
    ...(arch === "all" ? ["BuildArch: noarch"] : []),
    "AutoReqProv: no",
    ...requires.map((capability) => `Requires: ${capability}`),
    ...provides.map((capability) => `Provides: ${capability}`),
    `%description -n ${name}`,
    summary,
    ...(after === undefined ? [] : [`%post -n ${name}`, after]),
    `%files -n ${name}`,
    "%defattr(-,root,root)",
    ...folders.map((path) => `%dir ${path}`),
    ...listed.map(literal).map((path) => `${config.includes(path) ? "%config(noreplace) " : ""}"${path}"`),
  ];
}

/** Builds RPMs, all by one rpmbuild. @returns their paths in `folder` */
export async function buildRpms(packages: Package[], folder: string): Promise<string[]> {
  const work = await mkdtemp(join(tmpdir(), "rig-rpm-"));
  try {
    const sections = (await Promise.all(packages.map(section))).flat();
    const copies = packages.flatMap(({ tree, folders = [] }) => [
      `cp -a "${tree}/." %{buildroot}/`,
      ...folders.map((path) => `mkdir -p "%{buildroot}${path}"`),
    ]);
    await writeFile(join(work, "rig.spec"), [...HEAD, "%install", ...copies, ...sections, ""].join("\n"));
    const defines = {
      _topdir: work,
      _rpmdir: join(work, "out"),
      _rpmfilename: "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
      _buildhost: "rig.invalid",
    };
    const args = Object.entries(defines).flatMap(([name, value]) => ["--define", `${name} ${value}`]);
    await must("rpmbuild", ["-bb", "--quiet", "--target", "x86_64", ...args, join(work, "rig.spec")], {
      timeoutMs: 600_000,
    });
    await mkdir(folder, { recursive: true });
    const names = (await readdir(join(work, "out"))).sort();
    await must("cp", [...names.map((name) => join(work, "out", name)), folder]);
    return names.map((name) => join(folder, name));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Fills `folder` with signed RPMs and their metadata, the key beside them as `RPM-GPG-KEY-rig`. */
export async function rpmRepository(packages: Package[], key: PackagerKey, folder: string): Promise<void> {
  await signRpms(key, await buildRpms(packages, join(folder, "Packages")));
  await must("createrepo_c", ["--quiet", "--no-database", "--general-compress-type=gz", folder], {
    timeoutMs: 300_000,
  });
  await detachedSigned(key, join(folder, "repodata/repomd.xml"));
  await writeFile(join(folder, "RPM-GPG-KEY-rig"), await publicKeyOf(key));
}
