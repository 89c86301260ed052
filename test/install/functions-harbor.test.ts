import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { TEMPLATE } from "../e2e/rig/harbor/template.ts";
import { FunctionHost } from "../support/install/function-host.ts";
import { type Ran, SHELLS } from "../support/install/shells.ts";

/** Values that a changed template has at paths. */
const at = (document: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], document);

describe.each(SHELLS)("functions that install Harbor, by %s", (...shell) => {
  let host: FunctionHost;
  beforeEach(() => {
    host = new FunctionHost(shell);
    return () => host[Symbol.dispose]();
  });
  const sh = (script: string, bodies?: Record<string, string>): Ran => host.run(script, bodies);
  const data = (): string => host.path("data");
  const folder = (name: string): void => void mkdirSync(join(data(), name), { recursive: true });

  describe("patch_yaml", () => {
    const patch = (changes: string[], template = TEMPLATE): Ran => {
      host.write("template", template);
      return sh(
        `AIRGAP_CHANGES='${changes.join("\n")}'\nexport AIRGAP_CHANGES\npatch_yaml <'${host.path("template")}'`,
      );
    };

    it("changes values by their path, and keeps all else as it is, comments too", () => {
      const { code, stdout } = patch([
        "hostname=harbor.site",
        "http.port=8080",
        "https.certificate=/etc/airgap/harbor/tls.crt",
        "database.password=p0",
        "data_volume=/srv/harbor",
        "trivy.skip_update=true",
        "?trivy.not_in_this_version=true",
      ]);
      expect(code).toBe(0);
      const [before, after] = [parse(TEMPLATE), parse(stdout)] as [unknown, unknown];
      expect(at(after, "https.certificate")).toBe("/etc/airgap/harbor/tls.crt");
      expect(at(after, "https.port")).toBe(443);
      expect([
        at(after, "http.port"),
        at(after, "database.password"),
        at(after, "trivy.skip_update"),
      ]).toEqual([8080, "p0", true]);
      expect(at(after, "jobservice")).toEqual(at(before, "jobservice"));
      expect(at(after, "trivy.not_in_this_version")).toBeUndefined();
      const lines = (text: string): string[] => text.split("\n");
      expect(lines(stdout).filter((line, i) => line !== lines(TEMPLATE)[i])).toHaveLength(6);
      // Harbor reads it with grep and awk: the last word of the line.
      expect(stdout).toMatch(/^data_volume: \/srv\/harbor$/m);
    });

    it("takes a key away with all below it", () => {
      const { code, stdout } = patch(["-https", "hostname=h"]);
      expect(code).toBe(0);
      const after = parse(stdout) as Record<string, unknown>;
      expect(Object.keys(after)).not.toContain("https");
      expect(Object.keys(after).length).toBe(Object.keys(parse(TEMPLATE) as object).length - 1);
    });

    it("names what the template does not have", () => {
      const { code, output } = patch(["hostname=h", "log.no.such=1"]);
      expect(code).toBe(1);
      expect(output).toContain("harbor.yml.tmpl has no key log.no.such");
    });
  });

  describe("the database", () => {
    it("is taken over from the versions that this Harbor knows, and from no other", () => {
      expect(sh(`database_fits '${data()}' '15 14'`).code).toBe(0);
      folder("database/pg14");
      folder("database/pg15");
      expect(sh(`database_fits '${data()}' '15 14'`).code).toBe(0);
      folder("database/pg13");
      expect(sh(`database_fits '${data()}' '15 14'`)).toMatchObject({
        code: 1,
        output: expect.stringMatching(
          /pg13 is a database of PostgreSQL 13, .* takes over only that of 15 14/,
        ),
      });
    });

    it("has a password of its own, which stays; without it a database is somebody else's", () => {
      const file = join(data(), "airgap/database-password");
      mkdirSync(data());
      expect(sh(`airgap_harbor_password '${data()}'`).code).toBe(0);
      const made = readFileSync(file, "utf8");
      expect(made).toMatch(/^p[0-9a-f]{32}\n$/);
      folder("database/pg15");
      expect(sh(`airgap_harbor_password '${data()}'`).code).toBe(0);
      expect(readFileSync(file, "utf8")).toBe(made);
      expect(sh(`rm '${file}'\nairgap_harbor_password '${data()}'`)).toMatchObject({
        code: 1,
        output: expect.stringContaining("whose password airgap does not know"),
      });
    });

    it("is copied before an upgrade, once for each version", () => {
      const up = `harbor_is_backed_up '${data()}' v2.14.0`;
      expect(sh(up).code).toBe(0);
      expect(sh(`note harbor/version v2.14.0\n${up}`).code).toBe(0);
      expect(sh(`note harbor/version v2.12.2\n${up}`)).toMatchObject({
        code: 1,
        output: expect.stringContaining("no copy of the database of v2.12.2"),
      });
      folder("database/pg15");
      folder("secret/keys");
      folder("airgap");
      host.write("data/airgap/database-password", "p1\n");
      host.place("harbor/harbor.yml");
      const copy = `note harbor/version v2.12.2\nback_up_harbor '${host.path("harbor")}' '${data()}'`;
      const bodies = { systemctl: ":", df: "printf 'h\\nx 1 1 %s 1 /\\n' \"${LEFT:-9000000}\"" };
      expect(sh(`LEFT=1\n${copy}`, bodies)).toMatchObject({
        code: 1,
        output: expect.stringContaining("the upgrade needs"),
      });
      expect(sh(copy, bodies).code).toBe(0);
      expect(existsSync(join(data(), "airgap/backup-v2.12.2/database/pg15"))).toBe(true);
      expect(sh(up).code).toBe(0);
      expect(host.calls).toContain("systemctl stop airgap-harbor.service");
    });
  });

  it("tells containers of others by their names", () => {
    const docker = "printf '%s\\n' 'nginx harbor' 'redis other' 'web harbor' 'registry '";
    const ask = (before: string): string => sh(`${before}\nairgap_foreign_containers`, { docker }).stdout;
    expect(ask(":")).toBe("nginx\nredis\nregistry\n");
    expect(ask("note harbor/data /data")).toBe("redis\nregistry\n");
  });

  it("compares versions", () => {
    for (const [version, least, code] of [
      ["20.10.24+dfsg1", "20.10.10", 0],
      ["20.10.9", "20.10.10", 1],
      ["v1.29.2", "1.27.0", 0],
      ["28.5.1", "17.6.0", 0],
    ])
      expect(sh(`at_least ${version} ${least}`).code).toBe(code);
  });

  it("removes Harbor and keeps its data, unless told otherwise", () => {
    folder("registry");
    folder("of-somebody-else");
    const remove = `airgap_harbor_logs='${host.path("logs")}'\nremove_harbor '${host.path("harbor")}' '${data()}'`;
    const bodies = { docker: "return 1" };
    expect(sh(remove, bodies).output).toContain("stay in");
    expect(existsSync(join(data(), "registry"))).toBe(true);
    expect(sh(`keep_no_harbor_data\n${remove}`, { ...bodies, rmdir: ":" }).code).toBe(0);
    expect(existsSync(join(data(), "registry"))).toBe(false);
    expect(existsSync(join(data(), "of-somebody-else"))).toBe(true);
  });
});
