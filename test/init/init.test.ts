import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { parseCluster } from "../../src/cluster/read.ts";
import { checkAnswers, RUNTIMES, systemNamed, versionNamed } from "../../src/init/answers.ts";
import { clusterText } from "../../src/init/cluster-file.ts";
import { parseHosts, sampleHosts } from "../../src/init/hosts-file.ts";
import { NETWORKS } from "../../src/init/networks.ts";
import { SCENARIOS } from "../../src/init/scenarios.ts";
import { specText } from "../../src/init/spec.ts";
import { type Arch, INIT_SYSTEMS } from "../../src/init/systems.ts";
import { parseBundleSpec } from "../../src/lock/spec.ts";
import { cli } from "../support/cli.ts";
import { Scratch } from "../support/scratch.ts";

const BUNDLES = join(import.meta.dirname, "../../bundles");

const base = {
  name: "site",
  archs: ["amd64"] as Arch[],
  kubernetes: "v1.34.4",
  runtime: "containerd" as const,
  network: "flannel" as const,
  registry: "serve" as const,
  registryHost: "register.site.local",
  china: false,
  hosts: sampleHosts(1, true),
};

describe("the ready-made files", () => {
  test.each(Object.entries(SCENARIOS))("%s is what init makes of its answers", (name, answers) => {
    checkAnswers(answers);
    const files: [string, string][] = [
      [`${name}.yaml`, specText(answers, "../docs/bundle.schema.json")],
      [`${name}.cluster.yaml`, clusterText(answers, "../docs/cluster.schema.json")],
    ];
    for (const [file, text] of files) {
      if (process.env["UPDATE_GOLDEN"]) writeFileSync(join(BUNDLES, file), text);
      expect(readFileSync(join(BUNDLES, file), "utf8"), file).toBe(text);
    }
  });

  const ready = readdirSync(BUNDLES).filter((name) => /^[A-I]-[^.]*(?:\.cluster)?\.yaml$/.test(name));
  test.each(ready)("%s is valid, named by its letter, and points editors to its schema", (file) => {
    const path = join(BUNDLES, file);
    const text = readFileSync(path, "utf8");
    const cluster = file.endsWith(".cluster.yaml");
    const [, schema = ""] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
    expect(existsSync(join(dirname(path), schema)), schema).toBe(true);
    expect(schema).toContain(cluster ? "cluster" : "bundle");
    expect(text).toContain(`Scenario ${file[0]}`);
    if (cluster) parseCluster(text, path);
    else parseBundleSpec(text, path);
    const beside = cluster ? file.replace(".cluster.yaml", ".yaml") : file.replace(".yaml", ".cluster.yaml");
    expect(existsSync(join(BUNDLES, beside)), beside).toBe(true);
  });

  it("agree about the site's registry, and the version", () => {
    for (const answers of Object.values(SCENARIOS)) {
      const spec = parseBundleSpec(specText(answers, "x"), "site.yaml");
      const cluster = parseCluster(clusterText(answers, "x"), "cluster.yaml");
      expect(cluster.registry.host).toBe(spec.siteName);
      expect(spec.kubernetes.map(({ version }) => version)).toContain(cluster.kubernetes.version);
      const names = spec.manifests.map((each) => each.as);
      expect(names).toContain(cluster.network?.name);
      for (const addon of cluster.addons) if ("name" in addon) expect(names).toContain(addon.name);
    }
  });
});

