import { once } from "node:events";
import { connect as connectPlain, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { makeAuthority } from "../../src/pki/certificate.ts";
import { bytesOf } from "../support/images.ts";
import { Serving } from "../support/serve.ts";

/** More than the kernel holds for two sockets. */
const large = bytesOf("large", 24_000_000);
const medium = bytesOf("medium", 1_500_000);
const small = bytesOf("small", 30_000);
const site = await makeAuthority({ commonName: "register.site", days: 1 });

/** A connection whose writes leave as one packet, each a TLS record of its own. */
class OnePacket extends Duplex {
  readonly #socket: Socket;
  #held: Buffer[] | undefined;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.push(chunk) || socket.pause());
    socket.on("close", () => this.push(null)).on("error", () => {});
  }

  hold(): void {
    this.#held = [];
  }

  release(): void {
    this.#socket.write(Buffer.concat(this.#held ?? []));
    this.#held = undefined;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#held === undefined) this.#socket.write(chunk, done);
    else {
      this.#held.push(chunk);
      done();
    }
  }
}

interface Client {
  stream: Duplex;
  /** Sends texts, each by itself but all at once. */
  send(texts: string[]): Promise<void>;
}

async function open(serving: Serving): Promise<Client> {
  const socket = connectPlain(Number(new URL(serving.server.url).port), "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  if (!serving.server.url.startsWith("https:"))
    return { stream: socket, send: async (texts) => void socket.write(texts.join("")) };
  const packet = new OnePacket(socket);
  const stream = connectTls({ socket: packet, ca: site.cert, checkServerIdentity: () => undefined });
  stream.on("error", () => {}).on("close", () => socket.destroy());
  await once(stream, "secureConnect");
  const send = async (texts: string[]): Promise<void> => {
    packet.hold();
    for (const text of texts) await new Promise((resolve) => stream.write(text, resolve));
    packet.release();
  };
  return { stream, send };
}

const request = (path: string, headers = "", method = "GET"): string =>
  `${method} ${path} HTTP/1.1\r\nHost: register.site\r\n${headers}\r\n`;

/** Everything until the server ends the connection. */
async function read({ stream }: Client): Promise<string> {
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  stream.resume();
  await new Promise((resolve) => stream.once("end", resolve).once("close", resolve));
  return text;
}

/** Splits what came over a connection into answers, as the client does that knows what it asked for. */
function answers(text: string, methods: string[] = []): { status: number; length: number }[] {
  const found: { status: number; length: number }[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at) + 4;
    const head = text.slice(at, end);
    const [, status] = /^HTTP\/1\.1 (\d+) /.exec(head) ?? [];
    if (status === undefined)
      throw new Error(`no answer begins with ${JSON.stringify(text.slice(at, at + 60))}`);
    const bodiless = methods[found.length] === "HEAD" || status === "304";
    const length = bodiless ? 0 : Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    found.push({ status: Number(status), length: Math.min(length, text.length - end) });
    at = end + length;
  }
  return found;
}

const blobPath = (bytes: Buffer): string => `/v2/a/blobs/${digestOf(bytes)}`;

async function serve(tls: boolean, timeouts = {}): Promise<Serving> {
  const filler = await Serving.start();
  for (const bytes of [large, medium, small]) await filler.pushBlob("a", bytes);
  await filler.server.close(0);
  await filler.open({ timeouts, ...(tls ? { tls: site } : {}) });
  return filler;
}

describe.each([
  ["plain", false],
  ["TLS", true],
] as const)("requests that do not wait for answers, %s", (_name, tls) => {
  it("are all answered in their order, while an earlier answer is still under way", async () => {
    await using serving = await serve(tls);
    const client = await open(serving);
    client.stream.pause();
    await client.send([request(blobPath(large))]);
    await sleep(100);
    const kinds = [
      { text: request(blobPath(small)), status: 200, length: small.length, method: "GET" },
      { text: request(blobPath(small), "", "HEAD"), status: 200, length: 0, method: "HEAD" },
      {
        text: request(blobPath(small), `If-None-Match: "${digestOf(small)}"\r\n`),
        status: 304,
        length: 0,
        method: "GET",
      },
      { text: request(blobPath(small), "Range: bytes=29000-\r\n"), status: 206, length: 1000, method: "GET" },
      {
        text: request(blobPath(small), "If-Modified-Since: Sat, 21 Nov 2026 00:00:00 GMT\r\n"),
        status: 200,
        length: small.length,
        method: "GET",
      },
      { text: request(blobPath(medium)), status: 200, length: medium.length, method: "GET" },
    ];
    const asked = Array.from({ length: 4 }, () => kinds).flat();
    await client.send(asked.map(({ text }) => text));
    await sleep(50);
    await client.send([request("/healthz", "Connection: close\r\n")]);
    const seen = answers(await read(client), ["GET", ...asked.map(({ method }) => method)]);
    expect(seen.slice(1, -1)).toEqual(asked.map(({ status, length }) => ({ status, length })));
    expect(seen.at(-1)).toEqual({ status: 200, length: 15 });
  });

  it("cost little until it is their turn", async () => {
    await using serving = await serve(tls);
    const client = await open(serving);
    client.stream.pause();
    const before = process.memoryUsage().arrayBuffers;
    await client.send([
      request(blobPath(large)),
      ...Array.from({ length: 900 }, () => `GET ${blobPath(small)} HTTP/1.1\r\nHost:x\r\n\r\n`),
    ]);
    await sleep(200);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 << 20);
    client.stream.destroy();
  });

  it("are answered before one of them is called bad", async () => {
    await using serving = await serve(tls);
    const client = await open(serving);
    client.stream.pause();
    await client.send([request(blobPath(large)), request(blobPath(small)), "no HTTP\r\n\r\n"]);
    await sleep(100);
    expect(answers(await read(client))).toEqual([
      { status: 200, length: large.length },
      { status: 200, length: small.length },
      { status: 400, length: 0 },
    ]);
  });

  it("have their time for a header when the answers before are out, not while nobody reads it", async () => {
    await using serving = await serve(tls, { header: 300 });
    const [patient, idle] = [await open(serving), await open(serving)];
    const [begin, rest] = [
      request("/healthz", "Connection: close\r\n").slice(0, 20),
      request("/healthz", "Connection: close\r\n").slice(20),
    ];
    for (const client of [patient, idle]) {
      client.stream.pause();
      await client.send([request(blobPath(large)), begin]);
    }
    await sleep(900);
    await patient.send([rest]);
    expect(answers(await read(patient))).toEqual([
      { status: 200, length: large.length },
      { status: 200, length: 15 },
    ]);
    expect(answers(await read(idle))).toEqual([
      { status: 200, length: large.length },
      { status: 408, length: 0 },
    ]);
  });
});
