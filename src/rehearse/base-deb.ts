import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { exportPackages } from "../bundle/export-packages.ts";
import type { Opening } from "../bundle/reader.ts";
import { END_OF_ARCHIVE, entryHeader, padded } from "../bundle/tar.ts";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count, someOf } from "../format.ts";
import { shipped } from "../host/shipped.ts";
import { HttpClients } from "../http.ts";
import type { PackagesItem } from "../lock/lock.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import { mergedEntries } from "../packages/deb/data.ts";
import { debFormat } from "../packages/deb/set.ts";
import type { Prepared } from "../packages/format.ts";
import { forEachPackage } from "../packages/prepare.ts";
import { packagesOf } from "../packages/roles.ts";
import { defaultCacheDir } from "../state/cache.ts";
import type { Engine } from "../transport/engine.ts";
import type { BaseRepositories } from "./base-repositories.ts";
import { IMAGE_LABEL } from "./leftovers.ts";

/** Debian's packages with `Essential: yes`, and what a system is made with. */
const ESSENTIAL = [
  ...[
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
  ],
  ...[
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "login",
    "mawk",
    "ncurses-base",
  ],
  ...["ncurses-bin", "perl-base", "sed", "sysvinit-utils", "tar", "util-linux"],
];
/** What a bare host has: an init, SSH, a package manager, and the usual small tools. */
const HOST = [
  ...[
    "apt",
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "kmod",
    "mount",
  ],
  ...["procps", "passwd", "ca-certificates", "openssl", "netbase", "sudo", "nftables", "adduser"],
];

