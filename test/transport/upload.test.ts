import { describe, expect, it } from "vitest";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { fixedCredentials } from "../../src/transport/credentials.ts";
import { MemorySource } from "../../src/transport/memory.ts";
import { basicAuth, tokenAuth } from "../support/auth.ts";
import type { Exchange } from "../support/exchange.ts";
import { bytesOf } from "../support/images.ts";
import { type Hook, startRegistry } from "../support/registry.ts";
import { openRegistries } from "../support/transport.ts";

const big = bytesOf("big", 3_000_000);
const small = bytesOf("small", 1000);
const describe_ = (bytes: Buffer): Descriptor => ({
  mediaType: MediaType.ociLayerGzip,
  digest: digestOf(bytes),
  size: bytes.length,
});
const source = new MemorySource("memory:test", [big, small]);

/** Misbehaves while `wrong` says so. */
const when =
  (wrong: (exchange: Exchange) => boolean, how: (exchange: Exchange) => boolean | Promise<boolean>): Hook =>
  (exchange) =>
    wrong(exchange) ? how(exchange) : undefined;
const label = (text: string) => (exchange: Exchange) => exchange.label === text;
const once = (condition: (exchange: Exchange) => boolean) => {
  let met = false;
  return (exchange: Exchange): boolean => {
    if (met || !condition(exchange)) return false;
    met = true;
    return true;
  };
};
/** Reads this many bytes of a body, then breaks the connection off. */
const breakAfter = (bytes: number) => async (exchange: Exchange) => {
  let seen = 0;
  for await (const chunk of exchange.request as AsyncIterable<Buffer>) {
    seen += chunk.length;
    if (seen >= bytes) break;
  }
  return exchange.drop();
};

async function push(hooks: Hook[], bytes = big, options: Parameters<typeof openRegistries>[0] = {}) {
  await using registry = await startRegistry({ hooks });
  await using opened = openRegistries({ retries: 2, ...options });
  const destination = opened.registries.destination(registry.host, "a/app");
  const pushed = await destination.push(describe_(bytes), source);
  const stored = registry.store.repositories.get("a/app")?.blobs.get(describe_(bytes).digest);
  return {
    registry,
    pushed,
    whole: stored?.equals(bytes) === true,
    labels: registry.seen.map((seen) => seen.label),
    destination,
    events: opened.events,
  };
}

