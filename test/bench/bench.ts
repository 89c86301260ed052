import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/daemon.ts";
import { Client, type Corpus, fill, type Size, TAG } from "./corpus.ts";
import { type Cost, measure, RunFailed } from "./measure.ts";
import { hasNginx, Server, SlowLine, startNginx, startRegistry } from "./rig.ts";
import type { Run } from "./table.ts";
import { type Job, specOf, type Tool } from "./tools.ts";

/** What lies between a tool and its registry; without a delay nothing. */
export interface Link {
  name: string;
  delayMs?: number;
  rate?: number;
}

export interface BenchOptions {
  dir: string;
  size: Size;
  tools: Tool[];
  airgap: string;
  rounds: number;
  timeoutMs: number;
  say(text: string): void;
}

const FLOOR = "floor: nginx, sendfile";
const NONE: Cost = { wall: 0, cpu: 0, rss: 0 };

/** A filled registry, a bundle of all it has, and the runs over them. */
export class Bench implements AsyncDisposable {
  readonly about: string;
  readonly #options: BenchOptions;
  readonly #source: Server;
  readonly #corpus: Corpus;

  private constructor(options: BenchOptions, source: Server, corpus: Corpus) {
    this.#options = options;
    this.#source = source;
    this.#corpus = corpus;
    this.about = `${corpus.repositories.length} images, ${corpus.blobs} blobs and manifests, ${Math.round(corpus.bytes / 1e6)} MB.`;
  }

  static async start(options: BenchOptions): Promise<Bench> {
    const source = await startRegistry(options.dir, join(options.dir, "corpus"));
    try {
      const bench = new Bench(options, source, await fill(source.host, options.size));
      await bench.#prepare();
      return bench;
    } catch (error) {
      await source[Symbol.asyncDispose]();
      throw error;
    }
  }

