import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containerdHosts } from "../../src/names/containerd-hosts.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { startContainerd } from "../support/containerd.ts";
import { command, Daemon, freePort } from "../support/daemon.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { fill } from "../support/fill.ts";
import { makeIndex, type TestImage } from "../support/images.ts";
import { realImage } from "../support/real-image.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";
import { call } from "../support/serve.ts";

const airgap = join(import.meta.dirname, "../../bin/airgap");
const scratch = new Scratch();
const images: Record<string, TestImage> = {};
let bundle: string;
let oracle: DockerRegistry;

async function run(program: string, ...args: string[]): Promise<string> {
  return (await command(program, args, { maxBuffer: 1 << 26 })).stdout;
}

const skopeo = (...args: string[]): Promise<string> => run("skopeo", "--insecure-policy", ...args);
const PLAIN = ["--src-tls-verify=false", "--dest-tls-verify=false"];

interface Served extends AsyncDisposable {
  host: string;
  url: string;
  daemon: Daemon;
}

/** `airgap serve` as users start it. */
async function serve(args: string[], host = "127.0.0.1", ca?: () => string): Promise<Served> {
  const address = `${host}:${await freePort()}`;
  const url = `${ca ? "https" : "http"}://${address}`;
  const ready = async (): Promise<boolean> =>
    (await call(`${url}/healthz`, "GET", ca ? { ca: ca() } : {})).status === 200;
  const daemon = await Daemon.start(airgap, ["serve", ...args, "--listen", address], ready);
  return { host: address, url, daemon, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}

/** An upstream registry with everything, and a bundle made of it. */
async function makeBundle(): Promise<string> {
  await using registry = await startRegistry();
  for (const [path, image] of Object.entries({
    pause: "index",
    "coredns/coredns": "docker",
    "library/nginx": "docker",
    "app/web": "one",
  })) {
    fill(registry.store, path, images[image] as TestImage, "1.0");
  }
  const hosts = ["registry.k8s.io", "docker.io", "register.site"].map(
    (host) => `${host}: { mirrors: ["${registry.host}"] }`,
  );
  scratch.write("tool.tgz", "a tool");
  const names = [
    "registry.k8s.io/pause:1.0",
    "registry.k8s.io/coredns/coredns:1.0",
    "nginx:1.0",
    "register.site/app/web:1.0",
  ];
  const spec = scratch.spec(
    `sources: { ${hosts.join(", ")} }\nsiteName: register.site\nimages: [${names.join(", ")}]\nfiles: [{ path: tool.tgz }]`,
  );
  await command(airgap, ["build", spec, "-o", scratch.path("site.tar"), "--quiet"], {
    env: { ...process.env, AIRGAP_CACHE_DIR: scratch.path("cache") },
  });
  return scratch.path("site.tar");
}

beforeAll(async () => {
  images["one"] = await realImage([{ hello: "one" }, { big: Buffer.alloc(3_000_000, "x") }]);
  images["two"] = await realImage([{ hello: "two" }, { big: Buffer.alloc(3_000_000, "x") }], {
    architecture: "arm64",
  });
  images["docker"] = await realImage([{ hello: "docker" }], { docker: true });
  images["index"] = makeIndex([images["one"], images["two"]]);
  bundle = await makeBundle();
  oracle = await startDockerRegistry(scratch.dir);
});
afterAll(async () => {
  await oracle[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const digestAt = async (reference: string): Promise<string> =>
  digestOf(await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${reference}`));

describe("skopeo", () => {
  it("pulls every name of a bundle, byte for byte", async () => {
    await using served = await serve([bundle]);
    for (const [name, image] of Object.entries({
      "registry.k8s.io/pause": "index",
      "docker.io/library/nginx": "docker",
      "app/web": "one",
      "library/nginx": "docker",
    })) {
      const reference = `${served.host}/${name}:1.0`;
      expect(await digestAt(reference)).toBe(images[image]?.root.digest);
      await skopeo(
        "copy",
        ...PLAIN,
        "--preserve-digests",
        `docker://${reference}`,
        `dir:${scratch.path("pulled")}`,
      );
    }
    expect(
      JSON.parse(await skopeo("list-tags", "--tls-verify=false", `docker://${served.host}/app/web`)),
    ).toMatchObject({ Tags: ["1.0"] });
    expect((await call(`${served.url}/files/tool.tgz`, "GET")).body.toString()).toBe("a tool");
  });

  it("moves images through our store and a docker-registry without a change, deletes them, and finds them after a restart", async () => {
    const store = scratch.path("store");
    const reference = (host: string, name: string): string => `${host}/moved/${name}:1`;
    {
      await using upstream = await startRegistry();
      await using served = await serve(["--store", store]);
      for (const [name, image] of Object.entries(images)) {
        fill(upstream.store, `moved/${name}`, image, "1");
        for (const [from, to] of [
          [upstream.host, served.host],
          [served.host, oracle.host],
          [oracle.host, served.host],
        ] as const) {
          await skopeo(
            "copy",
            "--all",
            ...PLAIN,
            "--preserve-digests",
            `docker://${reference(from, name)}`,
            `docker://${reference(to, name)}`,
          );
        }
        expect(await digestAt(reference(oracle.host, name))).toBe(image.root.digest);
      }
      await skopeo("delete", "--tls-verify=false", `docker://${reference(served.host, "two")}`);
    }
    await using served = await serve(["--store", store]);
    for (const name of ["one", "docker", "index"])
      expect(await digestAt(reference(served.host, name))).toBe(images[name]?.root.digest);
    await expect(digestAt(reference(served.host, "two"))).rejects.toThrow(
      /manifest unknown|MANIFEST_UNKNOWN|NAME_UNKNOWN|not known/i,
    );
  });

  it("logs in with a user of an htpasswd file, over TLS by our own authority, and not without", async () => {
    const users = scratch.write("htpasswd", `jane:${hashSync("secret", 6).replace("$2b$", "$2y$")}\n`);
    const store = scratch.path("tls-store");
    const ca = join(store, "tls/ca.crt");
    await using served = await serve(
      [bundle, "--store", store, "--self-signed", "--htpasswd", users, "--writers", "jane"],
      "127.0.0.1",
      () => readFileSync(ca, "utf8"),
    );
    mkdirSync(scratch.path("trusted"));
    const certificates = ["--src-cert-dir", dirname(scratch.write("trusted/ca.crt", readFileSync(ca)))];
    const from = `docker://${served.host}/registry.k8s.io/pause:1.0`;
    await skopeo(
      "copy",
      "--src-creds",
      "jane:secret",
      ...certificates,
      from,
      `dir:${scratch.path("secured")}`,
    );
    await expect(
      skopeo("copy", "--src-creds", "jane:wrong", ...certificates, from, `dir:${scratch.path("refused")}`),
    ).rejects.toThrow(/unauthorized|authentication/i);
    await expect(
      skopeo("copy", "--src-creds", "jane:secret", from, `dir:${scratch.path("refused")}`),
    ).rejects.toThrow(/x509|certificate/);
    expect(served.daemon.output).not.toContain('secret"');
  });
});

