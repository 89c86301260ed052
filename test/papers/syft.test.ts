import { chmodSync, mkdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseFound } from "../../src/site/serve/syft.ts";
import { cli } from "../support/cli.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";

/** In the place of syft: it pulls what it was pointed at, and finds a module in it that is called as its layer. */
const SYFT = `#!${process.execPath}
const [command, place = "", ...flags] = process.argv.slice(2);
if (command === "version") { console.log('{ "application": "syft", "version": "1.2.3" }'); process.exit(0); }
if (process.env.SYFT_FAILS) { console.error("no such luck"); process.exit(1); }
const [, host, name, digest] = /^registry:([^/]+)\\/(.+)@(sha256:[0-9a-f]{64})$/.exec(place);
const answer = await fetch("http://" + host + "/v2/" + name + "/manifests/" + digest, { headers: { accept: "*/*" } });
if (!answer.ok || flags.join(" ") !== "--output cyclonedx-json --quiet") process.exit(2);
const [layer] = (await answer.json()).layers;
const size = (await (await fetch("http://" + host + "/v2/" + name + "/blobs/" + layer.digest)).arrayBuffer()).byteLength;
console.log(JSON.stringify({ components: [
  { type: "library", name: "golang.org/x/net", version: "v0." + size, purl: "pkg:golang/golang.org/x/net@v0." + size },
  { type: "library", name: "musl", version: "1", purl: "pkg:apk/alpine/musl@1" },
  { type: "file", name: "/bin/x" },
] }));
`;

const scratch = new Scratch();
const bundle = scratch.path("site.tar");
const env = {
  XDG_CONFIG_HOME: scratch.path("config"),
  PATH: `${scratch.path("bin")}:${process.env["PATH"]}`,
};

beforeAll(async () => {
  mkdirSync(scratch.path("bin"));
  chmodSync(scratch.write("bin/syft", SYFT), 0o755);
  const image = makeIndex([makeImage("amd", [bytesOf("amd", 700)]), makeImage("arm", [bytesOf("arm", 900)])]);
  writeLayout(scratch.path("layout"), { v1: image });
  scratch.spec('images: [{ ref: "x.site:5000/team/app:v1", from: "oci:layout:v1", platforms: all }]');
  await scratch.build();
});
afterAll(() => scratch[Symbol.dispose]());

interface Bom {
  metadata: { tools: { components: { name: string; version: string }[] } };
  components: {
    components?: { name: string; version: string; purl: string }[];
    properties?: { value: string }[];
  }[];
}

describe("sbom with syft on the PATH", () => {
  it("has what it finds in every platform, from a server of the bundle, and says who looked", async () => {
    const { stdout, code } = await cli(["sbom", bundle], env);
    expect(code).toBe(0);
    const bom = JSON.parse(stdout) as Bom;
    expect(bom.metadata.tools.components).toMatchObject([
      { name: "airgap" },
      { name: "syft", version: "1.2.3" },
    ]);
    expect(bom.components[0]?.components?.map(({ purl }) => purl)).toEqual([
      "pkg:golang/golang.org/x/net@v0.700",
      "pkg:golang/golang.org/x/net@v0.900",
    ]);
    const spdx = await cli(["sbom", bundle, "--format", "spdx"], env);
    expect(spdx.stdout).toContain("Tool: syft-1.2.3");
    expect(spdx.stdout).toContain("pkg:golang/golang.org/x/net@v0.900");
  }, 60_000);

  it("is written without it on wish, and all the same when it fails", async () => {
    const without = await cli(["sbom", bundle, "--no-syft"], env);
    expect(without.stdout).not.toMatch(/golang|syft/);
    const failed = await cli(["sbom", bundle], { ...env, SYFT_FAILS: "1" });
    expect(failed).toMatchObject({ code: 0, stderr: expect.stringContaining("no such luck") });
    const [image] = (JSON.parse(failed.stdout) as Bom).components;
    expect(image?.properties?.filter(({ value }) => value.includes("no such luck"))).toHaveLength(1);
  }, 60_000);

  it.each([
    ["nothing"],
    ["[]"],
    ["null"],
    ['{"components":{}}'],
    ['{"components":[null,1,{"name":1,"purl":"pkg:a/b"}]}'],
    ['{"components":[{"name":"a","version":"1","purl":"pkg:x y"}]}'],
  ])("takes nothing from %s", (output) => {
    const found = (() => {
      try {
        return parseFound(output);
      } catch (error) {
        return (error as { code: string }).code;
      }
    })();
    expect(found).toEqual(output === "nothing" ? "environment" : []);
  });
});
