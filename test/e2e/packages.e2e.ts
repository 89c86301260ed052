import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { isAirgapError } from "../../src/errors.ts";
import type { PackageSetSpec } from "../../src/lock/spec.ts";
import { modulesYaml as carriedYaml } from "../../src/packages/rpm/carried.ts";
import type { Closure } from "../../src/packages/types.ts";
import { resolveClosures } from "../../src/resolve/packages.ts";
import { freePort } from "../support/daemon.ts";
import { debianRepository, NODE_SET } from "../support/debian.ts";
import { DnfOracle } from "../support/dnf.ts";
import { randomGroupCase } from "../support/groups.ts";
import { largeRepository } from "../support/large-rpms.ts";
import { modulesYaml, randomModularCase } from "../support/modules.ts";
import { packageContext, rpmSet } from "../support/packages.ts";
import { Random } from "../support/random.ts";
import { type TestRpm, writeRpmRepository } from "../support/rpm-metadata.ts";

const exec = promisify(execFile);
const airgap = join(import.meta.dirname, "../../bin/airgap");
const aptSolve = join(import.meta.dirname, "../support/oracles/apt-solve.sh");
const dir = mkdtempSync(join(tmpdir(), "airgap-packages-e2e-"));
const env = { ...process.env, XDG_CACHE_HOME: join(dir, "cache") };
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function run(program: string, args: string[], cwd = dir): Promise<string> {
  return (await exec(program, args, { cwd, env, maxBuffer: 1 << 26 })).stdout;
}

const ids = (closure: Closure | undefined): string[] =>
  (closure?.packages ?? [])
    .filter(({ alternative }) => alternative === undefined)
    .map(({ id }) => id)
    .sort();

/** One answer of ours, with the warnings that came before it; undefined where there is none. */
async function asked(
  at: Awaited<ReturnType<typeof packageContext>>,
  set: PackageSetSpec,
): Promise<{ mine: string[] | undefined; warned: boolean; closure?: Closure }> {
  at.events.length = 0;
  try {
    const [closure] = await resolveClosures(set, at.context);
    return {
      mine: ids(closure),
      ...(closure ? { closure } : {}),
      warned: at.events.some(({ type }) => type === "warning"),
    };
  } catch (error) {
    if (isAirgapError(error, "unsatisfiable", "spec")) return { mine: undefined, warned: true };
    throw error;
  }
}

describe("against dnf, on random modules", () => {
  test("streams, defaults, dependencies between modules: the same set, impossible where dnf says so, installable from what is carried", async () => {
    using dnf = new DnfOracle();
    const at = await packageContext();
    const differing: string[] = [];
    let solved = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const { repositories, install } = randomModularCase(new Random(seed * 7919));
      const root = join(at.dir, String(seed));
      const listed = repositories.map(({ moduleHotfixes }, i) => ({
        id: `r${i}`,
        path: join(root, `r${i}`),
        baseurl: join(root, `r${i}`),
        moduleHotfixes,
      }));
      for (const [i, { rpms, modules }] of repositories.entries())
        await writeRpmRepository(join(root, `r${i}`), rpms, { modules });
      const { packages: theirs, error = "" } = await dnf.answer({ repositories: listed, install });
      const { mine, warned, closure } = await asked(
        at,
        rpmSet({ repositories: listed.map(({ path: _, ...repository }) => repository), install }),
      );
      if (closure) {
        const all = new Set(closure.packages.map(({ id }) => id));
        const yaml = carriedYaml(
          closure.modules ?? [],
          all,
          new Set(closure.packages.map(({ name }) => name)),
        );
        const from = new Map(closure.packages.map(({ id, repository }) => [id, repository]));
        const carried = repositories.flatMap(({ rpms }, i) =>
          rpms.filter((rpm) => from.get(idOf(rpm)) === `r${i}`),
        );
        await writeRpmRepository(join(root, "carried"), carried, yaml ? { modules: yaml } : {});
        const names = new Set(
          closure.asked.map((each) => closure.packages.find(({ id }) => id === each.package)?.name ?? ""),
        );
        const again = await dnf.answer({
          repositories: [{ id: "carried", path: join(root, "carried"), moduleHotfixes: true }],
          install: [...names],
        });
        if (again.packages?.some((id) => !all.has(id)) !== false)
          differing.push(
            `seed ${seed}: dnf can't install ${[...names]} from what is carried: ${again.error}`,
          );
      }
      rmSync(root, { recursive: true, force: true });
      // dnf refuses every @module while any default or newest build can't be had; here that is a warning.
      const strict = error.includes("Modular dependency problems") && (mine === undefined || warned);
      // It takes the stream named last when one is named twice in different ways.
      const twice = install.filter((word) => word.startsWith("@")).map((word) => word.replace(/[:/].*/, ""));
      if (strict || (theirs === undefined && new Set(twice).size < twice.length)) continue;
      if (String(mine) !== String(theirs))
        differing.push(`seed ${seed}, ${install}: ours ${mine}, dnf's ${theirs ?? error}`);
      if (mine !== undefined) solved++;
    }
    await at.close();
    expect(differing).toEqual([]);
    expect(solved).toBeGreaterThan(30);
  });

  test("groups and environments", async () => {
    using dnf = new DnfOracle();
    const at = await packageContext();
    const differing: string[] = [];
    let solved = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { repositories, install } = randomGroupCase(new Random(seed * 6101));
      const root = join(at.dir, String(seed));
      const listed = repositories.map((_, i) => ({
        id: `r${i}`,
        path: join(root, `r${i}`),
        baseurl: join(root, `r${i}`),
      }));
      for (const [i, { rpms, comps }] of repositories.entries())
        await writeRpmRepository(join(root, `r${i}`), rpms, { group: comps });
      const { packages: theirs, error = "" } = await dnf.answer({ repositories: listed, install });
      const { mine } = await asked(
        at,
        rpmSet({ repositories: listed.map(({ path: _, ...repository }) => repository), install }),
      );
      rmSync(root, { recursive: true, force: true });
      if (String(mine) !== String(theirs))
        differing.push(`seed ${seed}, ${install}: ours ${mine}, dnf's ${theirs ?? error}`);
      if (mine !== undefined) solved++;
    }
    await at.close();
    expect(differing).toEqual([]);
    expect(solved).toBeGreaterThan(15);
  });
});

