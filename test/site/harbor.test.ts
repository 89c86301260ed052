import { describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { parseQuota } from "../../src/site/harbor/quota.ts";
import { makeBundle } from "../support/bundle.ts";
import { fill } from "../support/fill.ts";
import { startHarbor } from "../support/harbor.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { counts, pushTo } from "../support/push.ts";
import type { Hook } from "../support/registry.ts";

const base = bytesOf("base", 50_000);
const one = makeImage("one", [base, bytesOf("one", 20_000)]);
const two = makeImage("two", [base, bytesOf("two", 10_000)]);
const bundle = makeBundle({
  "quay.io/team/one:v1": { image: one },
  "registry.k8s.io/pause:3.9": { image: two },
});
const admin = { username: "admin", password: "Harbor12345" };
const robot = { username: "robot$site+ci", password: "s3cr$t" };
const users = {
  admin: { password: "Harbor12345", admin: true, rights: { "*": "push" as const } },
  "robot$site+ci": { password: "s3cr$t", robot: true, rights: { site: "push" as const } },
  "robot$site+reader": { password: "lesen", robot: true, rights: { site: "pull" as const } },
  dev: { password: "dev", rights: { site: "push" as const } },
};
const both = { projects: { "quay.io": {}, "registry.k8s.io": {} } };

describe("a Harbor's projects", () => {
  it("are named when they are missing, with the command that makes them, before the first byte", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const failure = pushTo(harbor, bundle, { credential: admin });
    await expect(failure).rejects.toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringContaining("no project 'registry.k8s.io'"),
      data: { missingProjects: ["registry.k8s.io"] },
      suggestions: [
        `airgap push test.tar ${harbor.host} --create-projects private`,
        `curl -u admin -H 'content-type: application/json' -d '{"project_name":"registry.k8s.io"}' ${harbor.url}/api/v2.0/projects`,
      ],
    });
    expect(harbor.count("PUT upload") + harbor.count("PUT manifest")).toBe(0);
  });

  it.each([true, false])("are made on wish, public: %s", async (isPublic) => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const { result } = await pushTo(harbor, bundle, {
      credential: admin,
      createProjects: isPublic ? "public" : "private",
      projectQuota: "5000000000",
    });
    expect(result).toMatchObject({
      registry: "harbor",
      version: "v2.15.2-test",
      projects: ["registry.k8s.io"],
    });
    expect(harbor.projects.get("registry.k8s.io")).toMatchObject({ public: isPublic, quota: 5e9 });
    expect(harbor.store.manifest("registry.k8s.io/pause", "3.9")?.digest).toBe(two.root.digest);
  });

  it("are fine when somebody else makes them in the same moment (409)", async () => {
    const hooks: Hook[] = [
      (exchange) => {
        if (exchange.method === "POST" && exchange.url.pathname.endsWith("/projects")) {
          harbor.projects.set("registry.k8s.io", { public: false, quota: -1, immutable: new Set(), made: 0 });
        }
        return undefined;
      },
    ];
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks });
    await pushTo(harbor, bundle, { credential: admin, createProjects: "private" });
    expect(
      harbor.seen.find(({ method, path }) => method === "POST" && path.endsWith("/projects"))?.status,
    ).toBe(409);
    expect(harbor.store.manifest("registry.k8s.io/pause", "3.9")?.digest).toBe(two.root.digest);
  });

  it("refuse tokens that are older than they are: the push asks for new ones", async () => {
    await using harbor = await startHarbor();
    await pushTo(harbor, bundle, { credential: admin, createProjects: "private" });
    const made = harbor.seen.findLastIndex(
      ({ method, path }) => method === "POST" && path.endsWith("/projects"),
    );
    const after = harbor.seen.slice(made + 1);
    expect(after.some(({ path }) => path === "/service/token")).toBe(true);
    expect(after.filter(({ status }) => status === 401)).toEqual([]);
  });

  it("are not made by a dry run", async () => {
    await using harbor = await startHarbor();
    const { result } = await pushTo(harbor, bundle, {
      credential: admin,
      createProjects: "private",
      dryRun: true,
    });
    expect(result.projects.toSorted()).toEqual(["quay.io", "registry.k8s.io"]);
    expect(harbor.projects.size).toBe(0);
    expect(result.totals.sent.blobs).toBe(5);
  });

  it("can't be made by just anybody: the error says who can", async () => {
    await using harbor = await startHarbor({ users });
    await expect(
      pushTo(harbor, bundle, {
        credential: { username: "dev", password: "dev" },
        createProjects: "private",
      }),
    ).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringMatching(/does not let dev make the project.*HTTP 403/),
      suggestions: expect.arrayContaining([expect.stringMatching(/^curl -u admin .*\/api\/v2.0\/projects$/)]),
    });
  });

  it("may be called by a number", async () => {
    await using harbor = await startHarbor({ projects: { "2024": { proxyCache: true } } });
    await expect(
      pushTo(harbor, makeBundle({ "quay.io/a/one:v1": { image: one } }), {
        credential: admin,
        prefix: "/2024",
        layout: "flat",
      }),
    ).rejects.toThrow(/proxy cache/);
  });

  it("are what a name must begin with", async () => {
    await using harbor = await startHarbor(both);
    await expect(pushTo(harbor, bundle, { credential: admin, layout: "flat" })).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/at least 2 components/),
    });
    expect(harbor.seen.filter(({ path }) => path.startsWith("/v2/") && path.length > 4)).toEqual([]);
  });
});