export interface BaseOptions {
  bundle: string;
  opening?: Opening | undefined;
  /** For what is fetched and exported; removed by the caller. */
  folder: string;
  /** Before the name of its container, and that container's labels. */
  prefix: string;
  labels: Record<string, string>;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** A base that was made. */
export interface MadeBase {
  image: string;
  /** Where its packages come from, in words. */
  made: string;
}

/**
 * Makes an image of a bare host out of a package set of the bundle, and of what hosts have before an installation, from
 * the repositories given. Scripts of packages run in a container without a network.
 * @throws AirgapError `unsatisfiable` when no such base is possible, `step-failed` when a package's script fails
 */
export async function makeDebBase(
  system: string,
  item: PackagesItem,
  base: BaseRepositories,
  engine: Engine,
  options: BaseOptions,
): Promise<MadeBase> {
  const { folder, emit, signal } = options;
  emit({ type: "phase", name: "base", detail: `${system}: what hosts have before an installation` });
  const exported = join(folder, "sets");
  await exportPackages({ ...options, dir: exported });
  const clients = new HttpClients({ emit });
  try {
    const set = requestOf(item, base, join(exported, item.name));
    const context = {
      ...{ baseDir: base.baseDir, cacheDir: defaultCacheDir(), emit, signal },
      http: clients.for.bind(clients),
    };
    const closures = await debFormat.closures(set, context);
    const chosen = packagesOf(closures);
    const added = chosen.filter(({ repository }) => repository !== "bundle");
    const made = `${system}: ${count(chosen.length - added.length, "package")} of the bundle and, from ${[...new Set(added.map(({ repository }) => repository))].join(", ") || "nowhere else"}, ${someOf(
      added.map(({ id }) => id),
      1000,
    )}`;
    const image = `airgap-rehearsal:${system}-${identity(chosen.map(({ checksum }) => checksum.value))}`;
    if (await engine.hasImage(image)) return { image, made };
    emit({
      type: "note",
      message: `${system}: ${count(chosen.length - added.length, "package")} of the bundle, ${count(added.length, "package")} from the repositories given`,
    });
    const { prepared } = await debFormat.prepare(set, chosen, context, closures);
    const files = await fetchAll(prepared, join(folder, "debs"), signal);
    const first = new Set(closures.find(({ role }) => role === "essential")?.packages.map(({ id }) => id));
    const essential = files.filter(({ id }) => first.has(id));
    await install(engine, { ...options, image, files, essential });
    return { image, made };
  } finally {
    await clients.close();
  }
}

/** An image with the same packages, made in the same way, is the same. */
function identity(checksums: string[]): string {
  const hash = createHash("sha256").update(shipped("rehearse/base-deb.sh"));
  for (const each of checksums.toSorted()) hash.update(each);
  return hash.digest("hex").slice(0, 12);
}

/** As a spec would ask for it. The bundle's own packages come first, so that nothing is downgraded by the installation. */
function requestOf(item: PackagesItem, base: BaseRepositories, exported: string): PackageSetSpec {
  const { facts } = item;
  return {
    ...{ name: `base-${item.name}`, format: "deb", for: facts.for, arch: facts.arch },
    repositories: [
      {
        ...{ id: "bundle", uris: `file://${exported}/`, suites: ["/"], priority: 900 },
        signedBy: join(exported, "keys", "airgap.asc"),
      },
      ...base.repositories,
    ],
    install: { essential: ESSENTIAL, base: [...new Set([...ESSENTIAL, ...HOST, ...base.installed])] },
    ...(base.unsigned.length > 0 ? { unsigned: base.unsigned } : {}),
  };
}

interface DebFile {
  id: string;
  path: string;
}

async function fetchAll(
  prepared: Prepared<string>[],
  folder: string,
  signal?: AbortSignal,
): Promise<DebFile[]> {
  mkdirSync(folder, { recursive: true });
  return forEachPackage(prepared, async ({ locked, source, path }) => {
    const file = join(folder, basename(path));
    const { digest, size } = locked;
    const descriptor = { mediaType: "application/vnd.debian.binary-package", digest, size };
    await pipeline(await source.fetch(descriptor, signal ? { signal } : {}), createWriteStream(file));
    return { id: locked.id, path: file };
  });
}

const FOLDER = "rehearsal";

async function install(
  engine: Engine,
  {
    image,
    files,
    essential,
    prefix,
    labels,
    signal,
  }: BaseOptions & { image: string; files: DebFile[]; essential: DebFile[] },
): Promise<void> {
  const start = `${image}-bare`;
  await engine.importImage(Readable.from(bareSystem(essential)), start);
  let id: string | undefined;
  try {
    id = await engine.create({
      ...{ name: `${prefix}.base`, image: start, hostname: "base", labels, env: {} },
      command: ["/bin/bash", "-c", "sleep infinity & wait"],
    });
    await engine.put(id, Readable.from(archiveOf(files, essential)), "/");
    await engine.start(id);
    signal?.throwIfAborted();
    const script = ["/bin/bash", "-c", shipped("rehearse/base-deb.sh"), "bash"];
    const lists = [`/${FOLDER}/essential`, `/${FOLDER}/all`];
    const { code, stderr } = await engine.exec(id, [...script, ...lists], 900_000);
    if (code !== 0)
      throw new AirgapError(
        "step-failed",
        `The packages of a bare host cannot be installed: ${stderr.trim().slice(-3000)}`,
        {
          suggestions: ["--image SYSTEM=IMAGE  # an image of your own"],
          ref: "docs/rehearse.md",
        },
      );
    await engine.exec(id, ["/bin/rm", "-rf", `/${FOLDER}`]);
    await engine.commit(id, image, { [IMAGE_LABEL]: "yes" });
  } finally {
    if (id !== undefined) await engine.remove(id);
    await engine.removeImage(start).catch(() => {});
  }
}

/** A root file system in which dpkg runs, as nothing but unpacked files. */
async function* bareSystem(essential: DebFile[]): AsyncGenerator<Buffer> {
  const folders = ["bin", "sbin", "lib", "lib64"];
  yield* special("usr/", "5", "", 0o755);
  for (const name of folders) yield* special(`usr/${name}/`, "5", "", 0o755);
  for (const name of folders) yield* special(name, "2", `usr/${name}`, 0o777);
  const seen = new Set(["usr", ...folders.map((name) => `usr/${name}`)]);
  for (const { id, path } of essential) yield* mergedEntries(readFileSync(path), id, seen);
  yield END_OF_ARCHIVE;
}

/** A folder (`5`) or a symbolic link (`2`). */
function* special(name: string, type: "2" | "5", link: string, mode: number): Generator<Buffer> {
  const block = entryHeader(name, 0);
  block.write(`${mode.toString(8).padStart(7, "0")}\0`, 100, "latin1");
  block.write(type, 156, "latin1");
  block.write(link, 157, "latin1");
  block.write("        ", 148, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  yield block;
}

async function* archiveOf(files: DebFile[], essential: DebFile[]): AsyncGenerator<Buffer> {
  for (const [name, list] of [["essential", essential] as const, ["all", files] as const]) {
    const text = Buffer.from(list.map(({ path }) => `${basename(path)}\n`).join(""));
    yield entryHeader(`${FOLDER}/${name}`, text.length);
    yield text;
    yield Buffer.alloc(padded(text.length) - text.length);
  }
  for (const { path } of files) {
    const { size } = statSync(path);
    yield entryHeader(`${FOLDER}/${basename(path)}`, size);
    yield* createReadStream(path) as AsyncIterable<Buffer>;
    yield Buffer.alloc(padded(size) - size);
  }
}
