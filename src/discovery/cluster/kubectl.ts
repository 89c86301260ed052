import { AirgapError, messageOf } from "../../errors.ts";
import type { ProcessOptions, ProcessResult } from "../../host/process.ts";

export type Run = (command: string, args: string[], options: ProcessOptions) => Promise<ProcessResult>;

export interface KubectlOptions {
  run: Run;
  /** A context of the user's kubeconfig; its current one by default. */
  context?: string | undefined;
  /** Every namespace by default. */
  namespace?: string | undefined;
  signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 120_000;
/** Most bytes of one kind's objects: those of 20,000 pods. */
const MAX_OUTPUT = 256 * 1024 * 1024;

/** An object of the Kubernetes API, as kubectl prints it. Nothing of it is checked. */
export type ClusterObject = Record<string, unknown>;

/** Asks a cluster, whatever login the user's kubectl has for it. */
export class Kubectl {
  readonly #options: KubectlOptions;

  constructor(options: KubectlOptions) {
    this.#options = options;
  }

  /**
   * The kinds that can be listed: `pods`, `deployments.apps`, `certificates.cert-manager.io`.
   * @param warn called when an aggregated API does not answer, so that its kinds are missing
   * @throws AirgapError `environment` without kubectl, `refused` without an answer of the cluster
   */
  async kinds(warn: (message: string) => void): Promise<string[]> {
    const { namespace } = this.#options;
    const { code, stdout, stderr } = await this.#ask([
      "api-resources",
      "--verbs=list",
      "-o",
      "name",
      ...(namespace === undefined ? [] : ["--namespaced=true"]),
    ]);
    const kinds = stdout.split("\n").filter((line) => /^[a-z0-9]+(?:\.[a-z0-9.-]+)?$/.test(line));
    if (kinds.length === 0) throw this.#refused(stderr);
    if (code !== 0) warn(`kubectl could not list every kind: ${lastLine(stderr)}`);
    return kinds;
  }

  /** The objects of a kind. @throws AirgapError `refused`, `protocol` */
  async list(kind: string): Promise<ClusterObject[]> {
    const { namespace } = this.#options;
    const where = namespace === undefined ? ["--all-namespaces"] : ["--namespace", namespace];
    const { code, stdout, stderr } = await this.#ask(["get", kind, ...where, "-o", "json"]);
    if (code !== 0) throw this.#refused(stderr);
    try {
      const { items } = JSON.parse(stdout) as { items?: unknown };
      return (Array.isArray(items) ? items : []).filter(
        (item): item is ClusterObject => typeof item === "object" && item !== null,
      );
    } catch (error) {
      throw new AirgapError("protocol", `kubectl get ${kind} gave no JSON: ${messageOf(error)}`);
    }
  }

  async #ask(args: string[]): Promise<ProcessResult> {
    const { run, context, signal } = this.#options;
    const all = [...(context === undefined ? [] : ["--context", context]), "--request-timeout=60s", ...args];
    try {
      return await run("kubectl", all, {
        timeoutMs: TIMEOUT_MS,
        maxOutput: MAX_OUTPUT,
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      signal?.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code === "ENOENT")
        throw new AirgapError("environment", "kubectl is not on the PATH", {
          suggestions: [
            "on a machine that has it: kubectl get pods -A -o json > pods.json, and here: airgap images find pods.json",
          ],
        });
      throw new AirgapError("refused", messageOf(error), {
        suggestions: ["read the cluster in parts: --namespace NAME"],
      });
    }
  }

  #refused(stderr: string): AirgapError {
    return new AirgapError("refused", `kubectl: ${lastLine(stderr)}`, {
      suggestions: ["kubectl config get-contexts shows the contexts; --context NAME chooses one"],
    });
  }
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.trim() || "no answer";
