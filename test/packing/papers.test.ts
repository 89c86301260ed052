import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ManCommand, manPages } from "../../src/packing/man.ts";
import { type LockedPackage, toolSbom } from "../../src/packing/sbom.ts";
import { cyclonedxSchema } from "../support/cyclonedx.ts";

const command: ManCommand = {
  id: "images:list",
  summary: "Print kubeadm's list",
  description: ".Starts with a dot\n'and a quote, with \\ and -dash",
  args: { path: { name: "path", description: "A file", required: true } },
  flags: {
    output: { name: "output", char: "o", type: "option", description: "Where to", helpValue: "FILE" },
    layout: {
      name: "layout",
      type: "option",
      description: "How",
      options: ["host", "flat"],
      default: "host",
      env: "AIRGAP_X",
    },
    color: { name: "color", type: "boolean", allowNo: true, description: "Colours", helpGroup: "COMMON" },
  },
  examples: ["<%= config.bin %> images list > x"],
};

describe("man pages", () => {
  const pages = manPages([command, { ...command, id: "secret", hidden: true }], {
    description: "Carries",
    version: "1.0",
  });

  it("are one for each command that is shown, and one for all", () => {
    expect([...pages.keys()]).toEqual(["airgap.1", "airgap-images-list.1"]);
    expect(pages.get("airgap.1")).toContain(
      "\\fBimages list\\fR\nPrint kubeadm's list. See \\fBairgap\\-images\\-list\\fR(1).",
    );
  });

  it("hold flags, defaults and examples, and no word of them is a request", () => {
    const page = pages.get("airgap-images-list.1") ?? "";
    expect(page).toContain(".TP\n\\fB\\-o\\fR, \\fB\\-\\-output\\fR=\\fIFILE\\fR\nWhere to.\n");
    expect(page).toContain("=\\fIhost|flat\\fR\nHow. Default: host. Environment: AIRGAP_X.\n");
    expect(page).toContain(".SS Common options\n.TP\n\\fB\\-\\-[no\\-]color\\fR\n");
    expect(page).toContain("\\&.Starts with a dot\n\\&'and a quote, with \\e and \\-dash\n");
    expect(page).toContain(".nf\nairgap images list > x\n.fi\n");
    for (const line of page.split("\n").filter((each) => each.startsWith(".")))
      expect(line).toMatch(/^\.(?:TH|SH|SS|TP|PP|nf|fi)(?: |$)/);
  });
});

describe("the SBOM of the tool", () => {
  const { packages } = JSON.parse(
    readFileSync(join(import.meta.dirname, "../../package-lock.json"), "utf8"),
  ) as { packages: Record<string, LockedPackage> };
  const node = { version: "26.1.0", sha256: "ab".repeat(32) };
  const text = toolSbom({ version: "1.0", node, packages });
  const sbom = JSON.parse(text) as {
    components: { name: string; version: string; purl: string; hashes: { alg: string; content: string }[] }[];
    dependencies: { dependsOn: string[] }[];
  };

  it("lists what runs, and nothing that only development needs", () => {
    const names = sbom.components.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["@oclif/core", "undici", "openpgp", "node"]));
    for (const name of ["vitest", "typescript", "@biomejs/biome", "rolldown"])
      expect(names).not.toContain(name);
    expect(sbom.components.every(({ version, purl }) => version !== "" && purl.startsWith("pkg:"))).toBe(
      true,
    );
    expect(new Set(sbom.dependencies[0]?.dependsOn).size).toBe(sbom.components.length);
  });

  it("is what the official schema of CycloneDX 1.6 says", () => {
    const validate = cyclonedxSchema();
    validate(sbom);
    expect(validate.errors ?? []).toEqual([]);
  });

  it("has the digests of the lock file, in hexadecimal digits", () => {
    const { version, integrity = "" } = packages["node_modules/undici"] ?? {};
    const undici = sbom.components.find((each) => each.name === "undici" && each.version === version);
    const [, base64 = ""] = integrity.split("sha512-");
    expect(undici?.hashes).toEqual([
      { alg: "SHA-512", content: Buffer.from(base64, "base64").toString("hex") },
    ]);
    expect(sbom.components.find(({ name }) => name === "node")?.hashes).toEqual([
      { alg: "SHA-256", content: node.sha256 },
    ]);
    expect(toolSbom({ version: "1.0", node, packages })).toBe(text);
  });
});
