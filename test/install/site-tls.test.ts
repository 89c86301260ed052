import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { compareSync } from "bcryptjs";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { parseCluster } from "../../src/cluster/read.ts";
import { loadSecrets } from "../../src/cluster/secrets.ts";
import { siteTls } from "../../src/cluster/site-tls.ts";
import { StateDir } from "../../src/plan/state-dir.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());
afterEach(() => {
  delete process.env["SITE_PASSWORD"];
});

function clusterOf(folder: string, registry = ""): Cluster {
  return parseCluster(
    `apiVersion: airgap/v1
kind: Cluster
name: site
kubernetes: { version: v1.34.4 }
registry: { host: register.site.local${registry} }
hosts:
  - { name: cp1, address: 10.0.0.11, roles: [control-plane] }
  - { name: register, address: 10.0.0.20, roles: [registry] }
`,
    join(folder, "cluster.yaml"),
  );
}

describe("the site's certificate", () => {
  it("is made once, and is for every name by which the server is asked", async () => {
    const cluster = clusterOf(scratch.path("a"));
    const kept = {};
    const first = await siteTls(cluster, kept, undefined);
    expect(await siteTls(cluster, kept, undefined)).toEqual(first);
    const moved = { ...cluster, registry: { ...cluster.registry, host: "other.site.local" } };
    const second = await siteTls(moved, kept, undefined);
    expect(second.ca).toBe(first.ca);
    expect(second.server.cert).not.toBe(first.server.cert);
  });

  it("that stands wins, from another operator's machine too, whose own keys stay unused", async () => {
    const cluster = clusterOf(scratch.path("b"));
    const here = {};
    const made = await siteTls(cluster, here, undefined);
    const existing = { ca: made.ca, cert: made.server.cert };
    expect(await siteTls(cluster, here, existing)).toEqual(made);
    const elsewhere = {};
    expect(await siteTls(cluster, elsewhere, existing)).toEqual({
      ca: made.ca,
      server: { cert: made.server.cert },
    });
    expect(elsewhere).toEqual({});
    const other = {};
    await siteTls(cluster, other, undefined);
    expect((await siteTls(cluster, other, existing)).ca).toBe(made.ca);
  });

  it("that stands is replaced when it is not good: another name, another authority, not a certificate", async () => {
    const cluster = clusterOf(scratch.path("c"));
    const made = await siteTls(cluster, {}, undefined);
    const foreign = await siteTls(cluster, {}, undefined);
    const moved = { ...cluster, registry: { ...cluster.registry, host: "other.site.local" } };
    for (const [wanted, existing] of [
      [moved, { ca: made.ca, cert: made.server.cert }],
      [cluster, { ca: foreign.ca, cert: made.server.cert }],
      [cluster, { ca: made.ca, cert: "none" }],
    ] as const) {
      const fresh = await siteTls(wanted, {}, existing);
      expect(fresh.server.cert).not.toBe(existing.cert);
      expect(fresh.server.key).toBeDefined();
    }
  });

  it("and who may ask the server are the same from every machine; the password is kept nowhere", async () => {
    process.env["SITE_PASSWORD"] = "not-to-be-found";
    const cluster = clusterOf(scratch.path("d"), ", user: nodes, passwordEnv: SITE_PASSWORD");
    const [one, two] = ["one", "two"].map((name) =>
      StateDir.open({ baseDir: mkdtempSync(scratch.path(name)), name: "site" }),
    ) as [StateDir, StateDir];
    const first = await loadSecrets(cluster, one, {});
    const second = await loadSecrets(cluster, two, {
      ca: first.ca,
      ...(first.tls ? { tls: { ca: first.tls.ca, cert: first.tls.server.cert } } : {}),
    });
    expect(second.htpasswd).toBe(first.htpasswd);
    expect(second.keys).toBeUndefined();
    expect(compareSync("not-to-be-found", first.htpasswd?.split(":")[1] ?? "")).toBe(true);
    expect(one.read("secrets.json")).not.toContain("not-to-be-found");
  });
});
