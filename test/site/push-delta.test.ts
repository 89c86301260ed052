import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer } from "../../registry/server.ts";
import { writeReceipt } from "../../src/bundle/receipt.ts";
import { push } from "../../src/site/push/push.ts";
import { takeReceipt } from "../../src/site/receipt.ts";
import { serve } from "../../src/site/serve/serve.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
const path = (name: string): string => scratch.path(name);
const [shared, first, second] = [
  bytesOf("shared", 30_000),
  bytesOf("first", 20_000),
  bytesOf("second", 25_000),
];
let upstream: Awaited<ReturnType<typeof startRegistry>>;

beforeAll(async () => {
  upstream = await startRegistry();
  fill(upstream.store, "a/one", makeImage("one", [shared, first]), "1");
  fill(upstream.store, "a/kept", makeImage("kept", [first]), "1");
  fill(upstream.store, "a/two", makeImage("two", [shared, second]), "2");
  const spec = (...images: string[]) =>
    scratch.spec(`images: [${images.map((name) => `"${upstream.host}/${name}"`).join(", ")}]`);
  spec("a/one:1", "a/kept:1");
  await scratch.build({ output: path("old.tar") });
  spec("a/two:2", "a/kept:1");
  await scratch.build({ output: path("full.tar") });
  await scratch.build({ output: path("delta.tar"), since: path("old.tar") });
});
afterAll(async () => {
  await upstream[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const pushed = (bundle: string, target: string, more: Partial<Parameters<typeof push>[0]> = {}) =>
  push({
    bundle: path(bundle),
    target,
    layout: "path",
    map: [],
    dryRun: false,
    repair: false,
    yes: false,
    insecure: true,
    emit: () => {},
    ...more,
  });

describe("push of a delta", () => {
  it("takes what it counts on from the target: nothing that is there is sent", async () => {
    await using target = await startRegistry();
    await pushed("old.tar", target.host);
    const { images, totals } = await pushed("delta.tar", target.host);
    expect(images.map(({ name, state }) => [name.replace(/^[^/]*\//, ""), state])).toEqual([
      ["a/kept:1", "present"],
      ["a/two:2", "pushed"],
    ]);
    // The layer that both images have is mounted, though the new bundle does not know the old image any more.
    expect(totals).toMatchObject({ mounted: { blobs: 1 }, sent: { blobs: 2 } });
    await using other = await startRegistry();
    await pushed("full.tar", other.host);
    expect((await pushed("full.tar", target.host)).images.every(({ state }) => state === "present")).toBe(
      true,
    );
  });

  it("is refused with the list before the first byte when the target lacks something", async () => {
    await using target = await startRegistry();
    const error = await pushed("delta.tar", target.host).then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code: "check-failed", exit: 3 });
    const missing = error.data.missing as { digest: string; repositories: string[] }[];
    expect(missing.flatMap(({ repositories }) => repositories)).toEqual(
      expect.arrayContaining(["a/two", "a/kept"]),
    );
    expect(await pushed("delta.tar", target.host, { opening: { bases: [path("old.tar")] } })).toMatchObject({
      images: [{ state: "pushed" }, { state: "pushed" }],
    });
  });
});

describe("serve", () => {
  it("gives out a delta together with its base, and refuses it alone", async () => {
    const serving = (bundles: string[], signal: AbortSignal, line: (text: string) => void) =>
      serve({
        bundles: bundles.map(path),
        listen: "127.0.0.1:0",
        selfSigned: false,
        tlsNames: [],
        anonymousWrites: false,
        say: () => {},
        line,
        emit: () => {},
        signal,
      });
    await expect(serving(["delta.tar"], new AbortController().signal, () => {})).rejects.toMatchObject({
      exit: 3,
    });
    const stop = new AbortController();
    const started = Promise.withResolvers<string>();
    const running = serving(["old.tar", "delta.tar"], stop.signal, started.resolve);
    const url = await started.promise;
    const host = upstream.host.replace(":", "-");
    for (const name of ["two/manifests/2", "kept/manifests/1", "one/manifests/1"]) {
      const answer = await fetch(`${url}/v2/${host}/a/${name}`, { headers: { accept: "*/*" } });
      expect(answer.status).toBe(200);
      const { layers } = (await answer.json()) as { layers: { digest: string; size: number }[] };
      for (const { digest, size } of layers) {
        const blob = await fetch(`${url}/v2/${host}/a/${name.split("/")[0]}/blobs/${digest}`);
        expect((await blob.arrayBuffer()).byteLength).toBe(size);
      }
    }
    stop.abort();
    await running;
  });
});

/** A registry of ours that is pushed to. */
async function storeOf(store: string): Promise<AsyncDisposable & { host: string }> {
  const server = await startServer({ listen: "127.0.0.1:0", store });
  return { host: new URL(server.url).host, [Symbol.asyncDispose]: () => server.close() };
}

describe("a receipt", () => {
  it("of a registry says what the bundle's push has left there, and makes the same delta", async () => {
    using folder = new Scratch();
    await using target = await storeOf(folder.dir);
    await pushed("old.tar", target.host);
    const receipt = await takeReceipt({ subjects: [target.host], insecure: true, emit: () => {} });
    const old = await takeReceipt({ subjects: [path("old.tar")], emit: () => {} });
    expect(receipt.blobs).toEqual(old.blobs);
    expect(receipt.images).toEqual([`${target.host}/a/kept:1`, `${target.host}/a/one:1`]);
    writeReceipt(path("receipt.json"), receipt);
    const { delta } = await scratch.build({ output: path("by-receipt.tar"), since: path("receipt.json") });
    expect(delta?.blobs).toBeGreaterThan(0);
    const { totals } = await pushed("by-receipt.tar", target.host);
    expect(totals).toMatchObject({ mounted: { blobs: 1 }, sent: { blobs: 2 } });
  });

  it("of several bundles has the blobs of all, and of a prefix only what lies below it", async () => {
    const both = await takeReceipt({ subjects: [path("old.tar"), path("delta.tar")], emit: () => {} });
    const full = await takeReceipt({ subjects: [path("full.tar")], emit: () => {} });
    const digests = new Set(both.blobs.map(({ digest }) => digest));
    expect(full.blobs.every(({ digest }) => digests.has(digest))).toBe(true);
    using folder = new Scratch();
    await using target = await storeOf(folder.dir);
    await pushed("old.tar", `${target.host}/x`);
    expect(
      (await takeReceipt({ subjects: [`${target.host}/y`], insecure: true, emit: () => {} })).blobs,
    ).toEqual([]);
    expect(
      (await takeReceipt({ subjects: [`${target.host}/x`], insecure: true, emit: () => {} })).images,
    ).toHaveLength(2);
  });
});
