/**
 * A slow line as a process of its own: a reverse proxy that holds each request back and caps what
 * each connection moves. Started by `rig.ts` with fork(); told by messages.
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Readable, Writable } from "node:stream";

export interface ProxyOptions {
  /** `127.0.0.1:5000` */
  upstream: string;
  /** Each request waits this long. Milliseconds. */
  delayMs: number;
  /** Of each connection, in both directions together. Bytes a second. */
  rate: number;
}

/** What went over the wire between clients and the proxy, heads included. */
export interface Counted {
  requests: number;
  bytes: number;
  connections: number;
}

/** Bytes beyond the rate that may go at once. */
const BURST = 64 * 1024;

/** How far a connection is ahead of its rate. */
class Meter {
  readonly #rate: number;
  #paidUntil = 0;

  constructor(rate: number) {
    this.#rate = rate;
  }

  /** Counts bytes that were moved; milliseconds to wait before the next. */
  owed(bytes: number): number {
    const now = performance.now();
    this.#paidUntil =
      Math.max(this.#paidUntil, now - (BURST / this.#rate) * 1000) + (bytes / this.#rate) * 1000;
    return this.#paidUntil - now;
  }
}

function pipe(from: Readable, to: Writable, meter: Meter): void {
  let held = 0;
  const resume = (): void => {
    if (--held === 0) from.resume();
  };
  from.on("data", (chunk: Buffer) => {
    const waitMs = meter.owed(chunk.length);
    if (waitMs > 1) {
      held++;
      from.pause();
      setTimeout(resume, waitMs);
    }
    if (to.write(chunk)) return;
    held++;
    from.pause();
    to.once("drain", resume);
  });
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
}

function serve({ upstream, delayMs, rate }: ProxyOptions): void {
  const agent = new Agent({ keepAlive: true });
  const meters = new WeakMap<Socket, Meter>();
  const open = new Set<Socket>();
  const past: Counted = { requests: 0, bytes: 0, connections: 0 };
  let zero = 0;
  const total = (): number =>
    [...open].reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, past.bytes);

  const forward = (req: IncomingMessage, res: ServerResponse): void => {
    const meter = meters.get(req.socket) ?? new Meter(rate);
    const [host, port] = upstream.split(":");
    const asked = request(
      {
        host,
        port,
        agent,
        method: req.method,
        path: req.url,
        headers: req.rawHeaders as unknown as string[],
      },
      (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        pipe(answer, res, meter);
      },
    );
    asked.on("error", () => res.destroy());
    // Who goes away early, as clients do that have a blob already, wants no more bytes.
    res.on("close", () => res.writableFinished || asked.destroy());
    pipe(req, asked, meter);
  };
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    past.requests++;
    setTimeout(forward, delayMs, req, res);
  });
  server.on("connection", (socket) => {
    past.connections++;
    open.add(socket);
    meters.set(socket, new Meter(rate));
    socket.setNoDelay(true);
    socket.on("close", () => {
      open.delete(socket);
      past.bytes += socket.bytesRead + socket.bytesWritten;
    });
  });
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.on("message", (message) => {
    if (message === "count") process.send?.({ ...past, bytes: total() - zero });
    if (message !== "reset") return;
    past.requests = past.connections = 0;
    zero = total();
    process.send?.({});
  });
  process.on("disconnect", () => process.exit());
}

serve(JSON.parse(process.argv[2] ?? "{}") as ProxyOptions);
