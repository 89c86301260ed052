import { algorithmOf, type Digest, hexOf } from "../oci/digest.ts";
import { attachedPapers } from "./attached.ts";
import { contentsOf, type EntryKind, type PaperEntry } from "./contents.ts";
import { joined } from "./insides.ts";
import { jsonText } from "./json-text.ts";
import type { SbomSubject } from "./subject.ts";

/** A bundle has no date: equal content gives an equal paper. */
const TIME = "1980-01-01T00:00:00Z";
const ROOT = "SPDXRef-Bundle";

const PURPOSES: Record<EntryKind, string> = {
  image: "CONTAINER",
  file: "FILE",
  self: "APPLICATION",
  manifests: "SOURCE",
  chart: "SOURCE",
  packages: "ARCHIVE",
  package: "INSTALL",
};

const NOTHING = {
  downloadLocation: "NOASSERTION",
  filesAnalyzed: false,
  licenseConcluded: "NOASSERTION",
  licenseDeclared: "NOASSERTION",
  copyrightText: "NOASSERTION",
};

const checksum = (digest: Digest): object => ({
  algorithm: `SHA${algorithmOf(digest).slice("sha".length)}`,
  checksumValue: hexOf(digest),
});

const purlReference = (purl: string): object => ({
  referenceCategory: "PACKAGE-MANAGER",
  referenceType: "purl",
  referenceLocator: purl,
});

/** What packages say of their licence is not SPDX's grammar as a rule. */
const aboutOf = ({ license, vendor }: { license?: string; vendor?: string }): object => ({
  ...(license === undefined ? {} : { licenseComments: `The package says: ${license}` }),
  ...(vendor === undefined ? {} : { supplier: `Organization: ${vendor}` }),
});

/** SPDX 2.3. https://spdx.github.io/spdx-spec/v2.3/ */
export function spdx(subject: SbomSubject): AsyncGenerator<string> {
  const { lock, lockDigest, version, tools = [] } = subject;
  const entries = contentsOf(lock);
  /** How many packages each image has: their relationships come behind all packages. */
  const counts = new Map<string, number>();
  return jsonText(
    {
      spdxVersion: "SPDX-2.3",
      dataLicense: "CC0-1.0",
      SPDXID: "SPDXRef-DOCUMENT",
      name: lock.name,
      documentNamespace: `https://airgap.invalid/spdx/${hexOf(lockDigest)}`,
      creationInfo: {
        created: TIME,
        creators: [{ name: "airgap", version }, ...tools].map((tool) => `Tool: ${tool.name}-${tool.version}`),
      },
    },
    [
      ["packages", packages(entries, subject, counts)],
      ["relationships", relationships(entries, counts)],
    ],
  );
}

const idOf = ({ id }: PaperEntry): string => `SPDXRef-${id}`;

async function* packages(
  entries: PaperEntry[],
  { lock, lockDigest, inside }: SbomSubject,
  counts: Map<string, number>,
): AsyncGenerator<unknown> {
  yield {
    SPDXID: ROOT,
    name: lock.name,
    ...(lock.sequence === undefined ? {} : { versionInfo: String(lock.sequence) }),
    ...NOTHING,
    primaryPackagePurpose: "ARCHIVE",
    checksums: [checksum(lockDigest)],
  };
  for (const entry of entries) {
    const { item } = entry;
    const found = inside && item.kind === "image" ? joined(await inside(item)) : undefined;
    const papers = item.kind === "image" && entry.kind === "image" ? attachedPapers(item) : [];
    const notes = (found?.unread ?? []).map((why) => `Not read: ${why}`);
    yield {
      SPDXID: idOf(entry),
      name: entry.name,
      ...(entry.version === undefined ? {} : { versionInfo: entry.version }),
      ...NOTHING,
      ...aboutOf(entry),
      primaryPackagePurpose: PURPOSES[entry.kind],
      checksums: [checksum(entry.digest)],
      externalRefs: [
        purlReference(entry.purl),
        ...papers.map(({ kind, location }) => ({
          referenceCategory: "OTHER",
          referenceType: kind,
          referenceLocator: location,
        })),
      ],
      ...(notes.length === 0 ? {} : { comment: notes.join("\n") }),
    };
    if (found === undefined) continue;
    counts.set(idOf(entry), found.packages.length);
    for (const [i, each] of found.packages.entries())
      yield {
        SPDXID: `${idOf(entry)}-in-${i + 1}`,
        name: each.name,
        ...(each.version === "" ? {} : { versionInfo: each.version }),
        ...NOTHING,
        ...aboutOf(each),
        ...(each.source === undefined ? {} : { sourceInfo: `built from ${each.source}` }),
        externalRefs: [purlReference(each.purl)],
      };
  }
}

function* relationships(entries: PaperEntry[], counts: ReadonlyMap<string, number>): Generator<unknown> {
  const contains = (from: string, to: string): object => ({
    spdxElementId: from,
    relationshipType: "CONTAINS",
    relatedSpdxElement: to,
  });
  yield { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: ROOT };
  for (const entry of entries) {
    yield contains(ROOT, idOf(entry));
    for (let i = 1; i <= (counts.get(idOf(entry)) ?? 0); i++)
      yield contains(idOf(entry), `${idOf(entry)}-in-${i}`);
  }
}
