import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { type ProcessResult, run } from "../../../src/host/process.ts";
import { Daemon } from "../../support/daemon.ts";
import { AIRGAP } from "./box.ts";
import { debianArchives } from "./connected.ts";
import { elBase, elPackages } from "./packages/repositories.ts";
import { runcFit } from "./programs.ts";
import { must } from "./shell.ts";
import { KUBEADM } from "./site.ts";
import { debianTree } from "./system/debian.ts";
import { elSystem } from "./system/el.ts";
import { aptSources } from "./system/mmdebstrap.ts";

/** A cluster file, and where its rehearsal is recorded. */
export interface RehearsedSite {
  cluster: string;
  record: string;
}

type Kind = "docker" | "podman";

/** What roots of this machine may set of what Podman would: it starts containers with the most that there could be. */
const PODMAN_SETTINGS = `[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
`;

/** How an engine is started in a folder of its own. */
function commandOf(kind: Kind, folder: string, fit: string): [program: string, ...flags: string[]] {
  const at = (name: string): string => join(folder, name);
  const socket = `unix://${at("engine.sock")}`;
  if (kind === "docker")
    return [
      "dockerd",
      ...["--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid"), "-H", socket],
      ...["--iptables=false", "--ip6tables=false", "--bridge=none"],
      ...["--add-runtime", `fit=${fit}`, "--default-runtime", "fit"],
    ];
  return [
    "podman",
    ...["--root", at("data"), "--runroot", at("exec"), "--tmpdir", at("tmp"), "--volumepath", at("volumes")],
    ...["--network-config-dir", at("networks"), "--runtime", fit, "system", "service", "--time", "0", socket],
  ];
}

/**
 * A real dockerd, or Podman with Docker's API, in a folder on the disk, since layers of the hosts' runtimes lie on it;
 * and rehearsals in its containers.
 */
export class RealEngine implements AsyncDisposable {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #kind: Kind;
  /** Roots of this machine may lack what containers of the hosts' own runtimes ask for. */
  readonly #fit: string;
  readonly #daemon: Daemon;

  private constructor(kind: Kind, folder: string, env: NodeJS.ProcessEnv, fit: string, daemon: Daemon) {
    this.folder = folder;
    this.env = env;
    this.#kind = kind;
    this.#fit = fit;
    this.#daemon = daemon;
  }

  static async start(kind: Kind = "docker"): Promise<RealEngine> {
    const folder = mkdtempSync("/var/tmp/airgap-rehearse-");
    const settings = join(folder, "containers.conf");
    await writeFile(settings, PODMAN_SETTINGS);
    const env = {
      ...{ ...process.env, NO_COLOR: "1" },
      DOCKER_HOST: `unix://${join(folder, "engine.sock")}`,
    };
    const fit = join(await runcFit(), "runc-fit");
    const [program, ...flags] = commandOf(kind, folder, fit);
    const isUp = async (): Promise<boolean> =>
      (await must("docker", ["info"], { env })).stdout.includes("Server Version");
    const daemon = await Daemon.start(program, flags, isUp, { CONTAINERS_CONF: settings });
    return new RealEngine(kind, folder, env, fit, daemon);
  }

  async docker(...args: string[]): Promise<string> {
    return (await must("docker", args, { env: this.env })).stdout.trim();
  }

  airgap(...args: string[]): Promise<ProcessResult> {
    return run(AIRGAP, args, { env: this.env, timeoutMs: 1_750_000 });
  }

  /** The arguments of a rehearsal here. */
  arguments(cluster: string, bundle: string, ...more: string[]): string[] {
    return [
      "rehearse",
      cluster,
      "--bundle",
      bundle,
      "--engine",
      this.#kind,
      "--mount",
      `${this.#fit}:/usr/local/sbin/runc:ro`,
      ...more,
    ];
  }

  rehearse(cluster: string, bundle: string, ...more: string[]): Promise<ProcessResult> {
    return this.airgap(...this.arguments(cluster, bundle, ...more));
  }

  /** What a rehearsal may have left: containers, networks, volumes. */
  async left(): Promise<string[]> {
    const found = [
      await this.docker("ps", "-aq"),
      await this.docker("network", "ls", "--filter", "name=airgap-", "-q"),
      await this.docker("volume", "ls", "-q"),
    ];
    return found.filter(Boolean);
  }

  /** A cluster file of one host in a folder of its own, unless told otherwise, with manifests in its folder `apps/`. */
  async site(
    folder: string,
    more: Record<string, unknown>,
    apps: Record<string, string> = {},
  ): Promise<RehearsedSite> {
    const own = join(this.folder, folder);
    await mkdir(join(own, "apps"), { recursive: true });
    for (const [file, text] of Object.entries(apps)) await writeFile(join(own, "apps", file), text);
    const document = {
      ...{ apiVersion: "airgap/v1", kind: "Cluster", name: folder },
      registry: { host: "register.rig.test" },
      kubeadm: { KubeletConfiguration: { failSwapOn: KUBEADM.KubeletConfiguration.failSwapOn } },
      hosts: [{ name: "cp1", address: "10.91.0.11", roles: ["control-plane", "worker", "registry"] }],
      ...more,
    };
    await writeFile(join(own, "cluster.yaml"), stringify(document));
    return { cluster: join(own, "cluster.yaml"), record: join(own, "rehearsal.json") };
  }

  /** A spec that says of both systems where packages of their hosts come from, and which they have before. @returns its path */
  async specOfHosts(): Promise<string> {
    const sources = debianArchives(readFileSync(aptSources(), "utf8"));
    const debian = {
      ...{ name: "debian12", format: "deb", for: ["debian-12"], arch: "amd64", install: ["bash"] },
      repositories: sources.map((source, i) => ({ id: `debian${i}`, ...source })),
      installed: join(await debianTree(), "var/lib/dpkg/status"),
    };
    const folders = { base: await elBase(), tools: await elPackages() };
    const el = {
      ...{ name: "el9", format: "rpm", for: ["rocky-9"], arch: "x86_64", install: ["bash"] },
      repositories: Object.entries(folders).map(([id, folder]) => ({
        ...{ id, baseurl: folder, gpgkey: [join(folder, "RPM-GPG-KEY-rig")] },
      })),
      installed: (await elSystem()).installed,
    };
    const file = join(this.folder, "site.yaml");
    const spec = { apiVersion: "airgap/v1", kind: "Bundle", name: "rig", packages: [debian, el] };
    await writeFile(file, stringify(spec));
    return file;
  }

  /** Removes all containers, ends the engine and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ids = (await this.docker("ps", "-aq").catch(() => "")).split("\n").filter(Boolean);
    if (ids.length > 0) await this.docker("rm", "-fv", ...ids);
    await this.#daemon[Symbol.asyncDispose]();
    // Podman leaves the mount on which its layers are.
    if (this.#kind === "podman") await must("umount", [join(this.folder, "data/overlay")]).catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}
