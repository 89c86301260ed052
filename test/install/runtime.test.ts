import { parse } from "smol-toml";
import { describe, expect, it, test } from "vitest";
import type { ClusterHost } from "../../src/cluster/cluster.ts";
import { isAirgapError } from "../../src/errors.ts";
import { type Context, makeContext } from "../../src/install/context.ts";
import { containerdVersion, siteHosts } from "../../src/install/stages/containerd.ts";
import { mergeContainerdConfig } from "../../src/install/stages/containerd-config.ts";
import { mergeDockerConfig } from "../../src/names/docker-config.ts";
import { clusterOf, siteOf } from "../support/install/site.ts";
import { SYSTEMS, systems } from "../support/install/systems.ts";

type Json = Record<string, unknown>;
const wishes = (major: number, over: object = {}) => ({
  major,
  sandbox: "registry.k8s.io/pause:3.9",
  systemdCgroup: true,
  configPath: "/etc/containerd/certs.d",
  ...over,
});
const merged = (text: string | undefined, major: number, over: object = {}): Json =>
  parse(mergeContainerdConfig(text, wishes(major, over), "node1")) as Json;
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Json | undefined)?.[key], value);

const CRI = ["plugins", "io.containerd.grpc.v1.cri"];
const IMAGES = ["plugins", "io.containerd.cri.v1.images"];
const RUNTIME = ["plugins", "io.containerd.cri.v1.runtime"];

/** What every result says, whatever was there before. */
function expectKubernetes(config: Json, third: boolean): void {
  expect(config["version"]).toBe(third ? 3 : 2);
  expect(JSON.stringify(config["disabled_plugins"] ?? [])).not.toMatch(/cri/);
  const [sandbox, registry, runc, cni] = third
    ? [
        at(config, ...IMAGES, "pinned_images", "sandbox"),
        at(config, ...IMAGES, "registry"),
        at(config, ...RUNTIME, "containerd", "runtimes", "runc"),
        at(config, ...RUNTIME, "cni"),
      ]
    : [
        at(config, ...CRI, "sandbox_image"),
        at(config, ...CRI, "registry"),
        at(config, ...CRI, "containerd", "runtimes", "runc"),
        at(config, ...CRI, "cni"),
      ];
  expect(sandbox).toBe("registry.k8s.io/pause:3.9");
  expect(registry).toMatchObject({ config_path: "/etc/containerd/certs.d" });
  expect(registry).not.toHaveProperty("mirrors");
  expect(runc).toMatchObject({ runtime_type: "io.containerd.runc.v2", options: { SystemdCgroup: true } });
  expect(cni).toMatchObject({ conf_dir: "/etc/cni/net.d" });
}

/** As containerd and its packages write them, by version. */
const THEIRS: [name: string, major: number, third: boolean, text: string | undefined][] = [
  ["nothing, 1.6", 1, false, undefined],
  ["nothing, 1.7", 1, false, ""],
  ["nothing, 2.0", 2, true, undefined],
  ["containerd.io's own", 1, false, 'disabled_plugins = ["cri"]\n\n#root = "/var/lib/containerd"\n'],
  ["containerd.io's own, by a 2.x", 2, true, 'disabled_plugins = ["cri"]\n'],
  [
    "long names of the plugin",
    1,
    false,
    'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n',
  ],
  [
    "long names of the plugins of 2.x",
    2,
    true,
    'version = 3\ndisabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]\n',
  ],
  [
    "Debian's",
    1,
    false,
    'version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni"\n      conf_dir = "/etc/cni/net.d"\n  [plugins."io.containerd.internal.v1.opt"]\n    path = "/var/lib/containerd/opt"\n',
  ],
  [
    "config default of 1.7",
    1,
    false,
    'version = 2\nroot = "/var/lib/containerd"\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "registry.k8s.io/pause:3.8"\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = ""\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors]\n[plugins."io.containerd.grpc.v1.cri".registry.configs]\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nSystemdCgroup = false\n',
  ],
  [
    "config default of 1.7, read by 2.0",
    2,
    false,
    'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nSystemdCgroup = false\n',
  ],
  [
    "config default of 2.1",
    2,
    true,
    "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'registry.k8s.io/pause:3.10'\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/opt/cni/bin', '/usr/libexec/cni']\n",
  ],
  [
    "a first form of the file",
    1,
    false,
    '[plugins.cri]\nsandbox_image = "x"\n[plugins.cri.registry.mirrors."docker.io"]\nendpoint = ["https://m.example"]\n',
  ],
  [
    "mirrors and logins",
    1,
    false,
    'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://m.example"]\n[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".tls]\ninsecure_skip_verify = true\n[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]\nusername = "u"\n',
  ],
];

