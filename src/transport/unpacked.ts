import { createReadStream, createWriteStream, read } from "node:fs";
import { mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { AirgapError, messageOf } from "../errors.ts";
import { closePlainFile, openPlainFile } from "./plain-file.ts";
import { TarIndex } from "./tar-index.ts";

export interface TarOptions {
  /** The file that a compressed archive is unpacked to, as one tar; it is removed when the archive is closed. */
  cacheDir: string;
  signal?: AbortSignal | undefined;
}

const readAt = promisify(read);

type Compression = "gzip" | "zstd" | "xz" | "bzip2";

const MAGIC: [Compression, string][] = [
  ["gzip", "1f8b"],
  ["zstd", "28b52ffd"],
  ["xz", "fd377a585a00"],
  ["bzip2", "425a68"],
];
const UNPACK: Record<Compression, string> = { gzip: "gunzip", zstd: "zstd -d", xz: "unxz", bzip2: "bunzip2" };
/** The disk space that stays free when an archive is unpacked. Bytes. */
const RESERVE = 256 << 20;

/** By the first bytes; undefined when it is not compressed. */
export function compressionOf(start: Buffer): Compression | undefined {
  return MAGIC.find(([, magic]) => start.toString("hex").startsWith(magic))?.[0];
}

/**
 * Opens a tar to read it in place. A compressed one (`docker save | gzip`) has no fixed offsets: it is
 * unpacked once, beside the cache.
 * @throws AirgapError `disk`, `corrupt`, `unsupported`
 */
export async function openTar(path: string, options: TarOptions): Promise<TarIndex> {
  const compression = compressionOf(await firstBytes(path));
  if (compression === undefined) return TarIndex.open(path);
  const plain = await unpack(path, compression, options);
  try {
    const tar = await TarIndex.open(plain);
    // An open file stays readable without a name, so nothing is left behind, even after a crash.
    await rm(plain);
    return tar;
  } catch (error) {
    await rm(plain, { force: true });
    throw error;
  }
}

async function firstBytes(path: string): Promise<Buffer> {
  const file = await openPlainFile(path);
  if (file === undefined) throw new AirgapError("disk", `Cannot read the archive ${path}: no such file`);
  const { buffer, bytesRead } = await readAt(file.fd, Buffer.alloc(8), 0, 8, 0).finally(() =>
    closePlainFile(file.fd),
  );
  return buffer.subarray(0, bytesRead);
}

async function unpack(
  path: string,
  compression: Compression,
  { cacheDir, signal }: TarOptions,
): Promise<string> {
  if (compression !== "gzip" && compression !== "zstd") {
    throw new AirgapError(
      "unsupported",
      `${path} is compressed with ${compression}, which airgap cannot read`,
      {
        suggestions: [`${UNPACK[compression]} ${path}`],
      },
    );
  }
  await mkdir(cacheDir, { recursive: true });
  const plain = join(cacheDir, `unpacked-${process.pid}-${Math.random().toString(36).slice(2)}.tar`);
  const { bavail, bsize } = await statfs(cacheDir);
  const limit = bavail * bsize - RESERVE;
  const inflate = compression === "gzip" ? createGunzip() : createZstdDecompress();
  try {
    await pipeline(
      createReadStream(path),
      inflate,
      upTo(limit, path, cacheDir),
      createWriteStream(plain, { mode: 0o600 }),
      signal ? { signal } : {},
    );
    return plain;
  } catch (cause) {
    await rm(plain, { force: true });
    if (cause instanceof AirgapError || signal?.aborted) throw cause;
    throw new AirgapError("corrupt", `Cannot unpack the archive ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** A small compressed file can hold a very large one. */
function upTo(limit: number, path: string, cacheDir: string): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length;
      if (size <= limit) return done(null, chunk);
      done(
        new AirgapError(
          "disk",
          `Cannot unpack ${path}: ${cacheDir} has too little free space (it needs more than ${Math.floor(size / 2 ** 20)} MiB)`,
        ),
      );
    },
  });
}
