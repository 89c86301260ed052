import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Http } from "../../src/http.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { headersFor, tokenServiceFor } from "../../src/origin.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../../src/pki/certificate.ts";
import { HarborApi } from "../../src/site/harbor/api.ts";
import { fixedCredentials } from "../../src/transport/credentials.ts";
import type { RegistrySource } from "../../src/transport/registry/source.ts";
import type { Source } from "../../src/transport/types.ts";
import { basicAuth, basicHeader } from "../support/auth.ts";
import type { Exchange } from "../support/exchange.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { type Hook, startRegistry, type TestRegistry } from "../support/registry.ts";
import { openRegistries, sourceOf } from "../support/transport.ts";

const login = { username: "robot$site+ci", password: "S3cr3t-of-A" };
const password = basicHeader(login.username, login.password);
const content = bytesOf("layer", 300_000);
const image = makeImage("app", [content]);
const layer = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: digestOf(content),
  size: content.length,
};

let folder = "";
let certificate: KeyedCertificate;
let client: KeyedCertificate;
let authority: KeyedCertificate;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "airgap-origin-"));
  const name = { commonName: "test authority" };
  authority = await makeAuthority({ ...name, days: 1 });
  const ca = { ...authority, name };
  const hosts = ["127.0.0.1", "127.0.0.2", "localhost"];
  certificate = await makeCertificate(ca, { commonName: "test", days: 1, hosts, usage: ["server"] });
  client = await makeCertificate(ca, { commonName: "me", days: 1, hosts: ["me"], usage: ["client"] });
  for (const [file, text] of Object.entries({
    "ca.pem": authority.cert,
    "cert.pem": client.cert,
    "key.pem": client.key,
  }))
    writeFileSync(join(folder, file), text);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Asks = "bearer" | "basic";

/** Wants Basic, or a token of its own service, which wants the password. */
function guard(asks: Asks): Hook {
  if (asks === "basic") return basicAuth(login.username, login.password);
  return (exchange) => {
    const given = exchange.header("authorization");
    if (exchange.url.pathname === "/token")
      return given === password ? exchange.json(200, { token: "token-of-a" }) : exchange.send(401);
    if (given === "Bearer token-of-a") return undefined;
    return exchange.send(401, { "www-authenticate": `Bearer realm="${here(exchange)}/token",service="a"` });
  };
}

/** Harbor's own API takes Basic, however its registry asks. */
const isApiOfA = (exchange: Exchange): boolean =>
  exchange.url.pathname.startsWith("/api/v2.0/") && exchange.header("authorization") === password;

const here = (exchange: Exchange): string => {
  const secure = "encrypted" in exchange.request.socket;
  return `${secure ? "https" : "http"}://${exchange.header("host")}`;
};

/** Somebody else, who asks for a login and gives tokens to everybody. */
const thief =
  (asks: Asks): Hook =>
  (exchange) =>
    exchange.url.pathname === "/token"
      ? exchange.json(200, { token: "token-of-b" })
      : exchange.send(401, {
          "www-authenticate": asks === "basic" ? 'Basic realm="b"' : `Bearer realm="${here(exchange)}/token"`,
        });

const secretsSeen = ({ seen }: TestRegistry): unknown[] =>
  seen
    .map(({ headers }) => headers["authorization"] ?? headers["cookie"])
    .filter((found) => found !== undefined);

interface Scene {
  a: TestRegistry;
  b: TestRegistry;
  source: RegistrySource;
  registries: ReturnType<typeof openRegistries>["registries"];
}

interface Cast {
  tls: boolean;
  asks: Asks;
  otherAsks: Asks;
  otherTls?: boolean;
  /** What A answers instead, given where B is. */
  sends(exchange: Exchange, b: string): true | undefined;
}