describe("containerd's configuration", () => {
  test.each(THEIRS)("%s: does what Kubernetes asks for, and again the same", (_, major, third, text) => {
    const first = mergeContainerdConfig(text, wishes(major), "node1");
    expectKubernetes(parse(first) as Json, third);
    expect(mergeContainerdConfig(first, wishes(major), "node1")).toBe(first);
    expect(first.endsWith("\n") && !first.endsWith("\n\n")).toBe(true);
  });

  describe.each([
    ["version 2", 2, "io.containerd.grpc.v1.cri", CRI],
    ["version 3", 3, "io.containerd.cri.v1.runtime", RUNTIME],
  ])("in a file of %s", (_, version, plugin, path) => {
    const runtime = (name: string, type: string, more = ""): string =>
      `[plugins."${plugin}".containerd.${name}]\nruntime_type = "${type}"\n${more}`;
    const text = [
      `version = ${version}`,
      `[plugins."${plugin}".containerd]\ndefault_runtime_name = "nvidia"`,
      runtime(
        "runtimes.nvidia",
        "io.containerd.runc.v2",
        `[plugins."${plugin}".containerd.runtimes.nvidia.options]\nBinaryName = "/usr/bin/nvidia-container-runtime"`,
      ),
      runtime("runtimes.crun", "io.containerd.runc.v2"),
      runtime("runtimes.kata", "io.containerd.kata.v2"),
      runtime("default_runtime", "io.containerd.runc.v2"),
    ].join("\n");

    it.each([true, false])(
      "every runtime of runc's shim has SystemdCgroup = %s, and no other",
      (systemdCgroup) => {
        const found = at(merged(text, version - 1, { systemdCgroup }), ...path, "containerd");
        expect(found).toMatchObject({
          default_runtime_name: "nvidia",
          runtimes: {
            nvidia: {
              options: { BinaryName: "/usr/bin/nvidia-container-runtime", SystemdCgroup: systemdCgroup },
            },
            crun: { options: { SystemdCgroup: systemdCgroup } },
            runc: { options: { SystemdCgroup: systemdCgroup } },
          },
          default_runtime: { options: { SystemdCgroup: systemdCgroup } },
        });
        expect(at(found, "runtimes", "kata")).toEqual({ runtime_type: "io.containerd.kata.v2" });
      },
    );
  });

  it("keeps everything else: root, other plugins, other runtimes, other logins", () => {
    const text = `version = 2
root = "/data/containerd"
imports = ["/etc/containerd/conf.d/*.toml"]
disabled_plugins = ["cri", "aufs"]
oom_score = -999
[grpc]
max_recv_message_size = 16777216
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "nvidia"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
BinaryName = "/usr/bin/nvidia-container-runtime"
[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]
username = "u"
[plugins."io.containerd.snapshotter.v1.devmapper"]
pool_name = "p"
`;
    expect(merged(text, 1)).toMatchObject({
      root: "/data/containerd",
      imports: ["/etc/containerd/conf.d/*.toml"],
      disabled_plugins: ["aufs"],
      oom_score: -999,
      grpc: { max_recv_message_size: 16_777_216 },
      plugins: {
        "io.containerd.grpc.v1.cri": {
          containerd: {
            default_runtime_name: "nvidia",
            runtimes: { nvidia: { options: { BinaryName: "/usr/bin/nvidia-container-runtime" } } },
          },
          registry: { configs: { "r.example": { auth: { username: "u" } } } },
        },
        "io.containerd.snapshotter.v1.devmapper": { pool_name: "p" },
      },
    });
  });

  it("finds plugins where kubernetes-cni puts them, in the form that is there", () => {
    expect(at(merged(THEIRS[7]?.[3], 1), ...CRI, "cni", "bin_dir")).toBe("/opt/cni/bin");
    expect(at(merged(THEIRS[10]?.[3], 2), ...RUNTIME, "cni")).toMatchObject({ bin_dirs: ["/opt/cni/bin"] });
  });

  it("leaves cgroups to cgroupfs where kubelet is told so", () => {
    expect(
      at(
        merged(undefined, 1, { systemdCgroup: false }),
        ...CRI,
        "containerd",
        "runtimes",
        "runc",
        "options",
        "SystemdCgroup",
      ),
    ).toBe(false);
  });

  test.each(["version = ", "[a\n", "a = 1\na = 2\n", "<xml/>"])(
    "says which host has one that can't be read: %j",
    (text) => {
      const error = ((): unknown => {
        try {
          return merged(text, 1);
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(isAirgapError(error, "check-failed") && error.message).toMatch(
        /^node1: cannot read \/etc\/containerd\/config\.toml: /,
      );
    },
  );

  test.each(systems)("is of the version that will be there on %s", (os) => {
    const context = makeContext(siteOf({ os }));
    const host = context.cluster.hosts[1];
    expect(host && containerdVersion(context, host)).toBe(SYSTEMS[os].containerd.split(" ")[1]);
  });

  it("is of the version that is there, unless another one is pinned", () => {
    const version = (wanted: string) => {
      const context = makeContext(
        siteOf({
          os: "rocky-9.4",
          facts: { versions: { containerd: "1.6.33" } },
          bundle: { packages: { all: [wanted] } },
        }),
      );
      return containerdVersion(context, context.first);
    };
    expect(version("containerd.io 2.1.5-1.el9")).toBe("1.6.33");
    expect(version("=containerd.io 2.1.5-1.el9")).toBe("2.1.5-1.el9");
    expect(version("socat 1.7")).toBe("1.6.33");
  });
});

describe("hosts.toml", () => {
  const files = (
    cluster: Record<string, unknown>,
    { ca, password }: { ca?: string; password?: string } = {},
  ): Record<string, Json> => {
    const upstreams = ["docker.io", "quay.io:8443", "registry.k8s.io"];
    const made = clusterOf(cluster);
    const found = siteHosts(
      {
        cluster: made,
        images: { upstreams } as Context["images"],
        secrets: { registryCa: ca, registryPassword: password } as Context["secrets"],
      },
      made.hosts.at(-1) as ClusterHost,
    );
    return Object.fromEntries(found.map(({ folder, content }) => [folder, parse(content) as Json]));
  };
  it("names every server of the site, in the host's own order", () => {
    const server = (n: number) => ({ name: `register${n}`, address: `10.0.1.${n}`, roles: ["registry"] });
    const plane = { name: "master1", address: "10.0.0.12", roles: ["control-plane"] };
    const worker = (name: string, address: string) => ({ name, address, roles: ["worker"] });
    const asked = (node: object): string[] => {
      const { _default } = files({ hosts: [plane, server(1), server(2), server(3), node] });
      return Object.keys((_default as { host: object }).host);
    };
    const workers = Array.from({ length: 30 }, (_, i) => worker(`node${i}`, `10.0.2.${i + 1}`));
    const first = workers.map((node) => asked(node)[0] ?? "");
    for (const n of [1, 2, 3]) {
      const own = first.filter((url) => url === `https://register${n}`).length;
      expect(own, `register${n}`).toBeGreaterThan(4);
    }
    for (const node of workers) expect(asked(node)).toHaveLength(3);
  });

  const external = (more: object) => ({
    registry: { mode: "external", ...more },
    repository: { host: "master1" },
  });

  it("sends every registry to the site's, and nothing upstream", () => {
    const found = files({}, { ca: "PEM" });
    expect(Object.keys(found)).toEqual([
      "docker.io",
      "quay.io_8443_",
      "registry.k8s.io",
      "register.site.local",
      "_default",
    ]);
    for (const file of Object.values(found)) {
      expect(file).toEqual({
        server: "https://register.site.local",
        capabilities: ["pull", "resolve"],
        ca: "/etc/airgap/registry-ca.crt",
        host: {
          "https://register.site.local": {
            capabilities: ["pull", "resolve"],
            ca: "/etc/airgap/registry-ca.crt",
          },
        },
      });
    }
  });

  it.each([
    [external({ layout: "host" }), "quay.io:8443", "https://register.site.local/v2/quay.io-8443", true],
    [
      external({ layout: "host", prefix: "a/b" }),
      "docker.io",
      "https://register.site.local/v2/a/b/docker.io",
      true,
    ],
    [external({ layout: "path" }), "docker.io", "https://register.site.local", false],
    [
      external({ layout: "path", prefix: "k8s", port: 5000 }),
      "docker.io",
      "https://register.site.local:5000/v2/k8s",
      true,
    ],
    [external({ scheme: "http", layout: "path" }), "docker.io", "http://register.site.local:80", false],
  ])("%j: %s is at %s", (cluster, registry, url, override) => {
    const host = at(files(cluster)[registry.replace(":8443", "_8443_")], "host") as Json;
    expect(Object.keys(host)).toEqual([url]);
    expect((host[url] as Json)["override_path"]).toBe(override ? true : undefined);
  });

  it("has no mirrors where names are the site's own", () => {
    expect(Object.keys(files(external({ layout: "flat" })))).toEqual(["register.site.local", "_default"]);
    expect(Object.keys(files({ ...external({ map: ["registry.k8s.io/**=k8s/*"] }) }))).toEqual([
      "register.site.local",
      "_default",
    ]);
  });

  it("logs in, whatever the password is", () => {
    const password = 'quo"te\\back $x `y` ü';
    const found = files(external({ layout: "path", user: "robot", passwordEnv: "SITE_PASSWORD" }), {
      password,
    });
    const basic = `Basic ${Buffer.from(`robot:${password}`).toString("base64")}`;
    for (const file of Object.values(found)) {
      expect(file["header"]).toEqual({ Authorization: basic });
      expect(Object.values(file["host"] as Json)).toEqual([
        expect.objectContaining({ header: { Authorization: basic } }),
      ]);
    }
  });
});

describe("Docker's configuration", () => {
  const docker = (text: string | undefined, more: object = {}): Json =>
    JSON.parse(mergeDockerConfig(text, { cgroupDriver: "systemd", ...more }, "node1")) as Json;

  it.each([
    [undefined, { "exec-opts": ["native.cgroupdriver=systemd"] }],
    [" \n", { "exec-opts": ["native.cgroupdriver=systemd"] }],
    [
      '{ "data-root": "/data", "log-opts": { "max-size": "10m" } }',
      {
        "data-root": "/data",
        "log-opts": { "max-size": "10m" },
        "exec-opts": ["native.cgroupdriver=systemd"],
      },
    ],
    [
      '{ "exec-opts": ["native.cgroupdriver=cgroupfs", "isolation=x"] }',
      { "exec-opts": ["isolation=x", "native.cgroupdriver=systemd"] },
    ],
  ])("%j", (text, config) => {
    expect(docker(text)).toEqual(config);
    const first = mergeDockerConfig(text, { cgroupDriver: "systemd" }, "node1");
    expect(mergeDockerConfig(first, { cgroupDriver: "systemd" }, "node1")).toBe(first);
  });

  it("knows a registry that speaks http, once", () => {
    const theirs = '{ "insecure-registries": ["10.0.0.0/8"] }';
    expect(docker(theirs, { insecure: "r.site:80" })).toMatchObject({
      "insecure-registries": ["10.0.0.0/8", "r.site:80"],
    });
    expect(docker('{ "insecure-registries": ["r.site:80"] }', { insecure: "r.site:80" })).toMatchObject({
      "insecure-registries": ["r.site:80"],
    });
    expect(docker(undefined, { cgroupDriver: "cgroupfs" })).toEqual({
      "exec-opts": ["native.cgroupdriver=cgroupfs"],
    });
  });

  it.each(["{", "[]", "null", '"x"', "// a comment\n{}"])(
    "says which host has one that can't be read: %j",
    (text) => {
      expect(() => docker(text)).toThrow(
        expect.objectContaining({
          code: "check-failed",
          message: expect.stringContaining("node1: cannot read /etc/docker/daemon.json"),
        }),
      );
    },
  );
});
