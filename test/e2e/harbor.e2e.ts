import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scratch } from "../support/scratch.ts";
import { AIRGAP, Box, packTool } from "./rig/box.ts";
import { harborArchive } from "./rig/harbor/archive.ts";
import type { Host } from "./rig/host.ts";
import { installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually } from "./rig/shell.ts";
import { hostsArePossible, smallBundle } from "./rig/small.ts";

const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const CI_PASSWORD = `Ci9${Math.random().toString(36).slice(2)}`;
const NAME = "register.rig.test";
const STAGES = ["hosts", "trust", "serve", "repository", "packages", "registry", "runtime"].flatMap(
  (stage) => ["--only", stage],
);
const scratch = new Scratch();

let rig: Rig;
let box: Box;
let cluster = "";
let [register, plane]: Host[] = [];
const bundles: Record<string, string> = {};

const install = (version: string, ...more: string[]): string[] => [
  ...["install", cluster, "--bundle", bundles[version] ?? "", "--yes"],
  ...STAGES,
  ...more,
];

const on = (host: Host | undefined): Host => host as Host;

/** What Harbor's API answers to somebody on the operator's machine. @returns the status and the body */
async function api(path: string, login: string): Promise<string> {
  const url = `https://${NAME}/api/v2.0/${path}`;
  const trust = ["--cacert", caFile(), "--resolve", `${NAME}:443:${on(register).address}`];
  const { stdout } = await rig.run(["curl", "-sS", ...trust, "-u", login, "-w", " %{http_code}", url]);
  return stdout;
}

const secrets = (): { harbor: { admin: string; initial: string }; authority: { cert: string } } =>
  JSON.parse(readFileSync(scratch.path("site/.airgap/bare/secrets.json"), "utf8"));

function caFile(): string {
  return scratch.path("ca.crt");
}

const projects = async (): Promise<string[]> =>
  (
    JSON.parse(
      (await api("projects?page=1&page_size=100", `admin:${secrets().harbor.admin}`)).replace(/ 200$/, ""),
    ) as { name: string }[]
  )
    .map(({ name }) => name)
    .sort();

const containers = async (): Promise<string[]> =>
  (await on(register).sh("docker ps -a --format '{{.Names}} {{.Status}}' | sort")).split("\n");

const WANTED = ["apps", "library", "registry.k8s.io"];
const CONTAINERS = 9;

