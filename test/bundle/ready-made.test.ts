import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readCluster } from "../../src/cluster/read.ts";
import { readBundleSpec } from "../../src/lock/spec.ts";

const folder = join(import.meta.dirname, "../../bundles");
const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
const clusters = files.filter((name) => name.endsWith(".cluster.yaml"));
const specs = files.filter((name) => !clusters.includes(name) && !name.endsWith(".kubeadm.yaml"));

describe("the ready-made specs", () => {
  it.each(specs)("%s is one, named like its file", async (name) => {
    expect((await readBundleSpec(join(folder, name))).name).toBe(name.replace(".yaml", "").toLowerCase());
  });

  it.each(specs)("%s checks every signature, date and certificate", async (name) => {
    const { packages = [], sources = {} } = await readBundleSpec(join(folder, name));
    const text = JSON.stringify([packages, sources]);
    expect(text).not.toMatch(/"(?:unsigned|checkValidUntil|gpgcheck|insecure)":/);
    expect(text).not.toContain('"http:');
  });

  it.each(specs)("%s puts kubelet on nodes only", async (name) => {
    const { packages = [] } = await readBundleSpec(join(folder, name));
    for (const { install } of packages) {
      const roles = Array.isArray(install) ? { all: install } : install;
      for (const [role, asked] of Object.entries(roles))
        if (role !== "control-plane" && role !== "worker") expect(asked.join(" ")).not.toContain("kube");
    }
  });

  it("all but the quickstart's have a cluster file", () => {
    for (const name of specs.filter((each) => each !== "quickstart.yaml"))
      expect(existsSync(join(folder, name.replace(".yaml", ".cluster.yaml"))), name).toBe(true);
  });
});

describe("the ready-made cluster files", () => {
  it.each(clusters)("%s goes with its bundle: version, registry, network, runtime", async (name) => {
    const cluster = await readCluster(join(folder, name));
    const spec = await readBundleSpec(join(folder, name.replace(".cluster.yaml", ".yaml")));
    expect(spec.kubernetes?.map(({ version }) => version)).toContain(cluster.kubernetes.version);
    expect(spec.siteName).toBe(cluster.registry.host);
    expect(spec.manifests?.map((each) => each.as)).toContain(cluster.network?.name);
    expect(JSON.stringify(spec.packages)).toContain(
      cluster.runtime === "docker" ? "docker-ce" : "containerd",
    );
  });
});
