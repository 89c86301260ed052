import { LineCounter, parseAllDocuments } from "yaml";
import { AirgapError } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import type { ImageMeta, ImageSettings } from "./images.ts";

const MAX_SIZE = 1024 * 1024;
const API = /^kubeadm\.k8s\.io\/(v1beta([1-4]))$/;

/** The image settings of a kubeadm configuration file. */
export interface KubeadmConfig {
  /** `v1beta1` … `v1beta4`; absent when the file has no ClusterConfiguration. */
  api?: string;
  kubernetesVersion?: string;
  settings: ImageSettings;
}

function invalid(file: string, why: string, suggestion?: string): AirgapError {
  return new AirgapError("spec", `${file}: ${why}`, suggestion ? { suggestions: [suggestion] } : {});
}

function documents(text: string, file: string): Record<string, unknown>[] {
  if (text.length > MAX_SIZE)
    throw invalid(file, `is larger than ${MAX_SIZE} bytes: too large for a kubeadm configuration`);
  const lines = new LineCounter();
  return parseAllDocuments(text, { lineCounter: lines }).flatMap((document) => {
    const [error] = document.errors;
    if (error) {
      const { line, col } = lines.linePos(error.pos[0]);
      throw new AirgapError("spec", `${file}:${line}:${col}: ${error.message.split("\n")[0]}`);
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return isRecord(value) ? [value] : [];
  });
}

/** Reads typed fields of one mapping; an empty string counts as absent, as in kubeadm's Go types. */
class Fields {
  readonly #file: string;
  readonly #path: string;
  readonly #values: Record<string, unknown>;

  constructor(file: string, path: string, values: unknown) {
    if (values !== undefined && values !== null && !isRecord(values))
      throw invalid(file, `${path} must be a mapping`);
    this.#file = file;
    this.#path = path;
    this.#values = isRecord(values) ? values : {};
  }

  in(key: string): Fields {
    return new Fields(this.#file, `${this.#path}.${key}`, this.#values[key]);
  }

  has(key: string): boolean {
    return this.#values[key] !== undefined && this.#values[key] !== null;
  }

  string(key: string): string | undefined {
    const value = this.#values[key];
    if (value === undefined || value === null || value === "") return undefined;
    if (typeof value !== "string")
      throw invalid(this.#file, `${this.#path}.${key} must be a string; put it in quotes`);
    return value;
  }

  boolean(key: string): boolean {
    const value = this.#values[key];
    if (value === undefined || value === null) return false;
    if (typeof value !== "boolean") throw invalid(this.#file, `${this.#path}.${key} must be true or false`);
    return value;
  }

  meta(): ImageMeta {
    const [imageRepository, imageTag] = [this.string("imageRepository"), this.string("imageTag")];
    return { ...(imageRepository ? { imageRepository } : {}), ...(imageTag ? { imageTag } : {}) };
  }
}

function etcdOf(etcd: Fields, file: string): NonNullable<ImageSettings["etcd"]> {
  if (!etcd.has("external")) return { local: etcd.in("local").meta() };
  if (etcd.has("local")) throw invalid(file, "etcd.local and etcd.external exclude each other");
  return { external: true };
}

/** `type` and useHyperKubeImage ended with v1beta2, the two `disabled` came with v1beta4. */
function settingsOf(cluster: Fields, beta: number, file: string): ImageSettings {
  const dns = cluster.in("dns");
  const type = beta <= 2 ? dns.string("type") : undefined;
  if (type !== undefined && type !== "CoreDNS" && type !== "kube-dns")
    throw invalid(file, `dns.type '${type}' is neither CoreDNS nor kube-dns`);
  const imageRepository = cluster.string("imageRepository");
  return {
    ...(imageRepository ? { imageRepository } : {}),
    dns: { ...dns.meta(), ...(type ? { type } : {}), disabled: beta >= 4 && dns.boolean("disabled") },
    etcd: etcdOf(cluster.in("etcd"), file),
    proxyDisabled: beta >= 4 && cluster.in("proxy").boolean("disabled"),
    useHyperKubeImage: beta <= 2 && cluster.boolean("useHyperKubeImage"),
  };
}

/**
 * Reads every field that changes images out of a kubeadm configuration, v1beta1 to v1beta4; other
 * kinds in the file (InitConfiguration, KubeletConfiguration, …) have none.
 * @param file for messages
 * @throws AirgapError `spec`
 */
export function parseKubeadmConfig(text: string, file: string): KubeadmConfig {
  const found = documents(text, file).filter((document) => document["kind"] === "ClusterConfiguration");
  const [cluster, second] = found;
  if (second) throw invalid(file, "has more than one ClusterConfiguration");
  if (cluster === undefined) return { settings: {} };
  const api = API.exec(String(cluster["apiVersion"]));
  if (api === null) {
    throw invalid(
      file,
      `apiVersion ${JSON.stringify(cluster["apiVersion"])} of ClusterConfiguration is not one of kubeadm.k8s.io/v1beta1 to v1beta4`,
      `kubeadm config migrate --old-config ${file} --new-config new.yaml`,
    );
  }
  const fields = new Fields(file, "ClusterConfiguration", cluster);
  const kubernetesVersion = fields.string("kubernetesVersion");
  return {
    api: String(api[1]),
    ...(kubernetesVersion ? { kubernetesVersion } : {}),
    settings: settingsOf(fields, Number(api[2]), file),
  };
}
