import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";
import { type Http, isCertificateProblem, type Trust } from "../../http.ts";

/** Where Docker's hub keeps its API. */
const API_HOST: Record<string, string> = { "docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io" };

export const apiHost = (host: string): string => API_HOST[host] ?? host;

/** Whether a host (`localhost:5000`, `127.0.0.1`, `[::1]:80`) is this machine, where plain http is usual. */
export function isLoopback(host: string): boolean {
  const name = new URL(`http://${host}`).hostname;
  return name === "localhost" || name.endsWith(".localhost") || name === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(name);
}

async function answers(http: Http, base: URL, signal?: AbortSignal): Promise<void> {
  const response = await http.request(new URL("/v2/", base), { retries: 0, redirect: "manual", ...(signal ? { signal } : {}) });
  await response.discard();
}

/**
 * The address of a registry's API. Elsewhere than on this machine it is https, unless `insecure`
 * allows http too; then one question decides which of both is spoken.
 */
export async function findEndpoint(host: string, trust: Trust, http: Http, signal?: AbortSignal): Promise<URL> {
  const api = apiHost(host);
  const secure = new URL(`https://${api}`);
  if (!isLoopback(host) && trust.insecure !== true) return secure;
  try {
    await answers(http, secure, signal);
    return secure;
  } catch (error) {
    signal?.throwIfAborted();
    if (!isAirgapError(error, "network") || isCertificateProblem(error)) return secure;
    const plain = new URL(`http://${api}`);
    await answers(http, plain, signal).catch((second: unknown) => {
      throw new AirgapError("network", `${host} answers neither https nor http: ${messageOf(error)}; ${messageOf(second)}`, { cause: second });
    });
    return plain;
  }
}
