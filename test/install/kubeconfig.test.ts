import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { rebuildKubeconfig } from "../../src/install/kubeconfig.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../../src/pki/certificate.ts";
import { adminConf, adminDocument } from "../support/install/admin-conf.ts";
import { clusterOf } from "../support/install/site.ts";

const SERVER = "https://10.0.0.12:6443";
const cluster = clusterOf({});
let ca: KeyedCertificate;
let other: KeyedCertificate;
let admin: KeyedCertificate;

beforeAll(async () => {
  [ca, other] = (await Promise.all(
    ["kubernetes", "foreign"].map((commonName) => makeAuthority({ commonName, days: 1 })),
  )) as [KeyedCertificate, KeyedCertificate];
  const subject = { commonName: "kubernetes-admin", organization: "system:masters" };
  admin = await makeCertificate(
    { ...ca, name: { commonName: "kubernetes" } },
    { ...subject, days: 1, hosts: [], usage: ["client"] },
  );
});

type Document = ReturnType<typeof adminDocument>;
const parts = () => ({ server: SERVER, ca: ca.cert, ...admin });
const rebuilt = (text: string, own = cluster): string => rebuildKubeconfig(text, "master1", own, ca.cert);
const changed = (change: (document: Document & Record<string, unknown>) => void): string => {
  const document = adminDocument(parts());
  change(document);
  return stringify(document);
};
const decoded = (text: string): string => Buffer.from(text, "base64").toString();

