import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Event } from "../../src/events.ts";
import { Http, HttpClients } from "../../src/http.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { backoffMs, MAX_WAIT_MS, retryAfterMs, Tries } from "../../src/retry.ts";
import { fixedCredentials } from "../../src/transport/credentials.ts";
import { UrlSource } from "../../src/transport/url.ts";
import { cli } from "../support/cli.ts";
import type { Exchange } from "../support/exchange.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";
import { openRegistries, sourceOf } from "../support/transport.ts";

const content = bytesOf("layer", 100_000);
const image = makeImage("app", [content]);
const layer = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: digestOf(content),
  size: content.length,
};

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});
async function serve(answer: RequestListener): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const timed = async <T>(work: Promise<T>): Promise<{ ms: number; error: Error | undefined }> => {
  const startedAt = performance.now();
  const error = await work.then(
    () => undefined,
    (reason: Error) => reason,
  );
  return { ms: performance.now() - startedAt, error };
};

async function drain(chunks: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of chunks);
}

const fails = (exchange: Exchange): true => exchange.fail(500, "UNKNOWN", "broken");

describe("Tries", () => {
  const error = (code: string) => Object.assign(new Error(code), { code });
  const count = (setback: Parameters<Tries["next"]>[0], retries?: number): number => {
    const tries = new Tries({ what: "x", ...(retries === undefined ? {} : { retries }) });
    while (tries.next(setback) !== undefined);
    return tries.failed;
  };

  it("are five in all, three where nobody can be connected to, one with a certificate that is not believed", () => {
    expect(count({ reason: "HTTP 500" })).toBe(5);
    expect(count({ reason: "", error: error("ECONNRESET") })).toBe(5);
    expect(count({ reason: "", error: error("ECONNREFUSED") })).toBe(3);
    expect(count({ reason: "", error: new Error("fetch", { cause: error("ENOTFOUND") }) })).toBe(3);
    expect(count({ reason: "", error: new AggregateError([error("ECONNREFUSED")]) })).toBe(3);
    expect(count({ reason: "", error: error("CERT_HAS_EXPIRED") })).toBe(1);
    expect(count({ reason: "" }, 0)).toBe(1);
  });

  it("take less than 20 s with the longest waits", () => {
    const waits = [1, 2, 3, 4].map((attempt) => backoffMs(attempt));
    expect(waits.reduce((sum, wait) => sum + wait, 0)).toBeLessThan(10_000);
    expect(waits[3]).toBeGreaterThan(waits[0] as number);
  });

  it.each([
    ["7", 7000],
    [" 0 ", 0],
    [new Date(10_000).toUTCString(), 9000],
    [new Date(500).toUTCString(), 0],
    ["soon", undefined],
    [undefined, undefined],
  ])("read Retry-After: %s", (value, ms) => {
    expect(retryAfterMs(value, 1000)).toBe(ms);
  });

  it("honour Retry-After within bounds, and end where it asks for more", () => {
    const next = (retryAfter: string) => new Tries({ what: "x" }).next({ reason: "HTTP 429", retryAfter });
    expect(next("30")).toBe(30_000);
    expect(next(String(MAX_WAIT_MS / 1000))).toBe(MAX_WAIT_MS);
    expect(next("3600")).toBeUndefined();
  });
});

