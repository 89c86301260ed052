import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { selfSigned } from "../../src/site/serve/authority.ts";
import { Scratch } from "../support/scratch.ts";
import { call } from "../support/serve.ts";

describe("a self-signed server", () => {
  it("is believed by who trusts its authority, under every name, and by nobody else", async () => {
    using scratch = new Scratch();
    const { tls, authority } = await selfSigned(
      scratch.path("tls"),
      ["register.site", "127.0.0.1", "::1"],
      "test",
    );
    const raw = new X509Certificate(authority.cert).raw;
    expect(authority.fingerprint.replaceAll(":", "").toLowerCase()).toBe(
      createHash("sha256").update(raw).digest("hex"),
    );
    expect(statSync(scratch.path("tls/ca.key")).mode & 0o777).toBe(0o600);
    expect(statSync(scratch.path("tls/server.key")).mode & 0o777).toBe(0o600);
    const leaf = new X509Certificate(tls.cert);
    expect([leaf.checkHost("register.site"), leaf.checkHost("other.site"), leaf.checkIP("::1")]).toEqual([
      "register.site",
      undefined,
      "::1",
    ]);
    const server = createServer(tls, (_, res) => res.end("believed"));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    expect((await call(url, "GET", { ca: authority.cert })).body.toString()).toBe("believed");
    await expect(call(url, "GET")).rejects.toThrow(/self-signed|unable to/);
    server.close();
  });

  it("stays the same, until another name is needed", async () => {
    using scratch = new Scratch();
    const first = await selfSigned(scratch.path("tls"), ["a.site"], "test");
    const again = await selfSigned(scratch.path("tls"), ["a.site"], "renamed host");
    const other = await selfSigned(scratch.path("tls"), ["a.site", "b.site"], "test");
    expect(again).toEqual(first);
    expect(other.authority).toEqual(first.authority);
    expect(new X509Certificate(other.tls.cert).checkHost("b.site")).toBe("b.site");
  });

  it("refuses an authority's key that is another one's", async () => {
    using scratch = new Scratch();
    await selfSigned(scratch.path("a"), ["a.site"], "test");
    await selfSigned(scratch.path("b"), ["a.site"], "test");
    writeFileSync(scratch.path("a/ca.key"), readFileSync(scratch.path("b/ca.key")));
    await expect(selfSigned(scratch.path("a"), ["a.site"], "test")).rejects.toThrow(/is not the key of/);
  });
});
