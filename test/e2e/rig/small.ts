import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { stringify } from "yaml";
import { listKubeadmImages } from "../../../src/kubernetes/list.ts";
import { cached } from "./cache.ts";
import { debianArchives } from "./connected.ts";
import { makeImage } from "./images/image.ts";
import { packLayer } from "./images/layer.ts";
import { pushImage, startRegistry } from "./images/registry.ts";
import { layFiles, type Package } from "./packages/content.ts";
import { debRepository } from "./packages/deb.ts";
import { clearSigned, packagerKey, publicKeyOf } from "./packages/key.ts";
import { elPackages } from "./packages/repositories.ts";
import { rpmRepository } from "./packages/rpm.ts";
import { must, output } from "./shell.ts";
import { debianTree } from "./system/debian.ts";
import { elSystem } from "./system/el.ts";
import { aptSources } from "./system/mmdebstrap.ts";

/** Whether hosts can be made here: a small program of theirs is compiled. */
export const hostsArePossible = spawnSync("go", ["version"]).status === 0;
if (!hostsArePossible) process.stderr.write("passed over: the tests with real hosts, which need Go\n");

export const SMALL_VERSION = "v1.34.4";

const UNIT = `[Unit]
Description=kubelet

[Service]
ExecStart=/usr/bin/kubelet
Restart=always

[Install]
WantedBy=multi-user.target
`;

/** What the plan asks of Kubernetes' packages before there is a cluster: to be there, to say a version, to be a service. */
async function standIns(format: "deb" | "rpm", stage: string): Promise<Package[]> {
  const version = `${SMALL_VERSION.slice(1)}-${format === "deb" ? "1.1" : "150500.1.1"}`;
  const program = (name: string, text: string) => ({
    [`/usr/bin/${name}`]: { text: `#!/bin/sh\n${text}\n`, mode: 0o755 },
  });
  const files = {
    kubelet: {
      ...program(
        "kubelet",
        `[ "\${1-}" != --version ] || { echo Kubernetes ${SMALL_VERSION}; exit; }\nexec sleep infinity`,
      ),
      "/usr/lib/systemd/system/kubelet.service": { text: UNIT },
    },
    kubeadm: program("kubeadm", "exit 1"),
    kubectl: program("kubectl", "exit 1"),
  };
  return Promise.all(
    Object.entries(files).map(async ([name, contents]) => ({
      ...{ name, version, summary: `A stand-in for ${name}`, arch: "amd64" as const, requires: [] },
      tree: await layFiles(join(stage, name), contents),
    })),
  );
}

/** A flat, signed repository of .debs that are there. */
async function indexDebs(folder: string): Promise<void> {
  const key = await packagerKey();
  const packages = `${await output("apt-ftparchive", ["packages", "."], { cwd: folder })}\n`;
  await writeFile(join(folder, "Packages.gz"), gzipSync(packages));
  await writeFile(
    join(folder, "InRelease"),
    await clearSigned(key, `${await output("apt-ftparchive", ["release", "."], { cwd: folder })}\n`),
  );
  await writeFile(join(folder, "Release.key"), await publicKeyOf(key));
}

interface Repositories {
  /** Folders. */
  debs: string[];
  rpms: string[];
}

/** Kubernetes' stand-ins, and a real containerd with what it needs, for both kinds of hosts. */
async function repositories(): Promise<Repositories> {
  const { debs } = await elSystem();
  const [key, files] = [await packagerKey(), await readdir(debs)];
  const own = await cached("small-packages", [UNIT, files, key.id, "1"], async (folder) => {
    const at = (name: string): string => join(folder, name);
    for (const name of ["debs", "debian", "rpms"]) await mkdir(at(name));
    await debRepository(await standIns("deb", at("stage-deb")), key, at("debs"));
    await rpmRepository(await standIns("rpm", at("stage-rpm")), key, at("rpms"));
    await cp(debs, at("debian"), { recursive: true });
    await indexDebs(at("debian"));
    await must("rm", ["-rf", at("stage-deb"), at("stage-rpm")]);
  });
  return { debs: [join(own, "debs"), join(own, "debian")], rpms: [join(own, "rpms"), await elPackages()] };
}

