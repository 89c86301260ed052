import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../cache.ts";
import { packLayer } from "../images/layer.ts";
import { built } from "../programs.ts";
import { must } from "../shell.ts";
import { INSTALL, prepareScript, TEMPLATE } from "./template.ts";

/** A release of Harbor, as far as an installation meets what differs between releases. */
export interface Release {
  /** `v2.13.2` */
  version: string;
  /** The PostgreSQL that it has, and the one whose data it takes over. */
  postgres: [own: number, from: number];
  redis: "redis-photon" | "valkey-photon";
}

interface Part {
  image: string;
  role: string;
  user: string;
  /** What the image's health check asks. */
  health?: string;
  layers: string[];
}

const SOURCES = join(import.meta.dirname, "../programs/harbor");

const program = (): Promise<string> =>
  built({
    name: "harbor",
    require: {},
    programs: { ".": "harbor" },
    sources: Object.fromEntries(
      readdirSync(SOURCES).map((name) => [name, readFileSync(join(SOURCES, name), "utf8")]),
    ),
  });

const parts = ({ redis }: Release): Part[] => {
  const part = (image: string, role: string, health: string, user = "10000:10000"): Part => ({
    ...{ image, role, user, health, layers: ["base.tar"] },
  });
  return [
    { image: "prepare", role: "prepare", user: "0:0", layers: ["base.tar"] },
    part("harbor-log", "log", ":10514"),
    part("harbor-db", "db", ":5432", "999:999"),
    part(redis, "redis", ":6379", "999:999"),
    part("harbor-registryctl", "registryctl", ":8080"),
    part("harbor-core", "core", "http://127.0.0.1:8080/api/v2.0/systeminfo"),
    part("harbor-portal", "portal", ":8080"),
    part("harbor-jobservice", "jobservice", ":8080"),
    part("nginx-photon", "proxy", "http://127.0.0.1:8080/"),
    part("trivy-adapter-photon", "registryctl", ":8080"),
    { ...part("registry-photon", "registry", ":5000"), layers: ["base.tar", "registry.tar"] },
  ];
};

/** The layer that all images share, and that of the real registry with its libraries. */
async function layLayers(folder: string, work: string): Promise<void> {
  const base = join(work, "base");
  for (const name of ["bin", "usr/sbin", "etc", "tmp"]) await mkdir(join(base, name), { recursive: true });
  await chmod(join(base, "tmp"), 0o1777);
  await copyFile(join(await program(), "harbor"), join(base, "bin/harbor"));
  await symlink("/bin/harbor", join(base, "usr/sbin/nginx"));
  await writeFile(join(base, "etc/passwd"), "root:x:0:0::/:/bin/false\nharbor:x:10000:10000::/:/bin/false\n");
  await packLayer(base, join(folder, "base.tar"));
  const registry = join(work, "registry");
  for (const file of [
    "/usr/bin/docker-registry",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
  ]) {
    await must("install", ["-D", "-m", "755", file, join(registry, file)]);
  }
  await packLayer(registry, join(folder, "registry.tar"));
}

const digestOf = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

/** What `docker save` writes for all images of a release. */
async function layImages(folder: string, release: Release): Promise<void> {
  const { version, postgres } = release;
  const manifest = [];
  for (const { image, role, user, health, layers } of parts(release)) {
    const entrypoint =
      role === "registry"
        ? ["/usr/bin/docker-registry", "serve", "/etc/registry/config.yml"]
        : ["/bin/harbor", role];
    const check = { Test: ["CMD", "/bin/harbor", "health", health], Interval: 2e9, Timeout: 5e9, Retries: 5 };
    const config = JSON.stringify({
      ...{ architecture: "amd64", os: "linux", created: "2025-01-01T00:00:00Z" },
      config: {
        Env: [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          `VERSION=${version}`,
          `PG_VERSION_NEW=${postgres[0]}`,
          `PG_VERSION_OLD=${postgres[1]}`,
          `REDIS_IMAGE=${release.redis}`,
        ],
        Entrypoint: entrypoint,
        User: user,
        ...(health === undefined ? {} : { Healthcheck: check }),
      },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${digestOf(join(folder, layer))}`) },
      history: layers.map(() => ({ created_by: `${image} of the test rig` })),
    });
    const name = `${createHash("sha256").update(config).digest("hex")}.json`;
    await writeFile(join(folder, name), config);
    manifest.push({ Config: name, RepoTags: [`goharbor/${image}:${version}`], Layers: layers });
  }
  await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
}

/** An offline installer with the layout, the names and the contracts of Harbor's. @returns path of the archive */
export async function harborArchive(release: Release): Promise<string> {
  const { version } = release;
  const key = [
    release,
    await program(),
    TEMPLATE,
    readFileSync(import.meta.filename, "utf8"),
    prepareScript(""),
  ];
  const folder = await cached(`harbor-${version}`, key, async (folder) => {
    const [work, images, top] = ["work", "images", "harbor"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [work, images, top]) await mkdir(path);
    await layLayers(images, work);
    await layImages(images, release);
    const saved = `harbor.${version}.tar.gz`;
    await must("tar", ["-czf", join(top, saved), "-C", images, "."]);
    await writeFile(join(top, "prepare"), prepareScript(version), { mode: 0o755 });
    await writeFile(join(top, "install.sh"), INSTALL, { mode: 0o755 });
    await writeFile(join(top, "common.sh"), "#!/bin/bash\n", { mode: 0o755 });
    await writeFile(join(top, "harbor.yml.tmpl"), TEMPLATE);
    await writeFile(join(top, "LICENSE"), "of the test rig\n");
    const order = [saved, "prepare", "LICENSE", "install.sh", "common.sh", "harbor.yml.tmpl"];
    await must("tar", [
      "-czf",
      join(folder, "installer.tgz"),
      "-C",
      folder,
      ...order.map((name) => `harbor/${name}`),
    ]);
    await must("rm", ["-rf", work, images, top]);
  });
  return join(folder, "installer.tgz");
}
