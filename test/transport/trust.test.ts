import { mkdirSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Http } from "../../src/http.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../../src/pki/certificate.ts";
import { TlsTrust } from "../../src/tls.ts";
import { hostTrust } from "../../src/transport/registry/certs-d.ts";
import { cli } from "../support/cli.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const image = makeImage("trusted", [bytesOf("trusted", 300_000)]);
const scratch = new Scratch();
let authority: KeyedCertificate;
let certificate: KeyedCertificate;
let client: KeyedCertificate;
beforeAll(async () => {
  const name = { commonName: "authority of this test" };
  authority = await makeAuthority({ ...name, days: 1 });
  const ca = { ...authority, name };
  certificate = await makeCertificate(ca, {
    commonName: "test",
    days: 1,
    hosts: ["127.0.0.1"],
    usage: ["server"],
  });
  client = await makeCertificate(ca, { commonName: "me", days: 1, hosts: ["me"], usage: ["client"] });
  scratch.write("ca.pem", authority.cert);
});
afterAll(() => scratch[Symbol.dispose]());

/** Copies an image out of an https registry with what the environment says, and nothing else. */
async function copyFrom(env: (host: string) => NodeJS.ProcessEnv, ...flags: string[]) {
  await using registry = await startRegistry({ tls: certificate });
  fill(registry.store, "team/app", image, "v1");
  const to = scratch.path(`layout-${registry.host.split(":")[1]}`);
  return await cli(["copy", ...flags, `docker://${registry.host}/team/app:v1`, `oci:${to}`], {
    HOME: scratch.path("empty-home"),
    XDG_CONFIG_HOME: "",
    ...env(registry.host),
  });
}

describe("a registry with a certificate of an own authority", () => {
  it("is believed where the machine's store has the authority", async () => {
    const result = await copyFrom(() => ({ SSL_CERT_FILE: scratch.path("ca.pem") }));
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining(image.root.digest) });
  });

  it.each([".config/containers/certs.d", ".docker/certs.d"])("is believed by %s", async (folder) => {
    const home = scratch.path(`home-${folder.replaceAll("/", "-")}`);
    const result = await copyFrom((host) => {
      mkdirSync(`${home}/${folder}/${host}`, { recursive: true });
      scratch.write(`${home.slice(scratch.dir.length + 1)}/${folder}/${host}/ca.crt`, authority.cert);
      return { HOME: home };
    });
    expect(result).toMatchObject({ code: 0 });
  });

  it("is refused without, in words of ours", async () => {
    const result = await copyFrom(() => ({ SSL_CERT_FILE: "/dev/null", SSL_CERT_DIR: "/nowhere" }));
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("--ca-file FILE");
    expect(result.stderr).not.toContain("use-system-ca");
  });

  it("is not believed with another's authority in certs.d", async () => {
    const home = scratch.path("home-of-another");
    const result = await copyFrom(() => {
      mkdirSync(`${home}/.docker/certs.d/127.0.0.1:1`, { recursive: true });
      scratch.write("home-of-another/.docker/certs.d/127.0.0.1:1/ca.crt", authority.cert);
      return { HOME: home };
    });
    expect(result.code).toBe(1);
  });
});

describe("--ca-file", () => {
  it.each([
    ["has no certificate in PEM form", "hello\n"],
    ["has no certificate in PEM form", ""],
    ["has no certificate in PEM form", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
    [
      "has a certificate that cannot be read",
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
  ])("%s: an error, not silence", (message, text) => {
    const caFile = scratch.write(`wrong-${text.length}.pem`, text);
    expect(() => new TlsTrust({ caFile })).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(message) }),
    );
  });

  it("may begin with words, as openssl x509 -text writes them, and hold several", () => {
    const caFile = scratch.write(
      "several.pem",
      `Certificate:\n    Data:\n${authority.cert}\n# more\n${client.cert}`,
    );
    expect(() => new TlsTrust({ caFile }).options()).not.toThrow();
  });
});

describe("certs.d", () => {
  const at = (path: string, text: string): string => {
    mkdirSync(scratch.path(path.slice(0, path.lastIndexOf("/"))), { recursive: true });
    return scratch.write(path, text);
  };
  const env = { HOME: scratch.path("user") };

  it("gives authorities and the client certificate, as docker and podman take them", async () => {
    const folder = "user/.config/containers/certs.d/registry.site:8443";
    const ca = at(`${folder}/ca.crt`, authority.cert);
    const cert = at(`${folder}/client.cert`, client.cert);
    const key = at(`${folder}/client.key`, client.key);
    at(`${folder}/alone.cert`, client.cert);
    expect(hostTrust("registry.site:8443", env)).toEqual({
      hostCaFiles: [ca],
      clientCert: cert,
      clientKey: key,
    });
    expect(hostTrust("registry.site", env)).toEqual({});
  });

  it("takes the folder without a port for port 443", () => {
    const ca = at("user/.config/containers/certs.d/plain.site/ca.crt", authority.cert);
    expect(hostTrust("plain.site:443", env)).toEqual({ hostCaFiles: [ca] });
  });

  it.each(["..", "../../etc", "a/b", "."])("is not left by the name %s", (host) => {
    expect(hostTrust(host, env)).toEqual({});
  });

  it("shows the client certificate to the registry", async () => {
    const server = createServer(
      { ...certificate, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
      (_, response) => response.end("seen"),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const folder = `user/.config/containers/certs.d/${host}`;
    at(`${folder}/ca.crt`, authority.cert);
    at(`${folder}/client.cert`, client.cert);
    at(`${folder}/client.key`, client.key);
    const http = new Http({ ...hostTrust(host, env), retries: 0 });
    const answer = await http.request(`https://${host}/`);
    expect((await answer.bytes(100)).toString()).toBe("seen");
    await http.close();
    server.closeAllConnections();
    server.close();
  });
});

describe("requests side by side", () => {
  it("all find the machine's authorities when the first of them fails", async () => {
    await using registry = await startRegistry({ tls: certificate });
    const script = scratch.write(
      "many.mjs",
      `import { Http } from ${JSON.stringify(new URL("../../src/http.ts", import.meta.url).href)};
const http = new Http({ retries: 0 });
const ask = async () => (await http.request("https://${registry.host}/v2/")).status;
console.log(JSON.stringify(await Promise.all(Array.from({ length: 8 }, ask))));
await http.close();`,
    );
    const { execFile } = await import("node:child_process");
    const { promisify } = await import("node:util");
    const { stdout } = await promisify(execFile)(process.execPath, [script], {
      env: { ...process.env, SSL_CERT_FILE: scratch.path("ca.pem") },
    });
    expect(JSON.parse(stdout)).toEqual(Array.from({ length: 8 }, () => 200));
  });
});
