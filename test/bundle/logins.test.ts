import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeLogins } from "../../src/bundle/spec-logins.ts";
import { parseBundleSpec } from "../../src/lock/spec.ts";
import { fitsApt, fitsNetrc, parseNetrc } from "../../src/transport/login-files.ts";
import { type Logins, splitLogin } from "../../src/transport/logins.ts";
import { basicHeader } from "../support/auth.ts";
import { type CliResult, cli } from "../support/cli.ts";
import { Scratch } from "../support/scratch.ts";

const POD = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: p }\n";
const SECRET = "tok/en@1";

interface Guarded {
  host: string;
  /** `path authorization` of each request. */
  seen: string[];
}

const servers: Server[] = [];
let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  scratch[Symbol.dispose]();
});

/** Files behind a login; `/away` redirects to another host. */
async function guarded(username = "bearer", away = "", address = "127.0.0.1"): Promise<Guarded> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    seen.push(`${request.url} ${authorization ?? "-"}`);
    if (authorization !== basicHeader(username, SECRET))
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    else if (request.url === "/away") response.writeHead(302, { location: away }).end();
    else if (/\.ya?ml$|\/file$/.test(request.url ?? "")) response.end(POD);
    else response.writeHead(404).end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return { host: `${address}:${(server.address() as AddressInfo).port}`, seen };
}

const build = (env: NodeJS.ProcessEnv = {}): Promise<CliResult> =>
  cli(["build", scratch.path("site.yaml"), "-o", scratch.path("x.tar"), "--fresh"], {
    AIRGAP_CACHE_DIR: scratch.path("cache"),
    HOME: scratch.dir,
    NETRC: "",
    ...env,
  });

/** Every file below the folder but the spec itself. */
function everythingWritten(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile() && !/site\.yaml$|\.netrc$/.test(path));
}

function expectNoSecret(result: CliResult): void {
  const forms = [
    SECRET,
    encodeURIComponent(SECRET),
    "tok%2Fen",
    Buffer.from(`bearer:${SECRET}`).toString("base64"),
  ];
  const texts = [
    result.stdout,
    result.stderr,
    ...everythingWritten(scratch.dir).flatMap((path) => [path, readFileSync(path, "latin1")]),
  ];
  for (const form of forms) for (const text of texts) expect(text.includes(form)).toBe(false);
}

const userInfo = `bearer:${encodeURIComponent(SECRET)}@`;
const repository = (place: string, more = "") => ({
  rpm: `packages: [{ name: p, format: rpm, for: [rocky-9], arch: x86_64, install: [x], repositories: [{ id: r, baseurl: "${place}/rpm"${more} }] }]`,
  deb: `packages: [{ name: p, format: deb, for: [debian-12], arch: amd64, unsigned: ["*"], install: [x], repositories: [{ id: r, uris: "${place}/deb", suites: [stable]${more} }] }]`,
});
const sources: Record<string, (place: string, more?: string) => string> = {
  rpm: (place, more) => repository(place, more).rpm,
  deb: (place, more) => repository(place, more).deb,
  chart: (place, more = "") => `charts: [{ chart: c, repo: "${place}/charts"${more} }]`,
  manifest: (place, more = "") => `manifests: [{ path: "${place}/m.yaml"${more} }]`,
  file: (place, more = "") => `files: [{ url: "${place}/dir/file", as: x${more} }]`,
};
const kinds = Object.keys(sources);
const source = (kind: string, place: string, more?: string) => sources[kind]?.(place, more) ?? "";

describe.each(kinds)("a %s source behind a login", (kind) => {
  const expectLoggedIn = ({ seen }: Guarded, { stderr }: CliResult): void => {
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter((line) => !line.endsWith(basicHeader("bearer", SECRET)))).toEqual([]);
    expect(stderr).not.toMatch(/HTTP 401/);
  };

  it("takes user and password of the URL, and writes them nowhere", async () => {
    const server = await guarded();
    scratch.spec(source(kind, `http://${userInfo}${server.host}`));
    const result = await build();
    expectLoggedIn(server, result);
    expectNoSecret(result);
  });

  it("takes user: and passwordEnv:", async () => {
    const server = await guarded();
    scratch.spec(source(kind, `http://${server.host}`, ", user: bearer, passwordEnv: REPO_PASSWORD"));
    const result = await build({ REPO_PASSWORD: SECRET });
    expectLoggedIn(server, result);
    expectNoSecret(result);
  });

  it("takes ~/.netrc", async () => {
    const server = await guarded();
    scratch.write(".netrc", `machine 127.0.0.1\nlogin bearer\npassword ${SECRET}\n`);
    scratch.spec(source(kind, `http://${server.host}`));
    expectLoggedIn(server, await build());
  });

  it("says how to give one, and which variable is missing", async () => {
    const server = await guarded();
    scratch.spec(source(kind, `http://${server.host}`));
    const without = await build();
    expect(without.stderr).toMatch(/HTTP 401/);
    expect(without.stderr).toMatch(/user:.*passwordEnv:.*netrc/);
    scratch.spec(source(kind, `http://${server.host}`, ", user: bearer, passwordEnv: REPO_PASSWORD"));
    const unset = await build();
    expect(unset.code).toBe(2);
    expect(unset.stderr).toMatch(/the environment variable REPO_PASSWORD is not set/);
  });
});

