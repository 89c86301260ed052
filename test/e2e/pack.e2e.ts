import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { BuildResult } from "../../src/bundle/build.ts";
import { readLockOf } from "../../src/bundle/diff.ts";
import { startContainerd } from "../support/containerd.ts";
import { command, Daemon } from "../support/daemon.ts";
import { writeDebRepository } from "../support/deb-metadata.ts";
import { fill } from "../support/fill.ts";
import { realImage } from "../support/real-image.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const checkout = join(import.meta.dirname, "../..");
const scratch = new Scratch();
const version = (JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string })
  .version;
const NAMESPACE = `airgap-pack-${process.pid}`;
const inside = ["ip", "netns", "exec", NAMESPACE];
const root = scratch.path("root");
let extract = "";
let digest = "";

const exec = async (program: string, ...args: string[]): Promise<string> =>
  (await command(program, args, { maxBuffer: 1 << 26 })).stdout;

/** A root file system with a shell, tar, gzip, readlink and the C libraries that Node links to; nothing else. */
async function makeRoot(node: string): Promise<void> {
  const programs = [
    "/bin/sh",
    "/bin/tar",
    "/bin/gzip",
    "/usr/bin/readlink",
    "/usr/bin/dirname",
    "/bin/cat",
    "/bin/sed",
    "/usr/bin/getconf",
  ];
  const libraries = new Set<string>();
  // Bare systems have no libatomic: the archive brings it.
  for (const program of [...programs, node])
    for (const [path] of (await exec("ldd", program)).matchAll(/\/\S+\.so\S*/g))
      if (!path.includes("libatomic")) libraries.add(path);
  for (const path of [...programs, ...libraries]) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), readFileSync(path), { mode: 0o755 });
  }
  for (const dir of ["tmp", "proc", "dev"]) mkdirSync(join(root, dir), { recursive: true });
}

beforeAll(async () => {
  await exec("npm", "run", "pack", "--prefix", checkout, "--", process.arch);
  await using registry = await startRegistry();
  const image = await realImage([{ pause: "pause" }]);
  digest = image.root.digest;
  fill(registry.store, "pause", image, "3.9");
  const spec = scratch.spec(
    `sources: { registry.k8s.io: { mirrors: ["${registry.host}"] } }\nimages: [registry.k8s.io/pause:3.9]\nfiles: [{ self: true }]`,
  );
  const { stdout } = await command(
    join(checkout, "bin/airgap"),
    ["build", spec, "-o", scratch.path("site.tar"), "--json"],
    {
      env: { ...process.env, AIRGAP_CACHE_DIR: scratch.path("cache") },
    },
  );
  [extract = ""] = (JSON.parse(stdout) as BuildResult).extract;
  await makeRoot(process.execPath);
  cpSync(scratch.path("site.tar"), join(root, "site.tar"));
  await exec("ip", "netns", "add", NAMESPACE);
  await exec(...(inside as [string]), "ip", "link", "set", "lo", "up");
});
afterAll(async () => {
  await exec("ip", "netns", "del", NAMESPACE).catch(() => "");
  // Docker leaves the host's network namespace mounted.
  await exec("umount", scratch.path("docker/exec/netns/default")).catch(() => "");
  scratch[Symbol.dispose]();
});

