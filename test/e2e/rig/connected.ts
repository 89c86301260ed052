import { createReadStream, readFileSync } from "node:fs";
import { cp, mkdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { stringify } from "yaml";
import type { KubernetesVersion } from "./go/recipes.ts";
import { busyboxImage, mirrorStorage } from "./images/catalogue.ts";
import { type Registry, startRegistry } from "./images/registry.ts";
import { elPackages, kubernetesDebs, kubernetesRpms } from "./packages/repositories.ts";
import { debianTree } from "./system/debian.ts";
import { elSystem } from "./system/el.ts";
import { aptSources } from "./system/mmdebstrap.ts";

/** A web server on a loopback port that gives out folders: `/NAME/…`. */
async function serveFolders(
  folders: Record<string, string>,
): Promise<{ url: string; stop: () => Promise<void> }> {
  const server = createServer((request, response) => {
    const [, name = "", ...rest] = normalize(
      decodeURIComponent(new URL(request.url ?? "/", "http://rig").pathname),
    ).split("/");
    const file = join(folders[name] ?? "/nonexistent", rest.join("/"));
    stat(file).then(
      (found) => {
        response.writeHead(
          found.isFile() ? 200 : 404,
          found.isFile() ? { "Content-Length": found.size } : {},
        );
        if (found.isFile() && request.method !== "HEAD") createReadStream(file).pipe(response);
        else response.end();
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    stop,
  };
}

interface DebSource {
  uris: string;
  suites: string[];
  components: string[];
  signedBy: string;
}

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** This machine's own Debian archives, as a spec writes repositories; in either of apt's notations. */
export function debianArchives(text: string): DebSource[] {
  const stanzas = text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string): string[] =>
      (new RegExp(`^${name}:\\s*(.*)$`, "im").exec(stanza)?.[1] ?? "").split(/\s+/).filter(Boolean);
    return field("URIs").map((uris) => ({
      uris,
      suites: field("Suites"),
      components: field("Components"),
      signedBy: KEYRING,
    }));
  });
  const lines = [...text.matchAll(/^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$/gm)].map(
    ([, uris = "", suite = "", components = ""]) => ({
      ...{ uris, suites: [suite], components: components.trim().split(/\s+/), signedBy: KEYRING },
    }),
  );
  return [...stanzas, ...lines];
}

export interface ConnectedOptions {
  version: KubernetesVersion;
  /** Which hosts the packages are for. */
  systems: ("debian" | "el")[];
  runtime: "containerd" | "docker";
  /** The users' own images, as a spec writes them. */
  images?: unknown[];
  /** Added to the spec's top level. */
  extra?: Record<string, unknown>;
}

/** The connected side: a mirror, package repositories and a bundle spec that names them. */
export interface Connected extends AsyncDisposable {
  /** The bundle spec. */
  spec: string;
  mirror: Registry;
}

const TOOLS = ["conntrack", "socat", "ethtool", "ebtables", "chrony", "bash-completion"];

async function debianPackages({ version, runtime }: ConnectedOptions, url: string): Promise<unknown> {
  const plain = version.slice(1);
  const revision = Number(version.split(".")[1]) < 24 ? "00" : "1.1";
  const node = [
    runtime === "docker" ? "docker.io" : "containerd",
    "runc",
    ...["kubelet", "kubeadm"].map((name) => `${name}=${plain}-${revision}`),
    "kubernetes-cni",
  ];
  return {
    ...{ name: "debian12", format: "deb", for: ["debian-12"], arch: "amd64" },
    repositories: [
      ...debianArchives(readFileSync(aptSources(), "utf8")).map((source, i) => ({
        id: `debian${i}`,
        ...source,
      })),
      { id: "kubernetes", uris: `${url}/debs/`, suites: ["/"], signedBy: `${url}/debs/Release.key` },
    ],
    install: {
      all: TOOLS,
      worker: node,
      "control-plane": [...node, `kubectl=${plain}-${revision}`],
      "load-balancer": ["keepalived", "haproxy"],
    },
    installed: join(await debianTree(), "var/lib/dpkg/status"),
  };
}

async function elPackageSet({ version }: ConnectedOptions, url: string): Promise<unknown> {
  const plain = version.slice(1);
  const node = ["containerd.io", `kubelet-${plain}`, `kubeadm-${plain}`, "kubernetes-cni"];
  const repository = (id: string): unknown => ({
    id,
    baseurl: `${url}/${id}/`,
    gpgkey: [`${url}/${id}/RPM-GPG-KEY-rig`],
  });
  return {
    ...{
      name: "el9",
      format: "rpm",
      for: ["rocky-9"],
      arch: "x86_64",
      repositories: [repository("kubernetes-rpms"), repository("el")],
    },
    install: {
      all: ["conntrack-tools", "socat", "ethtool", "chrony", "bash-completion"],
      worker: node,
      "control-plane": [...node, `kubectl-${plain}`],
    },
    installed: (await elSystem()).installed,
  };
}

/** Lays a bundle spec with everything that it names into `folder`, and serves what it names by URL. */
export async function connectedSide(folder: string, options: ConnectedOptions): Promise<Connected> {
  const { version, systems, images = [], extra = {} } = options;
  await mkdir(folder, { recursive: true });
  const el = systems.includes("el");
  const folders = {
    debs: await kubernetesDebs(version),
    ...(el ? { "kubernetes-rpms": await kubernetesRpms(version), el: await elPackages() } : {}),
  };
  const web = await serveFolders(folders);
  const mirror = await startRegistry({
    storage: await mirrorStorage(version),
    work: join(folder, "mirror"),
    readOnly: true,
  });
  await cp(join(import.meta.dirname, "manifests"), folder, { recursive: true });
  const names = ["registry.k8s.io", "ghcr.io", "docker.io"];
  const document = {
    ...{ apiVersion: "airgap/v1", kind: "Bundle", name: "rig", siteName: "register.rig.test" },
    sources: Object.fromEntries(names.map((name) => [name, { mirrors: [`${mirror.host}/${name}`] }])),
    kubernetes: [{ version }],
    images: [busyboxImage, ...images],
    manifests: [
      { path: "flannel.yaml", as: "flannel" },
      { path: "workloads.yaml", as: "workloads" },
      { path: "dashboard.yaml", as: "dashboard" },
    ],
    packages: [await debianPackages(options, web.url), ...(el ? [await elPackageSet(options, web.url)] : [])],
    ...extra,
  };
  const spec = join(folder, "site.yaml");
  await writeFile(spec, stringify(document));
  const stop = async (): Promise<void> => {
    await mirror.stop();
    await web.stop();
  };
  return { spec, mirror, [Symbol.asyncDispose]: stop };
}
