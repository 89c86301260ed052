import { describe, expect, it } from "vitest";
import { attachedTag } from "../../src/oci/manifest.ts";
import { prunePlan } from "../../src/site/push/prune-plan.ts";
import { referrersTag } from "../../src/transport/registry/referrers.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";
import { Serving } from "../support/serve.ts";
import { pushImage } from "../support/serving-push.ts";

const image = (name: string) => makeImage(name, [bytesOf(name, 300)]);
const [one, old, other] = [image("one"), image("old"), image("other")];

async function siteBundle(scratch: Scratch, ref: string): Promise<string> {
  writeLayout(scratch.path("layout"), { v1: one });
  scratch.spec(`images: [{ ref: "${ref}", from: "oci:layout:v1" }]`);
  await scratch.build();
  return scratch.path("site.tar");
}

const plan = (host: string, locks: string[], prefix = "", map: string[] = []) =>
  prunePlan({ locks, target: `${host}${prefix}`, layout: "host", map, emit: () => {} });

describe("push --prune-plan", () => {
  it("lists what no lock names, keeps what belongs to what is named, and changes nothing", async () => {
    using scratch = new Scratch();
    await using serving = await Serving.start();
    const { host } = serving.server;
    const bundle = await siteBundle(scratch, "quay.io/team/one:v1");
    for (const tag of ["v1", attachedTag(one.root.digest, "sig"), referrersTag(one.root.digest)])
      await pushImage(serving, "quay.io/team/one", one, tag);
    for (const tag of ["v0", attachedTag(old.root.digest, "sig")])
      await pushImage(serving, "quay.io/team/one", old, tag);
    await pushImage(serving, "apps/other", other, "2");
    const before = serving.log.length;
    const found = await plan(host, [bundle]);
    expect(found).toEqual({
      target: host,
      locks: ["site"],
      tags: 6,
      unnamed: [
        { name: `${host}/apps/other:2`, digest: other.root.digest, known: false },
        {
          name: `${host}/quay.io/team/one:${attachedTag(old.root.digest, "sig")}`,
          digest: old.root.digest,
          known: true,
        },
        { name: `${host}/quay.io/team/one:v0`, digest: old.root.digest, known: true },
      ],
    });
    const asked = serving.log.slice(before).map(({ method }) => method);
    expect(asked.filter((method) => !["GET", "HEAD"].includes(method))).toEqual([]);
    expect(asked.length).toBeGreaterThan(3);
    // A further lock keeps its names too.
    using second = new Scratch();
    writeLayout(second.path("layout"), { v1: old });
    second.spec('images: [{ ref: "quay.io/team/one:v0", from: "oci:layout:v1" }]');
    await second.build();
    const both = await plan(host, [bundle, second.path("site.lock.json")]);
    expect(both.unnamed.map(({ name }) => name)).toEqual([`${host}/apps/other:2`]);
  });

  it("looks below the prefix only, and at names as the push gave them", async () => {
    using scratch = new Scratch();
    await using serving = await Serving.start();
    const { host } = serving.server;
    const bundle = await siteBundle(scratch, "quay.io/team/one:v1");
    await pushImage(serving, "mirror/k8s/one", one, "v1");
    await pushImage(serving, "mirror/quay.io/team/one", one, "v1");
    await pushImage(serving, "mirrors/one", other, "v1");
    const mapped = await plan(host, [bundle], "/mirror", ["quay.io/**=k8s/*"]);
    expect(mapped.unnamed.map(({ name }) => name)).toEqual([`${host}/mirror/quay.io/team/one:v1`]);
    const plain = await plan(host, [bundle], "/mirror");
    expect(plain.unnamed.map(({ name }) => name)).toEqual([`${host}/mirror/k8s/one:v1`]);
  });
});
