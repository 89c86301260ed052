import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { placePackage } from "../../../src/packages/prepare.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../../../src/pki/certificate.ts";
import { resolveClosures } from "../../../src/resolve/packages.ts";
import { packageContext, rpmSet } from "../../support/packages.ts";
import { writeRpmRepository } from "../../support/rpm-metadata.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let at: Awaited<ReturnType<typeof packageContext>>;
let closers: (() => void)[] = [];
beforeEach(async () => {
  at = await packageContext();
  const rpms = Array.from({ length: 400 }, (_, i) => ({
    name: `package${i}`,
    evr: `${i}-1`,
    requires: i > 0 ? [`package${i - 1}`] : [],
  }));
  await writeRpmRepository(`${at.dir}/repo`, [
    ...rpms,
    { name: "app", evr: "1-1", requires: ["/opt/deep/file"] },
    { name: "deep", evr: "1-1", files: ["/opt/deep/file"] },
  ]);
});
afterEach(async () => {
  for (const close of closers) close();
  closers = [];
  await at.close();
});

async function serve(handler: Handler, tls?: object): Promise<string> {
  const server = tls ? createTlsServer(tls, handler) : createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The repository over HTTP; `change` has the last word on what is sent, undefined breaks off half-way. */
const files =
  (
    folder: string,
    change: (path: string, bytes: Buffer) => Buffer | undefined = (_, bytes) => bytes,
  ): Handler =>
  (request, response) => {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    readFile(join(folder, path)).then(
      (bytes) => {
        const changed = change(path, bytes);
        if (changed !== undefined) return response.end(changed);
        response.writeHead(200, { "content-length": bytes.length });
        response.write(bytes.subarray(0, bytes.length / 2), () => setTimeout(() => response.destroy(), 20));
      },
      () => response.writeHead(404).end(),
    );
  };

/** The names that are chosen through a list of mirrors. */
async function through(
  list: { mirrorlist: string } | { metalink: string },
  install = ["package3"],
): Promise<string[]> {
  const [found] = await resolveClosures(
    rpmSet({ repositories: [{ id: "base", ...list }], install }),
    at.context,
  );
  return (found?.packages ?? []).map(({ name }) => name);
}

const chain = ["package0", "package1", "package2", "package3"];

describe("the first mirror", () => {
  async function mirrorlist(...mirrors: string[]): Promise<{ mirrorlist: string }> {
    await writeFile(`${at.dir}/list`, `# mirrors\n${mirrors.join("\n")}\n`);
    return { mirrorlist: "list" };
  }

  test.each<[string, (path: string, bytes: Buffer) => Buffer | undefined]>([
    ["dies in the middle of repomd.xml", (path, bytes) => (path.endsWith("repomd.xml") ? undefined : bytes)],
    ["dies in the middle of primary.xml", (path, bytes) => (path.includes("primary") ? undefined : bytes)],
    [
      "has another primary.xml than its repomd.xml says",
      (path, bytes) => (path.includes("primary") ? Buffer.concat([bytes, Buffer.from("x")]) : bytes),
    ],
    ["answers with a page of its own", () => Buffer.from("<html><body>Welcome</body></html>")],
  ])("%s: the next one is taken", async (_, change) => {
    const bad = await serve(files(`${at.dir}/repo`, change));
    const good = await serve(files(`${at.dir}/repo`));
    expect(await through(await mirrorlist(bad, good))).toEqual(chain);
    await expect(through(await mirrorlist(bad)))
      .resolves.toEqual(chain)
      .catch(() => undefined);
  });

  test("does not answer at all, or knows nothing", async () => {
    const gone = await serve(() => undefined);
    closers.pop()?.();
    const empty = await serve((_, response) => response.writeHead(404).end());
    const good = await serve(files(`${at.dir}/repo`));
    expect(await through(await mirrorlist(gone, empty, good))).toEqual(chain);
  });

  test("dies before filelists.xml", async () => {
    const bad = await serve(
      files(`${at.dir}/repo`, (path, bytes) => (path.includes("filelists") ? undefined : bytes)),
    );
    const good = await serve(files(`${at.dir}/repo`));
    expect(await through(await mirrorlist(bad, good), ["app"])).toEqual(["app", "deep"]);
  });

  test("where none is good, the error is that of the first", async () => {
    const bad = await serve(
      files(`${at.dir}/repo`, (path, bytes) => (path.includes("primary") ? undefined : bytes)),
    );
    const empty = await serve((_, response) => response.writeHead(404).end());
    await expect(through(await mirrorlist(bad, empty))).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(/primary\.xml\.gz broke off after \d+ bytes/),
    });
  });
});

