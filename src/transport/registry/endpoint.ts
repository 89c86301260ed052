import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";
import type { Http, Trust } from "../../http.ts";
import { isCertificateProblem } from "../../retry.ts";

/** The host of Docker Hub's API. */
const API_HOST: Record<string, string> = {
  "docker.io": "registry-1.docker.io",
  "index.docker.io": "registry-1.docker.io",
};

export const apiHost = (host: string): string => API_HOST[host] ?? host;

/** Whether a host (`localhost:5000`, `127.0.0.1`, `[::1]:80`) is this machine, where plain http is usual. */
export function isLoopback(host: string): boolean {
  const name = new URL(`http://${host}`).hostname;
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    name === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(name)
  );
}

/** A registry's address, and its answer to the first request. */
export interface Endpoint {
  base: URL;
  /** `WWW-Authenticate` of the answer to `GET /v2/`, when that was a 401. */
  challenge?: string;
}

async function greet(http: Http, base: URL, retries: number, signal?: AbortSignal): Promise<Endpoint> {
  const response = await http.request(new URL("/v2/", base), {
    retries,
    redirect: "manual",
    ...(signal ? { signal } : {}),
  });
  await response.discard();
  const challenge = response.status === 401 ? response.headers["www-authenticate"] : undefined;
  return challenge === undefined ? { base } : { base, challenge };
}

/**
 * Finds a registry's API with one `GET /v2/`, which also tells how it wants requests to be authorised. Then
 * the first requests are not all refused. Except on this machine, the
 * API is https, unless `insecure` allows http too.
 * @throws AirgapError `network` when the host does not answer
 */
export async function findEndpoint(
  host: string,
  trust: Trust,
  http: Http,
  signal?: AbortSignal,
): Promise<Endpoint> {
  const api = apiHost(host);
  const secure = new URL(`https://${api}`);
  if (!isLoopback(host) && trust.insecure !== true) return await greet(http, secure, 1, signal);
  try {
    return await greet(http, secure, 0, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!isAirgapError(error, "network") || isCertificateProblem(error)) throw error;
    const plain = new URL(`http://${api}`);
    return await greet(http, plain, 1, signal).catch((second: unknown) => {
      throw new AirgapError(
        "network",
        `${host} does not answer on https or http: ${messageOf(error)}; ${messageOf(second)}`,
        { cause: second },
      );
    });
  }
}