  async run(scenario: string, links: Link[]): Promise<Run[]> {
    switch (scenario) {
      case "build":
        return await this.#each(links, "build", (tool, link) => this.#pull(tool, link));
      case "push":
        return await this.#each(links, "push", (tool, link) => this.#push(tool, link));
      case "verify":
        return await this.#verify();
      case "serve":
        return await this.#serve();
      default:
        throw new Error(`there is no scenario ${scenario}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  /** The bundle that is pushed and served, and one OCI layout for each image for those who take these. */
  async #prepare(): Promise<void> {
    const { repositories, paths } = this.#corpus;
    const { host } = this.#source;
    writeFileSync(this.#path("paths"), paths.map((path) => `${path}\n`).join(""));
    writeFileSync(this.#path("site.yaml"), specOf(host, repositories));
    execFileSync(this.#options.airgap, [
      "build",
      this.#path("site.yaml"),
      "-o",
      this.#path("bundle.tar"),
      "--quiet",
    ]);
    const layout = this.#path("layout");
    mkdirSync(layout);
    execFileSync("tar", ["-xf", this.#path("bundle.tar"), "-C", layout]);
    const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
      manifests: { annotations?: Record<string, string> }[];
    };
    for (const [i, repository] of repositories.entries()) {
      const entry = manifests.find(({ annotations = {} }) =>
        Object.values(annotations).includes(`${host}/${repository}:${TAG}`),
      );
      if (entry === undefined) throw new Error(`${repository} is not in the bundle's index`);
      mkdirSync(this.#path(String(i)));
      writeFileSync(join(this.#path(String(i)), "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
      const annotations = { "org.opencontainers.image.ref.name": TAG };
      writeFileSync(
        join(this.#path(String(i)), "index.json"),
        JSON.stringify({ schemaVersion: 2, manifests: [{ ...entry, annotations }] }),
      );
      symlinkSync(join(layout, "blobs"), join(this.#path(String(i)), "blobs"));
    }
  }

  #path(name: string): string {
    return join(this.#options.dir, name);
  }

  #job(host: string): Job {
    return { host, repositories: this.#corpus.repositories, prepared: this.#options.dir };
  }

  /** All tools in turn, each round beginning with another one. */
  async #each(
    links: Link[],
    action: string,
    run: (tool: Tool, link: Link) => Promise<Partial<Run>[]>,
  ): Promise<Run[]> {
    const runs: Run[] = [];
    const { tools, rounds, say } = this.#options;
    for (const link of links) {
      const times = link.delayMs === undefined ? rounds : Math.max(1, Math.round(rounds / 3));
      for (let round = 0; round < times; round++) {
        const shift = round % tools.length;
        for (const tool of [...tools.slice(shift), ...tools.slice(0, shift)]) {
          for (const found of await run(tool, link)) {
            const whole = {
              ...NONE,
              action,
              link: link.name,
              tool: tool.name,
              ours: tool.ours,
              ...(tool.floor ? { floor: true } : {}),
              round,
              ...found,
            };
            runs.push(whole);
            say(line(whole));
          }
        }
      }
    }
    // In the tables the tools stand in their own order.
    return tools
      .flatMap(({ name }) => runs.filter(({ tool }) => tool === name))
      .toSorted((a, b) => order(links, a) - order(links, b));
  }

  /** A run in a folder of its own, between a look at the registry before and after. */
  async #observed(
    script: string,
    server: Server,
    link: Link,
    check: (dir: string) => Promise<void>,
    proxy?: SlowLine,
  ): Promise<Partial<Run>> {
    const dir = mkdtempSync(join(this.#options.dir, "run-"));
    const env = { HOME: dir, XDG_CACHE_HOME: join(dir, "cache"), DOCKER_CONFIG: dir };
    try {
      await proxy?.reset();
      const [log, cpu] = [server.logSize, server.cpu];
      const cost = await measure(script, { cwd: dir, timeoutMs: this.#options.timeoutMs, env });
      const serverCpu = server.cpu - cpu;
      const { requests, bytes, kinds } = server.requestsSince(log);
      await check(dir);
      if (process.env["BENCH_KINDS"]) this.#options.say(JSON.stringify(kinds));
      return { ...cost, requests, bytes: proxy ? (await proxy.counted()).bytes : bytes, serverCpu };
    } catch (error) {
      if (error instanceof RunFailed) return { failed: error.message.slice(0, 300).replace(/\s+/g, " ") };
      throw new Error(`${link.name}: ${(error as Error).message}`, { cause: error });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  async #pull(tool: Tool, link: Link): Promise<Partial<Run>[]> {
    await using proxy = await this.#between(link, this.#source);
    const script = tool.pull(this.#job((proxy ?? this.#source).host));
    const whole = async (dir: string): Promise<void> => {
      const bytes = readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
      // The floor leaves the manifests out.
      const least = tool.floor ? this.#corpus.bytes * 0.99 : this.#corpus.bytes;
      if (bytes < least) throw new RunFailed(`brought ${bytes} of ${this.#corpus.bytes} bytes`);
    };
    return [await this.#observed(script, this.#source, link, whole, proxy)];
  }

  /** Into an empty registry, and once more. */
  async #push(tool: Tool, link: Link): Promise<Partial<Run>[]> {
    if (tool.push === undefined) return [];
    const content = mkdtempSync(join(this.#options.dir, "target-"));
    try {
      await using target = await startRegistry(content);
      await using proxy = await this.#between(link, target);
      const script = tool.push(this.#job((proxy ?? target).host));
      const whole = async (): Promise<void> => await this.#checkPushed(target);
      const cold = await this.#observed(script, target, link, whole, proxy);
      const results: Partial<Run>[] = [{ action: "push cold", ...unsized(cold, proxy) }];
      if (cold.failed === undefined)
        results.push({
          action: "push warm",
          ...unsized(await this.#observed(script, target, link, whole, proxy), proxy),
        });
      return results;
    } finally {
      rmSync(content, { recursive: true, force: true });
    }
  }

  /** A tool that left something out has not won. */
  async #checkPushed(target: Server): Promise<void> {
    const client = new Client(target.host);
    try {
      for (const repository of this.#corpus.repositories)
        await client.ask("HEAD", `/v2/${repository}/manifests/${TAG}`, 200, undefined, {
          accept: "*/*, application/vnd.oci.image.manifest.v1+json",
        });
    } catch (error) {
      throw new RunFailed((error as Error).message);
    } finally {
      client.close();
    }
  }

  async #between({ delayMs, rate }: Link, { host }: Server): Promise<SlowLine | undefined> {
    return delayMs === undefined || rate === undefined
      ? undefined
      : await SlowLine.start({ upstream: host, delayMs, rate });
  }

  async #verify(): Promise<Run[]> {
    const { tools, airgap } = this.#options;
    const [ours] = tools.filter((tool) => tool.ours);
    const bundle = this.#path("bundle.tar");
    const local = (name: string, own: boolean, script: string): Tool => ({
      name,
      ours: own,
      version: ours?.version ?? "",
      pull: () => script,
    });
    const list = [
      local("airgap verify", true, `${airgap} verify ${bundle} --quiet`),
      local("sha256sum of the tar", false, `sha256sum ${bundle}`),
      local(
        "sha256sum of each blob, 2 at once",
        false,
        `ls ${this.#path("layout")}/blobs/sha256/* | xargs -P 2 -n 64 sha256sum`,
      ),
    ];
    const runs = new Bench({ ...this.#options, tools: list }, this.#source, this.#corpus);
    return await runs.#each([{ name: "bare" }], "verify", async (tool) => [{ ...(await this.#local(tool)) }]);
  }

  async #local(tool: Tool): Promise<Partial<Run>> {
    const dir = mkdtempSync(join(this.#options.dir, "run-"));
    try {
      return await measure(tool.pull(this.#job("")), { cwd: dir, timeoutMs: this.#options.timeoutMs });
    } catch (error) {
      if (error instanceof RunFailed) return { failed: error.message };
      throw error;
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  /** The same client against each server, one after the other. */
  async #serve(): Promise<Run[]> {
    const { airgap, tools } = this.#options;
    const puller = `${process.execPath} ${join(import.meta.dirname, "puller.ts")}`;
    const clients: { name: string; script: (job: Job) => string }[] = [
      {
        name: "our plain client, 8 connections",
        script: ({ host, repositories }) => `${puller} ${host} ${repositories.join(" ")}`,
      },
      ...tools
        .filter(({ ours, name }) => !ours && ["crane", "skopeo", "regctl"].includes(name))
        .map(({ name, pull }) => ({ name, script: pull })),
    ];
    const servers: Tool[] = ["airgap serve", "docker-registry", ...(hasNginx() ? [FLOOR] : [])].map(
      (name) => ({
        ...{ name, ours: name.startsWith("airgap"), version: "", pull: () => "" },
        ...(name === FLOOR ? { floor: true } : {}),
      }),
    );
    if (hasNginx()) this.#layFiles();
    const runs = new Bench({ ...this.#options, tools: servers }, this.#source, this.#corpus);
    const links = clients.map(({ name }) => ({ name }));
    return await runs.#each(links, "serve", async (server, link) => {
      const client = clients.find(({ name }) => name === link.name);
      // nginx reads no Accept and gives no digests: only our own client is content with that.
      if (server.floor && client !== clients[0]) return [];
      await using started = server.ours
        ? await this.#startServe(airgap)
        : server.floor
          ? await startNginx(this.#options.dir, this.#path("files"))
          : await startRegistry(this.#options.dir, this.#path("corpus"));
      const found = await this.#observed(
        client?.script(this.#job(started.host)) ?? "",
        started,
        link,
        async () => {},
      );
      const { bytes: _, ...run } = found;
      return [{ ...run, serverRss: started.peakRss }];
    });
  }

  /** Every manifest and blob as a file under the path that a client asks for. */
  #layFiles(): void {
    const layout = this.#path("layout/blobs/sha256");
    for (const [i, repository] of this.#corpus.repositories.entries()) {
      const folder = this.#path(`files/v2/${repository}`);
      mkdirSync(join(folder, "manifests"), { recursive: true });
      mkdirSync(join(folder, "blobs"), { recursive: true });
      const { manifests } = JSON.parse(readFileSync(this.#path(`${i}/index.json`), "utf8")) as {
        manifests: { digest: string }[];
      };
      const file = join(layout, manifests[0]?.digest.slice(7) ?? "");
      symlinkSync(file, join(folder, "manifests", TAG));
      const { config, layers } = JSON.parse(readFileSync(file, "utf8")) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      for (const { digest } of [config, ...layers])
        symlinkSync(join(layout, digest.slice(7)), join(folder, "blobs", digest));
    }
  }

  async #startServe(airgap: string): Promise<Server> {
    const host = `127.0.0.1:${await freePort()}`;
    return await Server.start(
      airgap,
      ["serve", this.#path("bundle.tar"), "--listen", host],
      host,
      this.#path("serve.log"),
    );
  }
}

const order = (links: Link[], { link }: Run): number => links.findIndex(({ name }) => name === link);

/** The access log counts answers only; of a push they say nothing. */
function unsized(run: Partial<Run>, proxy: SlowLine | undefined): Partial<Run> {
  if (proxy) return run;
  const { bytes: _, ...rest } = run;
  return rest;
}

function line({ action, link, tool, wall, cpu, rss, requests, serverCpu, failed }: Run): string {
  const figures =
    failed ??
    `${wall.toFixed(2)} s, CPU ${cpu.toFixed(2)} s, ${Math.round(rss / 1e6)} MB, ${requests ?? "–"} requests, registry ${serverCpu?.toFixed(2) ?? "–"} s`;
  return `${action}, ${link}: ${tool}: ${figures}`;
}
