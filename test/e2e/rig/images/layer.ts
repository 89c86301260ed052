import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cached } from "../cache.ts";
import { must, output } from "../shell.ts";
import { bootstrap } from "../system/mmdebstrap.ts";

/** Packs a folder as a layer: the same bytes for the same files, wherever and whenever. */
export async function packLayer(folder: string, file: string): Promise<void> {
  const flags = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--format=gnu"];
  await must("tar", ["-C", folder, ...flags, "-cf", file, "."], { timeoutMs: 300_000 });
}

const PROGRAMS = [
  "/usr/sbin/xtables-nft-multi",
  "/usr/sbin/nft",
  "/usr/sbin/conntrack",
  "/bin/ip",
  "/bin/cp",
  "/bin/mkdir",
  "/bin/sh",
  "/bin/cat",
  "/bin/ls",
];
const TABLES = ["iptables", "ip6tables"].flatMap((name) => [name, `${name}-save`, `${name}-restore`]);

const librariesOf = async (root: string, file: string): Promise<string[]> =>
  (await output("chroot", [root, "ldd", file])).match(/\/\S+\.so\S*/g) ?? [];

/** Copies files of a tree, links followed, folders as they really are. */
async function pick(root: string, paths: string[], target: string): Promise<void> {
  for (const path of paths) {
    const folder = await output("chroot", [root, "readlink", "-f", dirname(path)]);
    await mkdir(join(target, folder), { recursive: true });
    await must("cp", ["-L", join(root, path), join(target, folder)]);
  }
}

/** Folder with `layer.tar` and `busybox`: packet filter and network tools with their libraries, for kube-proxy and flannel. */
export const networkTools = (): Promise<string> =>
  cached("network-tools", [PROGRAMS, TABLES, "2"], async (folder) => {
    const root = join(folder, "root");
    const stage = join(folder, "stage");
    await bootstrap(root, ["iptables", "nftables", "conntrack", "iproute2", "busybox-static"]);
    const extensions = (await output("sh", ["-c", 'cd "$0" && ls usr/lib/*/xtables/*.so', root]))
      .split("\n")
      .map((path) => `/${path}`);
    const libraries = await Promise.all([...PROGRAMS, ...extensions].map((file) => librariesOf(root, file)));
    await pick(
      root,
      [...new Set([...PROGRAMS, ...libraries.flat(), ...extensions, "/etc/protocols", "/etc/services"])],
      stage,
    );
    // The merged /usr: programs and the loader are asked for by their old paths too.
    for (const name of ["bin", "sbin", "lib", "lib64"])
      await must("ln", ["-s", `usr/${name}`, join(stage, name)]);
    for (const name of TABLES) await must("ln", ["-s", "xtables-nft-multi", join(stage, "usr/sbin", name)]);
    for (const name of ["tmp", "run", "proc", "sys", "dev", "var/lib"])
      await mkdir(join(stage, name), { recursive: true });
    await writeFile(join(stage, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    await packLayer(stage, join(folder, "layer.tar"));
    await must("cp", [join(root, "bin/busybox"), join(folder, "busybox")]);
    for (const path of [root, stage]) await rm(path, { recursive: true, force: true });
  });
