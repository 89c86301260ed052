import { AirgapError } from "../../errors.ts";
import type { RpmFacts } from "./inspect.ts";

/** Systems whose rpm is 4.11: CentOS 7 and its kin, Amazon Linux 2. */
const RPM_4_11 =
  /^(?:(?:centos|rhel|ol|oracle|scientific|cloudlinux|anolis|alinux)-7(?:\.|$)|amzn-2(?:\.|$))/;
/** Whether a system's rpm is 4.11 or so, and its package manager yum 3. */
export const hasOldRpm = (system: string): boolean => RPM_4_11.test(system);
/** Systems whose crypto policy takes no SHA-1 signature. */
const NO_SHA1 = /^(?:centos|rhel|rocky|almalinux|alma|ol|oracle|cloudlinux)-(?:9|[1-9]\d)(?:\.|$)/;
/** What rpm 4.11 lists under `rpm --showrc`: what it can unpack and obey. */
const RPM_4_11_FEATURES = new Set(
  "BuiltinLuaScripts CompressedFileNames ConcurrentAccess ExplicitPackageProvide FileCaps FileDigests HeaderLoadSortsTags PartialHardlinkSets PayloadFilesHavePrefix PayloadIsBzip2 PayloadIsLzma PayloadIsXz PayloadIsUstar ScriptletExpansion ScriptletInterpreterArgs TildeInVersions VersionedDependencies".split(
    " ",
  ),
);

/**
 * Refuses what the systems of a set can't install: it would pass every check here and fail there.
 * @throws AirgapError `unsupported`
 */
export function checkTarget(
  systems: string[],
  id: string,
  { rpmlib, signature }: Pick<RpmFacts, "rpmlib" | "signature">,
): void {
  const old = systems.find(hasOldRpm);
  const missing = rpmlib.find((name) => !RPM_4_11_FEATURES.has(name.slice("rpmlib(".length, -1)));
  if (old !== undefined && missing !== undefined) {
    throw new AirgapError(
      "unsupported",
      `${id} needs ${missing}, which the rpm 4.11 of ${old} does not have`,
      {
        suggestions: [
          `name a repository whose packages are built for ${old}, or an older version of the package`,
        ],
      },
    );
  }
  const strict = systems.find((system) => NO_SHA1.test(system));
  if (strict !== undefined && signature?.hash === "sha1") {
    throw new AirgapError("unsupported", `${id} is signed with SHA-1, which ${strict} does not accept`, {
      suggestions: [`name a repository whose packages are signed for ${strict}`],
    });
  }
}
