import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { parseListen } from "../../registry/server.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { bytesOf } from "../support/images.ts";
import { errorCode, Serving } from "../support/serve.ts";

const blob = bytesOf("blob", 5_000_000);

async function open(serving: Serving): Promise<Socket> {
  const socket = connect(Number(new URL(serving.server.url).port), "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Everything that comes until the other side ends the connection. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  await once(socket, "close");
  return text;
}

describe("hostile and unlucky clients", () => {
  it("ends a header that does not come to its end", async () => {
    await using serving = await Serving.start({ timeouts: { header: 300 } });
    const socket = await open(serving);
    const drip = setInterval(() => socket.write("x: y\r\n"), 50);
    socket.write("GET /v2/ HTTP/1.1\r\nHost: x\r\n");
    expect(await untilClosed(socket)).toContain("408 Request Timeout");
    clearInterval(drip);
  });

  it("ends an upload that has stopped, and keeps what came", async () => {
    await using serving = await Serving.start({ timeouts: { idle: 300 } });
    const location = (await serving.call("POST", "/v2/a/blobs/uploads/")).headers.location;
    const socket = await open(serving);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${"x".repeat(500)}`);
    await untilClosed(socket);
    await sleep(50);
    expect((await serving.call("GET", String(location))).headers.range).toBe("0-499");
  });

  it("ends a download that nobody reads", async () => {
    await using serving = await Serving.start({ timeouts: { idle: 300 } });
    const large = bytesOf("large", 30_000_000);
    await serving.pushBlob("a", large);
    const socket = await open(serving);
    socket.pause();
    socket.write(`GET /v2/a/blobs/${digestOf(large)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    while (!serving.log.some(({ method, error }) => method === "GET" && error)) await sleep(50);
    expect(serving.log.at(-1)?.bytes).toBeLessThan(large.length);
    socket.destroy();
  });

  it("refuses a header that is too large, what is no HTTP, and a body that is no manifest", async () => {
    await using serving = await Serving.start();
    for (const [text, answer] of [
      [`GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, "431"],
      [`GET /v2/${"a".repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, "431"],
      ["\x16\x03\x01 TLS to a plain port\r\n\r\n", "400"],
      ["GET /v2/ HTTP/1.1\r\n\r\n", "400"],
      [
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "400",
      ],
    ] as const) {
      const socket = await open(serving);
      socket.write(text);
      expect(await untilClosed(socket)).toMatch(new RegExp(`^HTTP/1.1 ${answer}`));
    }
    expect((await serving.call("GET", "/v2/")).status).toBe(200);
  });

  it("needs little memory for many clients that read slowly", async () => {
    await using serving = await Serving.start();
    await serving.pushBlob("a", blob);
    const before = process.memoryUsage().arrayBuffers;
    const sockets = await Promise.all(Array.from({ length: 300 }, () => open(serving)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(`GET /v2/a/blobs/${digestOf(blob)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
    await sleep(500);
    // Whole, these answers would be 1.5 GB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 << 20);
    expect((await serving.call("GET", `/v2/a/blobs/${digestOf(blob)}`)).body.equals(blob)).toBe(true);
    for (const socket of sockets) socket.destroy();
  });

  it("answers requests that come all at once in their order, as apt sends them", async () => {
    await using serving = await Serving.start();
    await serving.pushBlob("a", blob);
    const socket = await open(serving);
    const paths = [
      "/v2/",
      `/v2/a/blobs/${digestOf(blob)}`,
      "/v2/a/tags/list",
      `/v2/a/blobs/${digestOf(blob)}`,
      "/healthz",
    ];
    socket.write(
      paths
        .map((path, i) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${i === 4 ? "Connection: close\r\n" : ""}\r\n`)
        .join(""),
    );
    const text = await untilClosed(socket);
    const lengths = [...text.matchAll(/HTTP\/1.1 200 OK[\s\S]*?content-length: (\d+)/gi)].map(([, length]) =>
      Number(length),
    );
    expect(lengths).toEqual([2, blob.length, 22, blob.length, 15]);
    expect(text.endsWith('{"status":"ok"}')).toBe(true);
  });

  it("answers before it has read a body that it does not want", async () => {
    await using serving = await Serving.start();
    const answer = await serving.call(
      "PUT",
      `/v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000?digest=${digestOf(blob)}`,
      { body: blob },
    );
    expect(errorCode(answer)).toBe("BLOB_UPLOAD_UNKNOWN");
  });
});

describe("stopping", () => {
  it("lets answers finish and takes no new connections", async () => {
    await using serving = await Serving.start();
    await serving.pushBlob("a", blob);
    const idle = await open(serving);
    const socket = await open(serving);
    socket.pause();
    socket.write(`GET /v2/a/blobs/${digestOf(blob)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await sleep(100);
    const closing = serving.server.close();
    await sleep(100);
    const received = untilClosed(socket);
    socket.resume();
    await closing;
    expect((await received).length).toBeGreaterThan(blob.length);
    await expect(serving.call("GET", "/v2/")).rejects.toThrow(/ECONNREFUSED/);
    idle.destroy();
  });

  it("ends those that take too long", async () => {
    await using serving = await Serving.start();
    const large = bytesOf("large", 30_000_000);
    await serving.pushBlob("a", large);
    const socket = await open(serving);
    socket.pause();
    socket.write(`GET /v2/a/blobs/${digestOf(large)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await sleep(100);
    const started = Date.now();
    await serving.server.close(200);
    expect(Date.now() - started).toBeLessThan(2000);
    socket.destroy();
  });
});

describe("the address to listen on", () => {
  it.each([
    ["127.0.0.1:5000", "127.0.0.1", 5000],
    ["[::1]:443", "::1", 443],
    ["register.site", "register.site", 5000],
    ["0.0.0.0:0", "0.0.0.0", 0],
  ])("reads %s", (text, host, port) => expect(parseListen(text)).toEqual({ host, port }));

  it.each([":5000", "5000", "host:99999", "::1:5000", "http://host:1", "", "a b:1"])(
    "refuses '%s', and says how",
    (text) => {
      expect(() => parseListen(text)).toThrow(
        expect.objectContaining({
          code: "usage",
          suggestions: expect.arrayContaining([expect.stringContaining("--listen 127.0.0.1:")]),
        }),
      );
    },
  );

  it("says who has it when somebody has it", async () => {
    await using serving = await Serving.start();
    await using other = new Serving();
    await expect(other.open({ listen: serving.server.host })).rejects.toThrow(
      /something listens there already/,
    );
    await other.open();
  });
});
