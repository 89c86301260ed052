import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readLockOf } from "../../src/bundle/diff.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const image = (name: string) => makeImage(name, [bytesOf("shared", 200_000), bytesOf(name, 5000)]);
const index = makeIndex([image("amd64"), image("arm64")]);

describe("images with from:", () => {
  it("carry the name that they are given, from wherever they are, and build again from the lock", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "other/name", image("pulled"), "7");
    writeLayout(scratch.path("layout"), { "v1.0": image("local"), index });
    scratch.spec(`siteName: register.site
images:
- { ref: "register.site/app/local:v1", from: "oci:layout:v1.0" }
- { ref: "register.site/app/index:v1", from: "oci:layout:index" }
- { ref: "register.site/app/pulled:v1", from: "docker://${registry.host}/other/name:7" }`);
    await scratch.build();
    await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
    const { items } = readLockOf(scratch.path("site.tar"));
    expect(
      items.map(({ name, root, original, origins }) => [name, root.digest, original?.digest, origins[0]]),
    ).toEqual([
      ["register.site/app/index:v1", image("amd64").root.digest, index.root.digest, "oci:layout:index"],
      ["register.site/app/local:v1", image("local").root.digest, undefined, "oci:layout:v1.0"],
      [
        "register.site/app/pulled:v1",
        image("pulled").root.digest,
        undefined,
        `docker://${registry.host}/other/name:7`,
      ],
    ]);
    const bundle = BundleReader.open(scratch.path("site.tar"));
    for (const [digest, bytes] of image("local").blobs) expect(bundle.read(digest).equals(bytes)).toBe(true);
    bundle.close();
    const first = readFileSync(scratch.path("site.tar"));
    await scratch.build({ locked: true, output: scratch.path("again.tar") });
    expect(readFileSync(scratch.path("again.tar")).equals(first)).toBe(true);
  });

  it("are named when they are not there", async () => {
    using scratch = new Scratch();
    for (const [from, why] of [
      ["oci:nowhere", /oci:.*nowhere is not an OCI image layout.*images\[0\]/],
      ["oci-archive:none.tar", /none.tar: no such file/],
      ["docker-archive:site.yaml", /is not a tar/],
    ] as const) {
      scratch.spec(`images: [{ ref: "register.site/x:1", from: "${from}" }]`);
      await expect(scratch.build()).rejects.toThrow(why);
    }
  });
});
