import { existsSync, readFileSync, renameSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { Exchange } from "../support/exchange.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { type Hook, startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const big = bytesOf("big", 12_000_000);
const digest = digestOf(big);
const image = makeImage("one", [big, bytesOf("small", 1000)]);
const isBig = ({ target, method }: Exchange): boolean =>
  target.kind === "blob" && target.digest === digest && method === "GET";

/** Sends the first `count` bytes of what was asked, then says `then()`. */
function partly(exchange: Exchange, count: number, then: () => void): true {
  const from = Number(/^bytes=(\d+)-/.exec(exchange.header("range"))?.[1] ?? 0);
  const ranged = exchange.header("range") !== "";
  exchange.response.writeHead(ranged ? 206 : 200, {
    "content-length": big.length - from,
    ...(ranged ? { "content-range": `bytes ${from}-${big.length - 1}/${big.length}` } : {}),
  });
  exchange.response.write(big.subarray(from, from + count), then);
  return true;
}

/** A build that is stopped while the big blob is half there; what it left is in `scratch`. */
async function interrupted(registry: TestRegistry, scratch: Scratch): Promise<void> {
  fill(registry.store, "a/one", image, "1");
  scratch.spec(`images: [${registry.host}/a/one:1]`);
  const stop = new AbortController();
  const hook: Hook = (exchange) =>
    isBig(exchange) &&
    partly(exchange, 9_000_000, () => setTimeout(() => stop.abort(new Error("stopped")), 150));
  registry.hooks.push(hook);
  await expect(scratch.build({ signal: stop.signal })).rejects.toThrow("stopped");
  expect(existsSync(scratch.path("site.tar"))).toBe(false);
  expect(existsSync(scratch.path("site.tar.part"))).toBe(true);
  registry.hooks.length = 0;
  registry.seen.length = 0;
}

async function undisturbed(scratch: Scratch): Promise<Buffer> {
  await scratch.build({ output: scratch.path("plain.tar"), locked: true });
  return readFileSync(scratch.path("plain.tar"));
}

const bigRequests = (registry: TestRegistry) =>
  registry.seen.filter(({ path }) => path.endsWith(digest)).map(({ headers }) => headers["range"]);

describe("volumes", () => {
  it("resume inside a blob that goes over several of them, and become what a build at one go gives", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    const volumeSize = 2_000_000;
    fill(registry.store, "a/one", image, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    const stop = new AbortController();
    registry.hooks.push(
      (exchange) =>
        isBig(exchange) &&
        partly(exchange, 9_000_000, () => setTimeout(() => stop.abort(new Error("stopped")), 150)),
    );
    await expect(scratch.build({ signal: stop.signal, volumeSize })).rejects.toThrow("stopped");
    expect(existsSync(scratch.path("site.tar.000"))).toBe(false);
    registry.hooks.length = 0;
    registry.seen.length = 0;
    expect(await scratch.build({ volumeSize })).toMatchObject({ resumed: true });
    // Of the third stride of four mebibytes some may be lost, of those before nothing.
    const [range, ...others] = bigRequests(registry);
    expect(others).toEqual([]);
    expect(Number(/^bytes=(\d+)-/.exec(range ?? "")?.[1])).toBeGreaterThanOrEqual(8 * 2 ** 20);
    const volumes = Array.from({ length: 7 }, (_, i) => readFileSync(scratch.path(`site.tar.00${i}`)));
    expect(volumes.map(({ length }) => length).slice(0, -1)).toEqual(Array(6).fill(volumeSize));
    expect(Buffer.concat(volumes).equals(await undisturbed(scratch))).toBe(true);
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
  });
});

describe("a blob that several places have", () => {
  it("gets as many tries from each of them", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    fill(registry.store, "b/two", makeImage("two", [big]), "1");
    scratch.spec(`images: [${registry.host}/a/one:1, ${registry.host}/b/two:1]`);
    let broken = 0;
    registry.hooks.push((exchange) => {
      if (!isBig(exchange) || (exchange.url.pathname.includes("/b/two/") && broken++ >= 3)) return false;
      exchange.drop();
      return true;
    });
    await scratch.build();
    expect(broken).toBe(4);
  });
});

describe("two builds of one output", () => {
  it("never run at the same time: the second ends before it touches what the first has", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    let second: Promise<unknown> | undefined;
    registry.hooks.push((exchange) => {
      if (!isBig(exchange) || second !== undefined) return false;
      scratch.spec(`images: [${registry.host}/a/one:1]\n# changed`);
      second = scratch.build();
      second.catch(() => {}).finally(() => partly(exchange, big.length, () => exchange.response.end()));
      return true;
    });
    await scratch.build();
    await expect(second).rejects.toMatchObject({
      code: "conflict",
      exit: 3,
      message: expect.stringContaining("site.tar"),
    });
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
    expect((await scratch.build({ fresh: true })).blobs).toBe(4);
  });

  it("on two hosts that share a folder give no half bundle its name", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    registry.hooks.push((exchange) => {
      if (!isBig(exchange)) return false;
      renameSync(scratch.path("site.tar.part"), scratch.path("other"));
      scratch.write("site.tar.part", "what another host began");
      return partly(exchange, big.length, () => exchange.response.end());
    });
    await expect(scratch.build()).rejects.toMatchObject({ code: "conflict", exit: 1 });
    expect(existsSync(scratch.path("site.tar"))).toBe(false);
  });
});

