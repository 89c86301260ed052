import { AirgapError } from "../../errors.ts";
import { type Headers, type Trust, trustKey } from "../../http.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { headersFor, isSameOrigin } from "../../origin.ts";
import { backoffMs } from "../../retry.ts";
import type { TlsTrust } from "../../tls.ts";
import type { Range } from "../types.ts";
import { type LaneHead, LaneSocket, StaleConnection } from "./lane-socket.ts";
import { HostLimit, type LimitOptions, type RequestOutcome } from "./limits.ts";

const MAX_REDIRECTS = 5;
/** Blobs at a time: small ones need many connections to hide latency, large ones where each connection is capped. */
const LIMITS: LimitOptions = { start: 16, max: 64 };

/** The request for a blob's bytes, for callers that read the connection themselves. */
export interface BlobRequest {
  url: URL;
  headers: Headers;
}

/** What the lane needs from a repository. `RegistrySource` implements it. */
export interface LaneClient {
  blobRequest(descriptor: Descriptor, signal?: AbortSignal): Promise<BlobRequest>;
  refresh(used: BlobRequest, challenge: string | undefined, signal?: AbortSignal): Promise<boolean>;
  trust: Trust;
  tls: TlsTrust;
}

/** The fast lane cannot handle the answer; the ordinary client, which handles every case, takes over. */
export class NotPlain extends Error {
  readonly head: LaneHead | undefined;
  constructor(message: string, head?: LaneHead) {
    super(message);
    this.head = head;
  }
}

/** A redirect or a 401, read to its end. */
class Detour extends Error {
  readonly head: LaneHead;
  /** The URL that answered. */
  readonly url: URL;
  constructor(head: LaneHead, url: URL) {
    super(`HTTP ${head.status}`);
    this.head = head;
    this.url = url;
  }
}

/** The bytes of a blob that a caller waits for. */
interface Order {
  client: LaneClient;
  descriptor: Descriptor;
  part: Required<Range>;
  sink(chunk: Uint8Array): void;
  signal: AbortSignal | undefined;
  /** Told how long the head of a good answer took. Milliseconds. */
  answers(headMs: number): void;
  /** The time to the answer's head, on a connection that was open already. */
  latencyMs?: number;
}

/**
 * The fast lane for blobs: connections of its own that read into reused buffers. It takes plain
 * answers (Content-Length, 200 or a right 206) and follows redirects and one refreshed token;
 * it leaves everything else to the ordinary client by `NotPlain`.
 */
export class Lane {
  readonly #idle = new Map<string, LaneSocket[]>();
  readonly #open = new Set<LaneSocket>();
  #closed = false;
  readonly #limit: HostLimit;

  constructor(limits: LimitOptions = LIMITS) {
    this.#limit = new HostLimit(limits);
  }

