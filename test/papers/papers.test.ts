import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { oneLine, osPackage } from "../../src/inside/package.ts";
import { itemsOf, type Lock } from "../../src/lock/lock.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { contentsOf } from "../../src/papers/contents.ts";
import { insidePurl } from "../../src/papers/purl.ts";
import { reportCsv, reportHtml } from "../../src/papers/report.ts";
import { type SbomFormat, sbomText } from "../../src/papers/sbom.ts";
import type { SbomSubject } from "../../src/papers/subject.ts";
import { craftAll } from "../support/crafted.ts";
import { cyclonedxSchema } from "../support/cyclonedx.ts";

const { lock } = await craftAll();
const lockDigest = digestOf("lock");
const debian = { id: "debian", version: "12", name: "Debian GNU/Linux 12 (bookworm)" };
const libc = osPackage("deb", {
  name: "libc6",
  version: "2.36-9+deb12u4",
  arch: "amd64",
  source: "glibc",
  vendor: "GNU Libc Maintainers <debian-glibc@lists.debian.org>",
});
const dbus = osPackage("rpm", {
  name: "dbus",
  version: "1:1.12-3.el9",
  arch: "x86_64",
  license: "AFL and GPLv2+",
  source: "dbus-1.12-3.el9.src.rpm",
});
const inside: SbomSubject["inside"] = async () => [
  { platform: "linux/amd64", manifest: lockDigest, os: debian, packages: libc, unread: [] },
  {
    platform: "linux/arm64",
    manifest: lockDigest,
    os: debian,
    packages: [...libc, ...dbus],
    unread: ["var/lib/rpm/Packages: why"],
  },
];

/** A lock with everything that papers tell of. */
function rich(): Lock {
  const made = structuredClone(lock);
  const [image] = itemsOf(made, "image");
  const digest = digestOf("x");
  const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 9 };
  if (image) {
    image.attached = [
      { descriptor: { ...descriptor, artifactType: "application/spdx+json" }, subject: image.root.digest },
      { descriptor, subject: image.root.digest, tag: `${image.root.digest.replace(":", "-")}.att` },
      { descriptor, subject: image.root.digest, tag: `${image.root.digest.replace(":", "-")}.sig` },
    ];
    image.verified = [{ key: `SHA256:${"A".repeat(43)}`, signature: digest }];
  }
  const [set] = itemsOf(made, "packages");
  const [first] = set?.facts.packages ?? [];
  if (first) Object.assign(first, { license: "MIT and BSD", source: "app-1-1.src.rpm", vendor: "Rig" });
  if (first)
    set?.facts.packages.push({
      ...first,
      ...{
        id: "lib-1-1.x86_64",
        name: "lib",
        digest: digestOf("lib"),
        reason: { by: first.id, relation: "libx" },
      },
    });
  return made;
}

const sbom = (format: SbomFormat, more: Partial<SbomSubject> = {}): Promise<string> =>
  text(sbomText({ lock: rich(), lockDigest, version: "0.1.0", ...more }, format));

describe("what a bundle carries", () => {
  it("has a package URL for everything, as the specification writes them", () => {
    const purls = new Map(contentsOf(lock).map(({ kind, name, purl }) => [`${kind} ${name}`, purl]));
    const one = lock.items.find(({ kind }) => kind === "image")?.root.digest ?? "";
    expect(purls.get("image reg.site/a/one:1")).toBe(
      `pkg:oci/one@${encodeURIComponent(one)}?repository_url=reg.site%2Fa%2Fone&tag=1`,
    );
    expect(purls.get("package app")).toMatch(/^pkg:rpm\/[a-z]+\/app@1-1\?arch=x86_64&distro=/);
    expect([...purls.values()].filter((purl) => purl.startsWith("pkg:helm/"))).toHaveLength(
      itemsOf(lock, "chart").length,
    );
    expect(new Set(contentsOf(lock).map(({ id }) => id)).size).toBe(purls.size);
  });

  it("names a file by its own digest, not by that of the artifact around it", () => {
    const [file] = itemsOf(lock, "file");
    expect(file?.facts?.digest).toBeDefined();
    expect(contentsOf(lock).find(({ item }) => item === file)?.digest).toBe(file?.facts?.digest);
  });

  it.each([
    [libc[0], "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc"],
    [
      dbus[0],
      "pkg:rpm/debian/dbus@1.12-3.el9?arch=x86_64&distro=debian-12&epoch=1&upstream=dbus-1.12-3.el9.src.rpm",
    ],
    [
      osPackage("deb", {
        name: "libgcc-s1",
        version: "12.2.0-14",
        arch: "amd64",
        source: "gcc-12 (12.2)",
      })[0],
      "pkg:deb/debian/libgcc-s1@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2",
    ],
  ])("has one for packages in images, with the source that advisories name", (each, purl) => {
    expect(each && insidePurl(each, debian)).toBe(purl);
  });
});

