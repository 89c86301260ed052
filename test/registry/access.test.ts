import { hashSync } from "bcryptjs";
import { describe, expect, it } from "vitest";
import { resolveListen } from "../../registry/access.ts";
import { decoyCosts } from "../../registry/auth.ts";
import type { ServerOptions } from "../../registry/server.ts";
import { startServer } from "../../registry/server.ts";
import { isAirgapError } from "../../src/errors.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { cli } from "../support/cli.ts";
import { Scratch } from "../support/scratch.ts";
import { errorCode, Serving } from "../support/serve.ts";

const INDEX = JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [] });
const basic = (user: string, password = "secret"): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});
const USERS = ["ci", "node"].map((name) => `${name}:${hashSync("secret", 4)}`).join("\n");

describe("what only this machine reaches", () => {
  it.each([
    "127.0.0.1",
    "127.255.3.4",
    "127.1",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "::ffff:7f12:1",
    "localhost",
  ])("%s", async (host) => expect((await resolveListen(host)).loopback).toBe(true));

  it.each(["0.0.0.0", "0", "::", "::ffff:0.0.0.0", "::ffff:10.0.0.1", "10.0.0.1", "128.0.0.1", "fe80::1"])(
    "not %s",
    async (host) => expect((await resolveListen(host)).loopback).toBe(false),
  );
});

describe("a store on the network", () => {
  const refusal = async (options: ServerOptions): Promise<string> => {
    try {
      await (await startServer(options)).close(0);
    } catch (error) {
      if (isAirgapError(error, "usage")) return [error.message, ...error.suggestions].join("\n");
      throw error;
    }
    return "started";
  };

  it.each(["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0", "0:0"])("is refused on %s", async (listen) => {
    using scratch = new Scratch();
    const store = scratch.path("store");
    const said = await refusal({ listen, store });
    expect(said).toContain("without a password");
    expect(said).toMatch(/--htpasswd FILE --writers USER/);
    expect(await refusal({ listen, store, anonymousWrites: true })).toBe("started");
    expect(await refusal({ listen })).toBe("started");
    const htpasswd = scratch.write("users", USERS);
    expect(await refusal({ listen, store, htpasswd, writers: ["ci"] })).toBe("started");
    expect(await refusal({ listen, store, htpasswd, anonymousWrites: true })).toContain("contradicts");
  });

  it("ends with 2 at the command line", async () => {
    using scratch = new Scratch();
    const { code, stderr } = await cli([
      "serve",
      "--store",
      scratch.path("s"),
      "--self-signed",
      "--listen",
      "0.0.0.0:0",
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("--anonymous-writes")]);
    const unknown = await cli([
      "serve",
      "--store",
      scratch.path("s"),
      "--htpasswd",
      scratch.write("users", USERS),
      "--writers",
      "ci,bob",
    ]);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining("no user 'bob'")]);
  });

  it.each([[["bob"]], [["ci", ""]], [["constructor"]]])("knows the writers %j, or ends", async (writers) => {
    using scratch = new Scratch();
    const htpasswd = scratch.write("users", USERS);
    const listen = "127.0.0.1:0";
    const store = scratch.path("store");
    expect(await refusal({ listen, store, htpasswd, writers })).toContain("has no user");
    expect(await refusal({ listen, store, writers })).toContain("--htpasswd");
  });
});

describe("users", () => {
  const start = async (writers?: string[]): Promise<Serving> => {
    const serving = new Serving();
    const htpasswd = serving.scratch.write("users", USERS);
    await serving.open({ htpasswd, ...(writers ? { writers } : {}) });
    return serving;
  };
  const put = (serving: Serving, user?: string) =>
    serving.call("PUT", "/v2/a/b/manifests/1", {
      headers: { "content-type": MediaType.ociIndex, ...(user ? basic(user) : {}) },
      body: INDEX,
    });

  it("read; writers push and delete", async () => {
    await using serving = await start(["ci"]);
    expect((await put(serving, "ci")).status).toBe(201);
    const upload = (await serving.call("POST", "/v2/a/b/blobs/uploads/", { headers: basic("ci") })).headers
      .location as string;
    for (const [method, path] of [
      ["PUT", "/v2/a/b/manifests/1"],
      ["DELETE", "/v2/a/b/manifests/1"],
      ["DELETE", `/v2/a/b/blobs/sha256:${"0".repeat(64)}`],
      ["POST", "/v2/a/b/blobs/uploads/"],
      ["GET", upload],
      ["PATCH", upload],
      ["PUT", `${upload}?digest=sha256:${"0".repeat(64)}`],
      ["DELETE", upload],
    ] as const) {
      const denied = await serving.call(method, path, { headers: basic("node") });
      expect([method, denied.status, errorCode(denied)]).toEqual([method, 403, "DENIED"]);
      expect(denied.headers["www-authenticate"]).toBeUndefined();
      const unknown = await serving.call(method, path);
      expect([method, unknown.status, errorCode(unknown)]).toEqual([method, 401, "UNAUTHORIZED"]);
      expect(unknown.headers["www-authenticate"]).toMatch(/^Basic /);
    }
    expect((await serving.call("GET", "/v2/a/b/manifests/1", { headers: basic("node") })).status).toBe(200);
    expect((await serving.call("GET", upload, { headers: basic("ci") })).status).toBe(204);
    expect((await serving.call("DELETE", "/v2/a/b/manifests/1", { headers: basic("ci") })).status).toBe(202);
  });

  it("may not write where no writer is named", async () => {
    await using serving = await start();
    const answer = await put(serving, "ci");
    expect([answer.status, answer.body.toString()]).toEqual([403, expect.stringContaining("--writers")]);
  });
});

describe("the time that a wrong password takes", () => {
  it.each([
    [4, 10],
    [9, 10],
    [10, 10],
    [undefined, 10],
    [undefined, 4],
  ])("is that of the most expensive user: cost %s of %s", (cost, top) => {
    const work = [...(cost === undefined ? [] : [cost]), ...decoyCosts(cost, top)];
    expect(work.reduce((sum, each) => sum + 2 ** each, 0)).toBe(2 ** top);
  });

  it("does not tell who exists", async () => {
    const serving = new Serving();
    await using _ = serving;
    const users = [
      `eight:${hashSync("x", 10)}`,
      `four:${hashSync("x", 4)}`,
      "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    ];
    await serving.open({ htpasswd: serving.scratch.write("users", users.join("\n")) });
    const spent = new Map<string, number[]>();
    for (let round = 0; round < 5; round++) {
      for (const user of ["eight", "four", "joe", "nobody"]) {
        const before = process.cpuUsage();
        expect((await serving.call("GET", "/v2/", { headers: basic(user, `wrong${round}`) })).status).toBe(
          401,
        );
        const { user: ours, system } = process.cpuUsage(before);
        spent.set(user, [...(spent.get(user) ?? []), ours + system]);
      }
    }
    const least = [...spent.values()].map((times) => Math.min(...times));
    expect(Math.max(...least) / Math.min(...least)).toBeLessThan(2);
  });
});
