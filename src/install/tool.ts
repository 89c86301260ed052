import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { serversOf } from "../cluster/cluster.ts";
import { AirgapError } from "../errors.ts";
import type { Bundle, PackedTool } from "./bundle.ts";
import { architecture, type Context } from "./context.ts";

/** Digits of a digest in a folder's name. */
export const DIGEST_LENGTH = 12;

/**
 * The archive of airgap for the serving host.
 * @throws AirgapError `not-closed` when neither the bundle nor this machine has it for the host's architecture
 */
export function toolFor({
  bundle,
  cluster,
  facts,
}: Pick<Context, "bundle" | "cluster" | "facts">): PackedTool {
  const host = serversOf(cluster)
    .map(({ name }) => facts[name])
    .find((found) => found !== undefined);
  const wanted = host ? architecture(host).node : "";
  const tool = bundle.tools[wanted];
  if (tool) return tool;
  throw new AirgapError(
    "not-closed",
    `${cluster.repository.host} serves the bundle and needs airgap itself for linux/${wanted}, which the bundle does not carry`,
    {
      suggestions: [
        "add `- self: true` under `files:` of the spec and build again",
        "or make the archive here: npm run pack",
      ],
    },
  );
}

/** Adds this machine's archive for `machine` (`x64`) to a bundle that has none. */
export function withLocalTool(bundle: Bundle, archives: string[], machine: string): Bundle {
  if (bundle.tools[machine]) return bundle;
  const found = archives.flatMap((file): [string, PackedTool][] => {
    const wanted = /-linux-([a-z0-9]+)\.tar\.gz$/.exec(file)?.[1];
    if (wanted !== machine || !existsSync(file)) return [];
    const digest = `sha256:${createHash("sha256").update(readFileSync(file)).digest("hex")}` as const;
    return [[wanted, { name: basename(file), file, digest, offset: 0, size: statSync(file).size }]];
  });
  return { ...bundle, tools: { ...Object.fromEntries(found), ...bundle.tools } };
}
