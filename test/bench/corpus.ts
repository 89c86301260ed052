import { createCipheriv, createHash } from "node:crypto";
import { Agent, request } from "node:http";
import { gzipSync } from "node:zlib";
import pLimit from "p-limit";
import { Random } from "../support/random.ts";

export interface Size {
  /** Factor for the sizes of large blobs. */
  large: number;
  /** Small layers of each image of the first half. */
  small: number;
  images: number;
  /** Instead of all that: layers of this many bytes, two for each image, none shared. */
  layer?: number;
}

export const SIZES: Record<string, Size> = {
  quick: { images: 10, small: 30, large: 0.25 },
  full: { images: 40, small: 100, large: 1 },
  huge: { images: 40, small: 100, large: 8 },
  large: { images: 20, small: 0, large: 1, layer: 16e6 },
};

export interface Corpus {
  /** Repository of each image; the tag is `1`. */
  repositories: string[];
  /** Unique blobs and manifests, and their bytes. */
  blobs: number;
  bytes: number;
  /** Where each blob of a layer or config is, below the registry's address. */
  paths: string[];
}

const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const TAG = "1";

/**
 * Incompressible bytes, the same for the same number on every machine, in a gzip of stored blocks:
 * tools that look at a layer find it compressed and leave it as it is.
 */
function layer(number: number, size: number): Buffer {
  const key = createHash("sha256").update(`layer ${number}`).digest().subarray(0, 16);
  return gzipSync(createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size)), {
    level: 0,
  });
}

interface Part {
  number: number;
  size: number;
}

/** Which layers each image has: a base that a third of them shares, then many small ones or some of middle size. */
function design({ images, small, large, layer }: Size): Part[][] {
  if (layer !== undefined)
    return Array.from({ length: images }, (_, i) =>
      [2 * i, 2 * i + 1].map((number) => ({ number, size: layer })),
    );
  const random = new Random(40);
  const bases = [60e6, 30e6, 25e6].map((size, number) => ({ number, size: Math.round(size * large) }));
  const shared = Array.from({ length: 20 }, (_, i) => ({
    number: 100 + i,
    size: 2000 + random.below(30_000),
  }));
  return Array.from({ length: images }, (_, i) => {
    const parts = [bases[i % 3] as Part];
    if (i < images / 2) {
      for (let k = 0; k < small; k++)
        parts.push(
          k % 10 === 9
            ? (shared[(k / 10) | 0] as Part)
            : { number: 1000 * (i + 1) + k, size: 1000 + random.below(24_000) },
        );
    } else
      for (let k = 1; k <= 6; k++)
        parts.push({ number: 1000 * (i + 1) + k, size: Math.round(200_000 * k * large) });
    if (i % 5 === 0) parts.push({ number: 1000 * (i + 1) + 999, size: Math.round(40e6 * large) });
    return [...new Map(parts.map((part) => [part.number, part])).values()];
  });
}

/** Puts the images into an empty registry. */
export async function fill(host: string, size: Size): Promise<Corpus> {
  const client = new Client(host);
  const known = new Map<number, Promise<{ digest: string; size: number; repository: string }>>();
  const corpus: Corpus = { repositories: [], blobs: 0, bytes: 0, paths: [] };
  const count = (bytes: number): void => {
    corpus.blobs++;
    corpus.bytes += bytes;
  };
  for (const [i, parts] of design(size).entries()) {
    const repository = `bench/image${i}`;
    const limit = pLimit(4);
    const layers = await Promise.all(
      parts.map(({ number, size }) =>
        limit(async () => {
          const first = known.get(number);
          const blob =
            first ?? client.upload(repository, layer(number, size)).then((sent) => ({ ...sent, repository }));
          known.set(number, blob);
          const { repository: from, ...about } = await blob;
          if (first) await client.mount(repository, about.digest, from);
          else {
            count(about.size);
            corpus.paths.push(pathOf(repository, about.digest));
          }
          return { mediaType: LAYER, ...about };
        }),
      ),
    );
    const diffIds = layers.map(({ digest }) => digest);
    const config = await client.upload(
      repository,
      Buffer.from(
        JSON.stringify({
          architecture: "amd64",
          os: "linux",
          config: {},
          rootfs: { type: "layers", diff_ids: diffIds },
        }),
      ),
    );
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: { mediaType: CONFIG, ...config },
        layers,
      }),
    );
    await client.ask("PUT", `/v2/${repository}/manifests/${TAG}`, 201, manifest, {
      "content-type": MANIFEST,
    });
    count(config.size);
    corpus.paths.push(pathOf(repository, config.digest));
    count(manifest.length);
    corpus.repositories.push(repository);
  }
  client.close();
  return corpus;
}

const pathOf = (repository: string, digest: string): string => `/v2/${repository}/blobs/${digest}`;

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The least that fills a registry, and asks what is in it. */
export class Client {
  readonly #host: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  constructor(host: string) {
    this.#host = host;
  }

  async upload(repository: string, bytes: Buffer): Promise<{ digest: string; size: number }> {
    const digest = digestOf(bytes);
    const location = await this.ask("POST", `/v2/${repository}/blobs/uploads/`, 202);
    await this.ask("PUT", `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`, 201, bytes);
    return { digest, size: bytes.length };
  }

  async mount(repository: string, digest: string, from: string): Promise<void> {
    await this.ask("POST", `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`, 201);
  }

  /** @returns the answer's `Location`; @throws Error for another status than expected */
  ask(
    method: string,
    target: string,
    expected: number,
    body?: Buffer,
    headers: Record<string, string> = {},
  ): Promise<string> {
    const url = new URL(target, `http://${this.#host}`);
    return new Promise((resolve, reject) => {
      const sent = request(
        url,
        { method, agent: this.#agent, headers: { ...headers, "content-length": body?.length ?? 0 } },
        (answer) => {
          answer.resume().on("end", () => {
            if (answer.statusCode === expected) resolve(answer.headers.location ?? "");
            else reject(new Error(`${method} ${url.pathname}: HTTP ${answer.statusCode}`));
          });
        },
      );
      sent.on("error", reject).end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
