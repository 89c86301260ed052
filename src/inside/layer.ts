import { isAirgapError, messageOf } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { decompress } from "../packages/decompress.ts";
import type { Source } from "../transport/types.ts";
import { readRpmBdb } from "./bdb.ts";
import { Capture, type Captured, TooMuch } from "./capture.ts";
import { parseApkInstalled, parseDpkgStatus, parseOsRelease } from "./databases.ts";
import { readRpmNdb } from "./ndb.ts";
import type { OsPackage, OsRelease } from "./package.ts";
import { readRpmSqlite } from "./rpmdb.ts";
import { walkTar } from "./tar-walk.ts";

/** Bytes that a layer may unpack to. */
const MAX_LAYER = 512 * 2 ** 30;

/** What one file of a layer says. */
export interface FileFacts {
  packages: OsPackage[];
  os?: OsRelease;
  /** Why it could not be read. */
  unread?: string;
}

/** What one layer says, and what it hides of those below. */
export interface LayerFacts {
  hidden: string[];
  files: ReadonlyMap<string, FileFacts>;
  /** Why the layer could not be read. */
  unread?: string;
}

/**
 * Reads the package databases of a layer as it streams by; its digest is checked on the way.
 * @throws AirgapError for content that is not what its digest says, or cannot be had
 */
export async function readLayer(
  source: Source,
  layer: Descriptor,
  signal?: AbortSignal,
): Promise<LayerFacts> {
  // Without the source's name: it stands in papers that depend on the bundle's content alone.
  const what = `layer ${layer.digest}`;
  const capture = new Capture();
  let foreign: unknown;
  const bytes = (async function* () {
    try {
      yield* (await source.fetch(layer, signal ? { signal } : {})) as AsyncIterable<Buffer>;
    } catch (error) {
      foreign = error;
      throw error;
    }
  })();
  try {
    const plain = decompress(bytes, what, MAX_LAYER);
    await walkTar(plain, what, (entry) => capture.visit(entry));
    const files = new Map<string, FileFacts>();
    for (const [path, each] of capture.files) files.set(path, await factsOf(path, each, capture.files, what));
    return { hidden: [...capture.hidden], files };
  } catch (error) {
    signal?.throwIfAborted();
    // The bundle's own damage is not an image's peculiarity.
    if (
      foreign !== undefined ||
      !(error instanceof TooMuch || isAirgapError(error, "corrupt", "unsupported"))
    )
      throw foreign ?? error;
    return { hidden: [], files: new Map(), unread: messageOf(error) };
  } finally {
    capture.close();
  }
}

async function factsOf(
  path: string,
  each: Captured,
  captured: ReadonlyMap<string, Captured>,
  layer: string,
): Promise<FileFacts> {
  const what = `${path} in ${layer}`;
  const nothing: FileFacts = { packages: [] };
  if (each.unread !== undefined) return { ...nothing, unread: `${what}: ${each.unread}` };
  const text = (): string => Buffer.concat(each.parts).toString("utf8");
  try {
    switch (each.reader) {
      case "apk":
        return { packages: parseApkInstalled(text()) };
      case "dpkg":
        return { packages: parseDpkgStatus(text(), what) };
      case "os-release": {
        const os = parseOsRelease(text());
        return os ? { ...nothing, os } : nothing;
      }
      case "rpm-sqlite":
        if (path.endsWith("-wal")) {
          const alone = !captured.has(path.slice(0, -"-wal".length));
          return alone && each.size > 0
            ? { ...nothing, unread: `${what}: its database is in another layer` }
            : nothing;
        }
        return { packages: await readRpmSqlite(each.file?.path ?? "", what) };
      case "rpm-ndb":
        return { packages: readRpmNdb(each.file?.fd ?? -1, each.size, what) };
      case "rpm-bdb":
        return { packages: readRpmBdb(each.file?.fd ?? -1, each.size, what) };
    }
  } catch (error) {
    if (!isAirgapError(error, "corrupt", "environment", "disk")) throw error;
    return { ...nothing, unread: messageOf(error) };
  }
}