describe("who pushes to a Harbor", () => {
  const site = { users, projects: { site: {} } };

  it("may be a robot account, its $ untouched (trap 12)", async () => {
    await using harbor = await startHarbor(site);
    await pushTo(harbor, bundle, { credential: robot, prefix: "/site" });
    expect(harbor.store.manifest("site/quay.io/team/one", "v1")?.digest).toBe(one.root.digest);
    const sent = harbor.seen
      .map(({ headers }) => headers["authorization"])
      .filter((value) => value?.startsWith("Basic "));
    for (const value of sent)
      expect(Buffer.from(String(value).slice(6), "base64").toString()).toBe("robot$site+ci:s3cr$t");
  });

  it("is told at once when the account may only pull", async () => {
    await using harbor = await startHarbor(site);
    await expect(
      pushTo(harbor, bundle, {
        credential: { username: "robot$site+reader", password: "lesen" },
        prefix: "/site",
      }),
    ).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringMatching(/robot\$site\+reader .*may not push to project 'site'/),
    });
    expect(harbor.count("POST start-upload")).toBe(0);
  });

  it("is told that a project is missing although a robot may not ask for it", async () => {
    await using harbor = await startHarbor({ users });
    await expect(pushTo(harbor, bundle, { credential: robot, prefix: "/site" })).rejects.toMatchObject({
      data: { missingProjects: ["site"] },
      suggestions: expect.arrayContaining([expect.stringContaining("curl -u admin ")]),
    });
  });

  it("is told that a project is missing although nobody is logged in", async () => {
    await using harbor = await startHarbor();
    await expect(pushTo(harbor, bundle)).rejects.toMatchObject({
      data: { missingProjects: expect.arrayContaining(["quay.io"]) },
    });
  });

  it("is told to log in", async () => {
    await using harbor = await startHarbor({ projects: { site: { public: true } } });
    await expect(pushTo(harbor, bundle, { prefix: "/site" })).rejects.toMatchObject({
      code: "unauthorized",
      suggestions: [`docker login ${harbor.host}`],
    });
  });

  it("is told when the password is wrong, without the password", async () => {
    await using harbor = await startHarbor(both);
    const failure = await pushTo(harbor, bundle, {
      credential: { username: "admin", password: "falsch-geheim" },
    }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "unauthorized", message: expect.stringContaining("admin") });
    expect(JSON.stringify(failure) + String((failure as Error).stack)).not.toContain("falsch-geheim");
  });
});

