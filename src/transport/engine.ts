import { PassThrough, Readable } from "node:stream";
import { AirgapError, messageOf } from "../errors.ts";
import { connect } from "./docker-daemon.ts";
import { demultiplexed, textOf } from "./engine-output.ts";

type Client = Awaited<ReturnType<typeof connect>>;

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** A container that stands for a machine: privileged, with a first process of its own. */
export interface MachineSettings {
  name: string;
  image: string;
  hostname: string;
  command: string[];
  env: Record<string, string>;
  labels: Record<string, string>;
  /** Name of its network, and its address there. */
  network?: { name: string; address: string };
  /** As `docker run --volume` takes them: `/path:/path[:ro]`. */
  mounts?: string[];
  /** Folders that are volumes of its own: a runtime's layers can't lie on an engine's layers. */
  volumes?: string[];
}

export interface MachineUsage {
  memoryBytes: number;
  receivedBytes: number;
  sentBytes: number;
}

/** What an engine has of ours. */
export interface Labelled {
  id: string;
  name: string;
  labels: Record<string, string>;
}

/** Where Podman listens with Docker's API. */
export function podmanSocket(): string {
  const own = process.env["XDG_RUNTIME_DIR"];
  return process.getuid?.() === 0 || own === undefined
    ? "/run/podman/podman.sock"
    : `${own}/podman/podman.sock`;
}

/** Docker's or Podman's engine, as far as machines are made of its containers. */
export class Engine {
  readonly #client: Client;

  private constructor(client: Client) {
    this.#client = client;
  }

  /** @throws AirgapError `environment` when it cannot be reached */
  static async open(kind: "docker" | "podman"): Promise<Engine> {
    const socket = kind === "podman" && process.env["DOCKER_HOST"] === undefined ? podmanSocket() : undefined;
    const engine = new Engine(await connect(socket));
    await engine.#ask("be reached", () => engine.#client.ping());
    return engine;
  }

