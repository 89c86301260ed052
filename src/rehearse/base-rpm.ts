import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { AirgapError } from "../errors.ts";
import type { SetFormat } from "../packages/format.ts";
import { type PayloadEntry, payloadEntries } from "../packages/rpm/payload.ts";
import { rpmFormat } from "../packages/rpm/set.ts";
import { hasOldRpm } from "../packages/rpm/target.ts";
import type { BaseFormat, PackageFile } from "./base.ts";

/** What a bare host has: a release, and the usual small tools. Names and capabilities that all of this family know. */
const HOST =
  "system-release iputils kmod procps-ng shadow-utils ca-certificates openssl sudo hostname tar gzip findutils grep sed gawk diffutils which".split(
    " ",
  );

/** Bare hosts of Enterprise Linux, Fedora, openEuler and their kin: rpm installs everything over its own unpacked files. */
export const rpmBase: BaseFormat = {
  format: rpmFormat as SetFormat<unknown>,
  essential: ["filesystem", "glibc", "bash", "coreutils", "rpm"],
  host: (system) => [...HOST, hasOldRpm(system) ? "yum" : "dnf"],
  needed: ["systemd", "openssh-server", "iproute", "util-linux", "nftables"],
  bundled({ facts }, exported) {
    const key = join(exported, "keys", "airgap.asc");
    const common = { priority: 1, moduleHotfixes: true, repoGpgcheck: true };
    const vendors = Object.keys(facts.keys).map((path) => join(exported, path));
    const signed = facts.packages.some(({ unsigned }) => !unsigned);
    const unsigned = facts.packages.some((each) => each.unsigned);
    return [
      ...(signed ? [{ id: "bundle", baseurl: exported, gpgkey: [key, ...vendors], ...common }] : []),
      ...(unsigned
        ? [{ id: "bundle-unsigned", baseurl: join(exported, "unsigned"), gpgkey: [key], ...common }]
        : []),
    ];
  },
  bare: bareSystem,
  script: "rehearse/base-rpm.sh",
};

/** Folders that became links into /usr, which packages still name. */
const MERGED = ["bin", "sbin", "lib", "lib64"].map((name) => [name, `usr/${name}`] as const);

function bareSystem(essential: PackageFile[]): AsyncIterable<Buffer> {
  const tar = pack();
  writeAll(tar, essential).then(
    () => tar.finalize(),
    (error: Error) => tar.destroy(error),
  );
  return tar as AsyncIterable<Buffer>;
}

async function writeAll(tar: Pack, essential: PackageFile[]): Promise<void> {
  const folders = new Set<string>();
  const links = new Map<string, string>(MERGED);
  for (const [path, target] of MERGED) await write(tar, { path, kind: "link", mode: 0o777, target });
  // `filesystem` says which folders are links; the others are unpacked through them.
  const order = essential.toSorted((a, b) => Number(isLayout(b)) - Number(isLayout(a)));
  for (const { id, path: file } of order)
    for await (const entry of payloadEntries(readFileSync(file), id)) {
      const parent = through(links, posix.dirname(entry.path));
      const path = posix.join(parent, posix.basename(entry.path));
      if (links.has(path) || (entry.kind === "folder" && folders.has(path))) continue;
      if (entry.kind === "folder") folders.add(path);
      if (entry.kind === "link") links.set(path, posix.resolve("/", parent, entry.target ?? "").slice(1));
      const target = entry.kind === "hard" ? through(links, entry.target ?? "") : entry.target;
      await write(tar, { ...entry, path, ...(target === undefined ? {} : { target }) });
    }
}

const isLayout = ({ id }: PackageFile): boolean => id.startsWith("filesystem-");

/** Links that follow each other, as the kernel bounds them. path_resolution(7) */
const MAX_LINKS = 40;

/** A path whose folders are none of the links. */
function through(links: ReadonlyMap<string, string>, path: string, depth = 0): string {
  const found = path.split("/").reduce((above, name) => {
    const here = posix.join(above, name);
    const target = links.get(here);
    if (depth > MAX_LINKS)
      throw new AirgapError("corrupt", `The packages have links in a circle at /${here}`);
    return target === undefined ? here : through(links, target, depth + 1);
  }, "");
  return found === "." ? "" : found;
}

const TYPES = { file: "file", folder: "directory", link: "symlink", hard: "link" } as const;

async function write(tar: Pack, { path, kind, mode, target, content }: PayloadEntry): Promise<void> {
  const header: Parameters<Pack["entry"]>[0] = {
    ...{ name: kind === "folder" ? `${path}/` : path, type: TYPES[kind], mode, uid: 0, gid: 0 },
    ...(target === undefined ? {} : { linkname: target }),
    ...(content ? { size: content.length } : {}),
  };
  if (kind === "file") await pipeline(content ? [content] : [], tar.entry(header));
  else tar.entry(header);
}
