import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  createSecureContext,
  getCACertificates,
  rootCertificates,
  type SecureContext,
  type SecureContextOptions,
} from "node:tls";
import { AirgapError } from "./errors.ts";
import { certificateProblem } from "./retry.ts";

/** How a host is reached and believed. */
export interface Trust {
  /** PEM file with further certificate authorities. */
  caFile?: string;
  /** More of them, which the machine keeps for this host. */
  hostCaFiles?: string[];
  /** No certificate check. */
  insecure?: boolean;
  /** PEM files of a client certificate, as RHEL's CDN wants one. */
  clientCert?: string;
  clientKey?: string;
  /** Origins that see the client certificate. Default: that of each request's first URL. */
  clientOrigins?: string[];
}

/** Clients that trust alike have the same key. */
export const trustKey = (trust: Trust): string =>
  JSON.stringify([
    trust.caFile,
    trust.hostCaFiles,
    trust.insecure,
    trust.clientCert,
    trust.clientKey,
    trust.clientCert === undefined ? undefined : trust.clientOrigins,
  ]);

/** Reads a PEM file that the user named. @throws AirgapError `usage` */
export function readPem(file: string, what: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new AirgapError("usage", `${what} ${file} cannot be read`, { cause });
  }
}

/** The certificates of a PEM file. Node takes a file without any and says nothing. @throws AirgapError `usage` */
export function readAuthorities(file: string): string[] {
  const text = readPem(file, "the CA file");
  const blocks =
    text.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END [A-Z0-9 ]+-----/g) ?? [];
  const hint = { suggestions: [`look at it: openssl x509 -in ${file} -noout -subject`] };
  if (blocks.length === 0)
    throw new AirgapError("usage", `the CA file ${file} has no certificate in PEM form`, hint);
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw new AirgapError("usage", `the CA file ${file} has a certificate that cannot be read`, {
        cause,
        ...hint,
      });
    }
  }
  return blocks;
}

/** Problems that a further authority may solve. */
const UNKNOWN_AUTHORITY = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_SELF_SIGNED_CERT$)/;

/**
 * Which certificates are believed. Node's own list first, or the authorities that the user or the
 * machine names for the host; after a certificate that these do not know, all of them together with
 * the machine's store, which takes some 0.2 s to load.
 */
export class TlsTrust {
  readonly #authorities: string[];
  readonly #client: { cert?: string; key?: string };
  readonly #insecure: boolean;
  #store: string[] | undefined;
  readonly #contexts = new Map<boolean, SecureContext>();

  /** @throws AirgapError `usage` for a file that cannot be read or has no certificate */
  constructor(trust: Trust) {
    const files = [...(trust.caFile ? [trust.caFile] : []), ...(trust.hostCaFiles ?? [])];
    this.#authorities = files.flatMap(readAuthorities);
    this.#insecure = trust.insecure === true;
    this.#client = {
      ...(trust.clientCert ? { cert: readPem(trust.clientCert, "the client certificate") } : {}),
      ...(trust.clientKey ? { key: readPem(trust.clientKey, "the client key") } : {}),
    };
  }

  get hasClientCertificate(): boolean {
    return this.#client.cert !== undefined;
  }

  /** What a connection takes. @param identified shows the client certificate */
  options(identified = false): { secureContext: SecureContext; rejectUnauthorized: boolean } {
    const withClient = identified && this.hasClientCertificate;
    const context = this.#contexts.get(withClient) ?? createSecureContext(this.#material(withClient));
    this.#contexts.set(withClient, context);
    return { secureContext: context, rejectUnauthorized: !this.#insecure };
  }

  /** How many times more was believed: connections of an older count believe less. */
  get version(): number {
    return this.#store === undefined ? 0 : 1;
  }

  /**
   * After a connection that failed: whether the next one believes more.
   * @param version what that connection was made with
   */
  widen(error: unknown, version: number): boolean {
    if (!UNKNOWN_AUTHORITY.test(certificateProblem(error) ?? "")) return false;
    if (this.#store !== undefined) return version < this.version;
    this.#store = [...new Set([...rootCertificates, ...machineStore()])];
    this.#contexts.clear();
    return true;
  }

  #material(withClient: boolean): SecureContextOptions {
    const ca = [...this.#authorities, ...(this.#store ?? [])];
    return { ...(ca.length > 0 ? { ca } : {}), ...(withClient ? this.#client : {}) };
  }
}

/** The machine's own authorities, with those of `SSL_CERT_FILE`, `SSL_CERT_DIR` and `NODE_EXTRA_CA_CERTS`. */
function machineStore(): string[] {
  return (["system", "extra"] as const).flatMap((kind) => {
    try {
      return getCACertificates(kind);
    } catch {
      return [];
    }
  });
}
