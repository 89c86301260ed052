import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { AIRGAP } from "../support/cli.ts";
import { Daemon, freePort } from "../support/daemon.ts";
import { Scratch } from "../support/scratch.ts";
import { type Answer, call, errorCode } from "../support/serve.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

/** A server whose store is on a disk of 3 MiB, in a mount namespace of its own. */
async function serveSmall(name: string): Promise<{ url: string; port: number; daemon: Daemon }> {
  const port = await freePort();
  const disk = scratch.path(name);
  mkdirSync(disk);
  const script = 'mount -t tmpfs -o size=3m none "$1" && exec "$0" serve --store "$1/store" --listen "$2"';
  const url = `http://127.0.0.1:${port}`;
  const args = ["-rm", "sh", "-c", script, AIRGAP, disk, `127.0.0.1:${port}`];
  const ready = async (): Promise<boolean> => (await call(`${url}/healthz`, "GET")).status === 200;
  return { url, port, daemon: await Daemon.start("unshare", args, ready) };
}

const push = (url: string, blob: Buffer): Promise<Answer> =>
  call(`${url}/v2/a/blobs/uploads/?digest=${digestOf(blob)}`, "POST", { body: blob });

/** Sends the beginning of a chunk and goes away. */
async function abandon(port: number, location: string, bytes: Buffer): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes.length + 1}\r\n\r\n`);
  await new Promise((resolve) => socket.write(bytes, resolve));
  await new Promise((resolve) => setTimeout(resolve, 500));
  await new Promise((resolve) => socket.once("close", resolve).destroy());
}

describe("a disk that is full", () => {
  it("has its space back after an upload that did not fit", async () => {
    const { url, daemon } = await serveSmall("whole");
    await using _ = daemon;
    for (let i = 0; i < 3; i++) expect((await push(url, randomBytes(8_000_000))).status).toBe(507);
    const session = String((await call(`${url}/v2/a/blobs/uploads/`, "POST")).headers.location);
    const chunk = await call(url + session, "PATCH", { body: randomBytes(8_000_000) });
    expect(chunk.status).toBe(507);
    const again = await call(url + session, "GET");
    expect([again.status, errorCode(again)]).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
    expect((await push(url, randomBytes(2_500_000))).status).toBe(201);
  });

  it("takes the space of abandoned uploads, and leaves the ones that are under way", async () => {
    const { url, port, daemon } = await serveSmall("abandoned");
    await using _ = daemon;
    const begin = async (): Promise<string> =>
      String((await call(`${url}/v2/a/blobs/uploads/`, "POST")).headers.location);
    const [old, young] = [await begin(), await begin()];
    await abandon(port, old, randomBytes(1_500_000));
    await abandon(port, young, randomBytes(1_000_000));
    expect((await push(url, randomBytes(1_200_000))).status).toBe(201);
    expect((await call(url + old, "GET")).status).toBe(404);
    expect((await call(url + young, "GET")).headers.range).toBe("0-999999");
  });
});
