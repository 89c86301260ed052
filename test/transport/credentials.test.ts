import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../src/host/process.ts";
import { keysFor } from "../../src/transport/credential-files.ts";
import { fixedCredentials, storedCredentials } from "../../src/transport/credentials.ts";

let home = "";
beforeEach(() => (home = mkdtempSync(join(tmpdir(), "airgap-credentials-"))));
afterEach(() => rmSync(home, { recursive: true, force: true }));

const auth = (username: string, password: string) => ({
  auth: Buffer.from(`${username}:${password}`).toString("base64"),
});
function write(path: string, value: unknown): string {
  const full = join(home, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, typeof value === "string" ? value : JSON.stringify(value));
  return full;
}
/** A helper that really runs; on the PATH of this test only. */
function helper(name: string, script: string): void {
  write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
}
const runHelper: Parameters<typeof storedCredentials>[0] = (command, args, options) =>
  run("/bin/sh", [join(home, "bin", command), ...args], options).then((result) => {
    if (result.code === 127 || /can't open|No such file/i.test(result.stderr))
      throw new Error(`spawn ${command} ENOENT`);
    return result;
  });
const stored = (env: NodeJS.ProcessEnv = {}) =>
  storedCredentials(runHelper, { HOME: home, XDG_RUNTIME_DIR: join(home, "run"), ...env });

describe("stored credentials", () => {
  it("come from Docker's config.json, its hub under its old key too", async () => {
    write(".docker/config.json", {
      auths: {
        "https://index.docker.io/v1/": auth("hub", "a"),
        "harbor.site:8443": auth("robot$site+ci", "p:w$d"),
        "https://quay.io": auth("q", "b"),
      },
    });
    const credentials = stored();
    expect(await credentials.for("docker.io", "library/nginx")).toEqual({ username: "hub", password: "a" });
    expect(await credentials.for("harbor.site:8443")).toEqual({
      username: "robot$site+ci",
      password: "p:w$d",
    });
    expect(await credentials.for("quay.io")).toEqual({ username: "q", password: "b" });
    expect(await credentials.for("harbor.site")).toBeUndefined();
  });

  it("come from DOCKER_CONFIG instead of the home", async () => {
    write(".docker/config.json", { auths: { "a.site": auth("home", "x") } });
    write("elsewhere/config.json", { auths: { "a.site": auth("there", "y") } });
    expect(await stored({ DOCKER_CONFIG: join(home, "elsewhere") }).for("a.site")).toEqual({
      username: "there",
      password: "y",
    });
  });

  it("are an identity token, or a plain name and password", async () => {
    write(".docker/config.json", {
      auths: { "a.site": { identitytoken: "lang" }, "b.site": { username: "u", password: "p" } },
    });
    expect(await stored().for("a.site")).toEqual({ identityToken: "lang" });
    expect(await stored().for("b.site")).toEqual({ username: "u", password: "p" });
  });

  it("come from podman's files, by namespace, the longest first", async () => {
    write("run/containers/auth.json", {
      auths: {
        "a.site/team": auth("team", "1"),
        "a.site": auth("all", "2"),
        "a.site/team/app": auth("app", "3"),
      },
    });
    write(".config/containers/auth.json", {
      auths: { "a.site": auth("config", "4"), "b.site": auth("b", "5") },
    });
    const credentials = stored();
    expect(await credentials.for("a.site", "team/app")).toMatchObject({ username: "app" });
    expect(await credentials.for("a.site", "team/other/deep")).toMatchObject({ username: "team" });
    expect(await credentials.for("a.site", "teamwork/x")).toMatchObject({ username: "all" });
    expect(await credentials.for("b.site", "x")).toMatchObject({ username: "b" });
  });

  it("come first from REGISTRY_AUTH_FILE, which must be there", async () => {
    write(".docker/config.json", { auths: { "a.site": auth("home", "x"), "b.site": auth("b", "x") } });
    const file = write("named.json", { auths: { "a.site": auth("named", "y") } });
    const credentials = stored({ REGISTRY_AUTH_FILE: file });
    expect(await credentials.for("a.site")).toMatchObject({ username: "named" });
    expect(await credentials.for("b.site")).toMatchObject({ username: "b" });
    await expect(stored({ REGISTRY_AUTH_FILE: join(home, "none") }).for("a.site")).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("none"),
    });
  });

  it("never show in the error for a file that is broken", async () => {
    write(".docker/config.json", '{"auths": {"a.site": {"auth": "Z2VoZWltOmdlaGVpbQ=="');
    const error = await stored()
      .for("a.site")
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "usage" });
    expect(`${(error as Error).stack}${String((error as Error).cause)}`).not.toContain("Z2VoZWlt");
  });

  it("are none where nothing is stored, or an empty file", async () => {
    expect(await stored().for("a.site")).toBeUndefined();
    write(".docker/config.json", "");
    expect(await stored().for("a.site")).toBeUndefined();
  });

  it("may be given, before what is stored", async () => {
    write(".docker/config.json", { auths: { "a.site": auth("a", "1"), "b.site": auth("b", "2") } });
    const credentials = fixedCredentials({ "a.site": { username: "given", password: "0" } }, stored());
    expect(await credentials.for("a.site")).toMatchObject({ username: "given" });
    expect(await credentials.for("b.site")).toMatchObject({ username: "b" });
  });
});