  async #ask<T>(what: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (cause) {
      const { statusCode, code } = cause as { statusCode?: number; code?: string };
      if (statusCode === undefined)
        throw new AirgapError("environment", `The engine cannot ${what}: ${messageOf(cause)}`, {
          cause,
          suggestions:
            code === "EACCES"
              ? ['sudo usermod -aG docker "$USER"']
              : ["sudo systemctl start docker", "docker info"],
        });
      throw new AirgapError(
        statusCode === 404 ? "not-found" : statusCode === 409 ? "conflict" : "refused",
        `The engine cannot ${what}: ${messageOf(cause)}`,
        { cause, exit: 1 },
      );
    }
  }

  /** What it is, for reports. */
  async about(): Promise<{
    name: string;
    version: string;
    kernel: string;
    os: string;
    architecture: string;
  }> {
    const info = (await this.#ask("say what it is", () => this.#client.version())) as {
      Version: string;
      KernelVersion?: string;
      Os: string;
      Arch: string;
      Components?: { Name: string }[];
    };
    return {
      name: info.Components?.[0]?.Name ?? "Engine",
      version: info.Version,
      kernel: info.KernelVersion ?? "",
      os: info.Os,
      architecture: info.Arch,
    };
  }

  /** Ranges of addresses that its networks have. */
  async subnets(): Promise<string[]> {
    const networks = await this.#ask("list its networks", () => this.#client.listNetworks());
    return networks.flatMap(({ IPAM }) =>
      ((IPAM?.Config ?? []) as { Subnet?: string }[]).flatMap(({ Subnet }) => Subnet ?? []),
    );
  }

  /** Makes a network without a way out. */
  async makeNetwork(
    name: string,
    { subnet, gateway, labels }: { subnet: string; gateway: string; labels: Record<string, string> },
  ): Promise<void> {
    await this.#ask(`make the network ${subnet}`, () =>
      this.#client.createNetwork({
        Name: name,
        Driver: "bridge",
        Internal: true,
        Labels: labels,
        IPAM: { Driver: "default", Config: [{ Subnet: subnet, Gateway: gateway }] },
      }),
    );
  }

  async hasImage(name: string): Promise<boolean> {
    try {
      await this.#client.getImage(name).inspect();
      return true;
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return false;
      throw error;
    }
  }

  /** The name by which the engine has an image: Podman takes a short one for Docker Hub's. @throws AirgapError `not-found` */
  async findImage(name: string): Promise<string> {
    const local = `localhost/${name}`;
    if (!name.includes("/") && !(await this.hasImage(name)) && (await this.hasImage(local))) return local;
    await this.imageId(name);
    return name;
  }

  /** Id of an image, which follows from its content. @throws AirgapError `not-found` */
  async imageId(name: string): Promise<string> {
    return (await this.#ask(`find the image ${name}`, () => this.#client.getImage(name).inspect())).Id;
  }

  /** Makes an image of a root file system. */
  async importImage(tar: Readable, name: string): Promise<void> {
    // Podman looks at no tag beside it.
    const stream = await this.#send(tar, `import ${name}`, (abortSignal) =>
      this.#client.importImage(tar as unknown as string, { repo: name, abortSignal }),
    );
    await this.#followed(stream, `import ${name}`);
  }

  /** A request with an archive. The client would wait for the end of one that cannot be read. */
  #send<T>(tar: Readable, what: string, call: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const broken = new Promise<never>((_, reject) => {
      tar.once("error", (error) => {
        stop.abort();
        reject(error);
      });
    });
    return Promise.race([broken, this.#ask(what, () => call(stop.signal))]);
  }

  async #followed(stream: NodeJS.ReadableStream, what: string): Promise<void> {
    await this.#ask(
      what,
      () =>
        new Promise<void>((resolve, reject) => {
          this.#client.modem.followProgress(stream, (error, lines: { error?: string }[]) => {
            const failed = lines?.find((line) => line.error !== undefined)?.error;
            if (error || failed) reject(error ?? new AirgapError("refused", `${what}: ${failed}`));
            else resolve();
          });
        }),
    );
  }

  /** An image of what a container has become. */
  async commit(id: string, name: string, labels: Record<string, string>): Promise<void> {
    const [repo = "", tag = "latest"] = name.split(":");
    const changes = Object.entries(labels).map(([key, value]) => `LABEL ${key}=${value}`);
    await this.#ask(`keep ${name}`, () => this.#client.getContainer(id).commit({ repo, tag, changes }));
  }

  /** @returns its id */
  async create(settings: MachineSettings): Promise<string> {
    const { name, image, hostname, command, env, labels, network, mounts = [], volumes = [] } = settings;
    // With a name and labels they are found again, also when whoever asked for the container is killed meanwhile.
    const own = volumes.map((path, i) => ({ path, Name: `${name}.${i}` }));
    for (const { Name } of own)
      await this.#ask(`make the volume ${Name}`, () => this.#client.createVolume({ Name, Labels: labels }));
    const container = await this.#ask(`make the container ${name}`, () =>
      this.#client.createContainer({
        ...{ name, Image: image, Hostname: hostname, Labels: labels },
        Entrypoint: command.slice(0, 1),
        Cmd: command.slice(1),
        Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
        StopSignal: "SIGRTMIN+3",
        HostConfig: {
          Privileged: true,
          // A tree of cgroups of its own: pods of two hosts must not share one.
          ...({ CgroupnsMode: "private" } as Record<string, unknown>),
          Tmpfs: { "/run": "mode=755", "/run/lock": "", "/tmp": "mode=1777" },
          Binds: [...own.map(({ Name, path }) => `${Name}:${path}`), ...mounts],
          NetworkMode: network?.name ?? "none",
          RestartPolicy: { Name: "no" },
        },
        ...(network
          ? {
              NetworkingConfig: {
                EndpointsConfig: {
                  [network.name]: { IPAMConfig: { IPv4Address: network.address } },
                },
              },
            }
          : {}),
      }),
    );
    return container.id;
  }

  async start(id: string): Promise<void> {
    await this.#ask("start a container", () => this.#client.getContainer(id).start());
  }

  async isRunning(id: string): Promise<boolean> {
    const { State } = await this.#ask("look at a container", () => this.#client.getContainer(id).inspect());
    return State.Running;
  }

  /** Unpacks an archive in a container. */
  async put(id: string, tar: Buffer | Readable, path: string): Promise<void> {
    const source = Buffer.isBuffer(tar) ? Readable.from([tar]) : tar;
    await this.#send(source, "copy into a container", (abortSignal) =>
      this.#client.getContainer(id).putArchive(source, { path, abortSignal }),
    );
  }

  /** Runs a command in a container. */
  async exec(id: string, command: string[], timeoutMs = 60_000): Promise<Ran> {
    const ran = this.#ask("run a command in a container", async () => {
      const exec = await this.#client
        .getContainer(id)
        .exec({ Cmd: command, AttachStdout: true, AttachStderr: true, Env: ["LC_ALL=C.UTF-8"] });
      const stream = await exec.start({ hijack: true, stdin: false });
      const [out, err] = [new PassThrough(), new PassThrough()];
      this.#client.modem.demuxStream(stream, out, err);
      const ended = new Promise<void>((resolve, reject) => {
        stream.on("end", resolve).on("close", resolve).on("error", reject);
      });
      const texts = Promise.all([textOf(out), textOf(err)]);
      await ended;
      out.end();
      err.end();
      const [stdout, stderr] = await texts;
      const { ExitCode } = await exec.inspect();
      return { code: ExitCode ?? -1, stdout, stderr };
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new AirgapError(
              "environment",
              `A command in a container took more than ${timeoutMs / 1000} s: ${command.join(" ").slice(0, 200)}`,
            ),
          ),
        timeoutMs,
      );
    });
    try {
      return await Promise.race([ran, late]);
    } finally {
      clearTimeout(timer);
      ran.catch(() => {});
    }
  }

  /** The end of what a container's first process printed. */
  async logs(id: string): Promise<string> {
    const bytes = await this.#ask("give a container's output", () =>
      this.#client.getContainer(id).logs({ stdout: true, stderr: true, follow: false, tail: 100_000 }),
    );
    return demultiplexed(bytes);
  }

  /** What a container uses now; undefined when the engine has no numbers of it. */
  async usage(id: string): Promise<MachineUsage | undefined> {
    const stats = await this.#ask("measure a container", () =>
      this.#client.getContainer(id).stats({ stream: false, "one-shot": true } as { stream: false }),
    );
    if (!(Date.parse(stats.read) > 0)) return undefined;
    const networks = Object.values(
      (stats.networks ?? {}) as Record<string, { rx_bytes: number; tx_bytes: number }>,
    );
    const memory = (stats.memory_stats ?? {}) as { usage?: number; stats?: Record<string, number> };
    const files = memory.stats?.["total_inactive_file"] ?? memory.stats?.["inactive_file"] ?? 0;
    return {
      memoryBytes: Math.max(0, (memory.usage ?? 0) - files),
      receivedBytes: networks.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
      sentBytes: networks.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
    };
  }

  /** Bytes that a container has written beside its volumes. */
  async written(id: string): Promise<number> {
    const found = (await this.#ask("measure a container", () =>
      this.#client.getContainer(id).inspect({ size: true } as object),
    )) as { SizeRw?: number };
    return found.SizeRw ?? 0;
  }

  /** Containers with a label, running or not. */
  async containers(label: string): Promise<Labelled[]> {
    const found = await this.#ask("list its containers", () =>
      this.#client.listContainers({ all: true, filters: { label: [label] } }),
    );
    return found.map(({ Id, Names, Labels }) => ({
      id: Id,
      name: (Names[0] ?? "").slice(1),
      labels: Labels,
    }));
  }

  async networks(label: string): Promise<Labelled[]> {
    const found = await this.#ask("list its networks", () =>
      this.#client.listNetworks({ filters: { label: [label] } }),
    );
    return found.map(({ Id, Name, Labels }) => ({ id: Id, name: Name, labels: Labels ?? {} }));
  }

  /** Names of volumes with a label, and their labels. */
  async volumes(label: string): Promise<Labelled[]> {
    const { Volumes } = await this.#ask("list its volumes", () =>
      this.#client.listVolumes({ filters: { label: [label] } as unknown as string }),
    );
    return (Volumes ?? []).map(({ Name, Labels }) => ({ id: Name, name: Name, labels: Labels ?? {} }));
  }

  async images(label: string): Promise<string[]> {
    const found = await this.#ask("list its images", () =>
      this.#client.listImages({ filters: { label: [label] } }),
    );
    return found.flatMap(({ Id, RepoTags }) => RepoTags?.[0] ?? Id);
  }

  /** Ends a container and removes it with its unnamed volumes; one that is gone already, or on its way, is fine. */
  async remove(id: string): Promise<void> {
    await this.#ask("remove a container", () =>
      unlessGone(this.#client.getContainer(id).remove({ force: true, v: true })),
    );
  }

  async removeVolume(name: string): Promise<void> {
    await this.#ask("remove a volume", () => unlessGone(this.#client.getVolume(name).remove()));
  }

  async removeNetwork(id: string): Promise<void> {
    await this.#ask("remove a network", () => unlessGone(this.#client.getNetwork(id).remove()));
  }

  async removeImage(name: string): Promise<void> {
    await this.#ask("remove an image", () => unlessGone(this.#client.getImage(name).remove({ force: true })));
  }
}

/**
 * 404: it is gone; 409 and, of a network, 403, or 500 with these words by Podman: the engine is removing it already, or
 * still uses it. Who needs it gone looks again.
 */
async function unlessGone(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    const { statusCode } = error as { statusCode?: number };
    const inUse = statusCode === 500 && /is being used/.test(messageOf(error));
    if (statusCode === undefined || !(inUse || [403, 404, 409].includes(statusCode))) throw error;
  });
}