describe("a blob that always answers 500", () => {
  it("is asked 6 times at most, and the user hears of it within 20 s", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/app", image, "1");
    registry.hooks.push((exchange) =>
      exchange.target.kind === "blob" && exchange.target.digest === layer.digest
        ? exchange.fail(500, "UNKNOWN", "broken")
        : undefined,
    );
    scratch.spec(`images: [${registry.host}/a/app:1]`);
    const { code, stderr } = await cli(["build", scratch.path("site.yaml"), "-o", scratch.path("x.tar")], {
      AIRGAP_CACHE_DIR: scratch.path("cache"),
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/Error: .*HTTP 500/);
    // Nothing is told after the error.
    expect(stderr.slice(stderr.indexOf("Error: "))).not.toMatch(/Retrying|destroyed/);
    const asked = registry.seen.filter(({ path }) => path.endsWith(layer.digest)).length;
    expect(asked).toBeGreaterThan(1);
    expect(asked).toBeLessThanOrEqual(6);
  }, 20_000);

  it.each([
    ["answers 500", fails],
    [
      "breaks off at once",
      (exchange: Exchange) => {
        exchange.drop();
        return true as const;
      },
    ],
  ])(
    "counts the same where it %s, behind a mirror too",
    async (_, answer) => {
      await using registry = await startRegistry();
      await using mirror = await startRegistry({ address: "127.0.0.2" });
      using scratch = new Scratch();
      for (const each of [registry, mirror]) {
        fill(each.store, "a/app", image, "1");
        each.hooks.push((exchange) => (exchange.label === "GET blob" ? answer(exchange) : undefined));
      }
      scratch.spec(
        `sources: { "${registry.host}": { mirrors: ["${mirror.host}", "${registry.host}"] } }\nimages: [${registry.host}/a/app:1]`,
      );
      await expect(scratch.build()).rejects.toMatchObject({ code: "network" });
      for (const each of [registry, mirror])
        expect(each.seen.filter(({ path }) => path.endsWith(layer.digest)).length).toBeLessThanOrEqual(6);
    },
    40_000,
  );
});

describe("a registry that always fails", () => {
  it("is asked for a manifest 5 times", async () => {
    await using registry = await startRegistry();
    registry.hooks.push((exchange) => (exchange.label === "GET manifest" ? fails(exchange) : undefined));
    await using opened = openRegistries();
    await expect(opened.registries.source(registry.host, "a/app").resolve("1")).rejects.toMatchObject({
      code: "network",
    });
    expect(registry.count("GET manifest")).toBe(5);
    expect(opened.events.filter(({ type }) => type === "retry")).toHaveLength(4);
  }, 20_000);

  it("is asked for a token 5 times", async () => {
    let tokens = 0;
    await using registry = await startRegistry({
      hooks: [
        (exchange) => {
          if (exchange.url.pathname === "/token") return ++tokens > 0 && fails(exchange);
          return exchange.send(401, {
            "www-authenticate": `Bearer realm="http://${exchange.url.host}/token",service="a"`,
          });
        },
      ],
    });
    await using opened = openRegistries({
      credentials: fixedCredentials({ [registry.host]: { username: "a", password: "b" } }),
    });
    await expect(opened.registries.source(registry.host, "a/app").resolve("1")).rejects.toThrow(/HTTP 500/);
    expect(tokens).toBe(5);
  }, 20_000);

  it("takes an upload in no way, after few requests", async () => {
    await using registry = await startRegistry();
    registry.hooks.push((exchange) =>
      ["PUT upload", "PATCH upload"].includes(exchange.label) ? fails(exchange) : undefined,
    );
    await using opened = openRegistries();
    const { ms, error } = await timed(
      opened.registries.destination(registry.host, "a/app").push(layer, sourceOf(image)),
    );
    expect(error?.message).toMatch(/was not sent; every way to upload failed/);
    expect(ms).toBeLessThan(20_000);
    expect(registry.count("PUT upload") + registry.count("PATCH upload")).toBeLessThanOrEqual(6);
  }, 30_000);
});

describe("a host that nobody can connect to", () => {
  it("is tried 3 times, within 3 s", async () => {
    const { url } = await serve(() => {});
    for (const server of servers.splice(0)) server.close();
    const events: Event[] = [];
    const http = new Http({ emit: (event) => events.push(event) });
    const { ms, error } = await timed(http.request(url));
    expect(error).toMatchObject({ code: "network", message: expect.stringMatching(/3 tries.*ECONNREFUSED/) });
    expect(ms).toBeLessThan(3000);
    expect(events).toHaveLength(2);
    await http.close();
  });

  it("makes a repository's error name its id", async () => {
    using scratch = new Scratch();
    scratch.spec(
      `packages: [{ name: p, format: rpm, for: [rocky-9], arch: x86_64, install: [x], repositories: [{ id: base-os, baseurl: "http://127.0.0.1:1/r" }] }]`,
    );
    const { ms, error } = await timed(scratch.build());
    expect(error?.message).toMatch(
      /^Repository base-os: GET http:\/\/127\.0\.0\.1:1\/r\/repodata\/repomd\.xml/,
    );
    expect(ms).toBeLessThan(5000);
  });
});

