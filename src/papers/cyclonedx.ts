import { algorithmOf, type Digest, hexOf } from "../oci/digest.ts";
import { attachedPapers } from "./attached.ts";
import { contentsOf, type EntryKind, type PaperEntry } from "./contents.ts";
import { type Installed, joined } from "./insides.ts";
import { jsonText } from "./json-text.ts";
import type { SbomSubject } from "./subject.ts";

/** A bundle has no date: equal content gives an equal paper. */
const TIME = "1980-01-01T00:00:00Z";

const TYPES: Record<EntryKind, string> = {
  image: "container",
  file: "file",
  self: "application",
  manifests: "data",
  chart: "application",
  packages: "data",
  package: "library",
};

const hashOf = (digest: Digest): object => ({
  alg: `SHA-${algorithmOf(digest).slice("sha".length)}`,
  content: hexOf(digest),
});

const licences = (license: string | undefined): object =>
  license === undefined ? {} : { licenses: [{ license: { name: license } }] };

/** CycloneDX 1.6. https://cyclonedx.org/docs/1.6/json/ */
export function cyclonedx(subject: SbomSubject): AsyncGenerator<string> {
  const { lock, lockDigest, version, tools = [] } = subject;
  const entries = contentsOf(lock);
  const hex = hexOf(lockDigest);
  const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  return jsonText(
    {
      $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: `urn:uuid:${uuid}`,
      version: 1,
      metadata: {
        timestamp: TIME,
        tools: {
          components: [{ name: "airgap", version }, ...tools].map((tool) => ({
            type: "application",
            ...tool,
          })),
        },
        component: {
          type: "platform",
          "bom-ref": "bundle",
          name: lock.name,
          ...(lock.sequence === undefined ? {} : { version: String(lock.sequence) }),
          hashes: [hashOf(lockDigest)],
        },
      },
    },
    [
      ["components", components(entries, subject)],
      ["dependencies", dependencies(entries)],
      ["compositions", compositions(entries)],
    ],
  );
}

async function* components(entries: PaperEntry[], { inside }: SbomSubject): AsyncGenerator<unknown> {
  for (const entry of entries) {
    const { item } = entry;
    const found = inside && item.kind === "image" ? joined(await inside(item)) : undefined;
    yield component(entry, found);
  }
}

function component(entry: PaperEntry, found: Installed | undefined): unknown {
  const { id, kind, name, version, digest, purl, license, vendor, item } = entry;
  const papers = kind === "image" ? attachedPapers(item) : [];
  const within = found ? installedComponents(id, found) : [];
  const unread = found?.unread ?? [];
  return {
    type: TYPES[kind],
    "bom-ref": id,
    ...(vendor === undefined ? {} : { supplier: { name: vendor } }),
    name,
    ...(version === undefined ? {} : { version }),
    hashes: [hashOf(digest)],
    ...licences(license),
    purl,
    ...(papers.length === 0
      ? {}
      : {
          externalReferences: papers.map((paper) => ({
            type: paper.kind,
            url: paper.location,
            hashes: [hashOf(paper.digest)],
          })),
        }),
    ...(within.length === 0 ? {} : { components: within }),
    ...(unread.length === 0 ? {} : { properties: unread.map((value) => ({ name: "airgap:unread", value })) }),
  };
}

/** The system first: scanners choose by it where they look for vulnerabilities. */
function installedComponents(id: string, { systems, packages }: Installed): unknown[] {
  return [
    ...systems.map((os, i) => ({
      type: "operating-system",
      "bom-ref": `${id}/os-${i + 1}`,
      name: os.id,
      ...(os.version === "" ? {} : { version: os.version }),
      description: os.name,
    })),
    ...packages.map(({ name, version, license, vendor, purl }, i) => ({
      type: "library",
      "bom-ref": `${id}/${i + 1}`,
      ...(vendor === undefined ? {} : { supplier: { name: vendor } }),
      name,
      ...(version === "" ? {} : { version }),
      ...licences(license),
      purl,
    })),
  ];
}

function* dependencies(entries: PaperEntry[]): Generator<unknown> {
  yield { ref: "bundle", dependsOn: entries.map(({ id }) => id) };
  const ids = new Map<string, string>();
  const needs = new Map<string, string[]>();
  const packages = entries.flatMap((entry) => {
    if (entry.kind !== "package" || entry.item.kind !== "packages") return [];
    return [{ entry, set: entry.item.name }];
  });
  for (const { entry, set } of packages) ids.set(`${set} ${entry.digest}`, entry.id);
  for (const { item } of new Map(packages.map(({ entry }) => [entry.item, entry])).values()) {
    if (item.kind !== "packages") continue;
    const byId = new Map(
      item.facts.packages.map((each) => [each.id, ids.get(`${item.name} ${each.digest}`)]),
    );
    for (const { id, reason } of item.facts.packages) {
      const [from, to] = [reason.by && byId.get(reason.by), byId.get(id)];
      if (from && to && from !== to) needs.set(from, [...(needs.get(from) ?? []), to]);
    }
  }
  for (const [ref, dependsOn] of needs) yield { ref, dependsOn: [...new Set(dependsOn)] };
}

/** What is inside an image is known as far as package databases tell. */
function* compositions(entries: PaperEntry[]): Generator<unknown> {
  yield { aggregate: "complete", assemblies: ["bundle"] };
  const images = entries.filter(({ kind }) => kind === "image").map(({ id }) => id);
  if (images.length > 0) yield { aggregate: "incomplete", assemblies: images };
}