const noCrane = spawnSync("crane", ["version"]).error !== undefined;

describe.skipIf(noCrane)("crane", () => {
  const crane = (...args: string[]): Promise<string> => run("crane", ...args, "--insecure");

  it("copies, mounts, lists and deletes", async () => {
    await using served = await serve([bundle, "--store", scratch.path("crane")]);
    await crane(
      "copy",
      "--platform",
      "linux/amd64",
      `${served.host}/registry.k8s.io/pause:1.0`,
      `${served.host}/mirror/pause:1.0`,
    );
    expect((await crane("digest", `${served.host}/mirror/pause:1.0`)).trim()).toBe(
      images["one"]?.root.digest,
    );
    expect((await crane("ls", `${served.host}/mirror/pause`)).trim()).toBe("1.0");
    expect((await crane("catalog", served.host)).split("\n")).toContain("mirror/pause");
    await crane("validate", "--remote", `${served.host}/mirror/pause:1.0`);
    await crane("delete", `${served.host}/mirror/pause:1.0`);
    expect((await crane("ls", `${served.host}/mirror/pause`)).trim()).toBe("");
  });
});

describe("containerd", () => {
  function mirror(certs: string, upstream: string, lines: string): void {
    mkdirSync(join(certs, upstream), { recursive: true });
    scratch.write(`containerd/certs.d/${upstream}/hosts.toml`, `server = "https://${upstream}"\n${lines}\n`);
  }

  it("pulls under upstream names: by ns, by the path of the host layout, over TLS, from Docker Hub's name", async () => {
    const store = scratch.path("containerd-store");
    const ca = join(store, "tls/ca.crt");
    await using plain = await serve([bundle]);
    await using secure = await serve([bundle, "--store", store, "--self-signed"], "127.0.0.1", () =>
      readFileSync(ca, "utf8"),
    );
    await using containerd = await startContainerd(scratch.path("containerd"));
    const { ctr, certs } = containerd;
    const pull = async (name: string): Promise<string> => {
      await ctr(
        "images",
        "pull",
        "--hosts-dir",
        certs,
        "--snapshotter",
        "native",
        "--platform",
        "linux/amd64",
        name,
      );
      const line = (await ctr("images", "ls")).split("\n").find((each) => each.startsWith(`${name} `)) ?? "";
      await ctr("images", "rm", name);
      return line.split(/\s+/)[2] ?? "";
    };
    mirror(certs, "registry.k8s.io", `[host."${plain.url}"]\n  capabilities = ["pull", "resolve"]`);
    mirror(
      certs,
      "docker.io",
      `[host."${secure.url}"]\n  capabilities = ["pull", "resolve"]\n  ca = "${ca}"`,
    );
    mirror(
      certs,
      "register.site",
      `[host."${secure.url}/v2/register.site"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n  ca = "${ca}"`,
    );
    expect(await pull("registry.k8s.io/pause:1.0")).toBe(images["index"]?.root.digest);
    expect(await pull("registry.k8s.io/coredns/coredns:1.0")).toBe(images["docker"]?.root.digest);
    expect(await pull(`registry.k8s.io/pause@${images["one"]?.root.digest}`)).toBe(
      images["one"]?.root.digest,
    );
    expect(await pull("docker.io/library/nginx:1.0")).toBe(images["docker"]?.root.digest);
    expect(await pull("register.site/app/web:1.0")).toBe(images["one"]?.root.digest);
    expect(plain.daemon.output).toContain("?ns=registry.k8s.io");
  });

  it("asks the next server of the site when the first one is lost", async () => {
    await using first = await serve([bundle]);
    await using second = await serve([bundle]);
    await using containerd = await startContainerd(scratch.path("containerd-two"));
    const target = { host: "register.site", prefix: "", layout: "host", byNamespace: true } as const;
    const servers = [first.host, second.host];
    const access = { scheme: "http" } as const;
    for (const { folder, content } of containerdHosts(["registry.k8s.io"], { ...target, servers }, access)) {
      mkdirSync(join(containerd.certs, folder), { recursive: true });
      scratch.write(`containerd-two/certs.d/${folder}/hosts.toml`, content);
    }
    const pull = async (name: string): Promise<string> =>
      await containerd.ctr(
        ...["images", "pull", "--hosts-dir", containerd.certs, "--snapshotter", "native"],
        ...["--platform", "linux/amd64", name],
      );
    await pull("registry.k8s.io/pause:1.0");
    expect(second.daemon.output).not.toContain("/v2/pause");
    await first.daemon[Symbol.asyncDispose]();
    await pull("registry.k8s.io/coredns/coredns:1.0");
    expect(second.daemon.output).toContain("/v2/coredns/coredns");
  });
});

