import { type RunningServer, startServer } from "../../../registry/server.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { AirgapError, messageOf } from "../../errors.ts";
import { run } from "../../host/process.ts";
import type { FoundPackage } from "../../inside/package.ts";
import type { Digest } from "../../oci/digest.ts";
import { hostComponent, parseReference } from "../../oci/reference.ts";
import { bundleLibrary } from "./library.ts";

const TIMEOUT_MS = 600_000;
const MAX_OUTPUT = 256 << 20;
/** Packages of operating systems come from their databases. */
const SYSTEM = /^pkg:(?:apk|deb|rpm|oci|docker)\//;

/**
 * Has syft look into images of a bundle, which it pulls from a server on loopback: nothing is unpacked for it.
 * https://github.com/anchore/syft
 */
export class Syft {
  readonly version: string;
  readonly #server: RunningServer;

  private constructor(version: string, server: RunningServer) {
    this.version = version;
    this.#server = server;
  }

  /** Undefined where there is no syft on the PATH. */
  static async find(bundle: BundleReader): Promise<Syft | undefined> {
    const said = await run("syft", ["version", "--output", "json"], { timeoutMs: 20_000 }).catch(
      () => undefined,
    );
    if (said?.code !== 0) return undefined;
    const version = /"version":\s*"([\w.+-]{1,64})"/.exec(said.stdout)?.[1] ?? "unknown";
    const server = await startServer({ listen: "127.0.0.1:0", libraries: [bundleLibrary([bundle])] });
    return new Syft(version, server);
  }

  /**
   * What syft finds in one image manifest besides packages of the system.
   * @throws AirgapError `environment` when it fails
   */
  async scan(image: string, manifest: Digest, signal?: AbortSignal): Promise<FoundPackage[]> {
    const { host, repository } = parseReference(image);
    const place = `registry:${this.#server.host}/${hostComponent(host)}/${repository}@${manifest}`;
    const { code, stdout, stderr } = await run(
      "syft",
      ["scan", place, "--output", "cyclonedx-json", "--quiet"],
      {
        timeoutMs: TIMEOUT_MS,
        maxOutput: MAX_OUTPUT,
        env: { ...process.env, SYFT_REGISTRY_INSECURE_USE_HTTP: "true", SYFT_CHECK_FOR_APP_UPDATE: "false" },
        ...(signal ? { signal } : {}),
      },
    );
    if (code !== 0)
      throw new AirgapError("environment", `syft could not look into ${image}: ${stderr.trim().slice(-500)}`);
    return parseFound(stdout);
  }

  async close(): Promise<void> {
    await this.#server.close(0);
  }
}

/** @throws AirgapError `environment` */
export function parseFound(output: string): FoundPackage[] {
  let components: unknown;
  try {
    components = (JSON.parse(output) as { components?: unknown } | null)?.components ?? [];
  } catch (cause) {
    throw new AirgapError("environment", `syft did not print CycloneDX: ${messageOf(cause)}`, { cause });
  }
  const found = new Map<string, FoundPackage>();
  for (const each of Array.isArray(components) ? components : []) {
    const { name, version = "", purl } = (each ?? {}) as Record<string, unknown>;
    if (typeof name !== "string" || typeof version !== "string" || typeof purl !== "string") continue;
    // It becomes part of a file that others read.
    if (!/^pkg:[a-z][a-z0-9.+-]*\/[\x21-\x7e]{1,2000}$/.test(purl) || SYSTEM.test(purl)) continue;
    const [shown, stated] = [name, version].map((text) =>
      text.slice(0, 500).replace(/[\p{Cc}\p{Cf}]+/gu, " "),
    );
    found.set(purl, { name: shown ?? "", version: stated ?? "", purl });
  }
  return [...found.values()].toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
}