describe.runIf(hostsArePossible)("scenario D: Harbor from its offline installer", () => {
  beforeAll(async () => {
    await installPrograms();
    await packTool();
    const releases = [
      { version: "v2.13.2", postgres: [15, 14], redis: "redis-photon" },
      { version: "v2.15.2", postgres: [18, 15], redis: "valkey-photon" },
    ] as const;
    for (const release of releases)
      bundles[release.version] = await smallBundle(scratch.path(release.version), AIRGAP, {
        registry: ["docker.io", "docker-compose"],
        files: [{ path: await harborArchive({ ...release, postgres: [...release.postgres] }), as: "harbor" }],
      });
    rig = await Rig.create("10.83.0");
    [register, plane] = await Promise.all(
      ["register", "cp1"].map((name) => rig.host({ name, password: PASSWORD })),
    );
    box = new Box(
      rig,
      scratch.path("site"),
      [
        [on(plane), "control-plane"],
        [on(register), "registry"],
      ],
      { AIRGAP_SSH_PASSWORD: PASSWORD, CI_PASSWORD },
    );
    cluster = await box.cluster((document) => {
      document["registry"] = {
        ...{ host: NAME, mode: "harbor" },
        harbor: {
          projects: [{ name: "apps", quota: "1GiB" }],
          users: [
            { name: "ci", email: "ci@rig.test", passwordEnv: "CI_PASSWORD", projects: { apps: "developer" } },
          ],
        },
      };
    });
  });

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]();
  });

  it("killed at random moments and run again: ends with a healthy Harbor that has the bundle", {
    timeout: 1_500_000,
  }, async () => {
    for (const stage of ["registry", "registry"]) {
      const { child, printed, ended } = box.start(install("v2.13.2"));
      let over = false;
      void ended.then(() => {
        over = true;
      });
      try {
        const begun = (): boolean => new RegExp(`^${stage}$`, "m").test(printed());
        await eventually("work to begin", 600, () => begun() || over || undefined);
        await sleep(Math.random() * 15_000);
      } finally {
        child.kill("SIGKILL");
        await ended;
      }
    }
    await box.expect(0, install("v2.13.2"));
    await box.expect(0, [...install("v2.13.2"), "--dry-run"], [/Nothing to do/]);
    expect(await containers()).toEqual(Array(CONTAINERS).fill(expect.stringMatching(/Up .*\(healthy\)/)));
    scratch.write("ca.crt", secrets().authority.cert);
    expect(await projects()).toEqual(WANTED);
    // The control plane's runtime has pulled from it, or the run had failed.
    expect(await on(plane).sh("ctr -n k8s.io images ls -q")).toMatch(/registry\.k8s\.io\/pause/);
  });

  it("its accounts are those of the cluster file, and no password is left on its host", async () => {
    const { admin, initial } = secrets().harbor;
    expect(await api("users/current", `ci:${CI_PASSWORD}`)).toMatch(/"username":"ci".* 200$/s);
    expect(await api("users/current", `admin:${initial}`)).toMatch(/ 401$/);
    expect(await api("projects/apps/members?page=1", `admin:${admin}`)).toMatch(
      /"role_id":2,"entity_name":"ci"/,
    );
    const places = "/etc /opt /data /root /run /tmp /var/lib/airgap /var/log";
    for (const secret of [admin, CI_PASSWORD])
      expect(await on(register).sh(`grep -rlsF -e '${secret}' ${places} --exclude='*.tar' || :`)).toBe("");
  });

  it("all of it comes back after a reboot, and after a container was stopped", {
    timeout: 600_000,
  }, async () => {
    await on(register).reboot();
    const healthy = async (): Promise<true | undefined> =>
      (await containers()).filter((line) => line.includes("(healthy)")).length === CONTAINERS || undefined;
    await eventually("Harbor to be healthy", 300, healthy);
    expect(await projects()).toEqual(WANTED);
    await on(register).sh("docker stop harbor-core harbor-portal && docker start harbor-portal");
    await eventually("core to be started again", 120, healthy);
    await eventually(
      "nginx to find core",
      40,
      async () => /healthy/.test(await api("health", "")) || undefined,
    );
    await box.expect(0, [...install("v2.13.2"), "--dry-run"], [/Nothing to do/]);
  });

  it("goes up by two minor versions, with a copy of its database, and not down", {
    timeout: 600_000,
  }, async () => {
    await box.expect(0, install("v2.15.2"));
    expect(await projects()).toEqual(WANTED);
    expect(await api("users/current", `ci:${CI_PASSWORD}`)).toMatch(/ 200$/);
    expect(await on(register).sh("cd /data && ls -d database/* airgap/backup-v2.13.2/database/*")).toBe(
      "airgap/backup-v2.13.2/database/pg15\ndatabase/pg18",
    );
    expect(await on(register).sh("docker image ls --format '{{.Tag}}' goharbor/*")).not.toMatch(/v2\.13\.2/);
    await box.expect(0, [...install("v2.15.2"), "--dry-run"], [/Nothing to do/]);
    await box.expect(3, install("v2.13.2"), [
      /Harbor is at v2\.15\.2, and the bundle has the older v2\.13\.2/,
    ]);
  });

  it("a reset removes it and keeps its data, which the next installation takes over", {
    timeout: 600_000,
  }, async () => {
    await box.expect(0, ["reset", cluster, "--yes"], [/Harbor's data stay/]);
    expect(
      await on(register).sh("ls /opt/harbor /etc/systemd/system/airgap-harbor.service 2>/dev/null || :"),
    ).toBe("");
    expect(await on(register).sh("ls /data/database")).toBe("pg18");
    await box.expect(0, install("v2.15.2"));
    expect(await projects()).toEqual(WANTED);
    expect(await api("users/current", `ci:${CI_PASSWORD}`)).toMatch(/ 200$/);
    await box.expect(0, ["reset", cluster, "--yes", "--harbor-data"]);
    expect(await on(register).sh("ls -d /data /opt/harbor 2>/dev/null || :")).toBe("");
  });
});
