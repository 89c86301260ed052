import { digestOf, hexOf } from "../oci/digest.ts";

/** A package of package-lock.json (lockfileVersion 3). */
export interface LockedPackage {
  name?: string;
  version?: string;
  integrity?: string;
  license?: string;
  dev?: boolean;
  devOptional?: boolean;
}

export interface ToolSbom {
  version: string;
  /** Node's version, and the SHA-256 of its binary. */
  node: { version: string; sha256: string };
  /** By path: `node_modules/@oclif/core`. */
  packages: Record<string, LockedPackage>;
}

const ALGORITHMS: Record<string, string> = {
  sha512: "SHA-512",
  sha384: "SHA-384",
  sha256: "SHA-256",
  sha1: "SHA-1",
};

/** `sha512-BASE64` of a lock file, as CycloneDX has it. https://www.w3.org/TR/SRI/ */
function hashesOf(integrity = ""): { alg: string; content: string }[] {
  return integrity.split(/\s+/).flatMap((each) => {
    const [name = "", base64 = ""] = each.split(/-(.*)/s);
    const alg = ALGORITHMS[name];
    return alg === undefined ? [] : [{ alg, content: Buffer.from(base64, "base64").toString("hex") }];
  });
}

/** `node_modules/a/node_modules/@b/c` → `@b/c` */
const nameOf = (path: string): string =>
  path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

/** https://github.com/package-url/purl-spec/blob/master/PURL-TYPES.rst */
const purlOf = (name: string, version: string): string => `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;

/**
 * What the packed tool is made of: its libraries, as package-lock.json pins them, and its Node. CycloneDX 1.6,
 * indented JSON. The same lock gives the same bytes.
 */
export function toolSbom({ version, node, packages }: ToolSbom): string {
  const libraries = new Map(
    Object.entries(packages)
      .filter(([path, { dev, devOptional }]) => path !== "" && dev !== true && devOptional !== true)
      .map(([path, each]) => {
        const name = each.name ?? nameOf(path);
        const purl = purlOf(name, each.version ?? "");
        return [
          purl,
          {
            type: "library",
            "bom-ref": purl,
            name,
            version: each.version ?? "",
            purl,
            hashes: hashesOf(each.integrity),
            ...(each.license ? { licenses: [{ expression: each.license }] } : {}),
          },
        ];
      }),
  );
  const runtime = {
    type: "application",
    "bom-ref": `pkg:generic/node@${node.version}`,
    name: "node",
    version: node.version,
    purl: `pkg:generic/node@${node.version}`,
    hashes: [{ alg: "SHA-256", content: node.sha256 }],
    licenses: [{ license: { id: "MIT" } }],
  };
  const components = [...libraries.values(), runtime];
  const hex = hexOf(digestOf(JSON.stringify([version, components])));
  return `${JSON.stringify(
    {
      $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`,
      version: 1,
      metadata: {
        timestamp: "1980-01-01T00:00:00Z",
        component: {
          type: "application",
          "bom-ref": "airgap",
          name: "airgap",
          version,
          licenses: [{ license: { id: "Apache-2.0" } }],
        },
      },
      components,
      dependencies: [{ ref: "airgap", dependsOn: components.map((each) => each["bom-ref"]) }],
    },
    undefined,
    2,
  )}\n`;
}
