import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { parse } from "yaml";
import { apiAddress, type Cluster } from "../cluster/cluster.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";

/** Bytes; kubeadm's file has some 6 kB. */
const MAX_SIZE = 256 * 1024;

type Keyed = Record<string, unknown>;

class Unexpected extends Error {}

/** A mapping with these keys and no other. */
function mapping(value: unknown, where: string, required: string[], optional: string[] = []): Keyed {
  if (!isRecord(value)) throw new Unexpected(`${where} is not a mapping`);
  const extra = Object.keys(value).find((key) => !required.includes(key) && !optional.includes(key));
  if (extra !== undefined) throw new Unexpected(`${where} has ${JSON.stringify(extra)}`);
  const missing = required.find((key) => !Object.hasOwn(value, key));
  if (missing !== undefined) throw new Unexpected(`${where} has no ${missing}`);
  return value;
}

/** The only entry of a list of named entries. */
function only(list: unknown, where: string, key: string): { name: string; value: unknown } {
  if (!Array.isArray(list) || list.length !== 1)
    throw new Unexpected(`${where} does not have exactly one entry`);
  const { name, [key]: value } = mapping(list[0], where, ["name", key]);
  if (typeof name !== "string") throw new Unexpected(`${where}: its name is not a string`);
  return { name, value };
}

/** PEM in base64. */
function pem(value: unknown, where: string): string {
  if (typeof value !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(value))
    throw new Unexpected(`${where} is not base64`);
  return Buffer.from(value, "base64").toString("latin1");
}

function certificates(text: string, where: string): X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new Unexpected(`${where} is not a certificate`);
  try {
    return found.map((each) => new X509Certificate(each));
  } catch {
    throw new Unexpected(`${where} is not a certificate`);
  }
}

function privateKey(text: string, where: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    throw new Unexpected(`${where} is not a private key`);
  }
}

/** The origins at which this cluster's API server may answer. */
function endpoints({ kubeadm, ...cluster }: Cluster): string[] {
  const { address, port } = apiAddress({ kubeadm, ...cluster });
  const own = kubeadm.ClusterConfiguration?.["controlPlaneEndpoint"];
  const named = typeof own === "string" ? [/:\d+$/.test(own) ? own : `${own}:6443`] : [];
  return [`${address.includes(":") ? `[${address}]` : address}:${port}`, ...named].flatMap(
    (each) => originOf(`https://${each}`) ?? [],
  );
}

/** `https://10.0.0.12:6443`; undefined for a URL with more than an origin. */
function originOf(text: unknown): string | undefined {
  if (typeof text !== "string" || !URL.canParse(text)) return undefined;
  const { protocol, origin, href } = new URL(text);
  return protocol === "https:" && href === `${origin}/` ? origin : undefined;
}

function checkedServer(server: unknown, cluster: Cluster): string {
  const allowed = endpoints(cluster);
  const origin = originOf(server);
  if (origin !== undefined && allowed.includes(origin)) return origin;
  throw new Unexpected(`its server is ${JSON.stringify(server)}, the cluster's is ${allowed.join(" or ")}`);
}

function checkedCa(value: unknown, trusted: string): string {
  const where = "certificate-authority-data";
  const known = certificates(trusted, "the cluster's authority").map(({ fingerprint256 }) => fingerprint256);
  const found = certificates(pem(value, where), where);
  const foreign = found.find(({ fingerprint256 }) => !known.includes(fingerprint256));
  if (foreign !== undefined)
    throw new Unexpected(`${where}: ${foreign.fingerprint256} is not the cluster's authority`);
  return found.join("");
}

function rebuild(text: string, cluster: Cluster, trusted: string): string {
  if (text.length > MAX_SIZE) throw new Unexpected(`it is larger than ${MAX_SIZE} bytes`);
  const root = mapping(
    parse(text, { maxAliasCount: 0 }),
    "it",
    ["apiVersion", "kind", "clusters", "contexts", "current-context", "users"],
    ["preferences"],
  );
  if (root["apiVersion"] !== "v1" || root["kind"] !== "Config")
    throw new Unexpected("it is not a kubeconfig");
  mapping(root["preferences"] ?? {}, "preferences", []);
  const of = only(root["clusters"], "clusters", "cluster");
  const at = mapping(of.value, "cluster", ["server", "certificate-authority-data"]);
  const who = only(root["users"], "users", "user");
  const user = mapping(who.value, "user", ["client-certificate-data", "client-key-data"]);
  const context = only(root["contexts"], "contexts", "context");
  const both = mapping(context.value, "context", ["cluster", "user"]);
  if (root["current-context"] !== context.name || both["cluster"] !== of.name || both["user"] !== who.name)
    throw new Unexpected("its context is not made of its cluster and its user");
  const server = checkedServer(at["server"], cluster);
  const ca = checkedCa(at["certificate-authority-data"], trusted);
  const where = "client-certificate-data";
  const [client] = certificates(pem(user[where], where), where);
  const key = privateKey(pem(user["client-key-data"], "client-key-data"), "client-key-data");
  if (client?.checkPrivateKey(key) !== true)
    throw new Unexpected("client-key-data is not the key of its certificate");
  const base64 = (value: string): string => Buffer.from(value).toString("base64");
  return `apiVersion: v1
kind: Config
clusters:
  - name: kubernetes
    cluster:
      server: ${server}
      certificate-authority-data: ${base64(ca)}
users:
  - name: kubernetes-admin
    user:
      client-certificate-data: ${base64(client.toString())}
      client-key-data: ${base64(key.export({ type: "pkcs8", format: "pem" }).toString())}
contexts:
  - name: kubernetes-admin@kubernetes
    context:
      cluster: kubernetes
      user: kubernetes-admin
current-context: kubernetes-admin@kubernetes
`;
}

/**
 * A control plane's `admin.conf`, rebuilt from checked parts: kubectl runs programs that a kubeconfig
 * names (`exec:`), sends its requests through its `proxy-url`, and trusts its authorities.
 * https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
 * @param trusted PEM of the cluster's authority
 * @throws AirgapError `protocol` for anything that kubeadm does not write
 */
export function rebuildKubeconfig(text: string, host: string, cluster: Cluster, trusted: string): string {
  try {
    return rebuild(text, cluster, trusted);
  } catch (cause) {
    // A parser's message may show the line, with the key in it.
    const why = cause instanceof Unexpected ? messageOf(cause) : "it is not valid YAML";
    throw new AirgapError(
      "protocol",
      `${host}: /etc/kubernetes/admin.conf is not as kubeadm writes it, so it was not copied: ${why}`,
      {
        suggestions: [
          `check on ${host} who changed it: ls -l /etc/kubernetes/admin.conf`,
          "if the API server has another address, set `endpoint:`, or `kubeadm: { ClusterConfiguration: { controlPlaneEndpoint: … } }`",
        ],
      },
    );
  }
}