describe("a push to a Harbor", () => {
  it("asks one token a project, and nothing twice the second time", async () => {
    await using harbor = await startHarbor(both);
    const images = Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => [
        `quay.io/team/app${i}:v1`,
        { image: makeImage(`app${i}`, [base]) },
      ]),
    );
    const many = makeBundle({ ...images, "registry.k8s.io/pause:3.9": { image: two } });
    await pushTo(harbor, many, { credential: admin });
    // One more for each pair of projects that a blob is mounted across.
    const first = harbor.tokens.filter((scopes) => scopes.length === 1).length;
    expect(first).toBe(2);
    const given = harbor.tokens.length;
    const { asked, result } = await pushTo(harbor, many, { credential: admin });
    expect(result.images.every(({ state }) => state === "present")).toBe(true);
    expect(counts(asked)["HEAD manifest"]).toBeLessThanOrEqual(31 + 1);
    expect(asked.length).toBeLessThanOrEqual(31 + 2 + 6);
    expect(harbor.tokens.length - given).toBe(2);
  });

  it("needs no further token for mounts within a project", async () => {
    await using harbor = await startHarbor({ projects: { site: {} } });
    const { result } = await pushTo(harbor, bundle, { credential: admin, prefix: "/site" });
    expect(result.totals.mounted.blobs).toBe(1);
    expect(harbor.tokens).toHaveLength(1);
  });

  it("repairs below an immutable tag without giving the tag anew", async () => {
    await using harbor = await startHarbor({
      projects: { "quay.io": { immutable: new Set(["v1"]) }, "registry.k8s.io": {} },
    });
    await pushTo(harbor, bundle, { credential: admin });
    harbor.store.repositories.get("quay.io/team/one")?.blobs.delete(digestOf(base));
    const { result } = await pushTo(harbor, bundle, { credential: admin, repair: true });
    expect(result.totals.sent.blobs).toBe(1);
    expect(harbor.store.repositories.get("quay.io/team/one")?.blobs.has(digestOf(base))).toBe(true);
    expect(harbor.seen.filter(({ status }) => status === 412)).toEqual([]);
  });

  it("is not held up by an administrator's page that always fails", async () => {
    const hooks: Hook[] = [
      (exchange) => (exchange.url.pathname.endsWith("/volumes") ? exchange.send(500) : undefined),
    ];
    await using harbor = await startHarbor({ ...both, hooks });
    const startedAt = Date.now();
    await pushTo(harbor, bundle, { credential: admin });
    expect(Date.now() - startedAt).toBeLessThan(3000);
  });

  it("finds a missing project also where it is not told by a 401", async () => {
    const hooks: Hook[] = [
      (exchange) => (exchange.label === "HEAD manifest" ? exchange.send(404) : undefined),
    ];
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toMatchObject({
      data: { missingProjects: ["registry.k8s.io"] },
    });
  });

  it("sends no cookie, and no token by POST", async () => {
    const hooks: Hook[] = [
      (exchange) => void exchange.response.setHeader("set-cookie", "sid=abc; Path=/") as undefined,
    ];
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks });
    await pushTo(harbor, bundle, { credential: admin, createProjects: "private" });
    expect(harbor.seen.filter(({ headers }) => headers["cookie"] !== undefined)).toEqual([]);
    expect(harbor.seen.filter(({ method, path }) => method === "POST" && path === "/service/token")).toEqual(
      [],
    );
  });

  it("asks for blobs by HEAD, which protects them from its garbage collection, and sends those that are being collected", async () => {
    const collected = new Set<string>([digestOf(base)]);
    const hooks: Hook[] = [
      (exchange) =>
        exchange.method === "HEAD" && exchange.target.kind === "blob" && collected.has(exchange.target.digest)
          ? exchange.send(404)
          : undefined,
    ];
    await using harbor = await startHarbor({ ...both, hooks });
    harbor.store.addBlob("quay.io/team/one", base);
    await pushTo(harbor, makeBundle({ "quay.io/team/one:v1": { image: one } }), { credential: admin });
    expect(
      harbor.seen.filter(
        ({ label, query }) => label === "PUT upload" && query.get("digest") === digestOf(base),
      ),
    ).toHaveLength(1);
    expect(harbor.seen.filter(({ query }) => query.has("mount"))).toEqual([]);
  });

  it("mounts what its projects share, from names with a project", async () => {
    await using harbor = await startHarbor(both);
    const { result } = await pushTo(harbor, bundle, { credential: admin });
    expect(result.totals.mounted).toEqual({ blobs: 1, bytes: base.length });
    expect(
      harbor.seen
        .filter(({ query }) => query.has("from"))
        .every(({ query }) => String(query.get("from")).includes("/")),
    ).toBe(true);
  });

  it("uploads what it may not mount: no right to pull from the other project", async () => {
    const limited = {
      ...users,
      dev: { password: "dev", rights: { "quay.io": "push" as const, "registry.k8s.io": "push" as const } },
    };
    const hooks: Hook[] = [
      (exchange) =>
        exchange.query("from")?.startsWith("quay.io/") && !exchange.url.pathname.includes("quay.io")
          ? exchange.fail(401, "UNAUTHORIZED", "unauthorized")
          : undefined,
    ];
    await using harbor = await startHarbor({ users: limited, ...both, hooks });
    const { result } = await pushTo(harbor, bundle, {
      credential: { username: "dev", password: "dev" },
      concurrency: 1,
    });
    expect(result.totals.mounted.blobs).toBe(0);
    expect(harbor.store.manifest("registry.k8s.io/pause", "3.9")?.digest).toBe(two.root.digest);
  });
});