describe("Docker's engine", () => {
  it("takes us for a mirror of Docker Hub, and for a registry to push to", async () => {
    await using served = await serve([bundle, "--store", scratch.path("docker-store")]);
    const dir = scratch.path("docker");
    mkdirSync(dir);
    const socket = `unix://${dir}/docker.sock`;
    const docker = (...args: string[]): Promise<string> => run("docker", "-H", socket, ...args);
    const options = [
      "--data-root",
      `${dir}/data`,
      "--exec-root",
      `${dir}/exec`,
      "-H",
      socket,
      "--pidfile",
      `${dir}/pid`,
      "--storage-driver",
      "vfs",
    ];
    const isolated = [
      "--iptables=false",
      "--ip6tables=false",
      "--bridge=none",
      "--registry-mirror",
      served.url,
    ];
    await using _daemon = await Daemon.start("dockerd", [...options, ...isolated], async () =>
      (await docker("info")).includes("Server Version"),
    );
    expect(await docker("pull", "nginx:1.0")).toContain(`Digest: ${images["docker"]?.root.digest}`);
    await docker("tag", "nginx:1.0", `${served.host}/pushed/nginx:1`);
    await docker("push", `${served.host}/pushed/nginx:1`);
    const [config] = JSON.parse(await docker("inspect", "--format", "[{{json .Id}}]", "nginx:1.0")) as [
      string,
    ];
    const pushed = JSON.parse(
      await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${served.host}/pushed/nginx:1`),
    ) as {
      config: { digest: string };
    };
    expect(pushed.config.digest).toBe(config);
  });
});

describe("the command", () => {
  it("listens soon after its start, and ends with 0 when it is asked to", async () => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const started = performance.now();
      await using served = await serve([bundle]);
      best = Math.min(best, performance.now() - started);
      const ended = new Promise<number | null>((resolve) => served.daemon.child.once("exit", resolve));
      served.daemon.child.kill("SIGTERM");
      expect(await ended).toBe(0);
    }
    // Half a second on an idle machine, of which a test can't be sure.
    expect(best).toBeLessThan(1500);
  });

  it("says what is wrong before it listens", async () => {
    for (const [args, code, words] of [
      [["serve"], 2, "nothing to serve"],
      [["serve", "/no/such.tar"], 2, "/no/such.tar"],
      [["serve", bundle, "--listen", "5000"], 2, "--listen 127.0.0.1:5000"],
      [["serve", bundle, "--tls-cert", "x"], 2, "tls-key"],
    ] as const) {
      const failure = await command(airgap, [...args]).then(
        () => undefined,
        (error: { code: number; stderr: string }) => error,
      );
      expect([failure?.code, failure?.stderr]).toEqual([code, expect.stringContaining(words)]);
    }
  });
});
