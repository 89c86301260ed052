import { createReadStream, createWriteStream, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";

/** Everything below a folder, by path, in a fixed order. */
function walk(dir: string, below = ""): string[] {
  return readdirSync(join(dir, below))
    .toSorted()
    .flatMap((name) => {
      const path = below === "" ? name : `${below}/${name}`;
      return lstatSync(join(dir, path)).isDirectory() ? walk(dir, path) : [path];
    });
}

/**
 * Writes a folder as a tar.gz whose entries are below `prefix/`: owner 0, time 0, modes 0755 and
 * 0644, symbolic links kept. The same folder and Node give the same bytes.
 */
export async function archiveFolder(dir: string, prefix: string, output: string): Promise<void> {
  const tar = pack();
  const written = pipeline(tar, createGzip({ level: 6 }), createWriteStream(output));
  for (const path of walk(dir)) {
    const stat = lstatSync(join(dir, path));
    const header = {
      name: `${prefix}/${path}`,
      mtime: new Date(0),
      uid: 0,
      gid: 0,
      mode: stat.mode & 0o100 ? 0o755 : 0o644,
    };
    if (stat.isSymbolicLink())
      tar.entry({ ...header, type: "symlink", linkname: readlinkSync(join(dir, path)) });
    else await pipeline(createReadStream(join(dir, path)), tar.entry({ ...header, size: stat.size }));
  }
  tar.finalize();
  await written;
}
