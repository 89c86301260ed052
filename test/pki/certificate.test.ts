import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeAuthority, makeCertificate, makeKeyPair, publicKeyHash } from "../../src/pki/certificate.ts";

const NAME = { commonName: "airgap site", organization: "airgap", days: 3650 };

describe("certificates", () => {
  it("makes an authority and a server certificate that openssl believes", async () => {
    const authority = await makeAuthority(NAME);
    const hosts = ["registry.site.local", "127.0.0.1", "fd00::1:2", "::1"];
    const leaf = await makeCertificate(
      { ...authority, name: NAME },
      { commonName: "registry.site.local", days: 90, hosts, usage: ["server"] },
    );
    const dir = mkdtempSync(join(tmpdir(), "airgap-pki-"));
    const [ca, server] = [join(dir, "ca.crt"), join(dir, "leaf.crt")];
    writeFileSync(ca, authority.cert);
    writeFileSync(server, leaf.cert);
    expect(
      execFileSync("openssl", ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, server], {
        encoding: "utf8",
      }),
    ).toContain("OK");
    const text = execFileSync("openssl", ["x509", "-in", server, "-noout", "-ext", "subjectAltName"], {
      encoding: "utf8",
    });
    expect(text).toContain(
      "DNS:registry.site.local, IP Address:127.0.0.1, IP Address:FD00:0:0:0:0:0:1:2, IP Address:0:0:0:0:0:0:0:1",
    );
    rmSync(dir, { recursive: true });
  });

  it("gives authorities what kubeadm asks of them", async () => {
    const { cert, key } = await makeAuthority({ commonName: "kubernetes", days: 3650 });
    const parsed = new X509Certificate(cert);
    expect(parsed.ca).toBe(true);
    expect(parsed.subject).toBe("CN=kubernetes");
    expect(parsed.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(Date.parse(parsed.validTo) - Date.now()).toBeGreaterThan(3649 * 86_400_000);
    expect(Date.parse(parsed.validFrom)).toBeLessThan(Date.now() - 3_000_000);
  });

  it("hashes the public key as kubeadm does", async () => {
    const { cert } = await makeAuthority({ commonName: "kubernetes", days: 10 });
    const der = execFileSync("sh", ["-c", "openssl x509 -pubkey -noout | openssl pkey -pubin -outform der"], {
      input: cert,
    });
    expect(publicKeyHash(cert)).toBe(`sha256:${createHash("sha256").update(der).digest("hex")}`);
  });

  it("writes years from 2050 on as such", async () => {
    const { cert } = await makeAuthority({ commonName: "late", days: 36_500 });
    expect(new Date(new X509Certificate(cert).validTo).getUTCFullYear()).toBe(
      new Date(Date.now() + 36_500 * 86_400_000).getUTCFullYear(),
    );
  });

  it("makes a key pair that openssl reads", async () => {
    const { publicKey, privateKey } = await makeKeyPair();
    expect(execFileSync("openssl", ["pkey", "-pubout"], { input: privateKey, encoding: "utf8" })).toBe(
      publicKey,
    );
  });
});
