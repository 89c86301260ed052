import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Exchange } from "./exchange.ts";
import { Answers, type Manners } from "./registry-answers.ts";
import { RegistryStore } from "./registry-store.ts";

/** Looks at a request before the registry does; true = it has been answered. */
export type Hook = (exchange: Exchange) => boolean | undefined | Promise<boolean | undefined>;

export interface Seen {
  label: string;
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Record<string, string>;
  status: number;
}

export interface TestRegistryOptions extends Manners {
  hooks?: Hook[];
  tls?: { key: string; cert: string };
  store?: RegistryStore;
  /** Default 127.0.0.1; other loopback addresses stand for other hosts. */
  address?: string;
}

/** A real registry on loopback that can be made to misbehave on the wire. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port` */
  host: string;
  url: string;
  store: RegistryStore;
  /** Every request with its answer's status, in the order of their arrival. */
  seen: Seen[];
  /** Asked first to last, before the registry itself. */
  hooks: Hook[];
  /** How many requests have this label, e.g. `PUT manifest`. */
  count(label: string): number;
  close(): Promise<void>;
}

export async function startRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const { tls, store = new RegistryStore(), address = "127.0.0.1", hooks = [], ...manners } = options;
  const answers = new Answers(store, manners);
  const seen: Seen[] = [];
  const server: Server = tls ? createTlsServer(tls) : createServer();
  server.on("request", async (request, response) => {
    const exchange = new Exchange(request, response);
    const { label, method, url } = exchange;
    const entry: Seen = {
      label,
      method,
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers as Record<string, string>,
      status: 0,
    };
    seen.push(entry);
    response.on("close", () => (entry.status = response.statusCode));
    response.on("error", () => {});
    try {
      for (const hook of hooks) if (await hook(exchange)) return;
      await answers.answer(exchange);
    } catch (error) {
      // A request that its client broke off is nobody's fault.
      if (exchange.dropped || (error as NodeJS.ErrnoException).code === "ECONNRESET") return;
      exchange.fail(500, "UNKNOWN", String(error));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const host = `${address}:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const count = (label: string): number => seen.filter((entry) => entry.label === label).length;
  return {
    host,
    url: `${tls ? "https" : "http"}://${host}`,
    store,
    seen,
    hooks,
    count,
    close,
    [Symbol.asyncDispose]: close,
  };
}
