import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { exportPackages } from "../bundle/export-packages.ts";
import type { Opening } from "../bundle/reader.ts";
import { entryHeader, padded } from "../bundle/tar.ts";
import { AirgapError } from "../errors.ts";
import { type Emit, silent } from "../events.ts";
import { count, someOf } from "../format.ts";
import { shipped } from "../host/shipped.ts";
import { HttpClients } from "../http.ts";
import type { PackagesItem } from "../lock/lock.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import type { Prepared, SetFormat } from "../packages/format.ts";
import { forEachPackage } from "../packages/prepare.ts";
import { packagesOf } from "../packages/roles.ts";
import { defaultCacheDir } from "../state/cache.ts";
import type { Engine } from "../transport/engine.ts";
import type { BaseRepositories } from "./base-repositories.ts";
import { IMAGE_LABEL } from "./leftovers.ts";

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

/** A package that was fetched. */
export interface PackageFile {
  id: string;
  path: string;
}

/** How a bare host is made of packages of one format. */
export interface BaseFormat {
  format: SetFormat<unknown>;
  /** Packages in whose files alone, unpacked, the package manager runs. */
  essential: readonly string[];
  /** What hosts of a system have besides, where nobody says what they have. */
  host(system: string): readonly string[];
  /** What a rehearsal itself needs of a host. */
  needed: readonly string[];
  /** The bundle's set as repositories that come before all others, so that the installation downgrades nothing. */
  bundled(item: PackagesItem, exported: string): PackageSetSpec["repositories"];
  /** A root file system of unpacked files, as a tar. */
  bare(essential: PackageFile[]): AsyncIterable<Buffer>;
  /** Installs everything there. Gets two lists of packages, the essential and all; prints what is worth a warning. */
  script: "rehearse/base-deb.sh" | "rehearse/base-rpm.sh";
}

/**
 * Makes an image of a bare host out of a package set of the bundle, and of what hosts have before an installation, from
 * the repositories given. Scripts of packages run in a container without a network.
 * @throws AirgapError `unsatisfiable` when no such base is possible, `step-failed` when a package's script fails
 */
export async function makeBase(
  { format, ...kind }: BaseFormat,
  { system, item }: { system: string; item: PackagesItem },
  base: BaseRepositories,
  engine: Engine,
  options: BaseOptions,
): Promise<MadeBase> {
  const { folder, emit, signal } = options;
  emit({ type: "phase", name: "base", detail: `${system}: what hosts have before an installation` });
  const exported = join(folder, "sets");
  await exportPackages({ ...options, dir: exported, emit: silent });
  const clients = new HttpClients({ emit });
  try {
    const bundled = kind.bundled(item, join(exported, item.name));
    const set = requestOf(kind, { system, item }, base, bundled);
    const context = {
      ...{ baseDir: base.baseDir, cacheDir: defaultCacheDir(), emit, signal },
      http: clients.for.bind(clients),
    };
    const closures = await format.closures(set, context);
    const chosen = packagesOf(closures);
    const own = new Set(bundled.map(({ id }) => id));
    const added = chosen.filter(({ repository }) => !own.has(repository));
    const made = `${system}: ${count(chosen.length - added.length, "package")} of the bundle and, from ${[...new Set(added.map(({ repository }) => repository))].join(", ") || "nowhere else"}, ${someOf(
      added.map(({ id }) => id),
      1000,
    )}`;
    const checksums = chosen.map(({ checksum }) => checksum.value);
    // Podman takes a name without a host for Docker Hub's.
    const image = `localhost/airgap-rehearsal:${system}-${identity(kind.script, checksums)}`;
    if (await engine.hasImage(image)) return { image, made };
    emit({
      type: "note",
      message: `${system}: ${count(chosen.length - added.length, "package")} of the bundle, ${count(added.length, "package")} from the repositories given`,
    });
    const { prepared } = await format.prepare(set, chosen, context, closures);
    const files = await fetchAll(prepared, format.mediaType, join(folder, "packages"), signal);
    const first = new Set(closures.find(({ role }) => role === "essential")?.packages.map(({ id }) => id));
    const essential = files.filter(({ id }) => first.has(id));
    await install(engine, kind, { ...options, system, image, files, essential });
    return { image, made };
  } finally {
    await clients.close();
  }
}