async function scene(
  { tls, asks, otherAsks, otherTls = false, sends }: Cast,
  act: (scene: Scene) => Promise<unknown>,
) {
  await using b = await startRegistry({
    address: "127.0.0.2",
    hooks: [thief(otherAsks)],
    ...(otherTls ? { tls: certificate } : {}),
  });
  const other = `${otherTls ? "https" : "http"}://${b.host}`;
  await using a = await startRegistry({
    ...(tls ? { tls: certificate } : {}),
    hooks: [
      (exchange) => (isApiOfA(exchange) ? undefined : guard(asks)(exchange)),
      (exchange) => sends(exchange, other),
    ],
  });
  fill(a.store, "demo/app", image, "1");
  await using opened = openRegistries({
    retries: 0,
    credentials: fixedCredentials({ [a.host]: login }),
    trust: () => ({ caFile: join(folder, "ca.pem") }),
  });
  const { registries } = opened;
  const source = registries.source(a.host, "demo/app");
  const outcome = await act({ a, b, source, registries }).then(
    () => "done",
    (error: Error) => error.message,
  );
  return { outcome, secrets: secretsSeen(b), asked: b.seen.length };
}

const read = async (source: Source): Promise<void> => {
  await source.resolve("1");
  await (await source.fetch(layer)).toArray();
};
const lane = async (source: Source): Promise<void> => await source.writeTo?.(layer, { offset: 0 }, () => {});
const push = async ({ a, registries }: Scene): Promise<unknown> =>
  await registries.destination(a.host, "demo/other").push(layer, sourceOf(image));

const to =
  (label: string, answer: (exchange: Exchange, b: string) => true) => (exchange: Exchange, b: string) =>
    exchange.label === label ? answer(exchange, b) : undefined;
const redirect = (status: number) => (exchange: Exchange, b: string) =>
  exchange.send(status, { location: `${b}${exchange.url.pathname}` });

const WAYS: Record<string, { sends: Cast["sends"]; act(scene: Scene): Promise<unknown> }> = {
  "a blob's 307": { sends: to("GET blob", redirect(307)), act: ({ source }) => read(source) },
  "a blob's 302 in the fast lane": {
    sends: to("GET blob", redirect(302)),
    act: ({ source }) => lane(source),
  },
  "a manifest's 307": { sends: to("GET manifest", redirect(307)), act: ({ source }) => read(source) },
  "a HEAD's 301": {
    sends: to("HEAD manifest", redirect(301)),
    act: ({ registries, a }) => registries.source(a.host, "demo/app").head("1"),
  },
  "an upload's Location": {
    sends: to("POST start-upload", (exchange, b) => exchange.send(202, { location: `${b}/up/1` })),
    act: push,
  },
  "a POST's 307": { sends: to("POST start-upload", redirect(307)), act: push },
  "a PUT's 308": { sends: to("PUT upload", redirect(308)), act: push },
  "a PATCH's 307": {
    sends: (exchange, b) =>
      exchange.label === "PATCH upload"
        ? redirect(307)(exchange, b)
        : exchange.label === "PUT upload"
          ? exchange.fail(400, "BLOB_UPLOAD_INVALID", "pieces only")
          : undefined,
    act: push,
  },
  "a manifest PUT's 307": {
    sends: to("PUT manifest", redirect(307)),
    act: ({ registries, a }) =>
      registries.destination(a.host, "demo/app").tag(image.root, "2", sourceOf(image)),
  },
  "the referrers' 302": {
    sends: to("GET referrers", redirect(302)),
    act: ({ source }) => source.referrers(image.root.digest),
  },
  "Harbor's 302": {
    sends: (exchange, b) =>
      exchange.url.pathname.startsWith("/api/v2.0/") ? redirect(302)(exchange, b) : undefined,
    act: ({ registries, a }) => HarborApi.meet(registries.client(a.host)),
  },
};

