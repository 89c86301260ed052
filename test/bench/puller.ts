/** A client that reads all images and throws them away: as little work as can be, so that the server is what is measured. */

import { TlsTrust } from "../../src/tls.ts";
import { LaneSocket } from "../../src/transport/registry/lane-socket.ts";
import { TAG } from "./corpus.ts";

const [host = "", ...repositories] = process.argv.slice(2);
const CONNECTIONS = 8;
const tls = new TlsTrust({});

async function get(socket: LaneSocket, path: string, sink: (chunk: Uint8Array) => void): Promise<void> {
  const url = new URL(path, `http://${host}`);
  const accept = { accept: "application/vnd.oci.image.manifest.v1+json" };
  const length = (head: { status: number; headers: Record<string, string> }): number => {
    if (head.status !== 200) throw new Error(`${path}: HTTP ${head.status}`);
    return Number(head.headers["content-length"]);
  };
  await socket.get(url, accept, length, sink);
}

const todo = new Map<string, string>();
const first = new LaneSocket(new URL(`http://${host}`), tls);
for (const repository of repositories) {
  const chunks: Buffer[] = [];
  await get(first, `/v2/${repository}/manifests/${TAG}`, (chunk) => void chunks.push(Buffer.from(chunk)));
  const { config, layers } = JSON.parse(Buffer.concat(chunks).toString()) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  for (const { digest } of [config, ...layers])
    if (!todo.has(digest)) todo.set(digest, `/v2/${repository}/blobs/${digest}`);
}
const paths = [...todo.values()];
let bytes = 0;
const count = (chunk: Uint8Array): void => {
  bytes += chunk.length;
};
await Promise.all(
  Array.from({ length: CONNECTIONS }, async (_, i) => {
    const socket = i === 0 ? first : new LaneSocket(new URL(`http://${host}`), tls);
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) await get(socket, path, count);
    socket.destroy();
  }),
);
process.stdout.write(`${bytes} bytes of ${todo.size} blobs\n`);
