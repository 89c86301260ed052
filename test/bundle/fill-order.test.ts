import { expect, it } from "vitest";
import { BundleReader } from "../../src/bundle/reader.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

it("fetches blobs in the order of the tar, after those that could be left over alone at the end", async () => {
  await using registry = await startRegistry();
  using scratch = new Scratch();
  const layers = Array.from({ length: 40 }, (_, i) => bytesOf(`layer ${i}`, 20_000));
  const [larger, large] = [bytesOf("larger", 900_000), bytesOf("large", 600_000)];
  fill(registry.store, "a/one", makeImage("one", [...layers.slice(0, 20), large]), "1");
  fill(registry.store, "a/two", makeImage("two", [...layers.slice(20), larger]), "1");
  scratch.spec(`images: [${registry.host}/a/one:1, ${registry.host}/a/two:1]`);
  await scratch.build({ concurrency: 1 });
  const bundle = BundleReader.open(scratch.path("site.tar"));
  const inTar = [...bundle.layout.byDigest.keys()];
  bundle.close();
  const ofLayers = new Set([...layers, larger, large].map((bytes) => digestOf(bytes)));
  const fetched = registry.seen
    .filter(({ method }) => method === "GET")
    .map(({ path }) => path.replace(/.*\//, ""))
    .filter((digest) => (ofLayers as Set<string>).has(digest));
  const first = [digestOf(larger), digestOf(large)];
  expect(fetched).toEqual([...first, ...inTar.filter((each) => ofLayers.has(each) && !first.includes(each))]);
  expect(fetched).toHaveLength(42);
});
