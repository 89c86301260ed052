import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { request as tlsRequest } from "node:https";
import { join } from "node:path";
import type { AccessEntry } from "../../registry/app.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../registry/server.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { TestImage } from "./images.ts";
import { Scratch } from "./scratch.ts";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface CallOptions {
  headers?: Record<string, string>;
  body?: Buffer | string;
  ca?: string;
}

/** One HTTP request, exactly as it says. */
export function call(
  url: string,
  method: string,
  { headers = {}, body, ca }: CallOptions = {},
): Promise<Answer> {
  const send = url.startsWith("https:") ? tlsRequest : request;
  const length: Record<string, string> =
    body === undefined || headers["transfer-encoding"]
      ? {}
      : { "content-length": String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const req = send(
      url,
      { method, headers: { ...length, ...headers }, agent: false, ...(ca ? { ca } : {}) },
      (res) => {
        const chunks: Buffer[] = [];
        res.on("data", (chunk: Buffer) => chunks.push(chunk));
        res.on("end", () =>
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }),
        );
        res.on("error", reject);
      },
    );
    req.on("error", reject);
    req.end(body);
  });
}

/** Our own registry with a store in a folder of its own. */
export class Serving implements AsyncDisposable {
  readonly log: AccessEntry[] = [];
  readonly scratch = new Scratch();
  server!: RunningServer;

  /** @param options `store: ""` for a read-only server */
  static async start(options: ServerOptions = {}): Promise<Serving> {
    const serving = new Serving();
    await serving.open(options);
    return serving;
  }

  get storePath(): string {
    return join(this.scratch.dir, "store");
  }

  async open(options: ServerOptions = {}): Promise<void> {
    const { store = this.storePath, ...rest } = options;
    this.server = await startServer({
      listen: "127.0.0.1:0",
      ...(store === "" ? {} : { store }),
      log: (entry) => this.log.push(entry),
      ...rest,
    });
  }

  call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return call(new URL(path, this.server.url).href, method, options);
  }

  /** POST and PUT of a blob. */
  async pushBlob(repository: string, bytes: Buffer | string, digest = digestOf(bytes)): Promise<Answer> {
    const { headers } = await this.call("POST", `/v2/${repository}/blobs/uploads/`);
    return this.call("PUT", `${headers.location}?digest=${digest}`, { body: bytes });
  }

  pushManifest(
    repository: string,
    reference: string,
    bytes: Buffer | string,
    mediaType: string,
  ): Promise<Answer> {
    return this.call("PUT", `/v2/${repository}/manifests/${reference}`, {
      headers: { "content-type": mediaType },
      body: bytes,
    });
  }

  /** A whole image, blobs before manifests, the root last. */
  async pushImage(repository: string, image: TestImage, tag: string): Promise<Answer> {
    const manifests = new Map<string, string>();
    for (const [digest, bytes] of image.blobs) {
      const type = manifestTypeOf(bytes);
      if (type === undefined) await this.pushBlob(repository, bytes, digest);
      else manifests.set(digest, type);
    }
    for (const [digest, type] of manifests) {
      if (digest !== image.root.digest)
        await this.pushManifest(
          repository,
          digest,
          image.blobs.get(digest as Descriptor["digest"]) as Buffer,
          type,
        );
    }
    return this.pushManifest(
      repository,
      tag,
      image.blobs.get(image.root.digest) as Buffer,
      image.root.mediaType,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close(0);
    this.scratch[Symbol.dispose]();
  }
}

function manifestTypeOf(bytes: Buffer): string | undefined {
  if (bytes[0] !== 0x7b) return undefined;
  const { mediaType } = JSON.parse(bytes.toString("utf8")) as { mediaType?: string };
  return mediaType;
}

/** A client that keeps its connection. */
export const keepAlive = (): Agent => new Agent({ keepAlive: true, maxSockets: 1 });

export const errorCode = (answer: Answer): string | undefined => {
  const { errors } = JSON.parse(answer.body.toString("utf8")) as { errors?: { code: string }[] };
  return errors?.[0]?.code;
};