describe("the packed tool", () => {
  it("is carried in the bundle", () => {
    expect(readLockOf(scratch.path("site.tar")).items).toContainEqual(
      expect.objectContaining({
        kind: "self",
        name: expect.stringMatching(/^airgap-.*-linux-x64\.tar\.gz$/),
      }),
    );
  });

  it("is told of in the text beside the bundle, with the lines to type", () => {
    const text = readFileSync(scratch.path("site.tar.README.txt"), "utf8");
    expect(text).toContain(`tar -xOf site.tar blobs/sha256/`);
    expect(text.split(`./airgap-${version}/install.sh\n`)).toHaveLength(3);
    expect(
      text.split("\n").filter((line) => line.length > 78 && !/tar -x|install\.sh|sha256/.test(line)),
    ).toEqual([]);
  });

  it("comes out by the line that build prints, verifies its bundle and serves it to containerd, where nothing else is", async () => {
    await exec(
      "chroot",
      root,
      "/bin/sh",
      "-c",
      `cd / && ${extract.replace(scratch.path("site.tar"), "/site.tar")}`,
    );
    const [folder = ""] = readdirSync(root).filter((name) => name.startsWith("airgap-"));
    expect(existsSync(join(root, folder, "node/bin/node"))).toBe(true);
    const airgap = [...inside, "chroot", root, `/${folder}/bin/airgap`];
    const [program = "", ...args] = airgap;
    expect(await exec(program, ...args, "verify", "/site.tar")).toContain("is whole");

    const ready = async (): Promise<boolean> =>
      (await exec(...(inside as [string]), "curl", "-sf", "http://127.0.0.1:5000/healthz")) !== "x";
    await using _server = await Daemon.start(program, [...args, "serve", "/site.tar"], ready);
    await using containerd = await startContainerd(scratch.path("containerd"), inside);
    const hosts = join(containerd.certs, "registry.k8s.io");
    mkdirSync(hosts, { recursive: true });
    writeFileSync(
      join(hosts, "hosts.toml"),
      'server = "http://127.0.0.1:5000"\n[host."http://127.0.0.1:5000"]\n  capabilities = ["pull", "resolve"]\n',
    );
    await containerd.ctr(
      "images",
      "pull",
      "--hosts-dir",
      containerd.certs,
      "--snapshotter",
      "native",
      "registry.k8s.io/pause:3.9",
    );
    expect(await containerd.ctr("images", "ls")).toContain(digest);
  });
});

const x64 = process.arch === "x64";
const built = (name: string): string => join(checkout, "build", name);
const DEB = built(`airgap_${version}_${x64 ? "amd64" : "arm64"}.deb`);
const RPM = built(`airgap-${version}-1.${x64 ? "x86_64" : "aarch64"}.rpm`);
const IMAGE = built(`airgap-${version}-linux-${process.arch}.image.tar`);
const lines = (text: string): string[] => text.trimEnd().split("\n");

