import { existsSync, lstatSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must, output } from "../shell.ts";
import { type ElSystem, type OwnedPackage, RELEASE } from "../system/el.ts";
import type { Package } from "./content.ts";

/** What a running host has there, and what the rig lays into trees of its own hosts. */
const LEFT_OUT =
  /^(?:(?:proc|sys|dev|run|tmp|boot|lib\/modules|usr\/lib\/modules|usr\/local\/lib\/rig)\/|etc\/systemd\/system\/(?:.*\/)?rig(?:-boot\.service|\.conf)$)/;
/** What scripts of packages make. */
const MADE =
  /^etc\/(?:ld\.so\.cache|pki\/ca-trust\/extracted(?:\/.*)?|pki\/rpm-gpg(?:\/.*)?)$|^var\/lib\/rpm\//;

/** Scripts that run once the files of a package are in place. */
const AFTER: Record<string, string> = {
  "libc-bin": "ldconfig",
  "ca-certificates": "update-ca-trust",
  "openssh-server":
    "getent passwd sshd >/dev/null || useradd --system --no-create-home --home-dir /run/sshd sshd",
};

/** Debian's rpm wants to hear that it is meant before it installs anything. */
const RPM = `#!/bin/sh
case " $* " in *" --upgrade "* | *" --install "*) set -- --force-debian "$@" ;; esac
exec /usr/lib/rpm/rpm "$@"
`;

/**
 * The packages that a host of the other family is made of, with all their files: what the rig's tree holds, cut along
 * the packages that it was made of; `filesystem` has what belongs to none.
 */
export async function elBasePackages({ root, owned }: ElSystem, stage: string): Promise<Package[]> {
  const list = JSON.parse(await readFile(owned, "utf8")) as OwnedPackage[];
  const everything = (await output("find", [root, "-mindepth", "1", "-printf", "%P\\n"])).split("\n");
  const present = new Set(everything.filter((path) => !LEFT_OUT.test(path) && !MADE.test(path)));
  const taken = new Set<string>();
  const packages: Package[] = [];
  const base = { summary: "Part of the base system", arch: "amd64" } as const;
  for (const { name, version, provides, requires, paths } of list) {
    const own = [...new Set(paths.map((path) => merged(root, path)))].filter((path) => present.has(path));
    for (const path of own) taken.add(path);
    const tree = await laid(root, own, join(stage, name));
    if (name === "rpm") await wrapRpm(tree);
    const more = name === "glibc" ? ["filesystem"] : name === "bash" ? ["dash"] : [];
    const after = AFTER[name];
    packages.push({
      ...{
        ...base,
        name,
        version,
        provides,
        requires: [...requires, ...more],
        tree,
        folders: foldersOf(root, own),
      },
      ...(after === undefined ? {} : { after }),
    });
  }
  const rest = [...present].filter((path) => !taken.has(path));
  packages.push({
    ...{ ...base, name: "filesystem", version: "3.16-2", requires: ["system-release"] },
    ...{ tree: await laid(root, rest, join(stage, "filesystem")), folders: foldersOf(root, rest) },
  });
  const empty = join(stage, RELEASE.name);
  await mkdir(empty, { recursive: true });
  packages.push({ ...base, ...RELEASE, requires: [], tree: empty });
  return packages;
}

/** A path of a package below the root, where /bin and the like are links into /usr. */
function merged(root: string, path: string): string {
  const [, first = "", rest = ""] = /^\/([^/]*)(\/.*)?$/.exec(path) ?? [];
  const isLink =
    rest !== "" && existsSync(join(root, first)) && lstatSync(join(root, first)).isSymbolicLink();
  return `${isLink ? "usr/" : ""}${first}${rest}`;
}

const foldersOf = (root: string, paths: string[]): string[] =>
  paths.filter((path) => lstatSync(join(root, path)).isDirectory()).map((path) => `/${path}`);

/** The paths of the tree in a folder of their own, with their modes. */
async function laid(root: string, paths: string[], tree: string): Promise<string> {
  await mkdir(tree, { recursive: true });
  const list = `${tree}.list`;
  await writeFile(list, paths.map((path) => `${path}\0`).join(""));
  const copy = 'tar -C "$0" --no-recursion --null -cf - -T "$1" | tar -C "$2" -xpf -';
  await must("sh", ["-c", copy, root, list, tree], { timeoutMs: 120_000 });
  return tree;
}

async function wrapRpm(tree: string): Promise<void> {
  await mkdir(join(tree, "usr/lib/rpm"), { recursive: true });
  await rename(join(tree, "usr/bin/rpm"), join(tree, "usr/lib/rpm/rpm"));
  await writeFile(join(tree, "usr/bin/rpm"), RPM, { mode: 0o755 });
}
