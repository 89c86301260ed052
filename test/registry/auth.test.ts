import { hashSync } from "bcryptjs";
import { describe, expect, it } from "vitest";
import { Htpasswd, parseHtpasswd } from "../../registry/auth.ts";
import { ApiError } from "../../registry/errors.ts";
import type { Exchange } from "../../registry/exchange.ts";
import { Scratch } from "../support/scratch.ts";
import { type Answer, errorCode, Serving } from "../support/serve.ts";

/** As `htpasswd -nbs joe secret` writes it. */
const SHA = "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
const basic = (user: string, password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});

async function start(lines: string[]): Promise<Serving> {
  const serving = new Serving();
  await serving.open({ htpasswd: serving.scratch.write("htpasswd", lines.join("\n")) });
  return serving;
}

const ask = (serving: Serving, headers: Record<string, string> = {}, path = "/v2/"): Promise<Answer> =>
  serving.call("GET", path, { headers });

describe("htpasswd", () => {
  it("asks for a user, everywhere but at /healthz", async () => {
    await using serving = await start([`jane:${hashSync("x", 4)}`]);
    for (const path of ["/v2/", "/v2/_catalog", "/", "/files/", "/packages/el9/"]) {
      const answer = await ask(serving, {}, path);
      expect([answer.status, errorCode(answer)]).toEqual([401, "UNAUTHORIZED"]);
      expect(answer.headers["www-authenticate"]).toMatch(/^Basic realm="/);
    }
    expect((await ask(serving, {}, "/healthz")).status).toBe(200);
  });

  it.each(["$2a$", "$2b$", "$2y$"])("believes bcrypt hashes that begin with %s", async (prefix) => {
    await using serving = await start([
      "# users",
      "",
      `jane:${hashSync("pa:ss wörd", 4).replace("$2b$", prefix)}`,
      SHA,
    ]);
    expect((await ask(serving, basic("jane", "pa:ss wörd"))).status).toBe(200);
    expect((await ask(serving, basic("joe", "secret"))).status).toBe(200);
    for (const wrong of [
      basic("jane", "pa:ss"),
      basic("nobody", "pa:ss wörd"),
      basic("joe", ""),
      { authorization: "Basic !!" },
      { authorization: "Bearer x" },
    ]) {
      expect((await ask(serving, wrong)).status).toBe(401);
    }
    expect(serving.log.find(({ status }) => status === 200)?.user).toBe("jane");
  });

  it("believes what a well-known implementation wrote", async () => {
    // From the test vectors of OpenBSD's bcrypt, by way of jBCrypt.
    await using serving = await start(["u:$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"]);
    expect((await ask(serving, basic("u", "abcdefghijklmnopqrstuvwxyz"))).status).toBe(401);
    expect((await ask(serving, basic("u", "abc"))).status).toBe(200);
  });

  it("follows the file, and keeps the users when it is broken", async () => {
    await using serving = await start([`jane:${hashSync("old", 4)}`]);
    expect((await ask(serving, basic("jane", "old"))).status).toBe(200);
    serving.scratch.write("htpasswd", `jane:${hashSync("new", 4)}\n\n`);
    expect([
      (await ask(serving, basic("jane", "old"))).status,
      (await ask(serving, basic("jane", "new"))).status,
    ]).toEqual([401, 200]);
    serving.scratch.write("htpasswd", "half a li");
    expect((await ask(serving, basic("jane", "new"))).status).toBe(200);
  });

  it("turns away a flood of guesses", async () => {
    using scratch = new Scratch();
    const users = new Htpasswd(scratch.write("htpasswd", `jane:${hashSync("x", 4)}`));
    const guess = (i: number): Promise<string> =>
      users.check({ header: () => basic("jane", `guess${i}`).authorization } as unknown as Exchange);
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, i) => guess(i).catch((error: ApiError) => error)),
    );
    const refused = outcomes.filter(
      (error) => error instanceof ApiError && error.status === 429,
    ) as ApiError[];
    expect(refused).toHaveLength(8);
    expect(refused[0]?.headers["retry-after"]).toBe("2");
    expect(outcomes.filter((error) => error instanceof ApiError && error.status === 401)).toHaveLength(32);
  });

  it("writes no password into its log", async () => {
    await using serving = await start([`jane:${hashSync("hush-hush", 4)}`]);
    await ask(serving, basic("jane", "hush-hush"));
    await ask(serving, basic("jane", "hush-wrong"));
    const log = JSON.stringify(serving.log);
    expect(log).not.toMatch(/hush/);
    expect(log).not.toContain(basic("jane", "hush-hush").authorization?.slice(6));
  });

  it.each(["jane:plain", "jane", ":x", "jane:$apr1$abc$defghijklmnopqrstuvwxyz."])(
    "names the line that it can't take: %s",
    (line) => {
      expect(() => parseHtpasswd(`# first\n${line}\n`, "users")).toThrow(/users, line 2/);
    },
  );
});
