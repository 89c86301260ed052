import { createHash } from "node:crypto";
import { existsSync, realpathSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { canonicalJson } from "../oci/canonical-json.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { MediaType } from "../oci/media-types.ts";
import { ArchiveDestination } from "../transport/archive-destination.ts";
import { FileSource, measureFile } from "../transport/file.ts";
import { MemorySource } from "../transport/memory.ts";
import { writeTarGz } from "./tar.ts";
import { copyEntry, type Entry, fileEntry, folderEntry, treeOf, withParents } from "./tree.ts";

export interface ImageFields {
  /** The folder of the tool, with its Node. */
  dir: string;
  version: string;
  /** As Node calls it: `x64`. */
  architecture: "x64" | "arm64";
  /** `airgap:0.1.0` */
  tag: string;
}

const PLATFORM = { x64: "amd64", arm64: "arm64" } as const;
/** The program that starts all others: its path is in each of them. */
const LOADER = { x64: "/lib64/ld-linux-x86-64.so.2", arm64: "/lib/ld-linux-aarch64.so.1" } as const;
/** What glibc loads by itself to resolve names, where it is not in libc yet. */
const NAME_SERVICES = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];
const HOME = "/usr/lib/airgap";
/** Nobody on a host has it. */
const USER = "65532";

/**
 * The libraries that this Node is linked to, as they lie on this machine. A container has no others.
 * @returns undefined where they cannot be told, as on musl
 */
export function librariesHere(architecture: "x64" | "arm64"): string[] | undefined {
  if (architecture !== process.arch) return undefined;
  const { sharedObjects } = process.report.getReport() as { sharedObjects?: string[] };
  const paths = (sharedObjects ?? []).filter(
    (path) => path.startsWith("/") && /\.so[.\d]*$/.test(path) && existsSync(path),
  );
  const libc = paths.find((path) => basename(path) === "libc.so.6");
  if (libc === undefined || !existsSync(LOADER[architecture])) return undefined;
  const services = NAME_SERVICES.map((name) => join(dirname(libc), name)).filter((path) => existsSync(path));
  const own = paths.filter((path) => !path.endsWith(".node"));
  return [...new Set([LOADER[architecture], ...own, ...services])];
}

function layerOf(dir: string, libraries: readonly string[]): Entry[] {
  const found = libraries.map((path): Entry => {
    const from = realpathSync(path);
    return copyEntry(path.slice(1), from, statSync(from).size, 0o755);
  });
  return withParents([
    ...treeOf(dir, HOME.slice(1)),
    ...found,
    fileEntry(
      "etc/passwd",
      `root:x:0:0:root:/:/sbin/nologin\nairgap:x:${USER}:${USER}:airgap:/tmp:/sbin/nologin\n`,
    ),
    fileEntry("etc/group", `root:x:0:\nairgap:x:${USER}:\n`),
    fileEntry("etc/nsswitch.conf", "hosts: files dns\n"),
    folderEntry("data"),
    folderEntry("tmp", 0o1777),
  ]);
}

function configOf({ version, architecture }: ImageFields, layer: Digest): Buffer {
  return Buffer.from(
    canonicalJson({
      architecture: PLATFORM[architecture],
      os: "linux",
      config: {
        User: `${USER}:${USER}`,
        ExposedPorts: { "5000/tcp": {} },
        Env: [
          "HOME=/tmp",
          "SHELL=/bin/sh",
          "MALLOC_ARENA_MAX=2",
          "MALLOC_MMAP_THRESHOLD_=131072",
          "PATH=/usr/bin:/bin",
        ],
        Entrypoint: [`${HOME}/node/bin/node`, "--max-semi-space-size=4", `${HOME}/bin/airgap.mjs`],
        Cmd: ["--help"],
        WorkingDir: "/data",
        Labels: {
          "org.opencontainers.image.title": "airgap",
          "org.opencontainers.image.version": version,
          "org.opencontainers.image.licenses": "Apache-2.0",
        },
      },
      rootfs: { type: "layers", diff_ids: [layer] },
      history: [{ created: "1980-01-01T00:00:00Z", created_by: "npm run pack" }],
      created: "1980-01-01T00:00:00Z",
    }),
  );
}

/**
 * Writes an image of one layer: the tool and the libraries, without a shell. The archive is an OCI layout that
 * `docker load` takes too.
 */
export async function writeImage(
  fields: ImageFields,
  libraries: readonly string[],
  output: string,
): Promise<void> {
  const layerFile = `${output}.layer`;
  const destination = new ArchiveDestination(output, "docker-archive");
  try {
    const diff = createHash("sha256");
    await writeTarGz(layerOf(fields.dir, libraries), "", layerFile, (chunk) => diff.update(chunk));
    const layer: Descriptor = { mediaType: MediaType.ociLayerGzip, ...(await measureFile(layerFile)) };
    const config = configOf(fields, `sha256:${diff.digest("hex")}`);
    const describe = (mediaType: string, bytes: Buffer): Descriptor => ({
      mediaType,
      digest: digestOf(bytes),
      size: bytes.length,
    });
    const manifest = Buffer.from(
      canonicalJson({
        schemaVersion: 2,
        mediaType: MediaType.ociManifest,
        config: describe(MediaType.ociConfig, config),
        layers: [layer],
      }),
    );
    const made = new MemorySource("airgap", [config, manifest]);
    await destination.push(layer, new FileSource(layerFile, layer));
    await destination.push(describe(MediaType.ociConfig, config), made);
    await destination.tag(describe(MediaType.ociManifest, manifest), fields.tag, made);
  } finally {
    await destination.close();
    await rm(layerFile, { force: true });
  }
}
