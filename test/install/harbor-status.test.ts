import { describe, expect, it } from "vitest";
import type { Host } from "../../src/host/host.ts";
import { harborHosts, harborStatus } from "../../src/install/harbor/status.ts";
import { clusterOf } from "../support/install/site.ts";

const hosts = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane"] },
  { name: "register", address: "10.0.0.20", roles: ["registry"] },
];
const cluster = clusterOf({
  hosts,
  registry: { host: "harbor.site", mode: "harbor" },
  repository: { host: "master1" },
});

/** Hosts that answer to the last call of a script. */
function site(answers: Record<string, { code?: number; stdout: string }>, asked: string[] = []) {
  const host = (name: string): Host =>
    ({
      name,
      run: async (script: string) => {
        const call = script.trim().split("\n").at(-1) ?? "";
        asked.push(`${name}: ${call}`);
        return { code: 0, stderr: "", ...answers[name] };
      },
    }) as unknown as Host;
  return {
    get: host,
    again: async (name: string) => host(name),
    has: (name: string) => answers[name] !== undefined,
  };
}

const health = (ill?: string): string =>
  JSON.stringify({
    components: ["core", "database"].map((name) => ({
      name,
      healthy: name !== ill,
      error: name === ill ? "refused" : "",
    })),
  });

describe("the state of Harbor", () => {
  it("is asked of its own host and of the one that has airgap", async () => {
    const asked: string[] = [];
    const found = await harborStatus(
      cluster,
      site({ master1: { stdout: health() }, register: { stdout: "" } }, asked),
    );
    expect(found).toMatchObject({ host: "register", containers: [], problems: [] });
    expect(found?.components.map(({ name }) => name)).toEqual(["core", "database"]);
    expect(asked.sort()).toEqual([
      "master1: show_harbor_health harbor.site --ca-file /etc/airgap/registry-ca.crt",
      "register: show_ill_containers",
    ]);
    expect(harborHosts(cluster).map(({ name }) => name)).toEqual(["register", "master1"]);
  });

  it("names each ill component and container", async () => {
    const found = await harborStatus(
      cluster,
      site({
        master1: { code: 1, stdout: health("database") },
        register: { stdout: "harbor-db restarting none\nnginx running unhealthy\n" },
      }),
    );
    expect(found?.problems).toEqual([
      "Harbor's database is not healthy: refused",
      "register: Harbor's container harbor-db is restarting",
      "register: Harbor's container nginx is unhealthy",
    ]);
  });

  it("is no health where nothing answers", async () => {
    const found = await harborStatus(
      cluster,
      site({ master1: { code: 1, stdout: "connection refused" }, register: { code: 1, stdout: "" } }),
    );
    expect(found?.problems).toEqual([
      "register: Harbor is not installed, or Docker does not answer",
      "Harbor does not answer at harbor.site",
    ]);
  });

  it("is not asked where there is none, or its host is away", async () => {
    expect(await harborStatus(clusterOf(), site({ master1: { stdout: "" } }))).toBeUndefined();
    expect(await harborStatus(cluster, site({ master1: { stdout: health() } }))).toBeUndefined();
  });
});
