import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import { type KubeadmConfig, parseKubeadmConfig } from "../kubernetes/config.ts";
import { type KubeadmList, listKubeadmImages } from "../kubernetes/list.ts";
import type { Resolution, ResolveContext } from "../lock/resolved.ts";
import type { KubernetesSpec } from "../lock/spec.ts";

/** @throws AirgapError `spec` when the file cannot be read or is not a kubeadm configuration */
export async function readKubeadmConfig(file: string): Promise<KubeadmConfig> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new AirgapError("spec", `Cannot read the kubeadm configuration ${file}`, { cause });
  }
  return parseKubeadmConfig(text, file);
}

/**
 * What a Kubernetes version needs: kubeadm's images, which a flat mirror may serve.
 * @returns the wants, and the list with the limits that come with the version
 */
export async function resolveKubernetes(
  spec: KubernetesSpec,
  context: Pick<ResolveContext, "baseDir" | "emit">,
): Promise<Resolution & { list: KubeadmList }> {
  const config =
    spec.config === undefined ? undefined : await readKubeadmConfig(resolve(context.baseDir, spec.config));
  const list = listKubeadmImages({ version: spec.version, ...(config ? { config } : {}) });
  for (const message of list.notes) context.emit({ type: "note", message });
  for (const message of list.warnings) context.emit({ type: "warning", message });
  const wantedBy = `kubernetes ${list.version}`;
  return {
    resolved: [],
    images: list.images.map((reference) => ({ reference, wantedBy, flat: true })),
    list,
  };
}