describe("the login of a source", () => {
  it("goes to no other origin", async () => {
    const other = await guarded("bearer", "", "127.0.0.2");
    const server = await guarded("bearer", `http://${other.host}/file`);
    scratch.spec(`files: [{ url: "http://${userInfo}${server.host}/away", as: x }]`);
    const { code, stderr } = await build();
    expect(code).toBe(1);
    expect(stderr).toMatch(/HTTP 401 from http:\/\/127\.0\.0\.2:\d+\/file, the target of its redirect/);
    expect(other.seen).toEqual(["/file -"]);
  });

  it("of ~/.netrc is not for ports that the spec does not name", async () => {
    const other = await guarded();
    const server = await guarded("bearer", `http://${other.host}/file`);
    scratch.write(".netrc", `machine 127.0.0.1 login bearer password ${SECRET}`);
    scratch.spec(`files: [{ url: "http://${server.host}/away", as: x }]`);
    await build();
    expect(other.seen).toEqual(["/file -"]);
  });

  it("is taken from Helm's repositories.yaml for a chart repository", async () => {
    const server = await guarded();
    mkdirSync(scratch.path(".config/helm"), { recursive: true });
    scratch.write(
      ".config/helm/repositories.yaml",
      JSON.stringify({
        repositories: [
          { name: "r", url: `http://${server.host}/charts/`, username: "bearer", password: SECRET },
        ],
      }),
    );
    scratch.spec(source("chart", `http://${server.host}`));
    await build({ XDG_CONFIG_HOME: "", HELM_CONFIG_HOME: "", HELM_REPOSITORY_CONFIG: "" });
    expect(server.seen).toEqual([`/charts/index.yaml ${basicHeader("bearer", SECRET)}`]);
  });

  it("is used by packages resolve too", async () => {
    const server = await guarded();
    scratch.spec(source("rpm", `http://${userInfo}${server.host}`));
    await cli(["packages", "resolve", scratch.path("site.yaml")], {
      AIRGAP_CACHE_DIR: scratch.path("cache"),
    });
    expect(server.seen[0]).toBe(`/rpm/repodata/repomd.xml ${basicHeader("bearer", SECRET)}`);
  });

  it("is used by images find, and not shown", async () => {
    const server = await guarded();
    const result = await cli(["images", "find", `http://${userInfo}${server.host}/m.yaml`]);
    expect(server.seen).toEqual([`/m.yaml ${basicHeader("bearer", SECRET)}`]);
    expectNoSecret(result);
  });
});

describe("takeLogins", () => {
  const take = (lines: string, env: NodeJS.ProcessEnv = {}) =>
    takeLogins(parseBundleSpec(`apiVersion: airgap/v1\nkind: Bundle\nname: s\n${lines}\n`, "s.yaml"), {
      env: { HOME: scratch.dir, ...env },
      aptDir: scratch.path("apt"),
    });
  const header = ({ logins }: { logins: Logins }, url: string) => logins.header(new URL(url));

  it("leaves no user in the spec, keys and values files included", () => {
    const { spec } = take(
      'charts: [{ chart: c, repo: "https://u:p@h/c", values: ["https://u:p@h/v.yaml"] }]\n' +
        'packages: [{ name: p, format: rpm, for: [rocky-9], arch: x86_64, install: [x], repositories: [{ id: r, baseurl: "https://u:p@h/$releasever/os", gpgkey: ["https://u:p@h/key"] }] }]',
    );
    expect(JSON.stringify(spec)).not.toContain("u:p@");
    expect(spec.packages[0]?.repositories[0]?.baseurl).toBe("https://h/$releasever/os");
  });

  it("keeps the logins of two sources of one host apart by their paths", () => {
    const taken = take(
      'files: [{ url: "https://a:1@h/one/x", as: a }, { url: "https://b:2@h/two/y", as: b }]\n' +
        'packages: [{ name: p, format: rpm, for: [rocky-9], arch: x86_64, install: [x], repositories: [{ id: r, baseurl: "https://c:3@h/rpm/$basearch" }] }]',
    );
    expect(header(taken, "https://h/one/x")).toBe(basicHeader("a", "1"));
    expect(header(taken, "https://h/two/y")).toBe(basicHeader("b", "2"));
    expect(header(taken, "https://h/rpm/x86_64/repodata/repomd.xml")).toBe(basicHeader("c", "3"));
    for (const url of ["http://h/one/x", "https://h:8443/one/x", "https://h.evil/one/x"])
      expect(header(taken, url)).toBeUndefined();
  });

  it.each([
    ["files: [{ url: https://h/x, as: a, user: u }]", /files\[0\]: user: and passwordEnv: belong together/],
    ["files: [{ path: x, as: a, user: u, passwordEnv: P }]", /http\(s\) URL/],
    ["files: [{ url: 'https://u:a/b@h/x', as: a }]", /Cannot read a URL/],
  ])("refuses %s", (lines, message) => {
    expect(() => take(lines)).toThrow(message);
  });

  it("takes apt's auth.conf.d for DEB repositories, by https and the path", () => {
    mkdirSync(scratch.path("apt/auth.conf.d"), { recursive: true });
    scratch.write("apt/auth.conf", "machine esm.ubuntu.com/apps/ login bearer password t1\n");
    scratch.write("apt/auth.conf.d/90site.conf", "machine http://plain.test:8080\nlogin u\npassword t2\n");
    scratch.write("apt/auth.conf.d/readme", "machine esm.ubuntu.com/infra login no password no\n");
    const deb = (uris: string) =>
      `packages: [{ name: p, format: deb, for: [ubuntu-22.04], arch: amd64, install: [x], repositories: [{ id: r, uris: "${uris}", suites: [s] }] }]`;
    const at = (uris: string) => header(take(deb(uris)), `${uris}/dists/s/InRelease`);
    expect(at("https://esm.ubuntu.com/apps/ubuntu")).toBe(basicHeader("bearer", "t1"));
    expect(at("http://esm.ubuntu.com/apps/ubuntu")).toBeUndefined();
    expect(at("https://esm.ubuntu.com/infra/ubuntu")).toBeUndefined();
    expect(at("http://plain.test:8080/x")).toBe(basicHeader("u", "t2"));
    expect(at("https://plain.test/x")).toBeUndefined();
  });

  it("says so where NETRC names a file that is missing", () => {
    expect(() => take("files: [{ url: https://h/x, as: a }]", { NETRC: scratch.path("none") })).toThrow(
      /NETRC/,
    );
  });
});

