import { AirgapError } from "../../errors.ts";
import { type Emit, silent } from "../../events.ts";
import { Http, type Trust, trustKey } from "../../http.ts";
import type { Credentials } from "../credential.ts";
import type { RunHelper } from "../credential-helpers.ts";
import { anonymous, storedCredentials } from "../credentials.ts";
import { hostTrust } from "./certs-d.ts";
import { RegistryClient } from "./client.ts";
import { RegistryDestination, type RegistryDestinationOptions } from "./destination.ts";
import type { LimitOptions } from "./limits.ts";
import { RegistrySource, type RegistrySourceOptions } from "./source.ts";

export interface RegistriesOptions {
  /** How a host is believed; by default with the machine's authorities. */
  trust?: (host: string) => Trust;
  /** Clients by trust, shared with others; by default own ones, which `close` ends. */
  http?: (trust: Trust) => Http;
  credentials?: Credentials;
  limits?: LimitOptions;
  retries?: number;
  emit?: Emit;
}

/** All registries of one run: one client a host, so that connections, tokens and limits are shared. */
export class Registries {
  readonly #options: RegistriesOptions;
  readonly #clients = new Map<string, RegistryClient>();
  readonly #own = new Map<string, Http>();
  #closed = false;

  constructor(options: RegistriesOptions = {}) {
    this.#options = options;
  }

  /** With the logins and the certificates that Docker and podman keep. @param run runs credential helpers */
  static forUser(run: RunHelper, options: Omit<RegistriesOptions, "credentials"> = {}): Registries {
    return new Registries({
      ...options,
      trust: (host) => ({ ...hostTrust(host), ...options.trust?.(host) }),
      credentials: storedCredentials(run),
    });
  }

  /** @throws AirgapError `interrupted` after `close` */
  client(host: string): RegistryClient {
    if (this.#closed) throw new AirgapError("interrupted", "The run has ended");
    const known = this.#clients.get(host);
    if (known) return known;
    const { credentials = anonymous, limits, retries } = this.#options;
    const trust = this.#options.trust?.(host) ?? {};
    const http = this.#options.http?.(trust) ?? this.#ownHttp(trust);
    const client = new RegistryClient({
      host,
      http,
      trust,
      credentials,
      ...(limits ? { limits } : {}),
      ...(retries === undefined ? {} : { retries }),
    });
    this.#clients.set(host, client);
    return client;
  }

  source(host: string, repository: string, options: RegistrySourceOptions = {}): RegistrySource {
    return new RegistrySource(this.client(host), repository, options);
  }

  destination(
    host: string,
    repository: string,
    options: RegistryDestinationOptions = {},
  ): RegistryDestination {
    return new RegistryDestination(this.client(host), repository, {
      ...(this.#options.emit ? { emit: this.#options.emit } : {}),
      ...options,
    });
  }

  /** Ends the connections that were opened here. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const client of this.#clients.values()) client.close();
    await Promise.all([...this.#own.values()].map((http) => http.close()));
    this.#own.clear();
    this.#clients.clear();
  }

  #ownHttp(trust: Trust): Http {
    const key = trustKey(trust);
    const http =
      this.#own.get(key) ??
      new Http({ ...trust, ...connectionsFor(this.#options.limits), emit: this.#options.emit ?? silent });
    this.#own.set(key, http);
    return http;
  }
}

/** A connection for each request that a host may get at once. */
function connectionsFor(limits: LimitOptions | undefined): { connections?: number } {
  return limits?.max === undefined ? {} : { connections: limits.max };
}

/** One repository, where nothing else is asked of its registry. For several, make one `Registries`. */
export function openRegistrySource(
  options: RegistriesOptions & RegistrySourceOptions & { host: string; repository: string },
): RegistrySource {
  const { host, repository, foreignLayers = false, ...rest } = options;
  return new Registries(rest).source(host, repository, { foreignLayers });
}