  /** Hands over exactly the bytes of the range. A range that the server ignores is cut out of the whole. */
  async writeTo(
    client: LaneClient,
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const part = { offset: range.offset, length: range.length ?? descriptor.size - range.offset };
    const failure = await this.#limit.run(async (answers) => {
      const order: Order = { client, descriptor, part, sink, signal, answers };
      const error = await this.#authorized(order).then(
        () => undefined,
        (reason: Error) => reason,
      );
      return { value: error, outcome: outcomeOf(order, error) };
    }, signal);
    const refused = refusal(failure);
    if (refused) this.#limit.pause(backoffMs(1, refused.headers["retry-after"]));
    if (failure) throw failure;
  }

  /** Ends all connections, also those in use. */
  close(): void {
    this.#closed = true;
    for (const socket of this.#open) socket.destroy();
    this.#open.clear();
    this.#idle.clear();
  }

  async #authorized(order: Order): Promise<void> {
    const { client, descriptor, signal } = order;
    for (let refreshed = false; ; refreshed = true) {
      const request = await client.blobRequest(descriptor, signal);
      try {
        return await this.#follow(order, request);
      } catch (error) {
        if (!(error instanceof Detour)) throw error;
        const { status, headers } = error.head;
        if (
          status !== 401 ||
          refreshed ||
          !isSameOrigin(request.url, error.url) ||
          !(await client.refresh(request, headers["www-authenticate"], signal))
        )
          throw new NotPlain(error.message);
      }
    }
  }

  async #follow(order: Order, request: BlobRequest): Promise<void> {
    let { url } = request;
    let headers: Record<string, string> = { ...request.headers };
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      try {
        return await this.#exchange(order, url, headers);
      } catch (error) {
        const location =
          error instanceof Detour && error.head.status !== 401 ? error.head.headers["location"] : undefined;
        if (location === undefined) throw error;
        const next = URL.parse(location, url);
        if (next === null || !/^https?:$/.test(next.protocol))
          throw new NotPlain("a redirect to an address that is not http(s)");
        headers = headersFor(next, url, headers);
        url = next;
      }
    }
    throw new NotPlain("too many redirects");
  }

  async #exchange(order: Order, url: URL, headers: Record<string, string>): Promise<void> {
    const { part, descriptor, client, signal } = order;
    const whole = part.offset === 0 && part.length === descriptor.size;
    const asked = whole
      ? headers
      : { ...headers, range: `bytes=${part.offset}-${part.offset + part.length - 1}` };
    for (;;) {
      const { socket, used } = this.#take(url, client);
      const answer = new Answer(order, url);
      const startedAt = performance.now();
      const begin = (head: LaneHead): number => {
        const headMs = performance.now() - startedAt;
        if (used) order.latencyMs = headMs;
        const length = answer.begin(head);
        if (head.status < 300) order.answers(headMs);
        return length;
      };
      try {
        await socket.get(url, asked, begin, (chunk) => answer.take(chunk), signal);
        this.#giveBack(url, client.trust, socket);
        return answer.end();
      } catch (error) {
        if (!(error instanceof Detour)) socket.destroy();
        if (!(error instanceof StaleConnection)) throw error;
      }
    }
  }

  #take(url: URL, { trust, tls }: LaneClient): { socket: LaneSocket; used: boolean } {
    const idle = this.#idle.get(keyOf(url, trust)) ?? [];
    for (let socket = idle.pop(); socket; socket = idle.pop())
      if (socket.reusable) return { socket, used: true };
    if (this.#closed) throw new AirgapError("interrupted", "The connections were closed");
    const socket = new LaneSocket(url, tls, () => this.#open.delete(socket));
    this.#open.add(socket);
    return { socket, used: false };
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

const keyOf = (url: URL, trust: Trust): string => `${url.origin} ${trustKey(trust)}`;

/** A "not now", with how long to wait. */
function refusal(error: Error | undefined): LaneHead | undefined {
  const head = error instanceof NotPlain ? error.head : undefined;
  return head?.status === 429 || head?.status === 503 ? head : undefined;
}

/** A "not now" or a broken connection is too much for the host; a strange answer, or that we gave up, is not. */
function outcomeOf({ latencyMs, signal }: Order, error: Error | undefined): RequestOutcome {
  const broke =
    error !== undefined &&
    !(error instanceof NotPlain) &&
    !(error instanceof AirgapError) &&
    signal?.aborted !== true;
  const overloaded = broke || refusal(error) !== undefined;
  return latencyMs === undefined ? { overloaded } : { overloaded, latencyMs };
}

/** An answer that is being read, and which of its bytes are wanted. */
class Answer {
  readonly #order: Order;
  readonly #url: URL;
  /** Bytes to drop before the wanted ones, when the server ignored the range. */
  #skip = 0;
  #wanted = 0;
  #detour: LaneHead | undefined;

  constructor(order: Order, url: URL) {
    this.#order = order;
    this.#url = url;
  }

  begin(head: LaneHead): number {
    const { descriptor, part } = this.#order;
    const length = Number(head.headers["content-length"] ?? Number.NaN);
    const plain =
      Number.isSafeInteger(length) &&
      head.headers["transfer-encoding"] === undefined &&
      /^(?:identity)?$/.test(head.headers["content-encoding"] ?? "");
    if (!plain) throw new NotPlain(`HTTP ${head.status} without a plain body`, head);
    if (head.status === 401 || [301, 302, 303, 307, 308].includes(head.status)) {
      this.#detour = head;
      return length;
    }
    const { offset, length: wanted } = part;
    if (head.status === 200 && length === descriptor.size) this.#skip = offset;
    else if (
      head.status !== 206 ||
      !head.headers["content-range"]?.startsWith(`bytes ${offset}-${offset + wanted - 1}/`) ||
      length !== wanted
    ) {
      throw new NotPlain(`HTTP ${head.status}`, head);
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
    if (part.length > 0) this.#order.sink(part);
  }

  /** Redirects and 401s are reported when the connection is free again. */
  end(): void {
    if (this.#detour) throw new Detour(this.#detour, this.#url);
  }
}