describe("every combination of answers gives files that can be read", () => {
  test.each(INIT_SYSTEMS.map(({ name }) => name))("%s", (name) => {
    const system = systemNamed(name);
    for (const runtime of RUNTIMES)
      for (const network of NETWORKS)
        for (const china of [false, true])
          for (const archs of [["amd64"], ["arm64"], ["amd64", "arm64"]] as Arch[][])
            for (const registry of ["serve", "external", "harbor"] as const)
              for (const planes of [1, 3]) {
                const answers = {
                  ...{
                    ...base,
                    system,
                    kubernetes: system.kubernetes,
                    runtime,
                    network,
                    china,
                    archs,
                    registry,
                  },
                  hosts: sampleHosts(planes, registry !== "external"),
                  ...(planes > 1 ? { endpoint: "10.0.0.200" } : {}),
                };
                const spec = parseBundleSpec(specText(answers, "x"), "site.yaml");
                const cluster = parseCluster(clusterText(answers, "x"), "cluster.yaml");
                expect(spec.packages.map(({ arch }) => arch)).toHaveLength(archs.length);
                expect(cluster.hosts.length).toBeGreaterThan(2);
                const text = JSON.stringify(spec);
                expect(text).not.toContain("ARCH");
                expect(text.includes("harbor-offline-installer")).toBe(registry === "harbor");
                // What is only one country's stays in it, but for the old packages that are nowhere else.
                if (!china && system.kubernetes >= "v1.24") expect(text).not.toContain("mirrors.aliyun.com");
              }
  });

  it("names every package set so that a lock takes it", () => {
    for (const system of INIT_SYSTEMS)
      expect(specText({ ...base, system }, "x")).toMatch(/ {2}- name: [a-z0-9]+\n/);
  });
});

describe("answers that cannot work are refused, with what to type", () => {
  it("Kubernetes that the system's kernel cannot run", () => {
    const answers = { ...base, system: systemNamed("el8"), kubernetes: "v1.32.5" };
    expect(() => checkAnswers(answers)).toThrow(/kernel 4\.18, and Kubernetes v1\.32\.5 refuses/);
  });
  it("unknown systems, versions and hosts", () => {
    expect(() => systemNamed("ubunut-22.04")).toThrow(
      expect.objectContaining({ suggestions: ["--os ubuntu-22.04"] }),
    );
    expect(systemNamed("Rocky-9").name).toBe("el9");
    expect(versionNamed("1.33")).toMatch(/^v1\.33\.\d+$/);
    expect(() => versionNamed("newest")).toThrow(/not a release/);
    const text = "cp1 10.0.0.12 master\ncp1 10.0.0 worker # twice\n";
    expect(() => parseHosts(text, "hosts.txt")).toThrow(
      "hosts.txt:1: 'master' is not a role; did you mean control-plane?\nhosts.txt:2: '10.0.0' is not an IP address\nhosts.txt: cp1 is there twice",
    );
  });
  it("control planes without a majority, or without an address", () => {
    const hosts = sampleHosts(2, true);
    expect(() => checkAnswers({ ...base, system: systemNamed("el9"), hosts })).toThrow(
      /2 control planes are no safer than 1[\s\S]*need a shared address/,
    );
  });
});

describe("airgap init", () => {
  it("writes files that build, check and editors read, and never twice", async () => {
    using scratch = new Scratch();
    const folder = scratch.path("my-site");
    writeFileSync(scratch.path("hosts"), "a 10.1.0.1 control-plane,registry\nb 10.1.0.2 worker\n");
    const made = await cli([
      "init",
      folder,
      "--os",
      "debian-12",
      "--network",
      "calico",
      "--hosts",
      scratch.path("hosts"),
      "--yes",
    ]);
    expect(made).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/site\.yaml: what the bundle carries, about \d+/),
      stderr: expect.stringContaining(`airgap build ${folder}/site.yaml -o ${folder}/site.tar`),
    });
    expect(readdirSync(folder).sort()).toEqual([
      "bundle.schema.json",
      "cluster.schema.json",
      "cluster.yaml",
      "site.yaml",
    ]);
    const cluster = parseCluster(readFileSync(join(folder, "cluster.yaml"), "utf8"), "cluster.yaml");
    expect(cluster.hosts.map(({ name }) => name)).toEqual(["a", "b"]);
    const again = await cli(["init", folder, "--yes"]);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining("are there already") });
  });

  it("asks nothing where nobody can answer", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("empty"));
    const result = await cli(["init", scratch.path("empty")]);
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining("add --yes") });
    expect(readdirSync(scratch.path("empty"))).toEqual([]);
  });
});
