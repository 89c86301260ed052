import type { Cluster, EtcdSettings } from "../../cluster/cluster.ts";
import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";
import { Http } from "../../http.ts";
import { isRecord } from "../../oci/descriptor.ts";
import type { GivenEtcd } from "./found.ts";
import { registryPrefix } from "./topology.ts";

export type GivenSettings = Extract<EtcdSettings, { mode: "given" }>;

const LIMIT = 1 << 20;

const clientOf = ({ endpoints, caFile, certFile, keyFile }: GivenSettings): Http =>
  new Http({
    caFile,
    clientCert: certFile,
    clientKey: keyFile,
    clientOrigins: endpoints.map((url) => new URL(url).origin),
    retries: 0,
  });

/** The first key that is not below a prefix any more: etcd's `range_end`. */
function endOf(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

const rangeOf = (cluster: Cluster): { key: string; range_end: string } => {
  const prefix = registryPrefix(cluster);
  return { key: Buffer.from(prefix).toString("base64"), range_end: endOf(prefix).toString("base64") };
};

/** etcd's gRPC gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/ */
async function post(
  http: Http,
  url: string,
  path: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<unknown> {
  const answer = await http.request(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  if (answer.status === 200) return answer.json(LIMIT);
  const said = (await answer.bytes(LIMIT)).toString("utf8").slice(0, 300);
  throw new AirgapError("refused", `${url}: etcd answers ${answer.status}: ${said}`);
}

async function get(http: Http, url: string, path: string, signal?: AbortSignal): Promise<unknown> {
  const answer = await http.request(`${url}${path}`, signal ? { signal } : {});
  return answer.json(LIMIT);
}

async function look(http: Http, url: string, signal?: AbortSignal): Promise<GivenEtcd["endpoints"][number]> {
  try {
    const version = await get(http, url, "/version", signal);
    const health = await get(http, url, "/health", signal);
    const healthy = isRecord(health) && String(health["health"]) === "true";
    const reason = isRecord(health) ? String(health["reason"] ?? "") : "";
    return {
      url,
      healthy,
      ...(isRecord(version) && typeof version["etcdserver"] === "string"
        ? { version: version["etcdserver"] }
        : {}),
      ...(healthy ? {} : { problem: reason || "it says that it is not healthy" }),
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (!isAirgapError(error)) throw error;
    return { url, healthy: false, problem: messageOf(error) };
  }
}

/** Counts, from 64 bits that JSON carries as text. */
const count = (answer: unknown, key: string): number =>
  isRecord(answer) && /^\d+$/.test(String(answer[key] ?? "0")) ? Number(answer[key] ?? 0) : 0;

/** Version and health of every endpoint, and how many keys of API servers are there. */
export async function askGiven(
  cluster: Cluster,
  settings: GivenSettings,
  signal: AbortSignal | undefined,
): Promise<GivenEtcd> {
  const http = clientOf(settings);
  const endpoints = await Promise.all(settings.endpoints.map((url) => look(http, url, signal)));
  const answering = endpoints.find(({ healthy }) => healthy);
  if (answering === undefined) return { endpoints };
  const range = { ...rangeOf(cluster), count_only: true };
  try {
    return {
      endpoints,
      keys: count(await post(http, answering.url, "/v3/kv/range", range, signal), "count"),
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (!isAirgapError(error)) throw error;
    const problem = `its keys cannot be counted: ${messageOf(error)}`;
    return {
      endpoints: endpoints.map((each) => (each === answering ? { ...each, healthy: false, problem } : each)),
    };
  }
}

/**
 * Deletes every key of the cluster's API servers from somebody else's etcd.
 * @returns how many there were
 * @throws AirgapError `network`, `refused` when no endpoint did it
 */
export async function emptyGiven(
  cluster: Cluster,
  settings: GivenSettings,
  signal: AbortSignal | undefined,
): Promise<number> {
  const http = clientOf(settings);
  let last: unknown;
  for (const url of settings.endpoints) {
    try {
      return count(await post(http, url, "/v3/kv/deleterange", rangeOf(cluster), signal), "deleted");
    } catch (error) {
      signal?.throwIfAborted();
      if (!isAirgapError(error)) throw error;
      last = error;
    }
  }
  throw last;
}