describe("an SBOM", () => {
  it("of CycloneDX is valid by the official schema, the same each time", async () => {
    const validate = cyclonedxSchema();
    for (const more of [{}, { inside }]) {
      const written = await sbom("cyclonedx", more);
      expect(await sbom("cyclonedx", more)).toBe(written);
      const bom = JSON.parse(written) as { components: { "bom-ref": string; components?: unknown[] }[] };
      validate(bom);
      expect(validate.errors ?? []).toEqual([]);
      expect(bom.components).toHaveLength(contentsOf(rich()).length);
    }
    validate({ bomFormat: "CycloneDX", specVersion: "1.6", components: [{ type: "thing", name: 1 }] });
    expect(validate.errors).not.toBeNull();
  });

  it("of CycloneDX has what is in images, once, below them; and who needs whom", async () => {
    const bom = JSON.parse(await sbom("cyclonedx", { inside })) as {
      components: Record<string, unknown>[];
      dependencies: { ref: string; dependsOn: string[] }[];
    };
    const image = bom.components.find(({ type }) => type === "container");
    expect(image).toMatchObject({
      externalReferences: [
        { type: "bom", url: expect.stringMatching(/^oci:\/\/reg\.site\/a\/one@sha256:/) },
        { type: "attestation" },
      ],
      components: [
        { type: "operating-system", name: "debian", version: "12" },
        { type: "library", name: "libc6" },
        { type: "library", name: "dbus", licenses: [{ license: { name: "AFL and GPLv2+" } }] },
      ],
      properties: [{ name: "airgap:unread", value: "var/lib/rpm/Packages: why" }],
    });
    const [, app, ...others] = bom.dependencies;
    expect(others).toEqual([]);
    expect(app?.dependsOn).toHaveLength(1);
    expect(bom.components.find((each) => each["bom-ref"] === app?.ref)).toMatchObject({
      supplier: { name: "Rig" },
      licenses: [{ license: { name: "MIT and BSD" } }],
    });
    const refs = JSON.stringify(bom).match(/"bom-ref":"[^"]+"/g) ?? [];
    expect(new Set(refs).size).toBe(refs.length);
  });

  it("of SPDX relates everything, and every reference leads somewhere", async () => {
    const document = JSON.parse(await sbom("spdx", { inside })) as {
      packages: { SPDXID: string; name: string; licenseComments?: string }[];
      relationships: { spdxElementId: string; relatedSpdxElement: string }[];
    };
    expect(document).toMatchObject({ spdxVersion: "SPDX-2.3", dataLicense: "CC0-1.0" });
    const ids = document.packages.map(({ SPDXID }) => SPDXID);
    for (const id of ids) expect(id).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
    expect(new Set(ids).size).toBe(ids.length);
    expect(document.relationships).toHaveLength(ids.length);
    expect(document.relationships.map((each) => each.relatedSpdxElement).toSorted()).toEqual(ids.toSorted());
    const images = itemsOf(lock, "image").length;
    expect(document.packages.filter(({ name }) => name === "libc6")).toHaveLength(images);
    expect(document.packages.find(({ name }) => name === "app")?.licenseComments).toContain("MIT and BSD");
  });
});

describe("a report", () => {
  it("is a page that runs nothing, and a table that is no formula", () => {
    const evil = structuredClone(lock);
    const [item] = evil.items;
    if (item) item.wantedBy = ["<script>alert(1)</script>", "=1+1"];
    const page = reportHtml({ lock: evil, lockDigest, signedBy: [], since: lock });
    expect(page).not.toContain("<script");
    expect(page).toContain("&#60;script");
    expect(page).toContain("镜像");
    const named = structuredClone(lock);
    const [set] = itemsOf(named, "packages");
    const [first] = set?.facts.packages ?? [];
    if (first) first.license = "=1+1";
    const csv = reportCsv({ lock: named, lockDigest, signedBy: [], since: { ...lock, items: [] } });
    expect(csv).toContain(",'=1+1,");
    expect(csv.split("\r\n")).toHaveLength(contentsOf(lock).length + 2);
    expect(csv).toContain(",new\r\n");
  });

  it("tells what the lock and the bundle know: sizes, platforms, licences, signers, files, who made it", () => {
    const facts = () => ({
      bytes: 12_345_678,
      platforms: ["linux/amd64"],
      license: "Apache-2.0",
      files: [{ name: "deploy.yaml", digest: digestOf("file") }],
    });
    const page = reportHtml({
      ...{ lock: rich(), lockDigest, signedBy: ["site"], facts },
      made: { by: "li@build", on: new Date("2026-05-04T10:11:12Z"), version: "0.1.0" },
    });
    for (const told of [
      "11.8 MiB",
      "linux/amd64",
      "Apache-2.0",
      "MIT and BSD",
      "Rig",
      `SHA256:${"A".repeat(43)}`,
      "deploy.yaml",
      digestOf("file"),
      "li@build, 2026-05-04 10:11 UTC, airgap 0.1.0",
    ])
      expect(page).toContain(told);
    const csv = reportCsv({ lock: rich(), lockDigest, signedBy: [], facts });
    expect(csv.split("\r\n")[0]).toBe(
      "kind,name,version,arch,platforms,bytes,digest,purl,license,vendor,source,signer,set,wantedBy,origins,change",
    );
    expect(csv).toContain("MIT and BSD,Rig,app-1-1.src.rpm");
  });

  it("says what is new, what changed, and what is gone", () => {
    const before = structuredClone(lock);
    const [gone] = itemsOf(before, "image");
    const [changed] = itemsOf(before, "manifests");
    if (gone) gone.name = "reg.site/old/thing:1";
    if (changed) changed.root = { ...changed.root, digest: digestOf("other") };
    const csv = reportCsv({ lock, lockDigest, signedBy: [], since: before });
    expect(csv.match(/,removed\r\n/g)).toHaveLength(1);
    expect(csv.match(/,new\r\n/g)).toHaveLength(1);
    expect(csv.match(/,changed\r\n/g)).toHaveLength(1);
    expect(reportHtml({ lock, lockDigest, signedBy: [], since: before })).toContain("reg.site/old/thing:1");
  });
});

it("texts of others are on one line", () => {
  expect(oneLine("a\n\u202eb\u0000c")).toBe("a b c");
});