/** What a package puts on a system works there: the command, its man page and its completion. */
async function expectInstalled(prefix: string, zsh: string): Promise<void> {
  expect(await exec(join(prefix, "bin/airgap"), "--version")).toMatch(
    new RegExp(`^airgap/${version} linux-`),
  );
  expect(await exec(join(prefix, "bin/airgap"), "verify", scratch.path("site.tar"))).toContain("is whole");
  const page = await command("man", ["airgap-build"], {
    env: { ...process.env, MANPATH: join(prefix, "share/man"), MANPAGER: "cat", MANWIDTH: "80" },
  });
  expect(page.stdout).toContain("--volume-size");
  const completion = join(prefix, "share/bash-completion/completions/airgap");
  const asked = `. ${completion}; COMP_WORDS=(airgap ver); COMP_CWORD=1; _airgap; echo "\${COMPREPLY[*]}"`;
  expect((await exec("bash", "-c", asked)).trim()).toBe("verify");
  expect(readFileSync(join(prefix, zsh, "_airgap"), "utf8")).toMatch(/^#compdef airgap\n/);
  expect(readFileSync(join(prefix, "share/fish/vendor_completions.d/airgap.fish"), "utf8")).toContain(
    "-a verify",
  );
}

describe("the packages", () => {
  it("are all there, with their checksums", async () => {
    const { stdout } = await command("sha256sum", ["-c", "SHA256SUMS"], { cwd: built("") });
    for (const name of [DEB, RPM, IMAGE]) expect(stdout).toContain(`${basename(name)}: OK`);
  });

  it("a .deb that dpkg installs, checks and removes", async () => {
    const contents = lines(await exec("dpkg", "--contents", DEB));
    expect(contents.every((line) => /^\S+ root\/root /.test(line))).toBe(true);
    expect(
      contents.find((line) => line.endsWith("./usr/bin/airgap -> ../lib/airgap/bin/airgap")),
    ).toBeDefined();
    expect(await exec("dpkg-deb", "--info", DEB)).toMatch(/Depends: libc6 \(>= 2\.28\), libstdc\+\+6/);
    const at = scratch.path("debian");
    mkdirSync(join(at, "var/lib/dpkg/updates"), { recursive: true });
    mkdirSync(join(at, "var/lib/dpkg/info"));
    writeFileSync(join(at, "var/lib/dpkg/status"), "");
    const dpkg = (...args: string[]): Promise<string> =>
      exec("dpkg", `--root=${at}`, `--log=${scratch.path("dpkg.log")}`, ...args);
    await expect(dpkg("-i", DEB)).rejects.toThrow(/depends on libc6/);
    await dpkg("--force-depends", "-i", DEB);
    expect(await dpkg("-s", "airgap")).toContain("Status: install ok installed");
    expect(await dpkg("--verify", "airgap")).toBe("");
    await expectInstalled(join(at, "usr"), "share/zsh/vendor-completions");
    // What is installed carries itself.
    const spec = scratch.write(
      "self.yaml",
      "apiVersion: airgap/v1\nkind: Bundle\nname: self\nfiles: [{ self: true }]\n",
    );
    const env = { ...process.env, AIRGAP_CACHE_DIR: scratch.path("self-cache") };
    await command(join(at, "usr/bin/airgap"), ["build", spec, "-o", scratch.path("self.tar")], { env });
    expect(await exec(join(at, "usr/bin/airgap"), "list", scratch.path("self.tar"))).toMatch(
      /^self\tairgap-/,
    );
    await dpkg("--force-depends", "-r", "airgap");
    expect(existsSync(join(at, "usr/lib/airgap"))).toBe(false);
    expect(existsSync(join(at, "usr/bin/airgap"))).toBe(false);
  });

  it("an .rpm whose digests are right, that rpm installs, checks and removes", async () => {
    expect(await exec("rpm", "-K", RPM)).toMatch(/digests OK\n$/);
    const files = lines(await exec("rpm", "-qpl", RPM));
    expect(files).toContain("/usr/bin/airgap");
    expect(files.filter((path) => ["/usr", "/usr/bin", "/usr/share/man/man1"].includes(path))).toEqual([]);
    expect(await exec("rpm", "-qp", "--requires", RPM)).toContain("libc.so.6(GLIBC_2.28)(64bit)");
    const tags = "%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{SOURCERPM}";
    expect(await exec("rpm", "-qp", "--qf", tags, RPM)).toBe(
      `airgap ${version} ${x64 ? "x86_64" : "aarch64"} Apache-2.0 airgap-${version}-1.src.rpm`,
    );
    const at = scratch.path("redhat");
    mkdirSync(at);
    const rpm = (...args: string[]): Promise<string> => exec("rpm", "--root", at, ...args);
    await expect(rpm("-i", RPM)).rejects.toThrow(/GLIBC_2\.28.*is needed by airgap/);
    await rpm("-i", "--nodeps", RPM);
    expect(await rpm("-q", "airgap")).toContain(`airgap-${version}-1`);
    expect(await rpm("-V", "--nodeps", "airgap")).toBe("");
    await expectInstalled(join(at, "usr"), "share/zsh/site-functions");
    writeFileSync(join(at, "usr/lib/airgap/README.md"), "changed");
    await expect(rpm("-V", "--nodeps", "airgap")).rejects.toThrow();
    await rpm("-e", "airgap");
    expect(existsSync(join(at, "usr/lib/airgap"))).toBe(false);
    expect(existsSync(join(at, "usr/bin/airgap"))).toBe(false);
  });

  it("an archive whose install.sh puts it on the PATH, again too, overwrites nobody's file, and takes it away", async () => {
    const unpacked = scratch.path("unpacked");
    mkdirSync(unpacked);
    await exec("tar", "-xzf", built(`airgap-${version}-linux-${process.arch}.tar.gz`), "-C", unpacked);
    const install = join(unpacked, `airgap-${version}`, "install.sh");
    const prefix = scratch.path("prefix");
    mkdirSync(join(prefix, "bin"), { recursive: true });
    writeFileSync(join(prefix, "bin/airgap"), "somebody else's");
    await expect(exec(install, "--prefix", prefix)).rejects.toThrow(/is not from this installer/);
    expect(existsSync(join(prefix, "lib"))).toBe(false);
    rmSync(join(prefix, "bin/airgap"));
    for (let i = 0; i < 2; i++)
      expect(await exec(install, "--prefix", prefix)).toContain(`export PATH=${prefix}/bin:`);
    await expectInstalled(prefix, "share/zsh/site-functions");
    expect(lstatSync(join(prefix, "lib/airgap")).isDirectory()).toBe(true);
    // What is installed can install itself elsewhere, too.
    await exec(join(prefix, "lib/airgap/install.sh"), "--prefix", scratch.path("second"));
    await expectInstalled(scratch.path("second"), "share/zsh/site-functions");
    await exec(install, "--uninstall", "--prefix", prefix);
    const left = readdirSync(prefix, { recursive: true, withFileTypes: true }).filter(
      (each) => !each.isDirectory(),
    );
    expect(left).toEqual([]);
  });

  it("a container image that skopeo and docker load understand, and that serves without a shell or another library", async () => {
    const inspected = JSON.parse(await exec("skopeo", "inspect", "--config", `oci-archive:${IMAGE}`)) as {
      architecture: string;
      config: { Entrypoint: string[]; Env: string[]; User: string };
    };
    expect(inspected).toMatchObject({
      architecture: x64 ? "amd64" : "arm64",
      config: { User: "65532:65532" },
    });
    await exec("skopeo", "copy", `docker-archive:${IMAGE}`, `dir:${scratch.path("loaded")}`);
    await exec("skopeo", "copy", `oci-archive:${IMAGE}`, `oci:${scratch.path("oci")}:airgap`);
    await exec("umoci", "unpack", "--image", `${scratch.path("oci")}:airgap`, scratch.path("bundle"));
    const at = join(scratch.path("bundle"), "rootfs");
    expect(existsSync(join(at, "bin/sh"))).toBe(false);
    cpSync(scratch.path("site.tar"), join(at, "data/site.tar"));
    const { Entrypoint, Env, User } = inspected.config;
    const started = [
      ...inside,
      "env",
      "-i",
      ...Env,
      "/usr/sbin/chroot",
      `--userspec=${User}`,
      at,
      ...Entrypoint,
    ];
    const [program = "", ...args] = started;
    const url = "http://127.0.0.1:5055";
    const curl = (path: string): Promise<string> =>
      exec(...(inside as [string]), "curl", "-sf", `${url}${path}`);
    const ready = async (): Promise<boolean> => (await curl("/healthz")) !== "x";
    await using _server = await Daemon.start(
      program,
      [...args, "serve", "/data/site.tar", "--listen", "127.0.0.1:5055"],
      ready,
    );
    expect(JSON.parse(await curl("/v2/_catalog"))).toEqual({ repositories: ["registry.k8s.io/pause"] });
    expect(await curl("/metrics")).toContain("airgap_serve_healthy 1");
    await exec(
      ...(inside as [string]),
      "skopeo",
      "copy",
      "--src-tls-verify=false",
      `docker://127.0.0.1:5055/registry.k8s.io/pause:3.9`,
      `dir:${scratch.path("pulled")}`,
    );
  });

  it("a container image that Docker loads and runs: verify without a network, and serve", async () => {
    const at = scratch.path("docker");
    mkdirSync(at);
    const socket = `unix://${at}/docker.sock`;
    const docker = (...args: string[]): Promise<string> => exec("docker", "-H", socket, ...args);
    const folders = ["--data-root", `${at}/data`, "--exec-root", `${at}/exec`, "--pidfile", `${at}/pid`];
    const quiet = ["--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"];
    await using _engine = await Daemon.start("dockerd", [...folders, ...quiet, "-H", socket], async () =>
      (await docker("info")).includes("Server Version"),
    );
    expect(await docker("load", "-i", IMAGE)).toContain(`Loaded image: airgap:${version}`);
    mkdirSync(scratch.path("data"));
    cpSync(scratch.path("site.tar"), scratch.path("data/site.tar"));
    const mounted = ["-v", `${scratch.path("data")}:/data:ro`, `airgap:${version}`];
    expect(await docker("run", "--rm", "--network", "none", ...mounted, "verify", "site.tar")).toContain(
      "is whole",
    );
    await docker(
      "run",
      "-d",
      "--name",
      "site",
      "--network",
      "host",
      ...mounted,
      "serve",
      "site.tar",
      "--listen",
      "127.0.0.1:5056",
    );
    try {
      await vi.waitFor(async () => expect((await fetch("http://127.0.0.1:5056/healthz")).ok).toBe(true), {
        timeout: 20_000,
      });
      const catalog: unknown = await (await fetch("http://127.0.0.1:5056/v2/_catalog")).json();
      expect(catalog).toEqual({ repositories: ["registry.k8s.io/pause"] });
    } finally {
      await docker("rm", "-f", "site");
    }
  });

  it("an npm package that is installed without scripts and without a compiler, and works whole", async () => {
    const env = { ...process.env, npm_config_fund: "false", npm_config_audit: "false" };
    const made = await command("npm", ["pack", "--silent", "--pack-destination", scratch.dir], {
      cwd: checkout,
      env,
    });
    const prefix = scratch.path("npm");
    const options = ["--prefix", prefix, "--ignore-scripts", "--prefer-offline", "--loglevel=error"];
    await command("npm", ["install", "-g", ...options, scratch.path(made.stdout.trim())], { env });
    const airgap = join(prefix, "bin/airgap");
    expect(existsSync(join(prefix, "lib/node_modules/airgap/node_modules/sqlite3/build"))).toBe(false);
    expect(await exec(airgap, "verify", scratch.path("site.tar"))).toContain("is whole");
    expect(await exec(airgap, "doctor", "sqlite")).toContain("Node's own");
    // Packages need the index, which is an SQLite file.
    await writeDebRepository(scratch.path("debs"), [{ name: "tool", version: "1.0", arch: "amd64" }]);
    const spec = scratch.write(
      "packages.yaml",
      `apiVersion: airgap/v1\nkind: Bundle\nname: x\npackages:\n  - name: deb\n    format: deb\n    for: [debian-12]\n    arch: amd64\n    repositories: [{ id: main, uris: ./debs, suites: ["/"] }]\n    unsigned: ["*"]\n    install: [tool]\n`,
    );
    const cached = { ...process.env, AIRGAP_CACHE_DIR: scratch.path("npm-cache") };
    expect((await command(airgap, ["packages", "resolve", spec], { env: cached })).stdout).toBe("tool=1.0\n");
  });

  it("man pages of every command that man takes without a warning", async () => {
    const folder = join(checkout, "src/commands");
    const commands = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts"),
    );
    const at = join(scratch.path("unpacked"), `airgap-${version}`, "share/man/man1");
    const pages = readdirSync(at);
    expect(pages.length).toBe(commands.length + 1);
    for (const page of pages) {
      const { stdout, stderr } = await command("man", ["--warnings=w", "-E", "UTF-8", "-l", join(at, page)], {
        env: { ...process.env, MANPAGER: "cat", MANWIDTH: "80", MANROFFOPT: "" },
      });
      expect([page, stderr]).toEqual([page, ""]);
      expect(stdout.length).toBeGreaterThan(500);
    }
  });

  it("an SBOM of what is really in it", async () => {
    const at = join(scratch.path("unpacked"), `airgap-${version}`);
    const sbom = readFileSync(join(at, "sbom.cdx.json"), "utf8");
    expect(sbom).toBe(readFileSync(built(`airgap-${version}-linux-${process.arch}.cdx.json`), "utf8"));
    const { components } = JSON.parse(sbom) as {
      components: { name: string; version: string; hashes: { content: string }[] }[];
    };
    const packed = readdirSync(join(at, "node_modules"), { recursive: true, encoding: "utf8" })
      .filter((name) => /(?:^|\/)(?:@[^/]+\/)?[^/]+\/package\.json$/.test(name))
      .map(
        (name) =>
          JSON.parse(readFileSync(join(at, "node_modules", name), "utf8")) as {
            name?: string;
            version?: string;
          },
      )
      .filter(({ name, version: each }) => name !== undefined && each !== undefined);
    const listed = new Set(components.map(({ name, version: each }) => `${name}@${each}`));
    for (const name of ["@oclif/core", "undici", "yaml", "openpgp"])
      expect(
        packed.some((each) => each.name === name && listed.has(`${name}@${each.version}`)),
        name,
      ).toBe(true);
    const node = createHash("sha256")
      .update(readFileSync(join(at, "node/bin/node")))
      .digest("hex");
    expect(components.find(({ name }) => name === "node")?.hashes[0]?.content).toBe(node);
  });
});
