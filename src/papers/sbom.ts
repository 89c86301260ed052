import { cyclonedx } from "./cyclonedx.ts";
import { spdx } from "./spdx.ts";
import type { SbomSubject } from "./subject.ts";

export const SBOM_FORMATS = ["cyclonedx", "spdx"] as const;
export type SbomFormat = (typeof SBOM_FORMATS)[number];

/** Predicate types of in-toto, for attestations. */
export const PREDICATES: Record<SbomFormat, string> = {
  cyclonedx: "https://cyclonedx.org/bom",
  spdx: "https://spdx.dev/Document",
};

/** What a bundle carries, for scanners, piece by piece. The same bundle gives the same text. */
export const sbomText = (subject: SbomSubject, format: SbomFormat): AsyncGenerator<string> =>
  format === "spdx" ? spdx(subject) : cyclonedx(subject);
