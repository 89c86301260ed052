import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { lookAtLogins, lookAtProxy } from "../../src/doctor/access.ts";
import { DOCTOR_NAMES, type DoctorResult } from "../../src/doctor/doctor.ts";
import { cli } from "../support/cli.ts";
import { Scratch } from "../support/scratch.ts";

/** A PATH with what `bin/airgap` itself needs, and nothing else. */
function barePath(scratch: Scratch): string {
  mkdirSync(scratch.path("bin"));
  for (const name of ["sh", "readlink", "dirname", "cat", "sed", "getconf"])
    symlinkSync(`/usr/bin/${name}`, scratch.path(`bin/${name}`));
  return scratch.path("bin");
}

const doctor = async (
  names: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; states: Record<string, string>; text: string }> => {
  const { code, stdout } = await cli(["doctor", ...names, "--json"], env);
  const { findings } = JSON.parse(stdout) as DoctorResult;
  return { code, states: Object.fromEntries(findings.map(({ name, state }) => [name, state])), text: stdout };
};

describe("airgap doctor", () => {
  it("looks at everything, and is no failure when something is missing", async () => {
    using scratch = new Scratch();
    const { code, states } = await doctor([], {
      HOME: scratch.dir,
      PATH: barePath(scratch),
      SSH_AUTH_SOCK: "",
    });
    expect(code).toBe(0);
    expect(Object.keys(states)).toEqual(DOCTOR_NAMES);
    expect(states).toMatchObject({
      node: "ok",
      sqlite: "ok",
      helm: "missing",
      ssh: "missing",
      git: "missing",
      "ssh-key": "missing",
    });
  });

  it("tells what a missing program switches off and what to do, and exits with 3 when it was asked for", async () => {
    using scratch = new Scratch();
    const { code, stdout } = await cli(["doctor", "helm"], { PATH: barePath(scratch) });
    expect([code, stdout]).toEqual([
      3,
      "missing  helm     helm is not on the PATH\n                  effect: `charts:` in specs does not work; `images find` reads a chart's values instead of rendering it\n                  remedy: put the helm binary (version 3) on the PATH\n",
    ]);
  });

  it("sees a program that is there, and one that only looks so", async () => {
    using scratch = new Scratch();
    const path = barePath(scratch);
    for (const [name, text] of [
      ["helm", "echo v3.18.6+gabc"],
      ["git", "exit 1"],
    ] as const)
      chmodSync(scratch.write(`bin/${name}`, `#!/bin/sh\n${text}\n`), 0o755);
    const { code, states, text } = await doctor(["helm", "git"], { PATH: path });
    expect([code, states]).toEqual([3, { helm: "ok", git: "missing" }]);
    expect(text).toContain("v3.18.6+gabc");
  });

  it("knows a near miss of a name", async () => {
    const { code, stderr } = await cli(["doctor", "helmm"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("Try this: airgap doctor helm\n")]);
  });

  it("sees a full or foreign folder", async () => {
    using scratch = new Scratch();
    const { states, text } = await doctor(["cache"], { AIRGAP_CACHE_DIR: scratch.path("a/b/c") });
    expect([states, text]).toEqual([{ cache: "ok" }, expect.stringContaining("a/b/c: ")]);
    expect((await doctor(["cache"], { AIRGAP_CACHE_DIR: "/proc/none" })).states).not.toEqual({ cache: "ok" });
  });
});

describe("what it sees of a network", () => {
  it.each([
    [{}, "ok", "none is set"],
    [{ HTTP_PROXY: "http://p:1" }, "warning", "HTTP_PROXY=http://p:1"],
    [{ https_proxy: "http://p:1" }, "warning", "and no NO_PROXY"],
    [{ HTTPS_PROXY: "http://p:1", NO_PROXY: ".site" }, "ok", "NO_PROXY=.site"],
  ])("a proxy: %j is %s", async (env, state, found) => {
    expect(await lookAtProxy(env)).toMatchObject({ state, found: expect.stringContaining(found) });
  });

  it("shows no password of a proxy", async () => {
    const { found } = await lookAtProxy({ HTTPS_PROXY: "http://jane:geheim@p:1", NO_PROXY: "x" });
    expect(found).not.toMatch(/geheim|jane/);
    expect(found).toContain("@p:1");
  });

  it("names registries with a login, never the login, and a helper that is missing", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("docker"));
    const auth = Buffer.from("jane:geheim").toString("base64");
    scratch.write("docker/config.json", JSON.stringify({ auths: { "harbor.site": { auth } } }));
    const env = {
      DOCKER_CONFIG: scratch.path("docker"),
      HOME: scratch.dir,
      XDG_RUNTIME_DIR: scratch.dir,
      PATH: "",
    };
    expect(await lookAtLogins(env)).toEqual({ name: "logins", state: "ok", found: "harbor.site" });
    scratch.write("docker/config.json", JSON.stringify({ credsStore: "nowhere" }));
    expect(await lookAtLogins(env)).toMatchObject({
      state: "warning",
      without: expect.stringContaining("docker-credential-nowhere"),
    });
    scratch.write("docker/config.json", `{ broken ${auth}`);
    const broken = JSON.stringify(await lookAtLogins(env));
    expect(broken).toContain("is not JSON");
    expect(broken).not.toContain(auth);
  });
});
