import { hashSync } from "bcryptjs";
import { describe, expect, it } from "vitest";
import { bytesOf, makeImage } from "../support/images.ts";
import { Serving } from "../support/serve.ts";

const image = makeImage("one", [bytesOf("layer", 30_000)]);
const basic = (user: string, password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});
const metrics = async (serving: Serving): Promise<Map<string, number>> => {
  // An answer counts when its connection is done with it, shortly after the client has read it.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const answer = await serving.call("GET", "/metrics");
  expect([answer.status, answer.headers["content-type"]]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  const lines = answer.body.toString("utf8").trimEnd().split("\n");
  for (const line of lines)
    expect(line).toMatch(/^(?:# (?:HELP|TYPE) \S+ .+|[a-z_]+(?:\{[^{}]+\})? [\d.e+-]+)$/);
  return new Map(
    lines
      .filter((line) => !line.startsWith("#"))
      .map((line) => line.split(/ (?=[^ ]+$)/) as [string, string])
      .map(([name, value]) => [name, Number(value)]),
  );
};

describe("/metrics", () => {
  it("counts requests, bytes and errors by kind", async () => {
    await using serving = await Serving.start();
    const before = await metrics(serving);
    expect((await serving.pushImage("a/b", image, "1")).status).toBe(201);
    const pulled = await serving.call("GET", "/v2/a/b/manifests/1");
    await serving.call("GET", "/v2/a/b/manifests/none");
    await serving.call("PROPFIND", "/v2/");
    const after = await metrics(serving);
    const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    expect(grown('airgap_serve_requests_total{method="GET",code="200"}')).toBe(2);
    expect(grown('airgap_serve_requests_total{method="GET",code="404"}')).toBe(1);
    expect(grown('airgap_serve_requests_total{method="other",code="405"}')).toBe(1);
    expect(grown('airgap_serve_errors_total{kind="not-found"}')).toBeGreaterThanOrEqual(1);
    expect(grown('airgap_serve_errors_total{kind="request"}')).toBe(1);
    expect(grown("airgap_serve_response_bytes_total")).toBeGreaterThan(pulled.body.length);
    expect(grown("airgap_serve_request_duration_seconds_count")).toBeGreaterThan(4);
    await expect.poll(async () => (await metrics(serving)).get("airgap_serve_requests_running")).toBe(1);
    expect(after.get("airgap_serve_healthy")).toBe(1);
    expect(after.get("process_start_time_seconds")).toBeCloseTo(Date.now() / 1000, -2);
  });

  it("asks for no login, and says nothing of users, images or clients", async () => {
    await using serving = new Serving();
    await serving.open({ htpasswd: serving.scratch.write("htpasswd", `jane:${hashSync("secret", 4)}`) });
    await serving.call("GET", "/v2/secret/app/manifests/1", { headers: basic("jane", "secret") });
    await serving.call("GET", "/v2/", { headers: basic("mallory", "guess") });
    const { body } = await serving.call("GET", "/metrics");
    expect(body.toString()).toContain('airgap_serve_errors_total{kind="unauthorized"} 1');
    expect(body.toString()).not.toMatch(/jane|mallory|secret|127\.0\.0\.1/);
  });
});

describe("an address where nothing is", () => {
  const browser = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

  it.each(["/nope", "/files/none.txt", "/<script>alert(1)</script>"])(
    "%s is a page for a browser",
    async (path) => {
      await using serving = await Serving.start();
      const found = await serving.call("GET", encodeURI(path), { headers: browser });
      expect([found.status, found.headers["content-type"]]).toEqual([404, "text/html; charset=utf-8"]);
      expect(found.headers["content-security-policy"]).toContain("default-src 'none'");
      const text = found.body.toString("utf8");
      expect(text).toContain('<a href="/">');
      expect(text).not.toContain("<script>alert");
      const chinese = await serving.call("GET", encodeURI(path), {
        headers: { ...browser, "accept-language": "zh-CN" },
      });
      expect(chinese.body.toString("utf8")).toContain("返回首页");
    },
  );

  it("is JSON for a program, and everywhere in the API", async () => {
    await using serving = await Serving.start();
    for (const [path, headers] of [
      ["/nope", {}],
      ["/nope", { accept: "*/*" }],
      ["/v2/a/manifests/1", browser],
    ] as const) {
      const found = await serving.call("GET", path, { headers });
      expect([found.status, found.headers["content-type"]]).toEqual([404, "application/json"]);
      expect(JSON.parse(found.body.toString())).toHaveProperty("errors");
    }
  });
});