describe("an interrupted build", () => {
  it("goes on inside the blob where it stopped, to the same bytes", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    await interrupted(registry, scratch);
    expect((await scratch.build()).resumed).toBe(true);
    expect(bigRequests(registry)).toEqual([expect.stringMatching(/^bytes=(?:8|9)\d{6}-11999999$/)]);
    expect(readFileSync(scratch.path("site.tar")).equals(await undisturbed(scratch))).toBe(true);
    expect(existsSync(scratch.path("site.tar.part"))).toBe(false);
    expect(existsSync(scratch.path("site.tar.part.json"))).toBe(false);
  });

  it("asks no tag again", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    await interrupted(registry, scratch);
    fill(registry.store, "a/one", makeImage("newer", [bytesOf("newer", 100)]), "1");
    await scratch.build();
    expect(registry.seen.some(({ path }) => path.endsWith("/manifests/1"))).toBe(false);
  });

  it("starts anew with --fresh", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    await interrupted(registry, scratch);
    fill(registry.store, "a/one", makeImage("newer", [bytesOf("newer", 100)]), "1");
    expect((await scratch.build({ fresh: true })).blobs).toBe(3);
  });

  it("believes nothing that it has not hashed", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    await interrupted(registry, scratch);
    const part = readFileSync(scratch.path("site.tar.part"));
    const at = part.indexOf(big.subarray(0, 64));
    expect(at).toBeGreaterThan(0);
    part.fill(0xff, at + 1000, at + 2000);
    scratch.write("site.tar.part", part);
    await scratch.build();
    expect(bigRequests(registry)).toHaveLength(2);
    expect(readFileSync(scratch.path("site.tar")).equals(await undisturbed(scratch))).toBe(true);
  });

  const servers: [string, (exchange: Exchange) => boolean][] = [
    ["ignores Range", (exchange) => exchange.send(200, {}, big)],
    [
      "sends 206 from the wrong offset",
      (exchange) =>
        exchange.header("range")
          ? exchange.send(206, { "content-range": `bytes 0-${big.length - 1}/${big.length}` }, big)
          : exchange.send(200, {}, big),
    ],
    [
      "lies about the range it sends",
      (exchange) => {
        const from = Number(/^bytes=(\d+)-/.exec(exchange.header("range"))?.[1] ?? 0);
        if (from === 0) return exchange.send(200, {}, big);
        return exchange.send(
          206,
          { "content-range": `bytes ${from}-${big.length - 1}/${big.length}` },
          Buffer.alloc(big.length - from, 1),
        );
      },
    ],
    [
      "answers in chunks without a length",
      (exchange) => {
        exchange.response.writeHead(200);
        exchange.response.end(big);
        return true;
      },
    ],
  ];
  it.each(servers)("ends right with a server that %s", async (_, misbehave) => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    await interrupted(registry, scratch);
    registry.hooks.push((exchange) => isBig(exchange) && misbehave(exchange));
    await scratch.build();
    registry.hooks.length = 0;
    expect(readFileSync(scratch.path("site.tar")).equals(await undisturbed(scratch))).toBe(true);
  });

  it("takes a blob whole again when the redirect of the first try has expired", async () => {
    await using registry = await startRegistry();
    await using storage = await startRegistry();
    using scratch = new Scratch();
    await interrupted(registry, scratch);
    let tries = 0;
    registry.hooks.push(
      (exchange) =>
        isBig(exchange) && exchange.send(307, { location: `${storage.url}/signed?try=${++tries}` }),
    );
    storage.hooks.push((exchange) => {
      if (exchange.query("try") === "1") return exchange.send(403, {}, "expired");
      expect(exchange.header("authorization")).toBe("");
      return partly(exchange, big.length, () => exchange.response.end());
    });
    await scratch.build();
    expect(tries).toBeGreaterThan(1);
    registry.hooks.length = 0;
    expect(readFileSync(scratch.path("site.tar")).equals(await undisturbed(scratch))).toBe(true);
  });

  it("survives connections that break in the middle, again and again", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    let breaks = 0;
    registry.hooks.push(
      (exchange) =>
        isBig(exchange) &&
        ++breaks < 5 &&
        partly(exchange, 2_000_000, () => exchange.request.socket.destroy()),
    );
    await scratch.build();
    expect(breaks).toBe(5);
    expect(readFileSync(scratch.path("site.tar")).equals(await undisturbed(scratch))).toBe(true);
  });

  it("names the origin that gives other bytes for a digest, and writes no bundle", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image, "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    registry.hooks.push((exchange) => isBig(exchange) && exchange.send(200, {}, Buffer.alloc(big.length, 7)));
    await expect(scratch.build()).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(`docker://${registry.host}/a/one`),
    });
    expect(existsSync(scratch.path("site.tar"))).toBe(false);
  });
});
