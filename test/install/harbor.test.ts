import { describe, expect, it, vi } from "vitest";
import { parseCluster } from "../../src/cluster/read.ts";
import { loadSecrets, secretTexts } from "../../src/cluster/secrets.ts";
import { makeContext } from "../../src/install/context.ts";
import { parseHarborHost } from "../../src/install/harbor/host.ts";
import { wantedHarbor } from "../../src/install/harbor/projects.ts";
import { changeOf, isOlder, takenOver } from "../../src/install/harbor/versions.ts";
import { harborInBundle } from "../../src/install/preflight/harbor.ts";
import { preflight } from "../../src/install/preflight/preflight.ts";
import { StateDir } from "../../src/plan/state-dir.ts";
import { parseWanted } from "../../src/site/harbor/wanted.ts";
import { clusterText, siteOf, type Wishes } from "../support/install/site.ts";
import { Scratch } from "../support/scratch.ts";

const hosts = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane"] },
  { name: "register", address: "10.0.0.20", roles: ["registry"] },
];
const ci = {
  name: "ci",
  email: "ci@site.local",
  passwordEnv: "CI_PASSWORD",
  projects: { apps: "developer" },
};
const registry = { host: "register.site.local", mode: "harbor" };
const docker = { docker: "28.5.1" };
const compose = { foreign: [], postgres: [], foreignDatabase: false, compose: "2.40.1" };

const parse = (harbor: Record<string, unknown> | undefined, more: Record<string, unknown> = {}) =>
  parseCluster(
    clusterText({
      hosts,
      registry: { ...registry, ...(harbor ? { harbor } : {}), ...(more["registry"] as object) },
      ...(more["repository"] ? { repository: more["repository"] } : {}),
    }),
    "/site/cluster.yaml",
  );

/** Findings about Harbor alone, on a host that has all that it needs. */
function findings(wishes: Wishes): string[] {
  const input = siteOf({
    os: "debian-12",
    ...wishes,
    cluster: {
      hosts,
      registry: { ...registry, harbor: { projects: [{ name: "apps", public: true }], users: [ci] } },
      ...wishes.cluster,
    },
    hostFacts: {
      register: { versions: docker, cores: 4, memoryKiB: 8 << 20, ...wishes.hostFacts?.["register"] },
    },
    harbor: { host: compose, ...wishes.harbor },
  });
  return preflight(makeContext(input))
    .filter(({ check }) => check === "harbor" || check === "bundle-harbor")
    .map(({ severity, message }) => `${severity}: ${message}`);
}