describe("what a Harbor would refuse is told before the first byte", () => {
  const site = { projects: { "quay.io": {}, "registry.k8s.io": {} } };
  const nothingSent = (harbor: { count(label: string): number }) =>
    expect(harbor.count("POST start-upload") + harbor.count("PUT manifest")).toBe(0);

  it("a quota that is too small", async () => {
    await using harbor = await startHarbor({ projects: { ...site.projects, "quay.io": { quota: 60_000 } } });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toMatchObject({
      code: "check-failed",
      message: expect.stringMatching(/'quay.io'.*58\.6 KiB left of its quota.*69\.\d KiB are new to it/),
    });
    nothingSent(harbor);
  });

  it("a quota goes unchecked with --yes, and Harbor's own refusal is told in words", async () => {
    await using harbor = await startHarbor({ projects: { ...site.projects, "quay.io": { quota: 60_000 } } });
    await expect(pushTo(harbor, bundle, { credential: admin, yes: true })).rejects.toMatchObject({
      code: "refused",
      message: expect.stringMatching(
        /quota of the project is used up \(adding [\d.]+ KiB of storage[^:]*KiB\)$/,
      ),
      suggestions: expect.arrayContaining([expect.stringMatching(/Project Quotas/)]),
    });
  });

  it("read-only mode", async () => {
    await using harbor = await startHarbor({ ...site, readOnly: true });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toThrow(/read-only mode/);
    nothingSent(harbor);
  });

  it("a proxy-cache project", async () => {
    await using harbor = await startHarbor({
      projects: { ...site.projects, "quay.io": { proxyCache: true } },
    });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toThrow(/'quay.io'.*proxy cache/);
    nothingSent(harbor);
  });

  it("an immutable tag that means another image; the same image is fine", async () => {
    await using harbor = await startHarbor({
      projects: { ...site.projects, "quay.io": { immutable: new Set(["v1"]) } },
    });
    fill(harbor.store, "quay.io/team/one", two, "v1");
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toMatchObject({
      code: "check-failed",
      message: expect.stringContaining(`quay.io/team/one:v1 is immutable and is ${two.root.digest}`),
    });
    nothingSent(harbor);
    fill(harbor.store, "quay.io/team/one", one, "v1");
    await pushTo(harbor, bundle, { credential: admin });
    expect(harbor.seen.filter(({ status }) => status === 412)).toEqual([]);
  });

  it("an ill component that a push needs; HTTP says 200 all the same", async () => {
    await using harbor = await startHarbor({ ...site, unhealthy: ["database"] });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toThrow(
      /unhealthy: database \(connection refused\)/,
    );
    nothingSent(harbor);
  });

  it("but no ill component that it does not need", async () => {
    await using harbor = await startHarbor({ ...site, unhealthy: ["jobservice"] });
    const { events } = await pushTo(harbor, bundle, { credential: admin });
    expect(events).toContainEqual(
      expect.objectContaining({ type: "warning", message: expect.stringContaining("jobservice") }),
    );
  });

  it("a disk that is too full", async () => {
    await using harbor = await startHarbor({ ...site, free: 10_000 });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toThrow(/9\.77 KiB of storage left/);
    nothingSent(harbor);
  });

  it("an index with missing children", async () => {
    const index = makeIndex([one, two]);
    const sparse = makeBundle({
      [`quay.io/team/multi@${index.root.digest}`]: {
        image: index,
        exact: true,
        without: new Set([two.root.digest]),
      },
    });
    await using harbor = await startHarbor(site);
    await expect(pushTo(harbor, sparse, { credential: admin })).rejects.toThrow(
      /refuses indexes with missing children.*quay.io\/team\/multi@/,
    );
    nothingSent(harbor);
  });

  it("all of it together", async () => {
    await using harbor = await startHarbor({
      readOnly: true,
      unhealthy: ["core"],
      projects: { "quay.io": { proxyCache: true } },
    });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toMatchObject({
      message: expect.stringMatching(
        /^Nothing was sent, for 4 reasons: ((?!nothing was sent).)*read-only.*core.*proxy cache.*registry\.k8s\.io((?!nothing was sent).)*$/s,
      ),
    });
  });
});