describe("netrc", () => {
  it.each([
    ["machine a login u password p", [{ name: "a", login: "u", password: "p" }]],
    ['machine a\n  password "p \\"q\\" #1"\n  login u', [{ name: "a", password: 'p "q" #1', login: "u" }]],
    [
      "# machine x\nmachine a login u account z password p\ndefault login d password e",
      [
        { name: "a", login: "u", password: "p" },
        { login: "d", password: "e" },
      ],
    ],
    ["machine a login u password p#1", [{ name: "a", login: "u", password: "p#1" }]],
    [
      "macdef init\nmachine no login no\n\nmachine a login u password p",
      [{ name: "a", login: "u", password: "p" }],
    ],
    ["login u password p machine", []],
    ["", []],
  ])("%j", (text, machines) => {
    expect(parseNetrc(text)).toEqual(machines);
  });

  it("takes a value that begins with # for a value, and no keyword for one", () => {
    const text = "machine h login u password #p1 # a comment\nmachine i login v password w\n";
    expect(parseNetrc(text)).toEqual([
      { name: "h", login: "u", password: "#p1" },
      { name: "i", login: "v", password: "w" },
    ]);
    expect(() => parseNetrc("machine h login u password\nmachine i login v password w")).toThrow(
      /'password' without a value/,
    );
    expect(parseNetrc('machine h login u password "machine"')).toEqual([
      { name: "h", login: "u", password: "machine" },
    ]);
  });

  it("matches hosts by their name, and apt's entries by scheme, port and path", () => {
    const url = new URL("https://h.test:8443/a/b");
    expect(
      [{ name: "H.test" }, {}, { name: "x.h.test" }, { name: "h" }].map((entry) => fitsNetrc(entry, url)),
    ).toEqual([true, true, false, false]);
    const apt = (name: string) => fitsApt({ name }, url);
    expect(["h.test", "h.test:8443/a", "https://h.test"].map(apt)).toEqual([true, true, true]);
    expect(["h.test:443", "http://h.test", "h.test/b", "::", ""].map(apt)).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe("splitLogin", () => {
  const read = (text: string) => {
    const { place, login } = splitLogin(text);
    return [place, login?.username, login?.password()];
  };
  it.each([
    ["https://u:p@h/x?y=a@b", ["https://h/x?y=a@b", "u", "p"]],
    ["http://u%40d:p%2Fq%3a@h", ["http://h", "u@d", "p/q:"]],
    ["https://u@h/", ["https://h/", "u", ""]],
    ["https://u:p:q@h/", ["https://h/", "u", "p:q"]],
    ["https://u:100%@h/", ["https://h/", "u", "100%"]],
    ["https://me@mail:p@h/", ["https://h/", "me@mail", "p"]],
    ["https://h/@scope/x", ["https://h/@scope/x", undefined, undefined]],
    ["git@h:x", ["git@h:x", undefined, undefined]],
  ])("%s", (text, expected) => {
    expect(read(text)).toEqual(expected);
  });
});