describe("the cluster file", () => {
  it("gives Harbor its defaults", () => {
    const { registry: read, repository } = parse(undefined);
    expect(read).toMatchObject({
      ...{ address: "10.0.0.20", port: 443 },
      harbor: { data: "/data", trivy: false, projects: [], users: [], httpPort: 80 },
    });
    expect(repository).toEqual({ host: "register", port: 8443 });
    expect(parse(undefined, { registry: { scheme: "http" } }).registry).toMatchObject({
      port: 80,
      harbor: { httpPort: 80 },
    });
  });

  it.each([
    [{ certFile: "a.pem" }, {}, /certFile and keyFile belong together, keyFile is missing/],
    [{ certFile: "a.pem", keyFile: "a.key" }, { registry: { scheme: "http" } }, /are for https/],
    [{}, { registry: { caFile: "ca.pem" } }, /airgap makes Harbor's certificate itself/],
    [{}, { registry: { port: 8443 } }, /registry.port and repository.port cannot both be 8443/],
    [{ httpPort: 1514 }, {}, /registry.harbor.httpPort and Harbor's log cannot both be 1514/],
    [{ projects: [{ name: "a" }, { name: "a" }] }, {}, /projects: two are called a/],
    [{ users: [{ ...ci, name: "admin" }] }, {}, /admin is always there/],
    [{}, { registry: { user: "nodes", passwordEnv: "X" } }, /nodes, who is not among registry.harbor.users/],
    [{}, { registry: { host: "localhost" } }, /Harbor cannot be called localhost/],
    [{}, { registry: { mode: "external" } }, /only with `mode: harbor`; the mode is external/],
    [{ data: "/srv/with blank" }, {}, /an absolute path of letters/],
    [{ users: [{ ...ci, projects: { apps: "owner" } }] }, {}, /owner/],
    [{ projects: [{ name: "apps", quota: "lots" }] }, {}, /a storage limit like 50GiB/],
  ])("is refused where it contradicts itself: %j %j", (harbor, more, message) => {
    const repository = (more as { registry?: { mode?: string } }).registry?.mode
      ? { repository: { host: "register" } }
      : {};
    expect(() => parse(harbor, { ...more, ...repository })).toThrow(message);
  });
});

describe("secrets", () => {
  const cluster = parse({ users: [ci], projects: [{ name: "apps" }] });
  const load = (scratch: Scratch, stands = false) =>
    loadSecrets(
      { ...cluster, baseDir: scratch.dir },
      StateDir.open({ ...cluster, baseDir: scratch.dir }),
      stands ? { harbor: true } : {},
    );

  it("are made as Harbor takes them, kept, masked, and those of users come from variables", async () => {
    using scratch = new Scratch();
    await expect(load(scratch)).rejects.toThrow(/CI_PASSWORD, which is not set/);
    vi.stubEnv("CI_PASSWORD", "short");
    await expect(load(scratch)).rejects.toThrow(
      /does not take the password in CI_PASSWORD: it needs 8 to 128/,
    );
    vi.stubEnv("CI_PASSWORD", "Swordfish1");
    const secrets = await load(scratch);
    const { admin = "", initial = "", users } = secrets.harbor ?? {};
    expect(admin).toMatch(/^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9]{16,128}$/);
    expect(initial).not.toBe(admin);
    expect(users).toEqual({ ci: "Swordfish1" });
    expect(secretTexts(secrets)).toEqual(expect.arrayContaining([admin, initial, "Swordfish1"]));
    expect((await load(scratch)).harbor).toEqual(secrets.harbor);
    // Harbor's own certificate has its name.
    expect(secrets.registryCa).toBe(secrets.tls?.ca);
    vi.stubEnv("CI_PASSWORD", "");
    expect((await load(scratch, true)).harbor?.users).toEqual({});
    vi.unstubAllEnvs();
  });

  it("of a Harbor that another machine installed have to be given", async () => {
    using scratch = new Scratch();
    await expect(load(scratch, true)).rejects.toMatchObject({
      code: "usage",
      suggestions: [expect.stringContaining("registry.harbor.adminPasswordEnv")],
    });
  });
});

describe("what Harbor must have", () => {
  it("is read by airgap's own command as the plan writes it", () => {
    const { cluster, bundle } = siteOf({
      cluster: {
        hosts,
        registry: { ...registry, harbor: { users: [ci], projects: [{ name: "apps", quota: "5GiB" }] } },
      },
    });
    const wanted = wantedHarbor(cluster, bundle.lock, { ci: "Swordfish1" });
    const login = { user: "admin", password: "a", initial: "b" };
    expect(parseWanted(JSON.stringify({ login, ...wanted }), "it")).toEqual({ login, ...wanted });
  });

  it("lets the nodes' account pull from all projects of the bundle, which are private then", () => {
    const nodes = { name: "nodes", email: "n@site", passwordEnv: "N" };
    const { cluster, bundle } = siteOf({
      cluster: {
        hosts,
        registry: { ...registry, user: "nodes", passwordEnv: "N", harbor: { users: [nodes] } },
      },
      secrets: { registryPassword: "Swordfish1" },
    });
    const { projects, users } = wantedHarbor(cluster, bundle.lock, {});
    expect(projects.map(({ name, public: open }) => [name, open])).toEqual([
      ["docker.io", false],
      ["registry.k8s.io", false],
      ["shop", false],
    ]);
    expect(users[0]?.projects).toEqual({ "docker.io": "guest", "registry.k8s.io": "guest", shop: "guest" });
  });
});

describe("versions", () => {
  it.each([
    ["v2.13.2", "v2.13.2", "none"],
    ["v2.13.1", "v2.13.2", "upgrade"],
    ["v2.8.4", "v2.10.3", "upgrade"],
    ["v2.13.2", "v2.15.2", "upgrade"],
    ["v2.13.2", "v2.13.1", "refused"],
    ["v2.15.2", "v2.14.0", "refused"],
    ["v2.8.4", "v2.11.0", "refused"],
    ["v2.2.0", "v2.3.0", "refused"],
    ["v2.15.2", "v2.16.0", "refused"],
  ])("from %s to %s: %s", (from, to, kind) => expect(changeOf(from, to).kind).toBe(kind));

  it("that are too far away are refused with the ladder", () => {
    expect(changeOf("v2.8.4", "v2.15.2")).toMatchObject({
      way: expect.stringContaining("2.10, then 2.12, then 2.14, then 2.15"),
    });
  });

  it("know whose database they take over", () => {
    expect(["v2.6.4", "v2.8.1", "v2.10.3", "v2.12.1", "v2.15.2", "v2.17.0"].map(takenOver)).toEqual([
      [13, 96],
      [13],
      [14, 13],
      [15, 14],
      [18, 15],
      [],
    ]);
  });

  it("are compared to the third number", () => {
    expect([
      isOlder("20.10.9", "20.10.10"),
      isOlder("20.10.24+dfsg1", "20.10.10"),
      isOlder("28.5.1", "20.10.10"),
      isOlder("1.25.0", "1.27.0"),
    ]).toEqual([true, false, false, true]);
  });
});

describe("checks beforehand", () => {
  it("find nothing where all is there", () => expect(findings({})).toEqual([]));

  it.each<[string, Wishes, RegExp]>([
    [
      "Docker and compose",
      { hostFacts: { register: { versions: {} } }, harbor: { host: { ...compose, compose: "" } } },
      /have Docker/,
    ],
    [
      "an old Docker",
      { hostFacts: { register: { versions: { docker: "20.10.9" } } } },
      /error: Docker 20\.10\.9 is too old: Harbor v2\.13\.2 needs 20\.10\.10/,
    ],
    [
      "an old compose",
      { harbor: { host: { ...compose, compose: "1.26.2" } } },
      /docker-compose 1\.26\.2 is too old/,
    ],
    [
      "another architecture",
      { hostFacts: { register: { versions: docker, machine: "aarch64" } } },
      /images are for x86_64/,
    ],
    [
      "a small host",
      { hostFacts: { register: { versions: docker, memoryKiB: 2 << 20 } } },
      /warning: .*Harbor asks for 2 cores and 4 GB/,
    ],
    ["containers of others", { harbor: { host: { ...compose, foreign: ["nginx"] } } }, /did not make: nginx/],
    [
      "a database of others",
      { harbor: { host: { ...compose, postgres: [15], foreignDatabase: true } } },
      /has a database that airgap did not make/,
    ],
    [
      "an older database",
      { harbor: { host: { ...compose, postgres: [13] } } },
      /PostgreSQL 13, and Harbor v2\.13\.2 takes over only 15 and 14/,
    ],
    [
      "a folder of others",
      { harbor: { host: { ...compose, foreignFolder: "/opt/harbor" } } },
      /\/opt\/harbor is there/,
    ],
    [
      "storage over the network",
      { harbor: { host: { ...compose, data: { kib: 1e9, mount: "/data", type: "nfs4" } } } },
      /is on nfs4/,
    ],
    [
      "a full disk",
      { harbor: { host: { ...compose, docker: { kib: 1e6, mount: "/", type: "ext4" } } } },
      /\/ has 1\.0 GiB left; Harbor's images need/,
    ],
    [
      "a step too large",
      { hostFacts: { register: { versions: docker, harbor: "v2.8.4" } } },
      /error: Harbor is at v2\.8\.4, and the bundle has v2\.13\.2/,
    ],
    [
      "an upgrade",
      { hostFacts: { register: { versions: docker, harbor: "v2.12.0" } } },
      /notice: Harbor goes from v2\.12\.0 to v2\.13\.2/,
    ],
    [
      "a scanner without its database",
      { cluster: { registry: { ...registry, harbor: { trivy: true } } } },
      /no file `trivy-db`/,
    ],
    [
      "a private project that nodes pull from",
      { cluster: { registry: { ...registry, harbor: { projects: [{ name: "docker.io" }] } } } },
      /docker\.io is private/,
    ],
    [
      "a role in no project",
      { cluster: { registry: { ...registry, harbor: { users: [ci] } } } },
      /ci gets a role in apps, which is not among/,
    ],
  ])("find %s", (_, wishes, message) => expect(findings(wishes).join("\n")).toMatch(message));

  it("find a bundle without the installer, from the two files alone", () => {
    const { cluster, bundle } = siteOf({ cluster: { hosts, registry } });
    expect(harborInBundle({ cluster, bundle })).toMatchObject([
      {
        check: "bundle-harbor",
        severity: "error",
        message: expect.stringContaining("does not have Harbor's offline installer"),
      },
    ]);
  });
});

it("reads what the registry host says", () => {
  const said =
    "compose 1.29.2\ncontainer nginx\npostgres 15\nforeign-database\ndata 1000 ext4 /data\ndocker x\n";
  expect(parseHarborHost(said)).toEqual({
    ...{ compose: "1.29.2", foreign: ["nginx"], postgres: [15], foreignDatabase: true },
    data: { kib: 1000, type: "ext4", mount: "/data" },
  });
});
