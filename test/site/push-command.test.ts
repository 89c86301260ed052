import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { basicHeader } from "../support/auth.ts";
import { cli } from "../support/cli.ts";
import { fill } from "../support/fill.ts";
import { startHarbor } from "../support/harbor.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const image = makeImage("app", [bytesOf("app", 5000)]);
const older = makeImage("older", [bytesOf("older", 5000)]);
const scratch = new Scratch();
let origin: TestRegistry;
let bundle: string;
beforeAll(async () => {
  origin = await startRegistry();
  fill(origin.store, "team/app", image, "v1");
  const spec = scratch.spec(`images: [${origin.host}/team/app:v1]`);
  bundle = scratch.path("site.tar");
  const built = await cli(["build", spec, "-o", bundle, "--quiet"], {
    AIRGAP_CACHE_DIR: scratch.path("cache"),
  });
  expect(built).toMatchObject({ code: 0 });
});
afterAll(async () => {
  await origin.close();
  scratch[Symbol.dispose]();
});

/** Runs `airgap push` as Harbor's administrator. */
async function push(host: string, password: string, ...flags: string[]) {
  const auth = basicHeader("admin", password).slice("Basic ".length);
  const file = scratch.write("auth.json", JSON.stringify({ auths: { [host]: { auth } } }));
  return await cli(["push", bundle, `${host}/site`, "--layout", "path", ...flags], {
    REGISTRY_AUTH_FILE: file,
  });
}

describe("airgap push", () => {
  it("says which tag has another image now, and which it had", async () => {
    await using harbor = await startHarbor({ projects: { site: {} } });
    fill(harbor.store, "site/team/app", older, "v1");
    const name = `${harbor.host}/site/team/app:v1 ${image.root.digest}, was ${older.root.digest}`;
    const dry = await push(harbor.host, "Harbor12345", "--dry-run");
    expect(dry.stdout).toContain(`would-replace ${name}`);
    expect(dry.stderr).toMatch(/: would send at most 1 image: \d+ blobs? \(/);
    const sent = await push(harbor.host, "Harbor12345");
    expect(sent.stdout).toContain(`replaced ${name}`);
    expect(sent.stderr).toMatch(
      /: 1 image sent: \d+ blobs? \(.*\), 0 mounted, 0 of their blobs already there\n/,
    );
    const again = await push(harbor.host, "Harbor12345");
    expect(again.stdout).toMatch(/^present /);
    expect(again.stderr).toMatch(/: 1 image already there; nothing sent\n/);
    expect((await push(harbor.host, "Harbor12345", "--dry-run")).stderr).toMatch(
      /: 1 image already there; nothing to send\n/,
    );
  });

  it("prints the secrets of robot accounts once, on stdout alone", async () => {
    await using harbor = await startHarbor({ projects: { site: {} } });
    const { stdout, stderr } = await push(harbor.host, "Harbor12345", "--make-robots", "--verbose");
    const secrets = [...stdout.matchAll(/^robot (?:pull|push) \S+ (\S+)$/gm)].map(
      ([, secret]) => secret as string,
    );
    expect(secrets).toHaveLength(2);
    for (const secret of secrets) {
      expect(stdout.split(secret)).toHaveLength(2);
      expect(stderr).not.toContain(secret);
    }
  });

  it("exits with 3 for a login that is not accepted, and shows the password nowhere", async () => {
    await using harbor = await startHarbor({ projects: { site: {} } });
    const { code, stdout, stderr } = await push(harbor.host, "not-the-password");
    expect(code).toBe(3);
    expect(stderr).toContain("does not accept the login of admin");
    expect(stdout + stderr).not.toContain("not-the-password");
    expect(harbor.failedLogins).toHaveLength(1);
  });

  it("repeats the options that were given in what it suggests", async () => {
    await using harbor = await startHarbor();
    const { code, stderr } = await push(harbor.host, "Harbor12345", "--concurrency", "3");
    expect(code).toBe(3);
    expect(stderr).toContain(
      `airgap push ${bundle} ${harbor.host}/site --layout path --concurrency 3 --create-projects private`,
    );
  });
});