/** A registry's storage with all that kubeadm asks for, each image a single small file. */
function mirrorStorage(): Promise<string> {
  const { images } = listKubeadmImages({ version: SMALL_VERSION });
  return cached("small-images", [images, "1"], async (folder) => {
    await using registry = await startRegistry({
      storage: folder,
      work: join(folder, "..", `small-images.${process.pid}`),
    });
    for (const reference of images) {
      const layer = join(folder, "layer.tar");
      await packLayer(await layFiles(join(folder, "tree"), { "/name": { text: `${reference}\n` } }), layer);
      const [, repository = "", tag = ""] = /^(.*):([^:/]+)$/.exec(reference) ?? [];
      await pushImage(registry.host, repository, tag, await makeImage([layer], {}));
    }
    await must("rm", [
      "-rf",
      join(folder, "layer.tar"),
      join(folder, "tree"),
      join(folder, "..", `small-images.${process.pid}`),
    ]);
  });
}

/** A Debian host on which firewalls can be switched on. */
export const debianWithFirewalls = (): Promise<string> => debianTree("firewalld", "ufw", "nftables");

/** What a small bundle has beyond the usual. */
export interface SmallMore {
  /** Packages of Debian's hosts with the role registry, from this machine's own Debian archives. */
  registry: string[];
  files: { path: string; as: string }[];
}

/** A bundle by which hosts get as far as a running containerd: nothing of it has to be compiled, and it is built in seconds. */
export async function smallBundle(folder: string, airgap: string, more?: SmallMore): Promise<string> {
  const { debs, rpms } = await repositories();
  const { installed } = await elSystem();
  const file = (path: string): string => `file://${path}/`;
  const node = (...runtime: string[]) => [...runtime, "kubelet", "kubeadm"];
  const install = (...runtime: string[]) => ({
    all: ["netbase"],
    "control-plane": [...node(...runtime), "kubectl"],
    worker: node(...runtime),
  });
  await mkdir(folder, { recursive: true });
  await using mirror = await startRegistry({
    storage: await mirrorStorage(),
    work: join(folder, "mirror"),
    readOnly: true,
  });
  const document = {
    ...{ apiVersion: "airgap/v1", kind: "Bundle", name: "small", siteName: "register.rig.test" },
    sources: { "registry.k8s.io": { mirrors: [`${mirror.host}/registry.k8s.io`] } },
    kubernetes: [{ version: SMALL_VERSION }],
    packages: [
      {
        ...{ name: "debian12", format: "deb", for: ["debian-12"], arch: "amd64" },
        repositories: [
          ...debs.map((path, i) => ({
            id: `debs${i}`,
            uris: file(path),
            suites: ["/"],
            signedBy: join(path, "Release.key"),
          })),
          ...(more ? debianArchives(readFileSync(aptSources(), "utf8")) : []).map((source, i) => ({
            id: `debian${i}`,
            ...source,
          })),
        ],
        install: { ...install("containerd", "runc"), ...(more ? { registry: more.registry } : {}) },
        installed: join(await debianTree(), "var/lib/dpkg/status"),
      },
      {
        ...{ name: "el9", format: "rpm", for: ["rocky-9"], arch: "x86_64" },
        repositories: rpms.map((path, i) => ({
          id: `rpms${i}`,
          baseurl: file(path),
          gpgkey: [join(path, "RPM-GPG-KEY-rig")],
        })),
        install: install("containerd.io"),
        installed,
      },
    ],
    files: [{ self: true }, ...(more?.files ?? [])],
  };
  const spec = join(folder, "site.yaml");
  const bundle = join(folder, "site.tar");
  await writeFile(spec, stringify(document));
  await must(airgap, ["build", spec, "-o", bundle], { timeoutMs: 300_000 });
  return bundle;
}
