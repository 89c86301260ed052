import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Http } from "../../src/http.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { UrlSource } from "../../src/transport/url.ts";

const content = Buffer.from("0123456789".repeat(20_000));
const descriptor = { mediaType: "application/octet-stream", digest: digestOf(content), size: content.length };
const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((server) => void server.close()));

/** A mirror: with or without ranges, and one that hangs up after so many bytes. */
async function mirror(options: {
  ranges: boolean;
  breakAfter?: number;
  bytes?: Buffer;
}): Promise<{ url: string; asked: string[] }> {
  const { ranges, breakAfter, bytes = content } = options;
  const asked: string[] = [];
  const server = createServer((req, res) => {
    const [, from = "0", to = ""] = /bytes=(\d+)-(\d*)/.exec(req.headers.range ?? "") ?? [];
    asked.push(req.headers.range ?? "");
    const start = ranges ? Number(from) : 0;
    const part = bytes.subarray(start, ranges && to !== "" ? Number(to) + 1 : undefined);
    res.writeHead(ranges && req.headers.range ? 206 : 200, {
      "content-length": part.length,
      ...(ranges && req.headers.range
        ? { "content-range": `bytes ${start}-${start + part.length - 1}/${bytes.length}` }
        : {}),
    });
    if (breakAfter === undefined || part.length <= breakAfter) return void res.end(part);
    res.write(part.subarray(0, breakAfter), () => setTimeout(() => res.destroy(), 20));
  });
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`, asked };
}

async function read(places: string[], range?: { offset: number; length?: number }): Promise<Buffer> {
  const http = new Http({ retries: 0 });
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of await new UrlSource({ places, descriptor, http }).fetch(
      descriptor,
      range ? { range } : {},
    ))
      chunks.push(chunk as Buffer);
  } finally {
    await http.close();
  }
  return Buffer.concat(chunks);
}

test("goes on where a transfer broke off", async () => {
  const { url, asked } = await mirror({ ranges: true, breakAfter: 90_000 });
  expect((await read([url])).equals(content)).toBe(true);
  expect(asked.length).toBe(3);
  expect(asked[0]).toBe("");
});

test("asks the next place where one has nothing, and reads ranges from servers that know none", async () => {
  const dead = "http://127.0.0.1:1/x";
  const { url } = await mirror({ ranges: false });
  expect((await read([dead, url])).equals(content)).toBe(true);
  expect((await read([url], { offset: 15, length: 10 })).toString()).toBe("5678901234");
});

test("other content, and content that is too long, is never handed out whole", async () => {
  const other = await mirror({ ranges: true, bytes: Buffer.from(content.toString().replace("9", "8")) });
  await expect(read([other.url])).rejects.toMatchObject({ code: "corrupt" });
  const long = await mirror({ ranges: true, bytes: Buffer.concat([content, Buffer.from("x")]) });
  await expect(read([long.url])).rejects.toMatchObject({ code: "corrupt" });
});