describe("the kubeconfig that is brought home", () => {
  it("has the cluster, its authority, the client's certificate and its key", () => {
    const text = rebuilt(adminConf(parts()));
    const { clusters, users, contexts, ...rest } = parse(text);
    expect(rest).toEqual({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "kubernetes-admin@kubernetes",
    });
    expect(contexts).toEqual(adminDocument(parts()).contexts);
    expect(Object.keys(clusters[0].cluster)).toEqual(["server", "certificate-authority-data"]);
    expect(clusters[0].cluster.server).toBe(SERVER);
    expect(decoded(clusters[0].cluster["certificate-authority-data"])).toBe(ca.cert);
    const { "client-certificate-data": cert, "client-key-data": key } = users[0].user;
    const own = new X509Certificate(decoded(cert));
    expect(own.fingerprint256).toBe(new X509Certificate(admin.cert).fingerprint256);
    expect(own.checkPrivateKey(createPrivateKey(decoded(key)))).toBe(true);
    expect(rebuilt(text)).toBe(text);
  });

  it("may have keys of other kinds and forms, and no preferences", () => {
    const pkcs1 = createPrivateKey(admin.key).export({ type: "pkcs1", format: "pem" }).toString();
    expect(rebuilt(adminConf({ ...parts(), key: pkcs1 }))).toBe(rebuilt(adminConf(parts())));
    const { preferences: _, ...without } = adminDocument(parts());
    expect(rebuilt(JSON.stringify(without))).toBe(rebuilt(adminConf(parts())));
  });

  it("leads to the endpoint, whichever way the cluster file names it", () => {
    const at = (server: string, wishes: Record<string, unknown>): string =>
      rebuilt(adminConf({ ...parts(), server }), clusterOf(wishes));
    for (const [server, wishes] of [
      ["https://10.0.0.100:8443", { endpoint: { address: "10.0.0.100", port: 8443 } }],
      ["https://[fd00::100]:6443", { endpoint: { address: "fd00:0::100" } }],
      ["https://api.site:6443", { kubeadm: { ClusterConfiguration: { controlPlaneEndpoint: "api.site" } } }],
    ] as const)
      expect(parse(at(server, wishes)).clusters[0].cluster.server).toBe(server);
  });

  it.each<[string, (document: Document & Record<string, unknown>) => unknown, RegExp]>([
    [
      "runs a program",
      (d) => Object.assign(d.users[0]?.user ?? {}, { exec: { command: "sh" } }),
      /user has "exec"/,
    ],
    [
      "has an auth-provider",
      (d) => Object.assign(d.users[0]?.user ?? {}, { "auth-provider": {} }),
      /auth-provider/,
    ],
    ["has a token", (d) => Object.assign(d.users[0]?.user ?? {}, { token: "x" }), /user has "token"/],
    ["has a file", (d) => Object.assign(d.users[0]?.user ?? {}, { tokenFile: "/x" }), /tokenFile/],
    ["acts as another", (d) => Object.assign(d.users[0]?.user ?? {}, { as: "root" }), /user has "as"/],
    [
      "checks no certificate",
      (d) => Object.assign(d.clusters[0]?.cluster ?? {}, { "insecure-skip-tls-verify": true }),
      /insecure-skip-tls-verify/,
    ],
    [
      "has a proxy",
      (d) => Object.assign(d.clusters[0]?.cluster ?? {}, { "proxy-url": "http://x" }),
      /proxy-url/,
    ],
    [
      "checks another name",
      (d) => Object.assign(d.clusters[0]?.cluster ?? {}, { "tls-server-name": "x" }),
      /tls-server-name/,
    ],
    [
      "has extensions",
      (d) => Object.assign(d.clusters[0] ?? {}, { extensions: [] }),
      /clusters has "extensions"/,
    ],
    ["has preferences", (d) => Object.assign(d.preferences, { colors: true }), /preferences has "colors"/],
    ["has keys of its own", (d) => Object.assign(d, { extra: 1 }), /it has "extra"/],
    [
      "has a prototype",
      (d) => Object.defineProperty(d, "__proto__", { value: {}, enumerable: true }),
      /it has "__proto__"/,
    ],
    [
      "has a second cluster",
      (d) => d.clusters.push(structuredClone(d.clusters[0]) as never),
      /clusters does not have exactly one/,
    ],
    [
      "has a second user",
      (d) => d.users.push({ name: "x", user: {} } as never),
      /users does not have exactly one/,
    ],
    ["has no user", (d) => d.users.pop(), /users does not have exactly one/],
    [
      "has a second context",
      (d) => d.contexts.push(structuredClone(d.contexts[0]) as never),
      /contexts does not have exactly one/,
    ],
    ["has another context", (d) => Object.assign(d, { "current-context": "x" }), /context/],
    ["mixes its parts", (d) => Object.assign(d.contexts[0]?.context ?? {}, { user: "x" }), /context/],
    ["is something else", (d) => Object.assign(d, { kind: "Secret" }), /not a kubeconfig/],
    [
      "has data that are not base64",
      (d) => Object.assign(d.users[0]?.user ?? {}, { "client-key-data": "-----\n" }),
      /client-key-data is not base64/,
    ],
    [
      "has no key",
      (d) => Object.assign(d.users[0]?.user ?? {}, { "client-key-data": "AAAA" }),
      /not a private key/,
    ],
    [
      "has no certificate",
      (d) => Object.assign(d.users[0]?.user ?? {}, { "client-certificate-data": "AAAA" }),
      /not a certificate/,
    ],
  ])("is refused when it %s", (_what, change, message) => {
    const text = changed((document) => void change(document));
    expect(() => rebuilt(text)).toThrow(
      expect.objectContaining({ code: "protocol", message: expect.stringMatching(message) }),
    );
  });

  it.each([
    "https://10.0.0.13:6443",
    "https://10.0.0.12:6444",
    "https://10.0.0.12",
    "http://10.0.0.12:6443",
    "https://10.0.0.12:6443/proxy",
    "https://10.0.0.12:6443?x",
    "https://user:pass@10.0.0.12:6443",
    "https://10.0.0.12:6443@evil",
    "10.0.0.12:6443",
    "",
    7,
  ])("is refused when its server is %j", (server) => {
    const text = changed(({ clusters }) => Object.assign(clusters[0]?.cluster ?? {}, { server }));
    expect(() => rebuilt(text)).toThrow(/the cluster's is https:\/\/10\.0\.0\.12:6443/);
  });

  it("is refused with another authority, alone or beside the cluster's", () => {
    for (const foreign of [other.cert, `${ca.cert}${other.cert}`])
      expect(() => rebuilt(adminConf({ ...parts(), ca: foreign }))).toThrow(/is not the cluster's authority/);
  });

  it("is refused with a key that is not its certificate's, and the key is not shown", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    expect(() => rebuilt(adminConf({ ...parts(), key }))).toThrow(/is not the key of its certificate/);
    try {
      rebuilt(`${adminConf(parts())}\n  - [`);
      expect.unreachable();
    } catch (error) {
      expect(String(error)).toContain("not valid YAML");
      expect(String(error)).not.toContain(Buffer.from(admin.key).toString("base64").slice(0, 20));
    }
  });

  it.each([
    "",
    "a",
    "[]",
    "&a [*a]",
    "a: &x 1\nb: *x",
    "[".repeat(100_000),
    "a: 1\na: 2",
    "x".repeat(300_000),
  ])("is refused when it is none (%#)", (text) =>
    expect(() => rebuilt(text)).toThrow(expect.objectContaining({ code: "protocol" })),
  );
});