/** An image with the same packages, made in the same way, is the same. */
function identity(script: BaseFormat["script"], checksums: string[]): string {
  const hash = createHash("sha256").update(shipped(script));
  for (const each of checksums.toSorted()) hash.update(each);
  return hash.digest("hex").slice(0, 12);
}

/** As a spec would ask for it. */
function requestOf(
  { essential, host, needed }: Omit<BaseFormat, "format">,
  { system, item }: { system: string; item: PackagesItem },
  base: BaseRepositories,
  bundled: PackageSetSpec["repositories"],
): PackageSetSpec {
  const { format, for: systems, arch } = item.facts;
  const others = base.installed.length > 0 ? [...base.installed, ...needed] : [...host(system), ...needed];
  // These very packages were accepted without a signature when the bundle was built.
  const unsigned = [
    ...base.unsigned,
    ...item.facts.packages.flatMap((each) => (each.unsigned ? [each.id] : [])),
  ];
  return {
    ...{ name: `base-${item.name}`, format, for: systems, arch },
    repositories: [...bundled, ...base.repositories],
    install: { essential: [...essential], base: [...new Set([...essential, ...others])] },
    ...(unsigned.length > 0 ? { unsigned } : {}),
  };
}

async function fetchAll(
  prepared: Prepared[],
  mediaType: string,
  folder: string,
  signal?: AbortSignal,
): Promise<PackageFile[]> {
  mkdirSync(folder, { recursive: true });
  return forEachPackage(prepared, async ({ locked, source, path }) => {
    const file = join(folder, basename(path));
    const { digest, size } = locked;
    const content = await source.fetch({ mediaType, digest, size }, signal ? { signal } : {});
    await pipeline(content, createWriteStream(file));
    return { id: locked.id, path: file };
  });
}

const FOLDER = "rehearsal";

async function install(
  engine: Engine,
  { bare, script }: Omit<BaseFormat, "format">,
  {
    system,
    image,
    files,
    essential,
    prefix,
    labels,
    emit,
    signal,
  }: BaseOptions & { system: string; image: string; files: PackageFile[]; essential: PackageFile[] },
): Promise<void> {
  const start = `${image}-bare`;
  await engine.importImage(Readable.from(bare(essential)), start);
  let id: string | undefined;
  try {
    id = await engine.create({
      ...{ name: `${prefix}.base`, image: start, hostname: "base", labels, env: {} },
      command: ["/bin/bash", "-c", "sleep infinity & wait"],
    });
    await engine.put(id, Readable.from(archiveOf(files, essential)), "/");
    await engine.start(id);
    signal?.throwIfAborted();
    const command = ["/bin/bash", "-c", shipped(script), "bash"];
    const lists = [`/${FOLDER}/essential`, `/${FOLDER}/all`];
    const { code, stdout, stderr } = await engine.exec(id, [...command, ...lists], 900_000);
    if (code !== 0)
      throw new AirgapError(
        "step-failed",
        `The packages of a bare host cannot be installed: ${stderr.trim().slice(-3000)}`,
        {
          suggestions: ["--image SYSTEM=IMAGE  # an image of your own"],
          ref: "docs/rehearse.md",
        },
      );
    for (const line of stdout.split("\n").filter(Boolean))
      emit({ type: "warning", message: `${system}: ${line}` });
    await engine.exec(id, ["/bin/rm", "-rf", `/${FOLDER}`]);
    await engine.commit(id, image, { [IMAGE_LABEL]: "yes" });
  } finally {
    if (id !== undefined) await engine.remove(id);
    await engine.removeImage(start).catch(() => {});
  }
}

async function* archiveOf(files: PackageFile[], essential: PackageFile[]): AsyncGenerator<Buffer> {
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