describe.each([
  { tls: false, otherTls: false },
  { tls: true, otherTls: false },
  { tls: true, otherTls: true },
])("a registry (https: $tls) that points to another host (https: $otherTls)", ({ tls, otherTls }) => {
  const cases = Object.keys(WAYS).flatMap((way) =>
    (["bearer", "basic"] as const).flatMap((asks) =>
      (["bearer", "basic"] as const).map((otherAsks) => ({ way, asks, otherAsks })),
    ),
  );
  it.each(cases)("$way: A asks $asks, B asks $otherAsks", async ({ way, asks, otherAsks }) => {
    const { sends, act } = WAYS[way] as (typeof WAYS)[string];
    const { secrets, asked } = await scene({ tls, otherTls, asks, otherAsks, sends }, act);
    expect(asked).toBeGreaterThan(0);
    expect(secrets).toEqual([]);
  });
});

describe("a registry's login", () => {
  it("stays with the origin though only the port differs, and the error says so", async () => {
    const { outcome } = await scene(
      { tls: false, asks: "basic", otherAsks: "basic", sends: to("GET blob", redirect(307)) },
      async ({ source }) => {
        await expect(read(source)).rejects.toMatchObject({
          code: "unauthorized",
          suggestions: [expect.stringMatching(/redirects to 127\.0\.0\.2:\d+, which does not get the login/)],
        });
      },
    );
    expect(outcome).toBe("done");
  });

  it("pages stay with the registry: only the path of a Link counts", async () => {
    const { secrets, asked } = await scene(
      {
        tls: false,
        asks: "basic",
        otherAsks: "basic",
        sends: (exchange, b) =>
          exchange.label === "GET tags" && exchange.query("last") === null
            ? exchange.json(
                200,
                { tags: ["x"] },
                { link: `<${b}//127.0.0.2/v2/demo/app/tags/list?last=x>; rel="next"` },
              )
            : undefined,
      },
      ({ source }) => source.tags(),
    );
    expect({ secrets, asked }).toEqual({ secrets: [], asked: 0 });
  });

  it("a Link that is not an address is an error of the registry's", async () => {
    const { outcome } = await scene(
      {
        tls: false,
        asks: "basic",
        otherAsks: "basic",
        sends: to("GET tags", (exchange) =>
          exchange.json(200, { tags: [] }, { link: '<http://[>; rel="next"' }),
        ),
      },
      ({ source }) => source.tags(),
    );
    expect(outcome).toMatch(/next page/);
  });

  it("foreign layers are asked for without it", async () => {
    const foreign = { ...layer, mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar" };
    const { secrets, asked } = await scene(
      { tls: true, asks: "basic", otherAsks: "bearer", sends: () => undefined },
      async ({ registries, a, b }) => {
        const source = registries.source(a.host, "demo/app", { foreignLayers: true });
        await (await source.fetch({ ...foreign, urls: [`http://${b.host}/layer`] })).toArray();
      },
    );
    expect(secrets).toEqual([]);
    expect(asked).toBe(1);
  });
});

describe("a token service", () => {
  const registry = (url: string) => new URL(url);
  it.each([
    ["https://r.example", "https://auth.example/token", "https://auth.example/token"],
    ["https://r.example", "http://r.example/token", "https://r.example/token"],
    ["https://r.example:8443", "http://r.example/token", "https://r.example:8443/token"],
    ["https://r.example", "http://auth.example/token", undefined],
    ["http://r.example", "http://auth.example/token", "http://auth.example/token"],
    ["http://r.example", "https://auth.example/token", "https://auth.example/token"],
  ])("of %s at %s is asked at %s", (at, realm, asked) => {
    expect(tokenServiceFor(registry(at), new URL(realm))?.href).toBe(asked);
  });

  it.each([{}, { insecure: true }])(
    "is not given the password unencrypted by an https registry, %j",
    async (trust) => {
      await using service = await startRegistry({
        address: "127.0.0.2",
        hooks: [(exchange) => exchange.json(200, { token: "t" })],
      });
      await using a = await startRegistry({
        tls: certificate,
        hooks: [
          (exchange) =>
            exchange.send(401, {
              "www-authenticate": `Bearer realm="http://${service.host}/token",service="a"`,
            }),
        ],
      });
      await using opened = openRegistries({
        retries: 0,
        credentials: fixedCredentials({ [a.host]: login }),
        trust: () => ({ caFile: join(folder, "ca.pem"), ...trust }),
      });
      await expect(opened.registries.source(a.host, "demo/app").resolve("1")).rejects.toMatchObject({
        code: "protocol",
        message: expect.stringMatching(/sent unencrypted/),
      });
      expect(service.seen).toEqual([]);
    },
  );

  it.each(["bearer", "basic"] as const)(
    "that redirects elsewhere takes the password nowhere (%s)",
    async (asks) => {
      await using b = await startRegistry({ address: "127.0.0.2", hooks: [thief(asks)] });
      await using a = await startRegistry({
        tls: certificate,
        hooks: [
          (exchange) =>
            exchange.url.pathname === "/token"
              ? exchange.send(307, { location: `http://${b.host}/x` })
              : exchange.send(401, { "www-authenticate": `Bearer realm="${here(exchange)}/token"` }),
        ],
      });
      await using opened = openRegistries({
        retries: 0,
        credentials: fixedCredentials({ [a.host]: login }),
        trust: () => ({ caFile: join(folder, "ca.pem") }),
      });
      await expect(opened.registries.source(a.host, "demo/app").resolve("1")).rejects.toThrow();
      expect(b.seen).toHaveLength(1);
      expect(secretsSeen(b)).toEqual([]);
    },
  );
});

describe("headersFor", () => {
  const headers = { Authorization: "x", cookie: "y", "Proxy-Authorization": "z", accept: "*/*" };
  it.each([
    ["http://a/1", "http://a/2", true],
    ["https://a/1", "https://a:443/2", true],
    ["https://a/1", "http://a/2", false],
    ["http://a/1", "https://a/2", false],
    ["http://a/1", "http://a:8080/2", false],
    ["http://a/1", "http://a.b/2", false],
  ])("from %s to %s: %s", (owner, target, kept) => {
    expect(headersFor(new URL(target), new URL(owner), headers)).toEqual(kept ? headers : { accept: "*/*" });
  });
});

describe("a client certificate", () => {
  /** An https server that asks for a certificate, and notes whose it got. */
  async function start(address: string, location?: string) {
    const seen: (string | undefined)[] = [];
    const server = createServer(
      { ...certificate, ca: authority.cert, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const shown = (request.socket as TLSSocket).getPeerCertificate();
        seen.push(shown.subject?.CN as string | undefined);
        response.writeHead(location && request.url === "/start" ? 302 : 200, location ? { location } : {});
        response.end("x");
      },
    );
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    return {
      url: `https://${address}:${(server.address() as AddressInfo).port}`,
      seen,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }
  const mine = () => ({
    caFile: join(folder, "ca.pem"),
    clientCert: join(folder, "cert.pem"),
    clientKey: join(folder, "key.pem"),
    retries: 0,
  });

  it("is shown to its own origin, and not where that redirects to", async () => {
    await using other = await start("127.0.0.2");
    await using own = await start("127.0.0.1", `${other.url}/x`);
    const http = new Http(mine());
    await (await http.request(`${own.url}/start`)).bytes(10);
    await (await http.request(`${own.url}/again`, { anonymous: true })).bytes(10);
    await http.close();
    expect(own.seen).toEqual(["me", undefined]);
    expect(other.seen).toEqual([undefined]);
  });

  it("is shown to none but the origins that it was given for", async () => {
    await using mirror = await start("127.0.0.2");
    await using own = await start("127.0.0.1");
    const http = new Http({ ...mine(), clientOrigins: [own.url] });
    for (const url of [own.url, mirror.url]) await (await http.request(url)).bytes(10);
    await http.close();
    expect([own.seen, mirror.seen]).toEqual([["me"], [undefined]]);
  });
});
