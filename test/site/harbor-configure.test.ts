import { describe, expect, it } from "vitest";
import { silent } from "../../src/events.ts";
import { configureHarbor, harborHealth, listProjects } from "../../src/site/harbor/configure.ts";
import { parseWanted, type WantedHarbor } from "../../src/site/harbor/wanted.ts";
import { startHarbor, type TestHarbor } from "../support/harbor.ts";

const login = { user: "admin", password: "Administrator1", initial: "Harbor12345" };
const wanted: WantedHarbor = {
  login,
  projects: [
    { name: "apps", public: true, quota: "5GiB" },
    { name: "registry.k8s.io", public: false },
  ],
  users: [{ name: "ci", email: "ci@site", password: "Swordfish1", projects: { apps: "developer" } }],
};
const given = (harbor: TestHarbor, check = false) => ({
  ...{ host: harbor.host, insecure: true, emit: silent, check },
  login,
});

describe("a new Harbor", () => {
  it("gets its password, projects, users and roles, and a second time nothing is to be done", async () => {
    await using harbor = await startHarbor();
    expect((await configureHarbor(wanted, given(harbor, true))).changes).toEqual([
      "the administrator's password",
    ]);
    const { changes } = await configureHarbor(wanted, given(harbor));
    expect(changes).toEqual([
      "the administrator's password",
      "project apps",
      "project registry.k8s.io",
      "user ci",
      "developer ci of project apps",
    ]);
    expect(harbor.projects.get("apps")).toMatchObject({
      public: true,
      quota: 5 * 2 ** 30,
      members: { ci: 2 },
    });
    expect(harbor.projects.get("registry.k8s.io")).toMatchObject({ public: false, quota: -1 });
    harbor.failedLogins.length = 0;
    expect((await configureHarbor(wanted, given(harbor, true))).changes).toEqual([]);
    expect((await configureHarbor(wanted, given(harbor))).changes).toEqual([]);
    expect(harbor.failedLogins).toEqual([]);
  });
});

describe("a Harbor that stands", () => {
  const users = { admin: { password: "Administrator1", admin: true, rights: { "*": "push" as const } } };

  it("has differences named and put right; what it has beyond them stays", async () => {
    await using harbor = await startHarbor({
      users: {
        ...users,
        ci: { password: "Own1password", rights: {} },
        ann: { password: "Own1password", rights: {} },
      },
      projects: {
        apps: { public: false, quota: 7, members: { ci: 3, ann: 1 } },
        other: { members: { ci: 1 } },
      },
    });
    const expected = ["quota of project apps: 5GiB", "project apps is public", "project registry.k8s.io"];
    expect((await configureHarbor(wanted, given(harbor, true))).changes).toEqual(expected);
    expect((await configureHarbor(wanted, given(harbor))).changes).toEqual([
      ...expected,
      "developer ci of project apps",
    ]);
    expect(harbor.projects.get("apps")).toMatchObject({
      public: true,
      quota: 5 * 2 ** 30,
      members: { ci: 2, ann: 1 },
    });
    expect(harbor.projects.get("other")?.members).toEqual({ ci: 1 });
  });

  it("whose password is another one is left alone, and the way is told", async () => {
    await using harbor = await startHarbor({
      users: { admin: { password: "Changed1234", admin: true, rights: {} } },
    });
    await expect(configureHarbor(wanted, given(harbor))).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining("somebody has changed it, or its database is older"),
    });
    expect(harbor.projects.size).toBe(0);
  });

  it("is not said to have a user whose address another one has", async () => {
    await using harbor = await startHarbor({
      users: { ...users, ann: { password: "Own1password", email: "ci@site", rights: {} } },
    });
    await expect(configureHarbor(wanted, given(harbor))).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/^user ci was not made: .* has another user with the address ci@site$/),
    });
  });

  it("tells all its projects, page by page", async () => {
    const projects = Object.fromEntries(
      Array.from({ length: 230 }, (_, i) => [`p${String(i).padStart(3, "0")}`, {}]),
    );
    await using harbor = await startHarbor({ users, projects });
    const found = await listProjects(given(harbor));
    expect(found).toEqual(Object.keys(projects));
  });

  it("tells how each component is, without a login", async () => {
    await using harbor = await startHarbor({ users, unhealthy: ["database"] });
    const { healthy, components } = await harborHealth({ host: harbor.host, insecure: true, emit: silent });
    expect(healthy).toBe(false);
    expect(components).toContainEqual({ name: "database", healthy: false, error: "connection refused" });
    expect(components).toContainEqual({ name: "core", healthy: true, error: "" });
  });
});

describe("the input", () => {
  it.each([
    ["not JSON", "{"],
    ["an unknown key", '{"project":[]}'],
    [
      "a role that Harbor does not have",
      '{"users":[{"name":"ci","email":"a@b","projects":{"apps":"owner"}}]}',
    ],
    ["a password that is not a text", '{"login":{"user":"admin","password":7}}'],
  ])("with %s is refused, and no value of it is told", (_, text) => {
    expect(() => parseWanted(text, "The input")).toThrow(/^The input is damaged/);
  });
});
