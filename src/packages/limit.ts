import { AirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import { TITLE } from "../lock/titles.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { packagesOf } from "./roles.ts";
import type { Closure } from "./types.ts";

/** `Packages/` and `.rpm`, or `pool/` and `_amd64.deb`. */
const PATH = 13;

/**
 * Whether a set fits in one manifest, which names each package once, and once more for each role
 * that installs it. Said before anything of the packages is fetched, so it is worked out from their
 * names; what is off by a little is found when the manifest is made.
 * @throws AirgapError `unsupported`
 */
export function checkFits(set: PackageSetSpec, closures: Closure[], mediaType: string): void {
  const layer =
    JSON.stringify({
      annotations: { [TITLE]: "" },
      digest: `sha256:${"0".repeat(64)}`,
      mediaType,
      size: 100_000,
    }).length + 1;
  const sizeOf = (packages: Closure["packages"], prefix: string): number =>
    packages.reduce((sum, { id }) => sum + layer + prefix.length + PATH + id.length, 0);
  const all = packagesOf(closures);
  const alone = closures.length === 1 && closures[0]?.role === "all";
  const roles = alone ? [] : closures;
  const size =
    sizeOf(all, "") + roles.reduce((sum, { role, packages }) => sum + sizeOf(packages, `roles/${role}/`), 0);
  if (size <= MAX_MANIFEST_SIZE) return;
  const again =
    roles.length === 0
      ? ""
      : `, listed again for ${roles.map(({ role, packages }) => `${role} (${packages.length})`).join(", ")},`;
  const limit = `registries take ${formatBytes(MAX_MANIFEST_SIZE)}, which is enough for some ${Math.floor((all.length * MAX_MANIFEST_SIZE) / size)} of them`;
  const [list, from] = set.format === "rpm" ? ["rpms", "rpm -qa"] : ["status", "cat /var/lib/dpkg/status"];
  throw new AirgapError(
    "unsupported",
    `${set.name}: ${count(all.length, "package")}${again} make a manifest of ${formatBytes(size)}; ${limit}`,
    {
      suggestions: [
        `installed: hosts/${set.name}.${list}  # in the set, made on a host by '${from}': what hosts have already is not carried`,
        `airgap packages resolve SPEC --set ${set.name}  # shows what comes in; ask for less under install:`,
      ],
      data: { set: set.name, packages: all.length, manifest: size, limit: MAX_MANIFEST_SIZE },
    },
  );
}
