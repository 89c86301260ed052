import { readFileSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cached } from "../cache.ts";
import {
  coredns,
  etcd,
  flannel,
  flannelPlugin,
  flannelPluginTag,
  flannelVersion,
  type KubernetesVersion,
  kubernetes,
} from "../go/recipes.ts";
import { type Files, layFiles } from "../packages/content.ts";
import { built, pause, probe } from "../programs.ts";
import { must, output } from "../shell.ts";
import { makeImage } from "./image.ts";
import { networkTools, packLayer } from "./layer.ts";
import { pushImage, startRegistry } from "./registry.ts";

/** How an image is made: files over some tar layers. */
interface Recipe {
  below?: string[];
  files: Files;
  /** Links by path. */
  links?: Record<string, string>;
  entrypoint?: string[];
  cmd?: string[];
}

const APPLETS = [
  "sh",
  "cat",
  "ls",
  "sleep",
  "nslookup",
  "httpd",
  "hostname",
  "ip",
  "ping",
  "echo",
  "mkdir",
  "env",
];

/** Images of the tests' own workloads: `web` answers with the name of its pod on port 8080. */
export const busyboxImage = "docker.io/library/busybox:1.35.0";

async function busybox(): Promise<Recipe> {
  const from = join(await networkTools(), "busybox");
  const files = { "/bin/busybox": { from }, "/bin/probe": { from: join(await probe(), "probe") } };
  return {
    files,
    links: Object.fromEntries(APPLETS.map((name) => [`/bin/${name}`, "busybox"])),
    cmd: ["sh"],
  };
}

/** A web server at port 8080 whose page says this text: a user's own application. */
export async function application(text: string): Promise<Recipe> {
  const base = await busybox();
  return {
    ...base,
    files: { ...base.files, "/www/index.html": { text: `${text}\n` } },
    cmd: ["httpd", "-f", "-p", "8080", "-h", "/www"],
  };
}

/** What runs under each of the names that kubeadm asks for. */
async function kubernetesRecipe(name: string, version: KubernetesVersion): Promise<Recipe> {
  const programs = await built(kubernetes(version));
  const local = (program: string, folder = programs): Files => ({
    [`/usr/local/bin/${program}`]: { from: join(folder, program) },
  });
  switch (name) {
    case "pause":
      return { files: { "/pause": { from: join(await pause(), "pause") } }, entrypoint: ["/pause"] };
    case "etcd": {
      const folder = await built(etcd(version));
      return {
        files: { ...local("etcd", folder), ...local("etcdctl", folder), ...local("etcdutl", folder) },
      };
    }
    case "coredns":
      return {
        files: { "/coredns": { from: join(await built(coredns), "coredns") } },
        entrypoint: ["/coredns"],
      };
    case "kube-proxy":
      return { below: [join(await networkTools(), "layer.tar")], files: local("kube-proxy") };
    default:
      return { files: local(name), entrypoint: [name] };
  }
}

async function flannelRecipes(): Promise<Map<string, Recipe>> {
  const below = [join(await networkTools(), "layer.tar")];
  const daemon: Recipe = {
    below,
    files: { "/opt/bin/flanneld": { from: join(await built(flannel), "flanneld") } },
    entrypoint: ["/opt/bin/flanneld"],
  };
  const plugin: Recipe = {
    below,
    files: { "/flannel": { from: join(await built(flannelPlugin), "flannel") } },
  };
  return new Map([
    [`ghcr.io/flannel-io/flannel:${flannelVersion}`, daemon],
    [`ghcr.io/flannel-io/flannel-cni-plugin:${flannelPluginTag}`, plugin],
  ]);
}

/** What kubeadm itself says that a version needs. */
export async function kubeadmImages(version: KubernetesVersion): Promise<string[]> {
  const kubeadm = join(await built(kubernetes(version)), "kubeadm");
  return (await output(kubeadm, ["config", "images", "list", "--kubernetes-version", version])).split("\n");
}

async function recipes(version: KubernetesVersion): Promise<Map<string, Recipe>> {
  const found = await flannelRecipes();
  found.set(busyboxImage, await busybox());
  for (const reference of await kubeadmImages(version)) {
    const name = /([^/:]+):[^:]+$/.exec(reference)?.[1] ?? "";
    found.set(reference, await kubernetesRecipe(name, version));
  }
  return found;
}

async function pushRecipe(host: string, reference: string, recipe: Recipe): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "rig-image-"));
  try {
    const [tree, layer] = [join(work, "tree"), join(work, "layer.tar")];
    await layFiles(tree, recipe.files);
    await mkdir(join(tree, "tmp"), { recursive: true });
    for (const [path, target] of Object.entries(recipe.links ?? {}))
      await must("ln", ["-s", target, join(tree, path)]);
    await packLayer(tree, layer);
    const { entrypoint, cmd } = recipe;
    const image = await makeImage([...(recipe.below ?? []), layer], {
      ...(entrypoint && { entrypoint }),
      ...(cmd && { cmd }),
    });
    const [, repository = "", tag = ""] = /^(.*):([^:/]+)$/.exec(reference) ?? [];
    await pushImage(host, repository, tag, image);
  } finally {
    await must("rm", ["-rf", work]);
  }
}

/** Pushes images to a plain http registry, the whole reference as their path there: `HOST/registry.k8s.io/pause:3.10`. */
export async function pushRecipes(host: string, images: Map<string, Recipe>): Promise<void> {
  for (const [reference, recipe] of images) await pushRecipe(host, reference, recipe);
}

/**
 * Storage of a docker-registry that holds, as a mirror of everything does, all that a cluster of this version,
 * flannel and the tests' workloads pull.
 * @returns its folder, to be started read-only
 */
export async function mirrorStorage(version: KubernetesVersion): Promise<string> {
  const own = ["catalogue.ts", "image.ts", "layer.ts"].map((file) =>
    readFileSync(join(import.meta.dirname, file), "utf8"),
  );
  return cached(
    `images-${version}`,
    [own, await probe(), kubernetes(version), etcd(version), coredns, flannelVersion],
    async (folder) => {
      const work = await mkdtemp(join(tmpdir(), "rig-registry-"));
      try {
        await using registry = await startRegistry({ storage: folder, work });
        await pushRecipes(registry.host, await recipes(version));
      } finally {
        await must("rm", ["-rf", work]);
      }
    },
  );
}