describe("credential helpers", () => {
  it("are asked with the server on stdin; the one for a host before the one for all", async () => {
    helper(
      "one",
      `read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"one-$server\\",\\"Secret\\":\\"s\\$1\\"}"`,
    );
    helper(
      "all",
      `read server; [ "$server" = https://index.docker.io/v1/ ] || { echo credentials not found in native keychain; exit 1; }; echo '{"Username":"<token>","Secret":"lang"}'`,
    );
    write(".docker/config.json", {
      credHelpers: { "a.site": "one" },
      credsStore: "all",
      auths: { "c.site": auth("file", "x"), "a.site": {} },
    });
    const credentials = stored();
    expect(await credentials.for("a.site")).toEqual({ username: "one-a.site", password: "s$1" });
    expect(await credentials.for("docker.io")).toEqual({ identityToken: "lang" });
    expect(await credentials.for("c.site")).toEqual({ username: "file", password: "x" });
  });

  it("are asked once a host", async () => {
    helper("count", `echo x >> ${home}/asked; echo '{"Username":"u","Secret":"s"}'`);
    write(".docker/config.json", { credHelpers: { "a.site": "count" } });
    const credentials = stored();
    await Promise.all(["a/b", "c/d", undefined].map((repository) => credentials.for("a.site", repository)));
    const { stdout } = await run("/bin/cat", [join(home, "asked")], { timeoutMs: 1000 });
    expect(stdout).toBe("x\n");
  });

  it.each([
    ["fails", "echo 'geheim: keychain locked' >&2; exit 3", /failed with exit code 3/],
    ["answers nonsense", "echo geheim", /did not give a user name and secret/],
  ])("that are named for a host and %s are an error without their words", async (_, script, expected) => {
    helper("bad", script);
    write(".docker/config.json", { credHelpers: { "a.site": "bad" }, auths: {} });
    const error = await stored()
      .for("a.site")
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "environment", message: expect.stringMatching(expected) });
    expect(String((error as Error).message)).not.toContain("geheim");
  });

  it("that are missing are an error for their host, and nothing for others", async () => {
    write(".docker/config.json", { credHelpers: { "a.site": "absent" }, credsStore: "gone" });
    await expect(stored().for("a.site")).rejects.toMatchObject({
      code: "environment",
      suggestions: ["echo a.site | docker-credential-absent get"],
    });
    expect(await stored().for("b.site")).toBeUndefined();
  });

  it("can't be named by a path", async () => {
    write(".docker/config.json", { credHelpers: { "a.site": "../../bin/evil" } });
    await expect(stored().for("a.site")).rejects.toMatchObject({ code: "environment" });
  });
});

describe("keysFor", () => {
  it("goes from the repository to the host", () => {
    expect(keysFor("a.site", "x/y")).toEqual(["a.site/x/y", "a.site/x", "a.site"]);
    expect(keysFor("registry-1.docker.io")).toEqual(["docker.io"]);
  });
});
