import type { Headers, Trust } from "../../http.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Range } from "../types.ts";
import { type LaneHead, LaneSocket, StaleConnection } from "./lane-socket.ts";

const MAX_REDIRECTS = 5;

/** Where a blob's bytes are asked for, for those who read the connection themselves. */
export interface BlobRequest {
  url: URL;
  headers: Headers;
}

/** What the lane asks a repository for. `RegistrySource` is one. */
export interface LaneClient {
  blobRequest(descriptor: Descriptor, signal?: AbortSignal): Promise<BlobRequest>;
  refresh(used: BlobRequest, challenge: string | undefined, signal?: AbortSignal): Promise<boolean>;
  trust: Trust;
}

/** The answer is nothing for the fast lane; the ordinary client takes over, which knows all the cases. */
export class NotPlain extends Error {}

/** A redirect or a 401, read to its end. */
class Detour extends Error {
  readonly head: LaneHead;
  constructor(head: LaneHead) {
    super(`HTTP ${head.status}`);
    this.head = head;
  }
}

/**
 * The fast lane for blobs: connections of its own that read into reused buffers. It takes plain
 * answers (Content-Length, 200 or a right 206) and follows redirects and one refreshed token;
 * everything else it leaves to the ordinary client by `NotPlain`.
 */
export class Lane {
  readonly #idle = new Map<string, LaneSocket[]>();

  /** Hands over exactly the bytes of the range. A range that the server ignores is cut out of the whole. */
  async pour(client: LaneClient, descriptor: Descriptor, range: Range, sink: (chunk: Uint8Array) => void, signal?: AbortSignal): Promise<void> {
    const part = { offset: range.offset, length: range.length ?? descriptor.size - range.offset };
    for (let refreshed = false; ; refreshed = true) {
      const request = await client.blobRequest(descriptor, signal);
      try {
        await this.#follow(request, client.trust, descriptor, part, sink, signal);
        return;
      } catch (error) {
        if (!(error instanceof Detour)) throw error;
        const { status, headers } = error.head;
        if (status !== 401 || refreshed || !(await client.refresh(request, headers["www-authenticate"], signal))) throw new NotPlain(error.message);
      }
    }
  }

  close(): void {
    for (const sockets of this.#idle.values()) for (const socket of sockets) socket.destroy();
    this.#idle.clear();
  }

  async #follow(
    request: BlobRequest,
    trust: Trust,
    descriptor: Descriptor,
    part: Required<Range>,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    let { url } = request;
    let headers: Record<string, string> = { ...request.headers };
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      try {
        return await this.#exchange(url, trust, headers, descriptor, part, sink, signal);
      } catch (error) {
        const location = error instanceof Detour && error.head.status !== 401 ? error.head.headers["location"] : undefined;
        if (location === undefined) throw error;
        const next = new URL(location, url);
        if (next.protocol !== "https:" && next.protocol !== "http:") throw new NotPlain(`a redirect to ${next.protocol}`);
        // Credentials are for the host that they were given for.
        if (next.origin !== url.origin) headers = {};
        url = next;
      }
    }
    throw new NotPlain("too many redirects");
  }

  async #exchange(
    url: URL,
    trust: Trust,
    headers: Record<string, string>,
    descriptor: Descriptor,
    part: Required<Range>,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const whole = part.offset === 0 && part.length === descriptor.size;
    const asked = whole ? headers : { ...headers, range: `bytes=${part.offset}-${part.offset + part.length - 1}` };
    for (;;) {
      const socket = this.#take(url, trust);
      const answer = new Answer(descriptor, part, sink);
      try {
        await socket.get(
          url,
          asked,
          (head) => answer.begin(head),
          (chunk) => answer.take(chunk),
          signal,
        );
        this.#giveBack(url, trust, socket);
        answer.end();
        return;
      } catch (error) {
        if (!(error instanceof Detour)) socket.destroy();
        if (!(error instanceof StaleConnection)) throw error;
      }
    }
  }

  #take(url: URL, trust: Trust): LaneSocket {
    const idle = this.#idle.get(keyOf(url, trust)) ?? [];
    for (let socket = idle.pop(); socket; socket = idle.pop()) if (socket.reusable) return socket;
    return new LaneSocket(url, trust);
  }

  #giveBack(url: URL, trust: Trust, socket: LaneSocket): void {
    if (!socket.reusable) {
      socket.destroy();
      return;
    }
    socket.rest();
    const key = keyOf(url, trust);
    const idle = this.#idle.get(key);
    if (idle) idle.push(socket);
    else this.#idle.set(key, [socket]);
  }
}

const keyOf = (url: URL, trust: Trust): string => `${url.protocol}//${url.host} ${trust.insecure ?? false} ${trust.caFile ?? ""}`;

/** One answer on its way: which of its bytes are wanted. */
class Answer {
  readonly #descriptor: Descriptor;
  readonly #part: Required<Range>;
  readonly #sink: (chunk: Uint8Array) => void;
  /** Bytes to drop before the wanted ones: of a server that ignored the range. */
  #skip = 0;
  #wanted = 0;
  #detour: LaneHead | undefined;

  constructor(descriptor: Descriptor, part: Required<Range>, sink: (chunk: Uint8Array) => void) {
    this.#descriptor = descriptor;
    this.#part = part;
    this.#sink = sink;
  }

  begin(head: LaneHead): number {
    const length = Number(head.headers["content-length"] ?? Number.NaN);
    const plain =
      Number.isSafeInteger(length) && head.headers["transfer-encoding"] === undefined && /^(?:identity)?$/.test(head.headers["content-encoding"] ?? "");
    if (!plain) throw new NotPlain(`HTTP ${head.status} without a plain body`);
    if (head.status === 401 || [301, 302, 303, 307, 308].includes(head.status)) {
      this.#detour = head;
      return length;
    }
    const { offset, length: wanted } = this.#part;
    if (head.status === 200 && length === this.#descriptor.size) this.#skip = offset;
    else if (head.status !== 206 || !head.headers["content-range"]?.startsWith(`bytes ${offset}-${offset + wanted - 1}/`) || length !== wanted) {
      throw new NotPlain(`HTTP ${head.status}`);
    }
    this.#wanted = wanted;
    return length;
  }

  take(chunk: Uint8Array): void {
    if (this.#detour) return;
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    const part = chunk.subarray(skipped, skipped + this.#wanted);
    this.#wanted -= part.length;
    if (part.length > 0) this.#sink(part);
  }

  /** Detours are told once the connection is free again. */
  end(): void {
    if (this.#detour) throw new Detour(this.#detour);
  }
}
