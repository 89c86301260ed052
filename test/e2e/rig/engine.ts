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

/** A real dockerd, in a folder on the disk, since layers of the hosts' runtimes lie on it; and rehearsals in its containers. */
export class RealEngine implements AsyncDisposable {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** Roots of this machine may lack what containers of the hosts' own runtimes ask for. */
  readonly #fit: string;
  readonly #daemon: Daemon;

  private constructor(folder: string, env: NodeJS.ProcessEnv, fit: string, daemon: Daemon) {
    this.folder = folder;
    this.env = env;
    this.#fit = fit;
    this.#daemon = daemon;
  }

  static async start(): Promise<RealEngine> {
    const folder = mkdtempSync("/var/tmp/airgap-rehearse-");
    const at = (name: string): string => join(folder, name);
    const socket = `unix://${at("docker.sock")}`;
    const env = { ...process.env, NO_COLOR: "1", DOCKER_HOST: socket };
    const fit = join(await runcFit(), "runc-fit");
    const flags = [
      ...["--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid"), "-H", socket],
      ...["--iptables=false", "--ip6tables=false", "--bridge=none"],
      ...["--add-runtime", `fit=${fit}`, "--default-runtime", "fit"],
    ];
    const daemon = await Daemon.start("dockerd", flags, async () =>
      (await must("docker", ["info"], { env })).stdout.includes("Server Version"),
    );
    return new RealEngine(folder, env, fit, daemon);
  }

  async docker(...args: string[]): Promise<string> {
    return (await must("docker", args, { env: this.env })).stdout.trim();
  }

  airgap(...args: string[]): Promise<ProcessResult> {
    return run(AIRGAP, args, { env: this.env, timeoutMs: 850_000 });
  }

  /** The arguments of a rehearsal here. */
  arguments(cluster: string, bundle: string, ...more: string[]): string[] {
    return [
      "rehearse",
      cluster,
      "--bundle",
      bundle,
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
      await this.docker("network", "ls", "--filter", "type=custom", "-q"),
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

  /** A spec that says of Debian's hosts where their packages come from, and which they have before. @returns its path */
  async specOfHosts(): Promise<string> {
    const sources = debianArchives(readFileSync(aptSources(), "utf8"));
    const set = {
      ...{ name: "debian12", format: "deb", for: ["debian-12"], arch: "amd64", install: ["bash"] },
      repositories: sources.map((source, i) => ({ id: `debian${i}`, ...source })),
      installed: join(await debianTree(), "var/lib/dpkg/status"),
    };
    return this.#spec("site.yaml", set);
  }

  /** The same of the hosts whose package manager is dnf. @returns its path */
  async specOfElHosts(): Promise<string> {
    const folders = { base: await elBase(), tools: await elPackages() };
    const set = {
      ...{ name: "el9", format: "rpm", for: ["rocky-9"], arch: "x86_64", install: ["bash"] },
      repositories: Object.entries(folders).map(([id, folder]) => ({
        ...{ id, baseurl: folder, gpgkey: [join(folder, "RPM-GPG-KEY-rig")], repoGpgcheck: true },
      })),
      installed: (await elSystem()).installed,
    };
    return this.#spec("el.yaml", set);
  }

  async #spec(name: string, set: Record<string, unknown>): Promise<string> {
    const file = join(this.folder, name);
    const spec = { apiVersion: "airgap/v1", kind: "Bundle", name: "rig", packages: [set] };
    await writeFile(file, stringify(spec));
    return file;
  }

  /** Removes all containers, ends the engine and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ids = (await this.docker("ps", "-aq").catch(() => "")).split("\n").filter(Boolean);
    if (ids.length > 0) await this.docker("rm", "-fv", ...ids);
    await this.#daemon[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
