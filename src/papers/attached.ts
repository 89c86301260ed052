import type { Attached, Item } from "../lock/lock.ts";
import { nameOf, parseReference } from "../oci/reference.ts";

/** An SBOM or another attestation that the publisher attached to an image; it is carried, and not read. */
export interface AttachedPaper {
  kind: "bom" | "attestation";
  /** `oci://registry.k8s.io/pause@sha256:…` */
  location: string;
  digest: Attached["descriptor"]["digest"];
}

const BOM = /spdx|cyclonedx|syft|sbom/i;

/** What is attached to an image and is not a signature. */
export function attachedPapers({ name, attached = [] }: Pick<Item, "name" | "attached">): AttachedPaper[] {
  return attached.flatMap(({ descriptor, tag }): AttachedPaper[] => {
    const kind = kindOf(tag, descriptor.artifactType ?? "");
    const { digest } = descriptor;
    return kind ? [{ kind, digest, location: `oci://${nameOf(parseReference(name))}@${digest}` }] : [];
  });
}

function kindOf(tag: string | undefined, artifactType: string): AttachedPaper["kind"] | undefined {
  if (tag !== undefined)
    return tag.endsWith(".sbom") ? "bom" : tag.endsWith(".att") ? "attestation" : undefined;
  if (BOM.test(artifactType)) return "bom";
  return /in-toto|attest|provenance/i.test(artifactType) ? "attestation" : undefined;
}
