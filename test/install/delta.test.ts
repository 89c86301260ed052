import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { type Delta, deltaOf } from "../../src/bundle/delta.ts";
import { blobName, layOut } from "../../src/bundle/layout.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { itemsOf } from "../../src/lock/lock.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { AIRGAP } from "../support/cli.ts";
import { bytesOf } from "../support/images.ts";
import { FunctionHost } from "../support/install/function-host.ts";
import { PlayedSite } from "../support/install/played-site.ts";
import { SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

let site: PlayedSite;
/** Blobs of the full bundle, as the serving host has them. */
let blobs: Map<Digest, Buffer>;
let delta: Delta;

/** Takes the bundle of the site for a delta that leaves out all but images and the tool. */
beforeEach(async () => {
  site = new PlayedSite();
  await site.write();
  const full = BundleReader.open(site.scratch.path("site.tar"));
  const { lock, layout } = full;
  blobs = new Map(lock.blobs.map(({ digest }) => [digest, full.read(digest)]));
  full.close();
  const kept = new Set(itemsOf(lock, "image", "self").map(({ root }) => root.digest as string));
  const had = new Map(lock.blobs.flatMap(({ digest, size }) => (kept.has(digest) ? [] : [[digest, size]])));
  delta = deltaOf(lock, { since: layout.lockDigest, blobs: had, images: [] });
  const laid = layOut(lock, delta);
  const bytes = Buffer.alloc(laid.size);
  for (const entry of laid.entries) {
    entry.header.copy(bytes, entry.offset - entry.header.length);
    (entry.bytes ?? blobs.get(entry.digest as Digest) ?? Buffer.alloc(0)).copy(bytes, entry.offset);
  }
  writeFileSync(site.scratch.path("site.tar"), bytes);
  for (const name of ["master1", "node1"])
    site.host(name).knows({
      stages: [
        {
          name: "serve",
          needs: [],
          wholeCluster: false,
          waves: [[{ host: name, steps: [{ id: "bundle-merge", title: "merge", check: "", apply: "" }] }]],
        },
      ],
    });
  return () => site[Symbol.dispose]();
});

/** The serving host answers for the documents that it has. */
function has(digests: ReadonlyMap<Digest, Buffer>): void {
  site.host("master1").answers(/^set -- blobs\//, (script) => {
    const asked = [...(/^set -- (.*)$/m.exec(script)?.[1] ?? "").split(" ")];
    const lines = [...digests].flatMap(([digest, bytes]) =>
      asked.includes(blobName(digest)) ? [`${blobName(digest)}|${bytes.toString("base64")}`] : [],
    );
    return `${lines.join("\n")}\nend|\n`;
  });
}

describe("install of a delta", () => {
  it("asks the serving host for the documents, sends the delta alone, and has the host merge and verify it", async () => {
    expect(delta.blobs.length).toBeGreaterThan(3);
    has(blobs);
    const { size } = BundleReader.open(site.scratch.path("site.tar")).file;
    const result = await site.install();
    expect(result.findings).toEqual([]);
    const master = site.host("master1");
    expect(master.piped).toEqual([
      { command: expect.stringMatching(/\.tar\.delta/), bytes: expect.any(Number) },
    ]);
    expect(master.piped[0]?.bytes).toBeLessThanOrEqual(size);
    const serve = master.applied.filter((step) => step.startsWith("serve/bundle"));
    expect(serve.slice(0, 3)).toEqual(["serve/bundle-copy", "serve/bundle-merge", "serve/bundle"]);
    const scripts = master.sent.map(({ script }) => script).join("\n");
    expect(scripts).toMatch(
      /^apply\(\) \{ merge_bundle \/opt\/airgap\/\S+ \/var\/lib\/airgap\/bundles\/site-[0-9a-f]{12}\.tar; \}$/m,
    );
    expect(site.host("node1").piped).toEqual([]);
  });

  it.each<[string, (all: Map<Digest, Buffer>) => ReadonlyMap<Digest, Buffer>]>([
    ["has nothing of the base", () => new Map()],
    [
      "gives other bytes",
      (all) => new Map([...all].map(([digest, bytes]) => [digest, Buffer.concat([bytes, Buffer.from("x")])])),
    ],
  ])("changes nothing when the serving host %s", async (_, change) => {
    has(change(blobs));
    await expect(site.install()).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("is a delta: it counts on"),
    });
    for (const host of site.hosts.values()) expect([host.applied, host.piped]).toEqual([[], []]);
  });
});

describe.each(SHELLS)("merge_bundle, by %s", (...shell) => {
  it("makes the full bundle of the delta and what the host has, byte for byte", async () => {
    using made = new Scratch();
    using host = new FunctionHost(shell);
    made.write("a.bin", bytesOf("a", 200_000));
    made.write("b.bin", bytesOf("b", 5000));
    made.spec("files: [{ path: a.bin }, { path: b.bin }]");
    await made.build({ output: made.path("old.tar") });
    renameSync(made.path("site.lock.json"), made.path("old.lock.json"));
    made.write("b.bin", bytesOf("other b", 6000));
    await made.build({ output: made.path("full.tar") });
    await made.build({ output: made.path("delta.tar"), locked: true, since: made.path("old.lock.json") });
    mkdirSync(host.path("bundles"));
    copyFileSync(made.path("old.tar"), host.path("bundles/site-old.tar"));
    copyFileSync(made.path("delta.tar"), host.path("bundles/site-new.tar.delta.part"));
    const merge = `merge_bundle '${AIRGAP.replace(/\/bin\/airgap$/, "")}' '${host.path("bundles/site-new.tar")}'`;
    expect(host.run(merge)).toMatchObject({ code: 0 });
    const merged = host.path("bundles/site-new.tar.part");
    expect(readFileSync(merged).equals(readFileSync(made.path("full.tar")))).toBe(true);
    await verifyBundle(merged, { quick: false, emit: () => {} });
    expect(host.run(`rm '${host.path("bundles/site-old.tar")}'\n${merge}`)).toMatchObject({ code: 1 });
  }, 60_000);
});
