import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BundleReader } from "../../src/bundle/reader.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { isStatedBy, parseAttestation } from "../../src/trust/attestation.ts";
import { readPublicKey } from "../../src/trust/key.ts";
import { cli } from "../support/cli.ts";
import { makeImage } from "../support/images.ts";
import { layerOf } from "../support/inside.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";
import { makeKey } from "../support/trust.ts";

const scratch = new Scratch();
const bundle = scratch.path("site.tar");
const env = { XDG_CONFIG_HOME: scratch.path("config") };
const PACKAGE = "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n";

beforeAll(async () => {
  mkdirSync(scratch.path("root/var/lib/dpkg/status.d"), { recursive: true });
  scratch.write("root/var/lib/dpkg/status.d/base", PACKAGE);
  mkdirSync(scratch.path("root/var/lib/rpm"), { recursive: true });
  scratch.write("root/var/lib/rpm/Packages", "not a database");
  writeLayout(scratch.path("layout"), { v1: makeImage("app", [layerOf(scratch.path("root"))], {}, false) });
  scratch.write("notes.txt", "a file");
  scratch.spec('images: [{ ref: "x.site/app:v1", from: "oci:layout:v1" }]\nfiles: [path: notes.txt]');
  await scratch.build();
});
afterAll(() => scratch[Symbol.dispose]());

describe("airgap sbom", () => {
  it("looks into images, says what it could not read, and writes the same as it prints", async () => {
    const printed = await cli(["sbom", bundle], env);
    expect(printed).toMatchObject({ code: 0, stderr: expect.stringContaining("Packages in layer sha256:") });
    const bom = JSON.parse(printed.stdout) as {
      components: { name: string; components?: { name: string }[] }[];
    };
    const image = bom.components.find(({ name }) => name === "x.site/app:v1");
    expect(image?.components).toMatchObject([{ name: "base-files", version: "12.4" }]);
    const written = await cli(["sbom", bundle, "-o", scratch.path("bom.json"), "--json"], env);
    expect(readFileSync(scratch.path("bom.json"), "utf8")).toBe(printed.stdout);
    expect(JSON.parse(written.stdout)).toMatchObject({
      format: "cyclonedx",
      file: scratch.path("bom.json"),
      unread: { "x.site/app:v1": [expect.stringContaining("var/lib/rpm/Packages")] },
    });
    const json = await cli(["sbom", bundle, "--json"], env);
    expect(JSON.parse(json.stdout)).toMatchObject({ sbom: printed.stdout });
  }, 60_000);

  it("looks into none with --quick", async () => {
    const { stdout, stderr } = await cli(["sbom", bundle, "--quick", "--format", "spdx"], env);
    expect(stdout).not.toContain("base-files");
    expect(stderr).toBe("");
  }, 60_000);

  it("signs a statement about the lock", async () => {
    const { key, pub } = makeKey(scratch, "site");
    const output = scratch.path("site.spdx.json");
    const made = await cli(["sbom", bundle, "--format", "spdx", "-o", output, "--sign-key", key], env);
    expect(made.code).toBe(0);
    const statement = parseAttestation(readFileSync(`${output}.attestation.json`), "it");
    expect(isStatedBy(readPublicKey(pub), statement)).toBe(true);
    expect(isStatedBy(readPublicKey(makeKey(scratch, "other").pub), statement)).toBe(false);
    const reader = BundleReader.open(bundle);
    reader.close();
    expect(statement).toMatchObject({
      predicateType: "https://spdx.dev/Document",
      predicate: JSON.parse(readFileSync(output, "utf8")),
      subjects: [{ algorithm: "sha256", hex: reader.layout.lockDigest.slice(7) }],
    });
    // It lies beside the SBOM, and is not taken for a signature of the bundle.
    expect(await cli(["verify", bundle, "--key", pub], env)).toMatchObject({ code: 3 });
    expect(await cli(["sbom", bundle, "--sign-key", key], env)).toMatchObject({ code: 2 });
  }, 60_000);

  it("ends with 3 where a layer is not what its digest says", async () => {
    const bytes = readFileSync(bundle);
    const at = bytes.indexOf(Buffer.from([0x1f, 0x8b, 8]));
    expect(at).toBeGreaterThan(0);
    bytes.writeUInt8((bytes.readUInt8(at + 40) ^ 1) & 255, at + 40);
    writeFileSync(scratch.path("bad.tar"), bytes);
    expect(await cli(["sbom", scratch.path("bad.tar")], env)).toMatchObject({ code: 3 });
  }, 60_000);
});

describe("airgap report", () => {
  it("knows sizes, platforms and files, and who made it", async () => {
    const output = scratch.path("site.html");
    expect(await cli(["report", bundle, "-o", output, "--by", "Security <office>"], env)).toMatchObject({
      code: 0,
    });
    const page = readFileSync(output, "utf8");
    for (const told of ["linux/amd64", "Security &#60;office&#62;", "notes.txt", digestOf("a file")])
      expect(page).toContain(told);
  }, 60_000);
});