describe("against dnf, on a large repository", () => {
  test("20,000 packages with i686 twins, modules, rich dependencies, several releases a name: the same closures", async () => {
    using dnf = new DnfOracle();
    const at = await packageContext();
    const random = new Random(4242);
    const { rpms, modules, comps } = largeRepository(random, 14_000);
    expect(rpms.length).toBeGreaterThan(20_000);
    const path = join(at.dir, "large");
    await writeRpmRepository(path, rpms, { modules, group: comps });
    const asking = [
      () => `pkg${random.below(12_600)}`,
      () => `pkg${7 * random.below(1_800)}`,
      () => `x${random.below(1_400)}`,
      () => `virtual${random.below(40)} >= 2`,
      () => `/usr/bin/tool${random.below(12_600)}`,
      () => `lib${random.below(12_600)}.so.1()(64bit)`,
      () => `@m${random.below(70)}:${random.pick(["1", "2"])}`,
      () => `m${random.below(70)}-a`,
      () => random.pick(["@server", "@group7", "@Group 9/optional"]),
    ];
    const requests = Array.from({ length: 16 }, () =>
      Array.from({ length: 1 + random.below(3) }, () => random.pick(asking)()),
    );
    const differing: string[] = [];
    let solved = 0;
    for (const install of [["everything"], ...requests]) {
      const { packages: theirs, error = "" } = await dnf.answer({
        repositories: [{ id: "large", path }],
        install,
        cache: join(at.dir, "dnf"),
      });
      const { mine } = await asked(at, rpmSet({ repositories: [{ id: "large", baseurl: path }], install }));
      if (mine !== undefined) solved++;
      // Where only an i686 package will do, dnf takes it.
      else if (theirs?.some((id) => id.endsWith(".i686"))) continue;
      if (String(mine) !== String(theirs))
        differing.push(`${install}: ${mine?.length} packages, dnf's ${theirs?.length} ${error}`);
    }
    await at.close();
    expect(differing).toEqual([]);
    expect(solved).toBeGreaterThan(9);
  });
});

const idOf = (rpm: TestRpm): string => `${rpm.name}-${rpm.evr}.${rpm.arch ?? "noarch"}`;

