import { AirgapError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import { isRecord } from "../oci/descriptor.ts";
import { withLibrary } from "../plan/script.ts";

export type Json = Record<string, unknown>;
/** The value at a path of an answer; undefined where there is none. */
export const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (inner, key) => (Array.isArray(inner) ? inner[key as number] : isRecord(inner) ? inner[key] : undefined),
    value,
  );
/** A text of an answer; empty when it is something else. */
export const text = (value: unknown): string => (typeof value === "string" ? value : "");
/** The objects of a list of an answer. */
export const list = (value: unknown, ...path: (string | number)[]): Json[] => {
  const found = at(value, ...path);
  return Array.isArray(found) ? found.filter(isRecord) : [];
};
export const items = (value: unknown): Json[] => list(value, "items");

/** Most bytes of an answer: the pods of 1,000 nodes are larger than what programs print otherwise. */
const MAX_OUTPUT = 256 * 1024 * 1024;

/** Asks a control plane for JSON by a call of `manifests/host/lib`. @throws AirgapError `refused`, `protocol`, `network` */
export async function askJson(host: Host, command: string, signal?: AbortSignal): Promise<unknown> {
  const { code, stdout, stderr } = await host.run(withLibrary(command), {
    timeoutMs: 60_000,
    maxOutput: MAX_OUTPUT,
    ...(signal ? { signal } : {}),
  });
  if (code !== 0) {
    throw new AirgapError(
      "refused",
      `${host.name}: the cluster does not answer: ${stderr.trim() || `kubectl ended with ${code}`}`,
      {
        suggestions: [
          "if it was never installed: airgap install CLUSTER --bundle BUNDLE",
          `on ${host.name}: journalctl -u kubelet -n 50`,
        ],
      },
    );
  }
  try {
    return JSON.parse(stdout) as unknown;
  } catch (cause) {
    throw new AirgapError("protocol", `${host.name}: the output of kubectl is not JSON`, { cause });
  }
}