describe("what a Harbor refuses half-way is told in words", () => {
  const refusing =
    (label: string, status: number, code: string, message: string): Hook =>
    (exchange) =>
      exchange.label === label ? exchange.fail(status, code, message) : undefined;

  it.each([
    ["PUT manifest", 412, "PRECONDITION", "configured as immutable", /immutable/],
    ["PUT manifest", 413, "MANIFEST_INVALID", "too large", /4 MiB/],
    [
      "PUT upload",
      403,
      "DENIED",
      "The system is in read only mode. Any modification is prohibited.",
      /read-only mode/,
    ],
    ["PUT upload", 403, "DENIED", "can not push artifact to a proxy project", /proxy cache/],
    ["POST start-upload", 401, "UNAUTHORIZED", "unauthorized to access repository", /may only pull/],
  ])("%s: %d", async (label, status, code, message, expected) => {
    await using harbor = await startHarbor({ ...both, hooks: [refusing(label, status, code, message)] });
    await expect(pushTo(harbor, bundle, { credential: admin })).rejects.toMatchObject({
      message: expect.stringMatching(expected),
      suggestions: expect.arrayContaining([expect.any(String)]),
    });
  });
});

describe("parseQuota", () => {
  it("reads what Harbor's own page shows", () => {
    expect([
      parseQuota("200GiB"),
      parseQuota("1.5 G"),
      parseQuota("512MB"),
      parseQuota("1048576"),
      parseQuota("-1"),
    ]).toEqual([200 * 2 ** 30, 1.5 * 2 ** 30, 512 * 2 ** 20, 2 ** 20, -1]);
    for (const text of ["", "x", "0", "-5", "1 PB"])
      expect(() => parseQuota(text)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});