/** `airgap serve` for as long as `work` runs. */
async function serving(bundle: string, work: (url: string) => Promise<void>): Promise<void> {
  const { spawn } = await import("node:child_process");
  const address = `127.0.0.1:${await freePort()}`;
  const server = spawn(airgap, ["serve", bundle, "--listen", address], { cwd: dir, env, stdio: "ignore" });
  try {
    for (let tries = 0; ; tries++) {
      if (
        await fetch(`http://${address}/healthz`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        break;
      if (tries > 100) throw new Error("airgap serve did not start");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await work(`http://${address}`);
  } finally {
    server.kill();
  }
}

describe("real RPMs: rpmbuild, rpmsign, createrepo_c", () => {
  const repo = join(dir, "rpms");
  beforeAll(async () => {
    mkdirSync(join(dir, "gnupg"), { mode: 0o700 });
    mkdirSync(repo);
    await run("gpg", [
      "--homedir",
      "gnupg",
      "--batch",
      "--passphrase",
      "",
      "--quick-gen-key",
      "Vendor",
      "rsa2048",
      "sign",
      "never",
    ]);
    writeFileSync(join(repo, "KEY"), await run("gpg", ["--homedir", "gnupg", "--armor", "--export"]));
    await rpmbuild(
      "app",
      "Requires: lib >= 2, /opt/deep/data\nRequires(pre): tool\nRequires: (extra if other)",
    );
    await rpmbuild("lib", "Epoch: 2\nProvides: libcap = 2");
    for (const name of ["deep", "extra", "other"]) await rpmbuild(name, "");
    await rpmbuild("tool", "Conflicts: bad");
    await rpmbuild("plain", "Requires: app");
    const signed = ["app", "lib", "deep", "extra", "other", "tool"].map((name) =>
      join(repo, `${name}-1-1.noarch.rpm`),
    );
    await sign(signed);
    await run("createrepo_c", ["-q", repo]);
    writeFileSync(
      join(dir, "rpm.yaml"),
      `apiVersion: airgap/v1\nkind: Bundle\nname: rpm\npackages:\n  - name: el9\n    format: rpm\n    for: [rocky-9]\n    arch: x86_64\n    repositories: [{ id: base, baseurl: rpms, gpgkey: [rpms/KEY] }]\n    unsigned: [plain]\n    install: { all: [app], worker: [plain], load-balancer: [deep] }\n`,
    );
    await run(airgap, ["build", "rpm.yaml", "-o", "rpm.tar"]);
  });

  async function sign(files: string[]): Promise<void> {
    await run("rpmsign", [
      "--define",
      "__gpg /usr/bin/gpg",
      "--define",
      `_gpg_path ${dir}/gnupg`,
      "--define",
      "_gpg_name Vendor",
      "--addsign",
      ...files,
    ]);
  }

  async function rpmbuild(name: string, header: string, { release = "1", to = repo } = {}): Promise<void> {
    const spec = `Name: ${name}\nVersion: 1\nRelease: ${release}\nSummary: The <${name}> & co\nLicense: MIT\nAutoReqProv: no\nBuildArch: noarch\n${header}\n%description\nx\n%install\nmkdir -p %{buildroot}/opt/${name} %{buildroot}/usr/bin\necho hi > %{buildroot}/opt/${name}/data\nln -s ../../opt/${name}/data %{buildroot}/usr/bin/${name}\n%files\n/opt/${name}\n/usr/bin/${name}\n`;
    writeFileSync(join(dir, `${name}.spec`), spec);
    const defines = [
      `_topdir ${dir}/rpmbuild`,
      `_rpmdir ${to}`,
      "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    ].flatMap((define) => ["--define", define]);
    await run("rpmbuild", ["-bb", "--target", "noarch", ...defines, join(dir, `${name}.spec`)]);
  }

  test("the lock gives the same bytes", async () => {
    await run(airgap, ["build", "rpm.yaml", "-o", "again.tar", "--locked"]);
    expect(readFileSync(join(dir, "again.tar")).equals(readFileSync(join(dir, "rpm.tar")))).toBe(true);
    await run(airgap, ["verify", "rpm.tar"]);
  });

  /** Installs with dnf into a root of its own, from the `.repo` file at a URL alone. */
  async function install(root: string, repoUrl: string, names: string[]): Promise<string> {
    mkdirSync(join(dir, root, "repos"), { recursive: true });
    writeFileSync(join(dir, root, "repos/airgap.repo"), await (await fetch(repoUrl)).text());
    writeFileSync(
      join(dir, root, "dnf.conf"),
      `[main]\ngpgcheck=1\nreposdir=${dir}/${root}/repos\ncachedir=${dir}/${root}/cache\nlogdir=${dir}/${root}\n`,
    );
    const common = [
      "--noplugins",
      "-c",
      `${dir}/${root}/dnf.conf`,
      `--installroot=${dir}/${root}/root`,
      "--releasever=9",
      "--forcearch=x86_64",
      "-y",
    ];
    await run("dnf", [...common, "install", ...names]);
    return run("rpm", ["--root", `${dir}/${root}/root`, "-qa", "--qf", "%{NAME}\\n"]);
  }

  test("what is exported for a web server is installed from a plain one, with every check on", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    await run(airgap, [
      "packages",
      "export",
      "rpm.tar",
      "disk/packages",
      "--url",
      `http://${address}/packages/`,
    ]);
    // What is carried: the folder, and nothing of airgap.
    await run("cp", ["-R", "disk", "site"]);
    await run("rm", ["-rf", "disk"]);
    const { spawn } = await import("node:child_process");
    const server = spawn("busybox", ["httpd", "-f", "-p", address, "-h", join(dir, "site")], {
      stdio: "ignore",
    });
    try {
      const repo = `http://${address}/packages/el9/roles/worker/airgap-el9-worker.repo`;
      await vi.waitFor(async () => expect((await fetch(repo)).ok).toBe(true), { timeout: 10_000 });
      expect(await (await fetch(repo)).text()).toContain("gpgcheck=1\nrepo_gpgcheck=1");
      expect((await install("plain-web", repo, ["app", "plain"])).split("\n")).toEqual(
        expect.arrayContaining(["app", "deep", "lib", "plain", "tool"]),
      );
      await run("sh", ["-c", "echo x >> site/packages/el9/roles/worker/repodata/repomd.xml"]);
      await expect(install("tampered", repo, ["app"])).rejects.toThrow();
    } finally {
      server.kill();
    }
  });

  test("dnf installs from serve with gpgcheck and repo_gpgcheck, and a role sees nothing of another", async () => {
    await serving("rpm.tar", async (server) => {
      const url = `${server}/packages/el9`;
      const installed = await install("worker", `${url}/roles/worker/airgap-el9-worker.repo`, [
        "app",
        "plain",
      ]);
      expect(
        installed
          .split("\n")
          .filter((name) => name !== "" && name !== "gpg-pubkey")
          .sort(),
      ).toEqual(["app", "deep", "lib", "plain", "tool"]);
      await expect(
        install("balancer", `${url}/roles/load-balancer/airgap-el9-load-balancer.repo`, ["plain"]),
      ).rejects.toThrow(/plain/);
    });
  });

  test("dnf installs a module's stream from what is exported, whatever stream the host had enabled", async () => {
    const modular = join(dir, "modular");
    mkdirSync(modular);
    const labelled = (stream: string): string => `ModularityLabel: web:${stream}:1:c0ffee`;
    await rpmbuild("web", `${labelled("1")}\nProvides: webserver`, { release: "1.m1", to: modular });
    await rpmbuild("web", `${labelled("2")}\nRequires: weblib`, { release: "2.m2", to: modular });
    await rpmbuild("weblib", "ModularityLabel: libs:a:1:c0ffee", { to: modular });
    await rpmbuild("helper", "Provides: web", { to: modular });
    await sign(readdirSync(modular).map((file) => join(modular, file)));
    await run("createrepo_c", ["-q", modular]);
    const artifact = (name: string, release = "1"): string => `${name}-0:1-${release}.noarch`;
    const streams = [
      { name: "web", stream: "1", artifacts: [artifact("web", "1.m1")], profiles: { common: ["web"] } },
      {
        name: "web",
        stream: "2",
        artifacts: [artifact("web", "2.m2")],
        profiles: { common: ["web"] },
        requires: { platform: ["el9"], libs: ["a"] },
      },
      { name: "libs", stream: "a", artifacts: [artifact("weblib")] },
    ];
    writeFileSync(
      join(dir, "modules.yaml"),
      modulesYaml(streams, [{ module: "web", stream: "1", profiles: { "1": ["common"], "2": ["common"] } }]),
    );
    await run("modifyrepo_c", [
      "--mdtype=modules",
      "--compress",
      "--compress-type=xz",
      join(dir, "modules.yaml"),
      join(modular, "repodata"),
    ]);
    const bundle = (name: string, install: string): string =>
      `apiVersion: airgap/v1\nkind: Bundle\nname: ${name}\npackages:\n  - name: ${name}\n    format: rpm\n    for: [rocky-9]\n    arch: x86_64\n    repositories: [{ id: base, baseurl: modular, gpgkey: [rpms/KEY] }]\n    install: ${install}\n`;
    const install = async (root: string, set: string, words: string[]): Promise<string[]> => {
      const at = join(dir, root);
      mkdirSync(join(at, "repos"), { recursive: true });
      const text = readFileSync(join(dir, `modular-out/${set}/airgap-${set}.repo`), "utf8");
      writeFileSync(join(at, "repos/airgap.repo"), text);
      writeFileSync(
        join(at, "dnf.conf"),
        `[main]\ngpgcheck=1\nbest=1\nmodule_platform_id=platform:el9\nreposdir=${at}/repos\ncachedir=${at}/cache\nlogdir=${at}\n`,
      );
      await run("dnf", [
        "--noplugins",
        "-c",
        `${at}/dnf.conf`,
        `--installroot=${at}/root`,
        "--releasever=9",
        "--forcearch=x86_64",
        "-y",
        "install",
        ...words,
      ]);
      const installed = await run("rpm", ["--root", `${at}/root`, "-qa", "--qf", "%{NAME}-%{RELEASE}\n"]);
      return installed
        .split("\n")
        .filter((name) => name !== "" && !name.startsWith("gpg-pubkey"))
        .sort();
    };
    const state = (root: string, module: string): string =>
      readFileSync(join(dir, root, `root/etc/dnf/modules.d/${module}.module`), "utf8");

    writeFileSync(join(dir, "two.yaml"), bundle("two", '["@web:2"]'));
    await run(airgap, ["build", "two.yaml", "-o", "two.tar"]);
    await run(airgap, ["build", "two.yaml", "-o", "two-again.tar", "--locked"]);
    expect(readFileSync(join(dir, "two-again.tar")).equals(readFileSync(join(dir, "two.tar")))).toBe(true);
    await run(airgap, ["packages", "export", "two.tar", "modular-out"]);
    expect(await install("by-name", "two", ["web"])).toEqual(["web-2.m2", "weblib-1"]);
    expect(state("by-name", "web")).toMatch(/stream=2\n[\s\S]*state=enabled/);
    expect(await install("by-module", "two", ["@web:2"])).toEqual(["web-2.m2", "weblib-1"]);
    expect(state("by-module", "libs")).toMatch(/stream=a\n[\s\S]*state=enabled/);
    const modules = join(dir, "elsewhere/root/etc/dnf/modules.d");
    mkdirSync(modules, { recursive: true });
    writeFileSync(join(modules, "web.module"), "[web]\nname=web\nstream=1\nprofiles=\nstate=enabled\n");
    expect(await install("elsewhere", "two", ["web"])).toEqual(["web-2.m2", "weblib-1"]);

    writeFileSync(join(dir, "one.yaml"), bundle("one", "[web]"));
    await run(airgap, ["build", "one.yaml", "-o", "one.tar"]);
    await run(airgap, ["packages", "export", "one.tar", "modular-out"]);
    expect(await install("default", "one", ["web"])).toEqual(["web-1.m1"]);
    writeFileSync(join(dir, "hidden.yaml"), bundle("hidden", "[helper]"));
    await expect(run(airgap, ["packages", "resolve", "hidden.yaml"])).rejects.toThrow(
      /helper-1-1\.noarch \(base\) is hidden/,
    );
  });

  test("what is exported has metadata that say what createrepo_c says", async () => {
    await run(airgap, ["packages", "export", "rpm.tar", "out"]);
    const primary = async (folder: string): Promise<string[]> => {
      const name = (await run("sh", ["-c", `ls ${folder}/repodata/*primary.xml*`])).trim();
      const text = await run("sh", ["-c", `zcat -f ${name}`]);
      const packages = text.split("<package ").slice(1);
      const facts = packages.map((entry) =>
        [
          ...entry.matchAll(
            /<(?:name|arch|checksum|rpm:license|rpm:sourcerpm|rpm:entry|rpm:header-range|version|size)\b[^>]*>[^<]*/g,
          ),
        ]
          .map(([match]) =>
            match
              .trim()
              .replace(/ (archive|epoch)="0"/g, "")
              .replace(/ archive="\d+"/, "")
              .replace(/\/>$/, ">"),
          )
          .sort()
          .join("\n"),
      );
      return facts.sort();
    };
    const own = await primary(join(dir, "out/el9"));
    mkdirSync(join(dir, "theirs"));
    await run("createrepo_c", [
      "-q",
      "--general-compress-type=gz",
      "-o",
      join(dir, "theirs"),
      join(dir, "out/el9/Packages"),
    ]);
    expect(own).toEqual(await primary(join(dir, "theirs")));
  });
});

describe("Debian's own repository, through this machine's apt settings", () => {
  let spec = "";
  const sources = join(dir, "debian.sources");
  const [empty, essential, own] = [join(dir, "empty"), join(dir, "essential"), "/var/lib/dpkg/status"];
  const solve = async (status: string, recommends: boolean, names: string[]): Promise<string[]> =>
    lines(
      await run(aptSolve, [join(dir, "apt-state"), sources, status, "amd64", String(recommends), ...names]),
    );
  beforeAll(async () => {
    await run("apt-get", ["update", "-q"]);
    const debian = debianRepository();
    if (debian === undefined) throw new Error("apt on this machine knows no Debian repository");
    spec = debian.spec;
    writeFileSync(sources, debian.sources);
    writeFileSync(empty, "");
    writeFileSync(essential, await essentialStatus());
  });

  /** What dpkg knows of a host that has nothing but what Debian calls essential. */
  async function essentialStatus(): Promise<string> {
    const state = join(dir, "apt-state");
    const settings = {
      "Dir::State": state,
      "Dir::State::status": empty,
      "Dir::Cache": `${state}/cache`,
      "Dir::Etc::sourcelist": sources,
    };
    const options = [...Object.entries(settings), ["Dir::Etc::sourceparts", "-"]].flatMap(([key, value]) => [
      "-o",
      `${key}=${value}`,
    ]);
    const shown = await run("apt-cache", [
      ...options,
      "show",
      ...(await solve(empty, false, ["?essential"])),
    ]);
    return shown.replace(/^Package: .*$/gm, "$&\nStatus: install ok installed");
  }

  function write(name: string, install: string[], more = ""): string {
    const text = `apiVersion: airgap/v1\nkind: Bundle\nname: deb\npackages:\n  - name: debian\n    format: deb\n    for: [debian-12]\n    arch: amd64\n    repositories:\n${spec}\n    install: [${install.join(", ")}]\n${more}`;
    writeFileSync(join(dir, name), text);
    return name;
  }

  const lines = (text: string): string[] =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .sort();
  test.each([
    ["empty hosts", empty, false],
    ["empty hosts, with Recommends", empty, true],
    ["hosts with what is essential", essential, false],
    ["hosts with what is essential, with Recommends", essential, true],
    ["hosts like this machine", own, false],
  ])("the node set for %s is apt's", async (_, status, recommends) => {
    const more = `${recommends ? "    recommends: true\n" : ""}${status === empty ? "" : `    installed: ${status}\n`}`;
    const mine = lines(await run(airgap, ["packages", "resolve", write("debian.yaml", NODE_SET, more)]));
    expect(mine).toEqual(await solve(status, recommends, NODE_SET));
    expect(mine.length).toBeGreaterThan(0);
  });

  test("apt fetches every package from serve with all checks on, and nothing from elsewhere", async () => {
    await run(airgap, ["build", write("few.yaml", ["conntrack", "socat", "ipset"]), "-o", "deb.tar"]);
    const expected = lines(await run(airgap, ["packages", "resolve", "few.yaml"]));
    await serving("deb.tar", async (url) => {
      const state = join(dir, "served");
      for (const folder of ["lists/partial", "cache/archives/partial"])
        mkdirSync(join(state, folder), { recursive: true });
      writeFileSync(
        join(state, "airgap.sources"),
        await (await fetch(`${url}/packages/debian/airgap-debian.sources`)).text(),
      );
      const settings = {
        Dir: "/",
        "Dir::State": state,
        "Dir::State::lists": `${state}/lists`,
        "Dir::State::status": join(dir, "empty"),
        "Dir::Cache": `${state}/cache`,
        "Dir::Etc::sourcelist": `${state}/airgap.sources`,
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
        "APT::Architecture": "amd64",
      };
      const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
      await run("apt-get", [...options, "update"]);
      await run("apt-get", [
        ...options,
        "install",
        "-y",
        "--download-only",
        "--no-install-recommends",
        "conntrack",
        "socat",
        "ipset",
      ]);
      const fetched = lines(await run("sh", ["-c", `ls ${state}/cache/archives | grep deb$`])).map((file) =>
        file
          .replace(/_[a-z0-9]+\.deb$/, "")
          .replace("_", "=")
          .replaceAll("%3a", ":"),
      );
      expect(fetched.sort()).toEqual(expected);
    });
  });
});
