import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";
import type { Entry } from "./tree.ts";

const NAME = 100;
const PREFIX = 155;

/** Whether a ustar header holds the name. dpkg refuses the extensions that others use for longer ones. */
function fits(name: string): boolean {
  if (Buffer.byteLength(name) <= NAME) return true;
  for (let at = name.indexOf("/"); at > 0; at = name.indexOf("/", at + 1))
    if (at <= PREFIX && Buffer.byteLength(name.slice(at + 1)) <= NAME) return true;
  return false;
}

/**
 * Writes entries as a tar.gz: owner 0, time 0.
 * @param prefix before each path: `./` as dpkg has it
 * @param onTar sees the bytes of the tar before they are compressed
 */
export async function writeTarGz(
  entries: readonly Entry[],
  prefix: string,
  file: string,
  onTar: (chunk: Buffer) => void = () => {},
): Promise<void> {
  const tar = pack();
  async function* seen(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      onTar(chunk);
      yield chunk;
    }
  }
  const written = pipeline(tar, seen, createGzip({ level: 6 }), createWriteStream(file));
  for (const { path, kind, mode, size, target, read } of entries) {
    const name = `${prefix}${path}${kind === "folder" ? "/" : ""}`;
    if (!fits(name)) throw new Error(`${name} is too long a name for a package`);
    const header = { name, mode, uid: 0, gid: 0, uname: "root", gname: "root", mtime: new Date(0) };
    if (kind === "folder") tar.entry({ ...header, type: "directory" });
    else if (kind === "link") tar.entry({ ...header, type: "symlink", linkname: target ?? "" });
    else await pipeline(read?.() ?? [], tar.entry({ ...header, type: "file", size }));
  }
  tar.finalize();
  await written;
}
