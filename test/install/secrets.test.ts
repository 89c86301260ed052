import { X509Certificate } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it, test, vi } from "vitest";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { fromEnvironment } from "../../src/cluster/environment.ts";
import { parseCluster } from "../../src/cluster/read.ts";
import { loadSecrets, newToken, secretTexts } from "../../src/cluster/secrets.ts";
import { makeAuthority } from "../../src/pki/certificate.ts";
import { RunLog } from "../../src/plan/log.ts";
import { Mask } from "../../src/plan/mask.ts";
import { StateDir } from "../../src/plan/state-dir.ts";
import { clusterText, secretsOf } from "../support/install/site.ts";
import { Scratch } from "../support/scratch.ts";

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
  return () => {
    vi.unstubAllEnvs();
    scratch[Symbol.dispose]();
  };
});
const clusterOf = (over: Record<string, unknown> = {}): Cluster =>
  parseCluster(clusterText(over), scratch.path("cluster.yaml"));
const load = (over: Record<string, unknown> = {}, existing = {}) => {
  const cluster = clusterOf(over);
  return loadSecrets(cluster, StateDir.open(cluster), existing);
};

describe("secrets", () => {
  it("are made once and kept for the user alone", async () => {
    const first = await load();
    expect(await load()).toEqual(first);
    expect(statSync(scratch.path(".airgap/site/secrets.json")).mode & 0o777).toBe(0o600);
    expect(statSync(scratch.path(".airgap")).mode & 0o777).toBe(0o700);
    expect(first.ca).toBe(first.keys?.ca.cert);
    const names = [first.keys?.ca, first.keys?.etcdCa, first.keys?.frontProxyCa].map(
      (pair) => new X509Certificate(pair?.cert ?? "").subject,
    );
    expect(names).toEqual(["CN=kubernetes", "CN=etcd-ca", "CN=front-proxy-ca"]);
  });

  it("give way to those of a cluster that stands; tokens are made anew then", async () => {
    const own = await load();
    const again = await load({}, { ca: own.ca });
    expect(again.keys).toEqual(own.keys);
    expect(again.joinToken).not.toBe(own.joinToken);
    const { cert } = await makeAuthority({ commonName: "kubernetes", days: 10 });
    const foreign = await load({}, { ca: cert });
    expect(foreign).toMatchObject({ ca: cert });
    expect(foreign).not.toHaveProperty("keys");
    expect((await load()).keys).toEqual(own.keys);
  });

  it("that are damaged are named, with the way on", async () => {
    await load();
    writeFileSync(scratch.path(".airgap/site/secrets.json"), "{ half");
    await expect(load()).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("secrets.json is damaged"),
    });
  });

  it("are what the cluster file asks for", async () => {
    expect(await load({ registry: { scheme: "http" } })).not.toHaveProperty("tls");
    const served = await load();
    expect(served.registryCa).toBe(served.tls?.ca);
    const external = await load({ registry: { mode: "external" }, repository: { host: "master1" } });
    expect(external.tls).toBeDefined();
    expect(external).not.toHaveProperty("registryCa");
  });

  it("come from variables that are set", async () => {
    const login = { registry: { user: "site", passwordEnv: "SITE_PASSWORD" } };
    await expect(load(login)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("SITE_PASSWORD, which is not set"),
      suggestions: ["export SITE_PASSWORD=…"],
    });
    vi.stubEnv("SITE_PASSWORD", "swordfish");
    expect(await load(login)).toMatchObject({
      registryPassword: "swordfish",
      htpasswd: expect.stringMatching(/^site:\$2[aby]\$10\$/),
    });
    expect(fromEnvironment(undefined, "x")).toBeUndefined();
    vi.stubEnv("EMPTY", "");
    expect(() => fromEnvironment("EMPTY", "ssh.passwordEnv")).toThrow(
      "ssh.passwordEnv names the variable EMPTY",
    );
  });

  describe("the registry's authority", () => {
    const external = { registry: { mode: "external", caFile: "ca.crt" }, repository: { host: "master1" } };
    const pem = async (name: string): Promise<string> =>
      (await makeAuthority({ commonName: name, days: 10 })).cert;

    it("is one certificate or several, in whatever form they are, and always has lines of the usual length", async () => {
      const [one, two] = [await pem("one"), await pem("two")];
      const body = one.replace(/-----[^-]+-----|\n/g, "");
      const wrapped = (width: number, end: string): string =>
        `-----BEGIN CERTIFICATE-----${end}${body.match(new RegExp(`.{1,${width}}`, "g"))?.join(end)}${end}-----END CERTIFICATE-----${end}`;
      const forms: [string | Buffer, string][] = [
        [one, one],
        [one.trimEnd(), one],
        [one.replaceAll("\n", "\r\n"), one],
        [wrapped(76, "\n"), one],
        [`Bag Attributes\n    friendlyName: site\n${one}some words\n${two}`, one + two],
        [Buffer.from(body, "base64"), one],
      ];
      for (const [form, wanted] of forms) {
        writeFileSync(scratch.path("ca.crt"), form);
        expect((await load(external)).registryCa).toBe(wanted);
      }
    });

    it.each(["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])(
      "that is none is named: %j",
      async (text) => {
        writeFileSync(scratch.path("ca.crt"), text);
        await expect(load(external)).rejects.toMatchObject({
          code: "spec",
          message: expect.stringMatching(/^registry\.caFile: .*ca\.crt is not a readable certificate/),
        });
      },
    );
  });

  it("have tokens as kubeadm wants them", () => {
    for (let i = 0; i < 50; i++) expect(newToken()).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/);
    expect(new Set(Array.from({ length: 50 }, newToken)).size).toBe(50);
  });
});

