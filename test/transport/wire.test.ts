import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Http } from "../../src/http.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../../src/pki/certificate.ts";
import { parseChallenges } from "../../src/transport/registry/challenge.ts";
import { HostLimit } from "../../src/transport/registry/limits.ts";
import { nextLink } from "../../src/transport/registry/pages.ts";
import { closing, locationOf } from "../../src/transport/registry/upload-session.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { openRegistries } from "../support/transport.ts";

const image = makeImage("app", [bytesOf("layer", 1000)]);
let folder = "";
let authority: KeyedCertificate;
let certificate: KeyedCertificate;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "airgap-wire-"));
  const name = { commonName: "test authority" };
  authority = await makeAuthority({ ...name, days: 1 });
  certificate = await makeCertificate(
    { ...authority, name },
    { commonName: "test", days: 1, hosts: ["127.0.0.1", "registry.test"], usage: ["server"] },
  );
  writeFileSync(join(folder, "ca.pem"), authority.cert);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

describe("TLS", () => {
  const resolve = async (host: string, trust = {}) => {
    await using opened = openRegistries({ trust: () => trust, retries: 0 });
    return await opened.registries.source(host, "team/app").resolve("v1");
  };

  it("is believed with the authority from a file", async () => {
    await using registry = await startRegistry({ tls: certificate });
    fill(registry.store, "team/app", image, "v1");
    expect(await resolve(registry.host, { caFile: join(folder, "ca.pem") })).toEqual(image.root);
  });

  it("is refused without it, with what to do", async () => {
    await using registry = await startRegistry({ tls: certificate });
    fill(registry.store, "team/app", image, "v1");
    await expect(resolve(registry.host)).rejects.toMatchObject({
      code: "network",
      suggestions: [expect.stringContaining("--ca-file"), expect.stringContaining("--insecure")],
    });
    expect(registry.seen).toEqual([]);
  });

  it("goes unchecked where that is asked for, and plain http is the second try", async () => {
    await using secure = await startRegistry({ tls: certificate });
    await using plain = await startRegistry();
    for (const { store } of [secure, plain]) fill(store, "team/app", image, "v1");
    expect(await resolve(secure.host, { insecure: true })).toEqual(image.root);
    expect(await resolve(plain.host, { insecure: true })).toEqual(image.root);
  });

  it("names a file that can't be read", async () => {
    await expect(resolve("127.0.0.1:1", { caFile: join(folder, "none.pem") })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("none.pem"),
    });
  });

  it("tells both ways that were tried where nobody listens", async () => {
    await expect(resolve("127.0.0.1:1")).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(/does not answer on https or http/),
    });
  });
});

