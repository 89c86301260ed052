// 200 nodes that pull from one, two or three `airgap serve`, and from three of which one is killed meanwhile.
//   node test/bench/servers.ts [--no-write]
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { TlsTrust } from "../../src/tls.ts";
import { LaneSocket } from "../../src/transport/registry/lane-socket.ts";
import { freePort } from "../support/daemon.ts";
import { Random } from "../support/random.ts";
import { type Corpus, fill, SIZES, type Size, TAG } from "./corpus.ts";
import { conditions } from "./machine.ts";
import { Server, startRegistry } from "./rig.ts";
import { writeSection } from "./table.ts";
import { findTools, specOf } from "./tools.ts";

const root = resolve(import.meta.dirname, "../..");
const AIRGAP = join(root, "bin/airgap");
const CLIENTS = 200;
/** Images that each pulls. */
const IMAGES = 3;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const tls = new TlsTrust({});

/** A node: asks the servers in an order of its own, and the next one when one does not answer, as containerd does. */
class Node {
  readonly #hosts: string[];
  #socket: LaneSocket | undefined;
  bytes = 0;
  /** How often it went on to another server. */
  turns = 0;

  constructor(hosts: string[]) {
    this.#hosts = [...hosts];
  }

  async pull(repository: string): Promise<void> {
    const manifest = JSON.parse((await this.#get(`/v2/${repository}/manifests/${TAG}`)).toString()) as {
      config: { digest: string; size: number };
      layers: { digest: string; size: number }[];
    };
    for (const { digest, size } of [manifest.config, ...manifest.layers]) {
      const before = this.bytes;
      await this.#get(`/v2/${repository}/blobs/${digest}`, false);
      if (this.bytes - before !== size) throw new Error(`${digest}: ${this.bytes - before} of ${size} bytes`);
    }
  }

  close(): void {
    this.#socket?.destroy();
  }

  async #get(path: string, keep = true): Promise<Buffer> {
    for (let failed = 0; ; failed++) {
      const before = this.bytes;
      try {
        return await this.#ask(path, keep);
      } catch (error) {
        this.#socket?.destroy();
        this.#socket = undefined;
        this.bytes = before;
        if (failed >= 2 * this.#hosts.length) throw error;
        this.turns++;
        this.#hosts.push(this.#hosts.shift() as string);
      }
    }
  }

  async #ask(path: string, keep: boolean): Promise<Buffer> {
    const url = new URL(path, `http://${this.#hosts[0]}`);
    this.#socket ??= new LaneSocket(url, tls);
    const chunks: Buffer[] = [];
    await this.#socket.get(
      url,
      { accept: MANIFEST },
      ({ status, headers }) => {
        if (status !== 200) throw new Error(`${path}: HTTP ${status}`);
        return Number(headers["content-length"]);
      },
      (chunk) => {
        this.bytes += chunk.length;
        if (keep) chunks.push(Buffer.from(chunk));
      },
    );
    return Buffer.concat(chunks);
  }
}

interface Outcome {
  failed: number;
  turns: number;
  bytes: number;
  seconds: number;
  cpu: number;
  rss: number;
}

/** @param lose  ends the first server when half of the images are there */
async function measure(bundle: string, corpus: Corpus, count: number, lose: boolean): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const servers: Server[] = [];
  for (let i = 0; i < count; i++) {
    const host = `127.0.0.1:${await freePort()}`;
    servers.push(
      stack.use(await Server.start(AIRGAP, ["serve", bundle, "--listen", host], host, `${bundle}.${i}.log`)),
    );
  }
  const random = new Random(count);
  const nodes = Array.from({ length: CLIENTS }, () => {
    const hosts = servers.map(({ host }) => host);
    return new Node(hosts.toSorted(() => random.below(3) - 1));
  });
  const startedAt = performance.now();
  let pulled = 0;
  let failed = 0;
  const alive = lose ? servers.slice(1) : servers;
  await Promise.all(
    nodes.map(async (node) => {
      try {
        for (let i = 0; i < IMAGES; i++) {
          await node.pull(random.pick(corpus.repositories));
          if (lose && ++pulled === (CLIENTS * IMAGES) / 2) await servers[0]?.[Symbol.asyncDispose]();
        }
      } catch (error) {
        failed++;
        process.stderr.write(`${(error as Error).message}\n`);
      } finally {
        node.close();
      }
    }),
  );
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    failed,
    turns: sum(nodes.map(({ turns }) => turns)),
    bytes: sum(nodes.map(({ bytes }) => bytes)),
    seconds: (performance.now() - startedAt) / 1000,
    cpu: sum(alive.map(({ cpu }) => cpu)),
    rss: Math.max(...alive.map(({ peakRss }) => peakRss)),
  };
}

const dir = mkdtempSync(join(tmpdir(), "airgap-bench-servers-"));
try {
  const bundle = join(dir, "bundle.tar");
  let corpus: Corpus;
  {
    await using source = await startRegistry(dir, join(dir, "corpus"));
    corpus = await fill(source.host, SIZES["quick"] as Size);
    writeFileSync(join(dir, "site.yaml"), specOf(source.host, corpus.repositories));
    execFileSync(AIRGAP, ["build", join(dir, "site.yaml"), "-o", bundle, "--quiet"]);
  }
  const rows: string[] = [];
  for (const [count, lose] of [
    [1, false],
    [2, false],
    [3, false],
    [3, true],
  ] as const) {
    const { failed, turns, bytes, seconds, cpu, rss } = await measure(bundle, corpus, count, lose);
    rows.push(
      `| ${count}${lose ? ", one killed" : ""} | ${failed} | ${turns} | ${Math.round(bytes / 1e6)} | ${seconds.toFixed(1)} | ${cpu.toFixed(1)} | ${Math.round(rss / 1e6)} |`,
    );
    if (failed > 0) process.exitCode = 1;
  }
  const ours = findTools({ airgap: AIRGAP, parallel: 0 }).filter((tool) => tool.ours);
  const head =
    "| servers | nodes that failed | asked another server | MB | wall s | CPU s of the servers | RSS MB of the largest |\n| --- | --: | --: | --: | --: | --: | --: |";
  const table = `${head}\n${rows.join("\n")}\n\n${CLIENTS} nodes, each with one connection, pull ${IMAGES} images of a bundle of ${Math.round(corpus.bytes / 1e6)} MB. They and the servers share the machine, so more servers bring no more bytes here. ${conditions(ours)}`;
  process.stdout.write(`${table}\n`);
  if (!process.argv.includes("--no-write")) writeSection(join(root, "docs/benchmarks.md"), "servers", table);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