describe("the upload of a blob", () => {
  it("is two requests where the blob is not there, and one where it is", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    const destination = opened.registries.destination(registry.host, "a/app");
    expect(await destination.push(describe_(big), source)).toBe("done");
    expect(registry.seen.slice(-2).map((seen) => seen.label)).toEqual(["POST start-upload", "PUT upload"]);
    const before = registry.seen.length;
    expect(await destination.push(describe_(big), source)).toBe("present");
    expect(registry.seen.slice(before).map((seen) => seen.label)).toEqual(["POST start-upload"]);
  });

  it("asks by HEAD where a mount from the own repository is refused", async () => {
    const hooks = [
      when(
        (exchange) => exchange.query("mount") !== null,
        (exchange) => exchange.fail(400, "NAME_INVALID"),
      ),
    ];
    const { whole, labels } = await push(hooks);
    expect(whole).toBe(true);
    expect(labels.slice(1)).toEqual(["POST start-upload", "HEAD blob", "POST start-upload", "PUT upload"]);
  });

  it("counts progress once, however often bytes are sent", async () => {
    const { whole, events } = await push([when(once(label("PUT upload")), breakAfter(1_000_000))]);
    expect(whole).toBe(true);
    const progress = events
      .filter((event) => event.type === "progress")
      .reduce((sum, event) => sum + event.bytes, 0);
    expect(progress).toBe(big.length);
  });

  it("replays the body when the token expires between POST and PUT (trap 1)", async () => {
    const auth = tokenAuth({ anonymous: "push" });
    const expire: Hook = (exchange) => {
      if (exchange.label === "PUT upload" && auth.issued.length === 1) auth.expireAll();
      return undefined;
    };
    const { whole, registry } = await push([expire, auth.hook]);
    expect(whole).toBe(true);
    expect(registry.seen.filter((seen) => seen.label === "PUT upload").map((seen) => seen.status)).toEqual([
      401, 201,
    ]);
    expect(auth.issued).toHaveLength(2);
  });

  it.each([-3600_000, 3600_000])(
    "takes no notice of an issued_at that is %d ms off (trap 2)",
    async (skew) => {
      const auth = tokenAuth({
        anonymous: "push",
        expiresIn: 60,
        issuedAt: () => new Date(Date.now() + skew),
      });
      const { whole } = await push([auth.hook]);
      expect(whole).toBe(true);
      expect(auth.issued).toHaveLength(1);
    },
  );

  it("trusts a 401 more than a token that should still hold (trap 2)", async () => {
    const auth = tokenAuth({
      anonymous: "push",
      expiresIn: 36000,
      issuedAt: () => new Date(Date.now() + 3600_000),
    });
    let requests = 0;
    const { whole } = await push([
      (exchange) => {
        if (exchange.target.kind !== "other" && ++requests === 3) auth.expireAll();
        return undefined;
      },
      auth.hook,
    ]);
    expect(whole).toBe(true);
    expect(auth.issued).toHaveLength(2);
  });

  it.each([429, 503])("waits as long as a %d to a PUT asks (trap 3)", async (status) => {
    const startedAt = Date.now();
    const { whole, registry } = await push([
      when(once(label("PUT upload")), (exchange) =>
        exchange.fail(status, "TOOMANYREQUESTS", "slow down", { "retry-after": "1" }),
      ),
    ]);
    expect(whole).toBe(true);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(990);
    expect(registry.count("PUT upload")).toBe(2);
  });

  it("is taken to another private address by Location, without a token (trap 14)", async () => {
    const auth = tokenAuth({ anonymous: "push" });
    await using elsewhere = await startRegistry({ address: "127.0.0.2" });
    await using registry = await startRegistry({
      store: elsewhere.store,
      hooks: [
        auth.hook,
        when(label("POST start-upload"), (exchange) => {
          const id = elsewhere.store.begin("a/app");
          return exchange.send(202, {
            location: `http://${elsewhere.host}/v2/a/app/blobs/uploads/${id}?_state=a%2Fb%3D`,
          });
        }),
      ],
    });
    await using opened = openRegistries();
    expect(await opened.registries.destination(registry.host, "a/app").push(describe_(big), source)).toBe(
      "done",
    );
    expect(elsewhere.store.repositories.get("a/app")?.blobs.get(describe_(big).digest)).toEqual(big);
    // What stood in the Location's query came back byte for byte.
    expect(elsewhere.seen.at(-1)?.query.get("_state")).toBe("a/b=");
    expect(elsewhere.seen.map((seen) => seen.headers["authorization"])).toEqual([undefined]);
  });

  it.each([307, 308])("follows a %d, body and all, to where everything is", async (status) => {
    await using real = await startRegistry({ address: "127.0.0.2" });
    await using old = await startRegistry({
      hooks: [
        (exchange) =>
          exchange.target.kind === "ping"
            ? undefined
            : exchange.send(status, {
                location: `${real.url}${exchange.url.pathname}${exchange.url.search}`,
              }),
      ],
    });
    await using opened = openRegistries();
    expect(await opened.registries.destination(old.host, "a/app").push(describe_(big), source)).toBe("done");
    expect(real.store.repositories.get("a/app")?.blobs.get(describe_(big).digest)).toEqual(big);
  });

  it("does not follow one redirect after the other for ever", async () => {
    await expect(
      push([
        when(
          (exchange) => exchange.method === "POST",
          (exchange) => exchange.send(307, { location: exchange.url.pathname }),
        ),
      ]),
    ).rejects.toThrow(/HTTP 307/);
  });

  it("takes a HEAD that points to the storage for a yes", async () => {
    await using registry = await startRegistry({
      hooks: [
        when(
          (exchange) => exchange.label === "HEAD blob",
          (exchange) => exchange.send(307, { location: "http://127.0.0.1:1/signed-for-get" }),
        ),
      ],
    });
    await using opened = openRegistries({ retries: 0 });
    expect(await opened.registries.destination(registry.host, "a/app").exists(describe_(big))).toBe(true);
  });

  it("gives no authorisation to another host that does not ask for it", async () => {
    await using storage = await startRegistry({ address: "127.0.0.2" });
    await using registry = await startRegistry({
      store: storage.store,
      hooks: [
        basicAuth("ci", "geheim"),
        when(label("POST start-upload"), (exchange) =>
          exchange.send(202, {
            location: `http://${storage.host}/v2/a/app/blobs/uploads/${storage.store.begin("a/app")}`,
          }),
        ),
      ],
    });
    await using opened = openRegistries({
      credentials: fixedCredentials({ [registry.host]: { username: "ci", password: "geheim" } }),
    });
    await opened.registries.destination(registry.host, "a/app").push(describe_(small), source);
    expect(storage.seen.map((seen) => seen.headers["authorization"])).toEqual([undefined]);
  });

  it("goes on in pieces when large requests are cut off by a time limit (trap 15)", async () => {
    const cut: Hook = when(
      (exchange) => Number(exchange.header("content-length")) > 1_000_000,
      breakAfter(900_000),
    );
    const { whole, labels } = await push([cut]);
    expect(whole).toBe(true);
    expect(labels).toContain("PATCH upload");
  }, 60_000);

  it("names zot's time limit when nothing gets through (trap 15)", async () => {
    await expect(
      push([when((exchange) => ["PUT upload", "PATCH upload"].includes(exchange.label), breakAfter(1000))]),
    ).rejects.toMatchObject({
      code: "network",
      suggestions: expect.arrayContaining([expect.stringMatching(/zot 2\.1\.17.*60 s.*readTimeout/)]),
    });
  });

  it.each([400, 413])(
    "sends pieces to a registry that answers %d to a large PUT (trap 16)",
    async (status) => {
      const { whole, labels } = await push([
        when(
          (exchange) => Number(exchange.header("content-length")) > 100_000 && exchange.method === "PUT",
          (exchange) => exchange.fail(status, "SIZE_INVALID"),
        ),
      ]);
      expect(whole).toBe(true);
      expect(labels).toContain("PATCH upload");
    },
  );

  it("makes pieces smaller where they are too large as well (trap 16)", async () => {
    const { whole, registry } = await push([
      when(
        (exchange) => Number(exchange.header("content-length")) > 600_000,
        (exchange) => exchange.fail(413, "SIZE_INVALID"),
      ),
    ]);
    expect(whole).toBe(true);
    expect(registry.count("PATCH upload")).toBeGreaterThan(4);
  });

  it("sends one PATCH to a registry that keeps only the last (trap 16)", async () => {
    const hooks: Hook[] = [
      when(
        (exchange) => Number(exchange.header("content-length")) > 2_000_000 && exchange.method === "PUT",
        (exchange) => exchange.fail(400, "SIZE_INVALID"),
      ),
      async (exchange) => {
        const { target } = exchange;
        const upload = target.kind === "upload" ? exchangeStore?.uploads.get(target.id) : undefined;
        if (exchange.method !== "PATCH" || !upload || target.kind !== "upload") return undefined;
        upload.bytes = await exchange.body();
        return exchange.send(202, { location: exchange.url.pathname, range: `0-${upload.bytes.length - 1}` });
      },
    ];
    let exchangeStore: Awaited<ReturnType<typeof startRegistry>>["store"] | undefined;
    await using registry = await startRegistry({ hooks });
    exchangeStore = registry.store;
    await using opened = openRegistries();
    const destination = opened.registries.destination(registry.host, "a/app");
    destination.client.traits.upload.piece = 1_000_000;
    expect(await destination.push(describe_(big), source)).toBe("done");
    expect(registry.store.repositories.get("a/app")?.blobs.get(describe_(big).digest)).toEqual(big);
    // The next blob as large goes the way that worked at once.
    const other = bytesOf("other", big.length);
    const before = registry.seen.length;
    await destination.push(describe_(other), new MemorySource("memory:other", [other]));
    expect(registry.seen.slice(before).map((seen) => seen.label)).toEqual([
      "POST start-upload",
      "PATCH upload",
      "PUT upload",
    ]);
  });

  it("uses PUT alone with a registry that knows no PATCH, also after a break (trap 16)", async () => {
    const { whole } = await push([
      when(label("PATCH upload"), (exchange) => exchange.fail(405, "UNSUPPORTED")),
      when(once(label("PUT upload")), breakAfter(1_000_000)),
      when(label("GET upload"), (exchange) => exchange.send(204, { range: "0-999999" })),
    ]);
    expect(whole).toBe(true);
  });

  it("goes on from what the server says to have, when a piece was not taken whole", async () => {
    let first = true;
    const hooks: Hook[] = [
      when(
        (exchange) => exchange.method === "PUT" && Number(exchange.header("content-length")) > 0,
        (exchange) => exchange.fail(413, "SIZE_INVALID"),
      ),
    ];
    await using registry = await startRegistry({ hooks });
    hooks.push(async (exchange) => {
      const { target } = exchange;
      const upload = target.kind === "upload" ? registry.store.uploads.get(target.id) : undefined;
      if (!first || exchange.method !== "PATCH" || !upload) return undefined;
      first = false;
      upload.bytes = (await exchange.body()).subarray(0, 700_000);
      return exchange.send(202, { location: exchange.url.pathname, range: "0-699999" });
    });
    await using opened = openRegistries();
    const destination = opened.registries.destination(registry.host, "a/app");
    destination.client.traits.upload.piece = 1_000_000;
    await destination.push(describe_(big), source);
    expect(registry.store.repositories.get("a/app")?.blobs.get(describe_(big).digest)).toEqual(big);
    expect(
      registry.seen.filter((seen) => seen.method === "PATCH").map((seen) => seen.headers["content-range"]),
    ).toEqual(["0-999999", "700000-1699999", "1700000-2699999", "2700000-2999999"]);
  });

  it("resumes inside a piece after the connection broke", async () => {
    let broken = false;
    const hooks: Hook[] = [];
    await using registry = await startRegistry({ hooks });
    hooks.push(async (exchange) => {
      const { target } = exchange;
      const upload = target.kind === "upload" ? registry.store.uploads.get(target.id) : undefined;
      if (broken || exchange.label !== "PUT upload" || !upload) return undefined;
      broken = true;
      const chunks: Buffer[] = [];
      for await (const chunk of exchange.request as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        if (Buffer.concat(chunks).length > 1_200_000) break;
      }
      upload.bytes = Buffer.concat(chunks);
      return exchange.drop();
    });
    await using opened = openRegistries();
    await opened.registries.destination(registry.host, "a/app").push(describe_(big), source);
    expect(registry.store.repositories.get("a/app")?.blobs.get(describe_(big).digest)).toEqual(big);
    const patch = registry.seen.find((seen) => seen.method === "PATCH");
    expect(Number(patch?.headers["content-range"]?.split("-")[0])).toBeGreaterThan(1_200_000);
  });

  it("begins anew when the upload is not known any more", async () => {
    const { whole, registry } = await push([
      when(once(label("PUT upload")), (exchange) => exchange.fail(404, "BLOB_UPLOAD_UNKNOWN")),
    ]);
    expect(whole).toBe(true);
    expect(registry.count("POST start-upload")).toBe(2);
  });

  it("tells a wrong blob from a wrong registry", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    const lying = { ...describe_(small), digest: digestOf("something else") };
    const wrong = {
      ...source,
      name: "memory:wrong",
      fetch: () => source.fetch(describe_(small)),
      resolve: source.resolve,
    };
    await expect(
      opened.registries.destination(registry.host, "a/app").push(lying, wrong),
    ).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("memory:wrong"),
    });
  });

  it("says what the registry said when it refuses", async () => {
    await expect(
      push([when(label("PUT upload"), (exchange) => exchange.fail(403, "DENIED", "not you"))]),
    ).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringMatching(/a\/app@sha256:.*HTTP 403 \(DENIED: not you\)/),
    });
  });
});