describe("closing a client", () => {
  it("ends waits and requests at once, and nothing more is told", async () => {
    const { url, asked } = await serve((request, response) => {
      if (request.url === "/busy") response.writeHead(503, { "retry-after": "30" }).end();
    });
    const events: Event[] = [];
    const http = new Http({ emit: (event) => events.push(event) });
    const all = ["/busy", "/busy", "/silent"].map((path) => timed(http.request(url + path)));
    await expect.poll(() => asked.length).toBe(3);
    await expect.poll(() => events.length).toBe(2);
    await http.close();
    for (const { ms, error } of await Promise.all(all)) {
      expect(error).toMatchObject({ code: "interrupted" });
      expect(ms).toBeLessThan(5000);
    }
    await expect(http.request(url)).rejects.toMatchObject({ code: "interrupted" });
    expect([asked.length, events.length]).toEqual([3, 2]);
  });

  it("gives no new client to work that is still under way", async () => {
    const clients = new HttpClients();
    await clients.close();
    expect(() => clients.for()).toThrow(/ended/);
    const opened = openRegistries();
    await opened.registries.close();
    expect(() => opened.registries.source("h.test", "a/b")).toThrow(/ended/);
  });

  it("ends the fast lane's transfers too", async () => {
    await using registry = await startRegistry();
    registry.hooks.push((exchange) => {
      if (exchange.label !== "GET blob") return undefined;
      exchange.response.writeHead(200, { "content-length": layer.size }).write(content.subarray(0, 1000));
      return true;
    });
    const opened = openRegistries();
    let came = 0;
    const count = (chunk: Uint8Array): void => {
      came += chunk.length;
    };
    const source = opened.registries.source(registry.host, "a/app");
    const writing = timed(source.writeTo(layer, { offset: 0 }, count));
    await expect.poll(() => came).toBe(1000);
    await opened.registries.close();
    const { error } = await writing;
    expect(error).toMatchObject({ code: "interrupted" });
    expect(registry.count("GET blob")).toBe(1);
  });
});

describe("a body that comes too slowly", () => {
  /** Sends a byte every 20 ms for ever. */
  const trickle: RequestListener = (_, response) => {
    response.writeHead(200, { "content-length": 1_000_000 });
    const timer = setInterval(() => response.write("x"), 20);
    response.on("close", () => clearInterval(timer));
  };

  it("breaks off, for whoever reads it whole or by pieces", async () => {
    const { url } = await serve(trickle);
    const http = new Http({ retries: 0, windowMs: 300 });
    const whole = await timed((await http.request(url)).bytes(64 * 1024));
    expect(whole.error).toMatchObject({
      code: "network",
      message: expect.stringMatching(/not complete after/),
    });
    const pieces = await timed(drain((await http.request(url)).chunks()));
    expect(pieces.error?.message).toMatch(/only \d+ bytes came/);
    for (const { ms } of [whole, pieces]) expect(ms).toBeLessThan(3000);
    await http.close();
  });

  it("is followed by the next place", async () => {
    const slow = await serve(trickle);
    const good = await serve((_, response) => response.end(content));
    const http = new Http({ retries: 0, windowMs: 300 });
    const source = new UrlSource({ places: [slow.url, good.url], descriptor: layer, http });
    // The digest is wrong after bytes of another content, so that the whole is what matters here.
    await expect(drain(await source.fetch(layer))).rejects.toMatchObject({ code: "corrupt" });
    expect(good.asked).toHaveLength(1);
    await http.close();
  });

  it("does not count the time that the reader takes", async () => {
    const { url } = await serve((_, response) => response.end(Buffer.alloc(10)));
    const http = new Http({ retries: 0, windowMs: 100 });
    for await (const _ of (await http.request(url)).chunks())
      await new Promise((done) => setTimeout(done, 300));
    await http.close();
  });
});