/** A proxy as firms have them: CONNECT for https, whole URLs for http. It alone knows where `registry.test` is. */
async function startProxy(port: number) {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    client.on("error", () => {});
    client.once("data", (head) => {
      const [line = ""] = head.toString("latin1").split("\r\n");
      asked.push(line);
      const upstream = connect(port, "127.0.0.1");
      sockets.add(upstream);
      upstream.on("error", () => client.destroy());
      if (line.startsWith("CONNECT")) client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      else upstream.write(head.toString("latin1").replace(/^(\w+) http:\/\/[^/]+/, "$1 "), "latin1");
      client.pipe(upstream).pipe(client);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: close,
  };
}

describe("a proxy", () => {
  it("is asked for https by CONNECT, with the own authority behind it", async () => {
    await using registry = await startRegistry({ tls: certificate });
    fill(registry.store, "team/app", image, "v1");
    await using proxy = await startProxy(Number(registry.host.split(":")[1]));
    vi.stubEnv("https_proxy", proxy.url);
    await using opened = openRegistries({ trust: () => ({ caFile: join(folder, "ca.pem") }), retries: 0 });
    const source = opened.registries.source("registry.test:8443", "team/app");
    expect(await source.resolve("v1")).toEqual(image.root);
    expect(proxy.asked.every((line) => line.startsWith("CONNECT registry.test:8443 "))).toBe(true);
    expect(await (await source.fetch(image.root)).toArray()).toHaveLength(1);
  });

  it("is left aside for what NO_PROXY names", async () => {
    await using registry = await startRegistry();
    fill(registry.store, "team/app", image, "v1");
    await using proxy = await startProxy(1);
    vi.stubEnv("http_proxy", proxy.url);
    vi.stubEnv("https_proxy", proxy.url);
    vi.stubEnv("no_proxy", "127.0.0.1,.site.local");
    await using opened = openRegistries({ retries: 0 });
    expect(await opened.registries.source(registry.host, "team/app").resolve("v1")).toEqual(image.root);
    expect(proxy.asked).toEqual([]);
  });

  it("serves plain http too", async () => {
    await using registry = await startRegistry({ hooks: [(exchange) => exchange.json(200, { ok: true })] });
    await using proxy = await startProxy(Number(registry.host.split(":")[1]));
    vi.stubEnv("http_proxy", proxy.url);
    const http = new Http({ retries: 0 });
    expect(await (await http.request("http://registry.test/x")).json(100)).toEqual({ ok: true });
    await http.close();
    expect(proxy.asked).toHaveLength(1);
  });
});

describe("parseChallenges", () => {
  it.each([
    [
      'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
      [
        {
          scheme: "bearer",
          parameters: { realm: "https://a/t", service: "s", scope: "repository:a/b:pull,push" },
        },
      ],
    ],
    ['Basic realm="harbor"', [{ scheme: "basic", parameters: { realm: "harbor" } }]],
    [
      'Basic realm="a", Bearer realm="b" , service=c',
      [
        { scheme: "basic", parameters: { realm: "a" } },
        { scheme: "bearer", parameters: { realm: "b", service: "c" } },
      ],
    ],
    ['BEARER REALM = "a\\"b"', [{ scheme: "bearer", parameters: { realm: 'a"b' } }]],
    ["Negotiate", [{ scheme: "negotiate", parameters: {} }]],
    ["", []],
    [undefined, []],
    ['=,"', []],
  ])("%s", (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });
});

describe("nextLink", () => {
  it.each([
    ['</v2/a/tags/list?last=b&n=2>; rel="next"', "/v2/a/tags/list?last=b&n=2"],
    ["</x>; rel=next", "/x"],
    ['</x>; rel="prev", </y>; title="z"; rel="next"', "/y"],
    ['</x>; rel="prev"', undefined],
    ["", undefined],
  ])("%s", (link, expected) => {
    expect(nextLink({ link })).toBe(expected);
  });
});

describe("upload addresses", () => {
  const at = (url: string, location?: string) =>
    locationOf({ url, headers: location === undefined ? {} : { location } } as never).href;

  it.each([
    [
      "http://h:5000/v2/a/blobs/uploads/",
      "/v2/a/blobs/uploads/1?x=1",
      "http://h:5000/v2/a/blobs/uploads/1?x=1",
    ],
    ["http://h/v2/a/blobs/uploads/", "1", "http://h/v2/a/blobs/uploads/1"],
    ["http://h/v2/", "http://10.0.0.9:5000/u", "http://10.0.0.9:5000/u"],
    // A registry behind a proxy that ends TLS.
    ["https://h/v2/", "http://h/u", "https://h/u"],
    ["https://h:8443/v2/", "http://h/u", "https://h:8443/u"],
    ["https://h/v2/", "http://other/u", "http://other/u"],
  ])("from %s to %s", (url, location, expected) => {
    expect(at(url, location)).toBe(expected);
  });

  it("must be given, and be http(s)", () => {
    for (const location of [undefined, "ftp://h/x", "http://"])
      expect(() => at("http://h/", location)).toThrow(expect.objectContaining({ code: "protocol" }));
  });

  it("keep their query byte for byte", () => {
    const digest = "sha256:aa" as const;
    expect(closing(new URL("http://h/u?_state=a%2Fb+c=&y"), digest).search).toBe(
      "?_state=a%2Fb+c=&y&digest=sha256%3Aaa",
    );
    expect(closing(new URL("http://h/u"), digest).search).toBe("?digest=sha256%3Aaa");
  });
});

describe("HostLimit", () => {
  const busy = { value: 1, outcome: { overloaded: true } };
  const fine = { value: 1, outcome: { overloaded: false } };

  it("never lets more run at once than it allows", async () => {
    const limit = new HostLimit({ start: 3, max: 3 });
    let running = 0;
    let most = 0;
    const job = () =>
      limit.run(async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 2));
        running--;
        return fine;
      });
    await Promise.all(Array.from({ length: 20 }, job));
    expect(most).toBe(3);
  });

  it("halves once for complaints of one moment, and grows while all is well", async () => {
    const limit = new HostLimit({ start: 8, max: 16 });
    await Promise.all(Array.from({ length: 8 }, () => limit.run(async () => busy)));
    expect(limit.current).toBe(4);
    for (let i = 0; i < 4 + 5 + 6; i++) await limit.run(async () => fine);
    expect(limit.current).toBe(7);
  });

  it("does not grow while answers take several times as long as they could", async () => {
    const limit = new HostLimit({ start: 8, max: 16 });
    const answer = (latencyMs: number) =>
      limit.run(async () => ({ value: 1, outcome: { overloaded: false, latencyMs } }));
    await answer(10);
    for (let i = 0; i < 50; i++) await answer(200);
    expect(limit.current).toBeLessThanOrEqual(10);
  });

  it("doubles with each round at first, also on a host that is slower than at its best but still prompt", async () => {
    const limit = new HostLimit({ start: 4, max: 64 });
    const answer = (latencyMs: number) =>
      limit.run(async () => ({ value: 1, outcome: { overloaded: false, latencyMs } }));
    await answer(1);
    for (let i = 0; i < 11; i++) await answer(20);
    expect(limit.current).toBe(16);
  });

  it("lets a host that is far away have more as soon as it answers, and a near one when it has sent", async () => {
    for (const [headMs, most] of [
      [100, 12],
      [1, 4],
    ] as const) {
      const limit = new HostLimit({ start: 4, max: 12 });
      let running = 0;
      let end = (): void => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      const jobs = Array.from({ length: 20 }, () =>
        limit.run(async (answers) => {
          running++;
          answers(headMs);
          answers(headMs);
          await ended;
          return fine;
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(running).toBe(most);
      end();
      await Promise.all(jobs);
      expect(limit.current).toBe(12);
    }
  });

  it("counts a request once, and after a complaint by whole rounds only", async () => {
    const limit = new HostLimit({ start: 8, max: 64 });
    const far = (): Promise<number> =>
      limit.run(async (answers) => {
        answers(100);
        return fine;
      });
    await far();
    expect(limit.current).toBe(9);
    await limit.run(async () => busy);
    for (let i = 0; i < 4; i++) await far();
    expect(limit.current).toBe(5);
  });

  it("holds everybody back during a pause, and lets go of who is aborted", async () => {
    const limit = new HostLimit();
    limit.pause(80);
    const startedAt = Date.now();
    await limit.run(async () => fine);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(75);
    limit.pause(10_000);
    const stop = new AbortController();
    const waiting = limit.run(async () => fine, stop.signal);
    stop.abort(new Error("stopped"));
    await expect(waiting).rejects.toThrow();
  });
});