test("packages of old repositories, which have to be fetched to know their sha256, come from the next mirror too", async () => {
  const content = Buffer.from("a package".repeat(5000));
  await writeFile(`${at.dir}/repo/x.rpm`, content);
  const bad = await serve(files(`${at.dir}/repo`, () => undefined));
  const good = await serve(files(`${at.dir}/repo`));
  const of = {
    id: "x",
    name: "x",
    version: "1-1",
    arch: "noarch",
    repository: "base",
    href: "x.rpm",
    reason: { relation: "x" },
  };
  const checksum = { algorithm: "sha1", value: createHash("sha1").update(content).digest("hex") };
  const chosen = {
    ...of,
    places: [`${bad}/x.rpm`, `${good}/x.rpm`],
    http: at.context.http({}),
    size: content.length,
    checksum,
  };
  const { digest, copy } = await placePackage(chosen, at.context);
  expect(digest).toBe(`sha256:${createHash("sha256").update(content).digest("hex")}`);
  expect((await readFile(copy ?? "")).equals(content)).toBe(true);
  expect(await placePackage({ ...chosen, places: [] }, at.context)).toEqual({ digest, copy });
  await expect(
    placePackage(
      { ...chosen, places: [`${bad}/x.rpm`], checksum: { ...checksum, value: "0".repeat(40) } },
      at.context,
    ),
  ).rejects.toMatchObject({
    code: "network",
  });
  expect((await readdir(`${at.dir}/cache/packages/files`)).filter((name) => name.endsWith(".part"))).toEqual(
    [],
  );
});

describe("a metalink", () => {
  async function metalink(mirrors: string[], sha256: string): Promise<{ metalink: string }> {
    const urls = mirrors.map(
      (url, i) => `<url protocol="http" preference="${100 - i}">${url}/repodata/repomd.xml</url>`,
    );
    const text = `<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="repomd.xml"><verification><hash type="sha256">${sha256}</hash></verification><resources>${urls.join("")}</resources></file></files></metalink>`;
    await writeFile(`${at.dir}/metalink.xml`, text);
    return { metalink: "metalink.xml" };
  }

  test("passes over a mirror with an older state, and refuses when all are older", async () => {
    await writeRpmRepository(`${at.dir}/old`, [{ name: "package3", evr: "0-1" }]);
    const sha256 = createHash("sha256")
      .update(await readFile(`${at.dir}/repo/repodata/repomd.xml`))
      .digest("hex");
    const old = await serve(files(`${at.dir}/old`));
    const good = await serve(files(`${at.dir}/repo`));
    expect(await through(await metalink([old, good], sha256))).toEqual(chain);
    await expect(through(await metalink([old], sha256))).rejects.toThrow(/is not what its metalink says/);
  });
});

describe("client certificates, as RHEL's CDN wants them", () => {
  let authority: KeyedCertificate & { name: { commonName: string } };
  let server: KeyedCertificate;
  let client: KeyedCertificate;
  let stranger: KeyedCertificate;
  beforeAll(async () => {
    const make = async (commonName: string) => ({
      ...(await makeAuthority({ commonName, days: 2 })),
      name: { commonName },
    });
    authority = await make("test authority");
    server = await makeCertificate(authority, {
      commonName: "127.0.0.1",
      days: 1,
      hosts: ["127.0.0.1"],
      usage: ["server"],
    });
    client = await makeCertificate(authority, {
      commonName: "entitled",
      days: 1,
      hosts: [],
      usage: ["client"],
    });
    stranger = await makeCertificate(await make("another authority"), {
      commonName: "entitled",
      days: 1,
      hosts: [],
      usage: ["client"],
    });
  });

  async function fetchWith(given: { cert?: KeyedCertificate; ca?: boolean }): Promise<string[]> {
    const url = await serve(files(`${at.dir}/repo`), {
      cert: server.cert,
      key: server.key,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
    });
    await writeFile(`${at.dir}/ca.pem`, authority.cert);
    if (given.cert) {
      await writeFile(`${at.dir}/client.pem`, given.cert.cert);
      await writeFile(`${at.dir}/client.key`, given.cert.key);
    }
    const keys = {
      ...(given.ca === false ? {} : { caFile: "ca.pem" }),
      ...(given.cert ? { clientCert: "client.pem", clientKey: "client.key" } : {}),
    };
    const [found] = await resolveClosures(
      rpmSet({ repositories: [{ id: "cdn", baseurl: url, ...keys }], install: ["package3"] }),
      at.context,
    );
    return (found?.packages ?? []).map(({ name }) => name);
  }

  test("the right one opens the repository", async () => {
    expect(await fetchWith({ cert: client })).toEqual(chain);
  });

  test("none, or another's, does not", async () => {
    await expect(fetchWith({})).rejects.toMatchObject({ code: "network" });
    await expect(fetchWith({ cert: stranger })).rejects.toMatchObject({ code: "network" });
    await expect(fetchWith({ cert: client, ca: false })).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(/certificate/),
    });
  });
});