describe("what is hidden", () => {
  const secrets = secretsOf(parseCluster(clusterText(), "/x/cluster.yaml"), {
    registryPassword: 'sword"fish',
    htpasswd: "site:$2b$10$abcdefghijklmnopqrstuv",
  });
  const mask = new Mask(secretTexts(secrets));

  test.each([
    ["a password", 'sword"fish'],
    ["a password in JSON", JSON.stringify('sword"fish').slice(1, -1)],
    ["a password in base64", Buffer.from('sword"fish').toString("base64").replace(/.=*$/, "")],
    ["a join token", "abcdef.0123456789abcdef"],
    ["the secret half of it", "0123456789abcdef"],
    ["that in base64", Buffer.from("0123456789abcdef").toString("base64").replace(/.=*$/, "")],
    ["a hash", "$2b$10$abcdefghijklmnopqrstuv"],
    ["a line of a key", secrets.keys?.ca.key.split("\n")[1] ?? ""],
  ])("%s", (_, text) => {
    expect(text.length).toBeGreaterThan(5);
    expect(mask.hide(`before ${text} after ${text}`)).not.toContain(text);
    expect(mask.hide(`{"a":"${text}"}`)).not.toContain(text);
  });

  it.each(["a", "ab", "robot", "a-longer-user", ""])("a login of the user '%s'", (user) => {
    const hidden = mask.hide(`Authorization: Basic ${Buffer.from(`${user}:sword"fish`).toString("base64")}`);
    expect(hidden).toContain("***");
    const left = hidden
      .split("***")
      .map((part) => Buffer.from(part.split(" ").at(-1) ?? "", "base64").toString());
    expect(left.join()).not.toMatch(/sword|fish/);
  });

  it("is not what is no secret: certificates and public keys", () => {
    const text = `${secrets.ca}${secrets.tls?.ca}${secrets.keys?.serviceAccount.publicKey}`;
    expect(mask.hide(text)).toBe(text);
  });

  it("are longest first, special letters as they are, and nothing short", () => {
    expect(new Mask(["abcd", "abcdef"]).hide("abcdef abcd")).toBe("*** ***");
    expect(new Mask(["a.c*d", "(x|y)", "[z]\\^$"]).hide("a.c*d abccd (x|y) x [z]\\^$")).toBe(
      "*** abccd *** x ***",
    );
    expect(new Mask(["abc", ""]).hide("abc")).toBe("abc");
    expect(new Mask([]).hide("abc")).toBe("abc");
    expect(new Mask(["$&$1"]).hide("x$&$1y")).toBe("x***y");
  });
});

describe("a run's log", () => {
  it("has every line with its host, for the user alone, and no secret", () => {
    const home = StateDir.open({ baseDir: scratch.dir, name: "site" });
    const log = new RunLog(home, new Mask(["swordfish"]), new Date("2026-11-21T15:00:00.123Z"));
    log.line("stage hosts with swordfish");
    log.output("node1", "one\n\ntwo swordfish\n\n");
    log.output("node1", " \n");
    log.close();
    expect(log.path).toBe(home.path("runs", "2026-11-21T15-00-00-123Z.log"));
    expect(statSync(log.path).mode & 0o777).toBe(0o600);
    const [first, ...lines] = readFileSync(log.path, "utf8").split("\n");
    expect(first).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z stage hosts with \*\*\*$/);
    expect(lines).toEqual(["node1| one", "node1| ", "node1| two ***", ""]);
  });
});

describe("what is kept beside the cluster file", () => {
  it("is written at once or not at all", () => {
    const home = StateDir.open({ baseDir: scratch.dir, name: "site" });
    expect(home.read("nothing")).toBeUndefined();
    home.write("a", "one");
    home.write("a", "two");
    expect(home.read("a")).toBe("two");
    expect(() => home.write("no/such/folder", "x")).toThrow(expect.objectContaining({ code: "disk" }));
    expect(() => StateDir.open({ baseDir: scratch.write("file", ""), name: "site" })).toThrow(
      expect.objectContaining({ code: "disk" }),
    );
  });
});
