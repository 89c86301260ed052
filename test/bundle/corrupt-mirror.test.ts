import { describe, expect, it } from "vitest";
import { verifyBundle } from "../../src/bundle/verify.ts";
import type { Event } from "../../src/events.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const small = bytesOf("small", 500);
const large = bytesOf("large", 6 << 20);
const image = makeImage("one", [small, large]);
const config = [...image.blobs].find(([, bytes]) => bytes.toString("utf8").includes("rootfs")) as [
  Digest,
  Buffer,
];
const layers = [...image.blobs].filter(([, bytes]) => bytes === small || bytes === large);

const flipped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] as number) ^ 1;
  return copy;
};
const CHANGES: [string, (bytes: Buffer) => Buffer][] = [
  ["other bytes", flipped],
  ["fewer bytes", (bytes) => bytes.subarray(0, bytes.length >> 1)],
  ["more bytes", (bytes) => Buffer.concat([bytes, Buffer.from("more")])],
];
const BLOBS: [string, [Digest, Buffer]][] = [
  ["the config", config],
  ...layers.map((layer): [string, [Digest, Buffer]] => [`a layer of ${layer[1].length} bytes`, layer]),
];

/** Builds from a mirror that answers for one digest like this, with whole ones behind it. */
async function build(digest: Digest, answer: Buffer, goodBehind: boolean): Promise<Event[]> {
  await using bad = await startRegistry();
  await using good = await startRegistry();
  using scratch = new Scratch();
  for (const registry of [bad, good]) fill(registry.store, "a/one", image, "1");
  bad.hooks.push(
    (exchange) => exchange.request.url?.endsWith(digest) === true && exchange.send(200, {}, answer),
  );
  const mirrors = goodBehind ? [bad.host, good.host] : [bad.host];
  scratch.spec(`sources: { reg.site: { mirrors: ${JSON.stringify(mirrors)} } }\nimages: [reg.site/a/one:1]`);
  const events: Event[] = [];
  await scratch.build({ emit: (event) => events.push(event) });
  await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
  return events;
}

describe.each(BLOBS)("a mirror that gives wrong content for %s", (_, [digest, bytes]) => {
  it.each(CHANGES)("(%s) is named, and the next one is asked", async (_name, change) => {
    const events = await build(digest, change(bytes), true);
    expect(events.filter(({ type }) => type === "warning" || type === "retry").length).toBeGreaterThan(0);
  });

  it.each(CHANGES)("(%s) ends the build where it is the only one", async (_name, change) => {
    await expect(build(digest, change(bytes), false)).rejects.toMatchObject({
      code: expect.stringMatching(/^(corrupt|network)$/),
    });
  });
});
