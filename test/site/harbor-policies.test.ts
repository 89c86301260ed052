import { existsSync, readFileSync, statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { makeBundle } from "../support/bundle.ts";
import { fill } from "../support/fill.ts";
import { type HarborUser, startHarbor, type TestHarbor } from "../support/harbor.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { pushTo } from "../support/push.ts";
import type { Hook } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const base = bytesOf("base", 50_000);
const one = makeImage("one", [base, bytesOf("one", 20_000)]);
const two = makeImage("two", [base, bytesOf("two", 10_000)]);
const signature = makeImage("signature", [bytesOf("sig", 5_000_000)]);
const sbom = makeImage("sbom", [bytesOf("sbom", 300_000)], {
  artifactType: "application/spdx",
  subject: { mediaType: MediaType.ociManifest, digest: one.root.digest, size: one.root.size },
});
const sigTag = attachedTag(one.root.digest, "sig");
const plain = makeBundle({ "quay.io/team/one:v1": { image: one }, "quay.io/team/two:v1": { image: two } });
const signed = makeBundle({
  "quay.io/team/one:v1": {
    image: one,
    attached: [
      { descriptor: signature.root, subject: one.root.digest, tag: sigTag, image: signature },
      { descriptor: sbom.root, subject: one.root.digest, image: sbom },
    ],
  },
});
const sizeOf = (...images: { blobs: Map<string, Buffer> }[]): number =>
  [...new Map(images.flatMap(({ blobs }) => [...blobs])).values()].reduce(
    (sum, { length }) => sum + length,
    0,
  );
const admin = { username: "admin", password: "Harbor12345" };
const robot = { username: "robot$site+ci", password: "s3cr$t" };
const robotUser: HarborUser = { password: "s3cr$t", robot: true, rights: { "quay.io": "push" } };
const users = (more: Record<string, HarborUser> = {}): Record<string, HarborUser> => ({
  admin: { password: "Harbor12345", admin: true, rights: { "*": "push" } },
  "robot$site+ci": robotUser,
  ...more,
});
const warnings = (events: { type: string }[]): string =>
  events
    .filter(({ type }) => type === "warning")
    .map((event) => (event as unknown as { message: string }).message)
    .join("\n");
const sent = (harbor: TestHarbor): number => harbor.count("PUT upload") + harbor.count("PUT manifest");

describe("an interrupted push under a quota", () => {
  /** Breaks off at the first manifest: all blobs have arrived. */
  const breaking = (state: { broken: boolean }): Hook => {
    return (exchange) => (state.broken && exchange.label === "PUT manifest" ? exchange.drop() : undefined);
  };

  it("goes on: blobs that have arrived are not counted again", async () => {
    const state = { broken: true };
    const quota = sizeOf(one, two);
    await using harbor = await startHarbor({
      projects: { "quay.io": { quota } },
      hooks: [breaking(state)],
    });
    await expect(pushTo(harbor, plain, { credential: admin })).rejects.toMatchObject({ exit: 4 });
    expect(harbor.used.get("quay.io")).toBeGreaterThan(quota / 2);
    state.broken = false;
    const { result } = await pushTo(harbor, plain, { credential: admin });
    expect(result.totals.sent.blobs).toBe(0);
    expect(harbor.store.manifest("quay.io/team/two", "v1")?.digest).toBe(two.root.digest);
  });

  it("is refused where the rest does not fit either, and the rest alone is named", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { quota: 75_000 } } });
    await pushTo(harbor, makeBundle({ "quay.io/team/one:v1": { image: one } }), { credential: admin });
    const before = sent(harbor);
    await expect(pushTo(harbor, plain, { credential: admin })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/left of its quota of 73\.2 KiB, and 10\.\d KiB are new to it/),
    });
    expect(sent(harbor)).toBe(before);
  });

  it("does not ask for blobs where the upper bound fits", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { quota: 10_000_000 } } });
    await pushTo(harbor, makeBundle({ "quay.io/team/one:v1": { image: one } }), { credential: admin });
    expect(harbor.seen.filter(({ label }) => label === "HEAD blob")).toHaveLength(3);
  });

  it("needs room on the disk for the rest alone, too", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, free: 15_000 });
    for (const image of [one, two])
      for (const [digest, bytes] of image.blobs)
        if (digest !== image.root.digest && bytes.length > 15_000)
          harbor.store.addBlob(`quay.io/team/${image === one ? "one" : "two"}`, bytes);
    await pushTo(harbor, plain, { credential: admin });
  });
});

describe("signatures and SBOMs", () => {
  it("count in the quota", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { quota: 1_000_000 } } });
    await expect(pushTo(harbor, signed, { credential: admin })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("5.12 MiB are new to it"),
    });
    expect(sent(harbor)).toBe(0);
  });

  it("count in a dry run, and alone where the image is there", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const dry = await pushTo(harbor, signed, { credential: admin, dryRun: true });
    const real = await pushTo(harbor, makeBundle({ "quay.io/team/one:v1": { image: one } }), {
      credential: admin,
    });
    const rest = await pushTo(harbor, signed, { credential: admin, dryRun: true });
    expect(dry.result.totals.sent.blobs - real.result.totals.sent.blobs).toBe(rest.result.totals.sent.blobs);
    const { result } = await pushTo(harbor, signed, { credential: admin });
    expect(result.totals.sent).toEqual(rest.result.totals.sent);
  });

  it("count in the progress, which never exceeds its total", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const bundle = makeBundle({
      "quay.io/team/one:v1": {
        image: one,
        attached: [{ descriptor: sbom.root, subject: one.root.digest, image: sbom }],
      },
      "quay.io/team/two:v1": { image: two },
      "quay.io/team/three:v1": { image: makeImage("three", [base]) },
    });
    const { events } = await pushTo(harbor, bundle, { credential: admin });
    const plan = events.find(({ type }) => type === "plan") as unknown as { bytes: number };
    const done = events.reduce(
      (sum, event) =>
        event.type === "progress" || (event.type === "item" && event.state === "mounted")
          ? sum + (event.bytes ?? 0)
          : sum,
      0,
    );
    expect(done).toBe(plan.bytes);
  });
});

describe("a project whose policy keeps images from being pulled", () => {
  it("is filled, and it is said which images nobody can pull", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { cosign: true } } });
    const { result, events } = await pushTo(harbor, plain, { credential: admin });
    expect(result.images.map(({ state, withheld }) => [state, withheld])).toEqual([
      ["pushed", "The image is not signed by cosign."],
      ["pushed", "The image is not signed by cosign."],
    ]);
    expect(warnings(events)).toMatch(
      /Nobody can pull 2 images.*not signed by cosign.*team\/one:v1.*team\/two:v1/,
    );
    expect(harbor.store.manifest("quay.io/team/two", "v1")?.digest).toBe(two.root.digest);
    const again = await pushTo(harbor, plain, { credential: admin });
    expect(again.result.images.map(({ state }) => state)).toEqual(["present", "present"]);
    expect(again.asked.filter((label) => label.startsWith("PUT"))).toEqual([]);
    expect(warnings(again.events)).toMatch(/Nobody can pull 2 images/);
  });

  it("is no matter for images that carry their signature", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { cosign: true } } });
    const { result } = await pushTo(harbor, signed, { credential: admin });
    expect(result.images[0]?.state).toBe("pushed");
    expect(harbor.store.manifest("quay.io/team/one", sigTag)?.digest).toBe(signature.root.digest);
    expect(result.images[0]?.withheld).toBeUndefined();
  });

  it("has what is attached to an image told apart from the image", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { cosign: true } } });
    const { result, events } = await pushTo(harbor, signed, { credential: admin });
    const [image] = result.images;
    expect(image?.attached?.map(({ digest, withheld }) => [digest, withheld])).toEqual([
      [signature.root.digest, undefined],
      [sbom.root.digest, "The image is not signed by cosign."],
    ]);
    expect(warnings(events)).toMatch(/^Nobody can pull 1 artifact that is attached/);
  });

  it("says for which platforms an index that is signed has images that are not", async () => {
    await using harbor = await startHarbor({ users: users(), projects: { "quay.io": { cosign: true } } });
    const index = makeIndex([one, two]);
    const signedAs = (image: { root: { digest: string } }) => ({
      descriptor: signature.root,
      subject: image.root.digest,
      tag: attachedTag(image.root.digest as typeof one.root.digest, "sig"),
      image: signature,
    });
    const multi = makeBundle({
      "quay.io/team/multi:v1": { image: index, attached: [signedAs(index), signedAs(one)] },
    });
    for (const credential of [admin, robot]) {
      harbor.store.repositories.clear();
      const { result, events } = await pushTo(harbor, multi, { credential });
      expect(result.images[0]?.withheld).toMatch(/^linux\/\w+: The image is not signed by cosign\.$/);
      expect(warnings(events)).toMatch(/Nobody can pull 1 image .*linux\//);
    }
  });

  it("is repaired, though nobody can see whether it has to be", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { cosign: true } } });
    const multi = makeBundle({ "quay.io/team/multi:v1": { image: makeIndex([one, two]) } });
    await pushTo(harbor, multi, { credential: admin });
    harbor.store.repository("quay.io/team/multi").manifests.delete(one.root.digest);
    await pushTo(harbor, multi, { credential: admin, repair: true });
    expect(harbor.store.manifest("quay.io/team/multi", one.root.digest)?.digest).toBe(one.root.digest);
  });

  it.each(["push", "repair"])("is filled where images must be scanned: %s", async (way) => {
    await using harbor = await startHarbor({ projects: { "quay.io": { preventVul: true } } });
    const index = makeBundle({ "quay.io/team/multi:v1": { image: makeIndex([one, two]) } });
    await pushTo(harbor, index, { credential: admin });
    const { events, result } = await pushTo(harbor, index, { credential: admin, repair: way === "repair" });
    expect(result.images[0]?.withheld).toMatch(/without vulnerability scanning/);
    expect(warnings(events)).toMatch(/Nobody can pull 1 image/);
  });

  it("is told of by a dry run", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { cosign: true, preventVul: true } } });
    const { events } = await pushTo(harbor, plain, { credential: admin, dryRun: true });
    expect(warnings(events)).toMatch(/lets nobody pull an image without a signature by cosign and a scan/);
  });

  it("is filled by a robot that may not ask the API, and a second push ends well too", async () => {
    await using harbor = await startHarbor({ users: users(), projects: { "quay.io": { cosign: true } } });
    for (let i = 0; i < 2; i++) {
      const { result } = await pushTo(harbor, plain, { credential: robot });
      expect(result.images.every(({ withheld }) => withheld !== undefined)).toBe(true);
    }
    expect(harbor.store.manifest("quay.io/team/one", "v1")?.digest).toBe(one.root.digest);
  });

  it("is not taken for an immutable tag, nor the other way round", async () => {
    const refusing = (code: string): Hook[] => [
      (exchange) => (exchange.label === "PUT manifest" ? exchange.fail(412, code, "words") : undefined),
    ];
    for (const [code, expected] of [
      ["PRECONDITION", /tag is immutable/],
      ["PROJECTPOLICYVIOLATION", /policy of the project/],
      ["UNKNOWN", /answered HTTP 412 \(UNKNOWN: words\)/],
    ] as const) {
      await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks: refusing(code) });
      await expect(pushTo(harbor, plain, { credential: admin })).rejects.toThrow(expected);
    }
  });
});

describe("a login that a Harbor does not accept", () => {
  const disabled = users({ "robot$site+old": { ...robotUser, disabled: true } });
  it.each([
    ["a wrong password", { username: "admin", password: "falsch" }],
    ["a wrong secret of a robot", { username: "robot$site+ci", password: "falsch" }],
    ["a robot that is expired or disabled", { username: "robot$site+old", password: "s3cr$t" }],
    ["an unknown user", { username: "nobody", password: "x" }],
  ])("%s is shown once, and told", async (_, credential) => {
    await using harbor = await startHarbor({ users: disabled, projects: { "quay.io": {} } });
    const error = await pushTo(harbor, plain, { credential, createProjects: "private" }).catch(
      (thrown) => thrown,
    );
    expect(error).toMatchObject({
      code: "unauthorized",
      exit: 3,
      message: expect.stringMatching(/does not accept the login of .*(wrong|expired|disabled)/),
      suggestions: expect.arrayContaining([expect.stringContaining(`docker login ${harbor.host} -u `)]),
    });
    expect(harbor.failedLogins).toHaveLength(1);
    expect(harbor.tokens).toEqual([]);
  });

  it("is not asked for without a login", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { public: true } } });
    await expect(pushTo(harbor, plain)).rejects.toMatchObject({ code: "unauthorized", exit: 3 });
    expect(harbor.failedLogins).toEqual([]);
  });
});

describe("a repair", () => {
  const all = { projects: { "quay.io": { immutable: new Set(["v1", sigTag]) } } };

  it("leaves alone what is right: immutable tags of images and of signatures", async () => {
    await using harbor = await startHarbor(all);
    await pushTo(harbor, signed, { credential: admin });
    const { result } = await pushTo(harbor, signed, { credential: admin, repair: true });
    expect(result.totals.sent.blobs).toBe(0);
    expect(harbor.seen.filter(({ status }) => status === 412)).toEqual([]);
  });

  it("mends below an immutable signature", async () => {
    await using harbor = await startHarbor(all);
    await pushTo(harbor, signed, { credential: admin });
    harbor.store.repository("quay.io/team/one").blobs.delete(digestOf(bytesOf("sig", 5_000_000)));
    const { result } = await pushTo(harbor, signed, { credential: admin, repair: true });
    expect(result.totals.sent.blobs).toBe(1);
    expect(harbor.seen.filter(({ status }) => status === 412)).toEqual([]);
  });

  /** distribution keeps the file that it has for a digest, and tells the size that its cache (Redis) has. */
  const keeping = (damaged: Buffer, told: number): Hook => {
    return (exchange) => {
      const { target, method } = exchange;
      if (target.kind !== "blob" || target.digest !== digestOf(base)) return undefined;
      if (method === "HEAD") return exchange.send(200, { "content-length": told });
      const [from, to] = /^bytes=(\d+)-(\d+)$/.exec(exchange.header("range"))?.slice(1).map(Number) ?? [];
      if (from === undefined || to === undefined)
        return exchange.sendLess(200, { "content-length": told }, damaged);
      if (to >= told) return exchange.send(416);
      const range = { "content-range": `bytes ${from}-${to}/${told}`, "content-length": to - from + 1 };
      return exchange.sendLess(206, range, damaged.subarray(from, to + 1));
    };
  };

  it.each([
    { repair: true, told: 1000 },
    { repair: false, told: 1000 },
    { repair: true, told: base.length },
    { repair: false, told: base.length },
  ])("asks again for what it mended: a truncated blob is an error (%o)", async ({ repair, told }) => {
    const hooks: Hook[] = [];
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks });
    if (repair) await pushTo(harbor, plain, { credential: admin });
    harbor.hooks.unshift(keeping(base.subarray(0, 1000), told));
    await expect(pushTo(harbor, plain, { credential: admin, repair })).rejects.toMatchObject({
      code: "corrupt",
      exit: 1,
      message: expect.stringContaining(`still does not give them out whole: ${digestOf(base)}`),
      suggestions: expect.arrayContaining([expect.stringContaining("flushdb")]),
    });
  });

  it("asks again for a child manifest that a stale cache takes and does not give", async () => {
    const index = makeIndex([one, two]);
    const multi = makeBundle({ "quay.io/team/multi:v1": { image: index } });
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    await pushTo(harbor, multi, { credential: admin });
    harbor.hooks.unshift((exchange) =>
      exchange.label === "GET manifest" && exchange.url.pathname.endsWith(one.root.digest)
        ? exchange.fail(404, "MANIFEST_UNKNOWN")
        : undefined,
    );
    await expect(pushTo(harbor, multi, { credential: admin, repair: true })).rejects.toMatchObject({
      message: expect.stringContaining(one.root.digest),
    });
  });

  it("mends a child manifest that is gone", async () => {
    const index = makeIndex([one, two]);
    const multi = makeBundle({ "quay.io/team/multi:v1": { image: index } });
    await using harbor = await startHarbor({ projects: { "quay.io": { immutable: new Set(["v1"]) } } });
    await pushTo(harbor, multi, { credential: admin });
    harbor.store.repository("quay.io/team/multi").manifests.delete(one.root.digest);
    await pushTo(harbor, multi, { credential: admin, repair: true });
    expect(harbor.store.manifest("quay.io/team/multi", one.root.digest)?.digest).toBe(one.root.digest);
  });
});

describe("a root that a registry took and does not give out", () => {
  it("is told with a way out", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    harbor.hooks.unshift((exchange) =>
      exchange.label === "GET manifest" ? exchange.fail(404, "MANIFEST_UNKNOWN") : undefined,
    );
    await expect(pushTo(harbor, plain, { credential: admin })).rejects.toMatchObject({
      message: expect.stringMatching(/took quay\.io\/team\/(one|two):v1, but does not give it out/),
      suggestions: [
        expect.stringMatching(/empty the cache.*redis-cli -n 1 flushdb.*then run the same command again/),
      ],
    });
  });
});

describe("a robot account with push and pull alone", () => {
  it("is told which checks could not be made, and which permission allows them", async () => {
    await using harbor = await startHarbor({ users: users(), projects: { "quay.io": { quota: 10e9 } } });
    const { events } = await pushTo(harbor, plain, { credential: robot });
    expect(warnings(events)).toMatch(
      /does not let robot\$site\+ci read project 'quay.io': its quota.*Project: Read/,
    );
  });

  it("finds immutable tags by the manifest, before any blob", async () => {
    await using harbor = await startHarbor({
      users: users(),
      projects: { "quay.io": { immutable: new Set(["v1"]) } },
    });
    fill(harbor.store, "quay.io/team/one", two, "v1");
    await expect(pushTo(harbor, plain, { credential: robot })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/team\/one:v1 is immutable/),
    });
    expect(harbor.count("PUT upload")).toBe(0);
  });

  it("finds a proxy cache by an upload, before any blob", async () => {
    await using harbor = await startHarbor({ users: users(), projects: { "quay.io": { proxyCache: true } } });
    await expect(pushTo(harbor, plain, { credential: robot })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("proxy cache, and nobody can push to it"),
    });
    expect(sent(harbor)).toBe(0);
  });

  it("moves a tag that is not immutable", async () => {
    await using harbor = await startHarbor({ users: users(), projects: { "quay.io": {} } });
    fill(harbor.store, "quay.io/team/one", two, "v1");
    const { result } = await pushTo(harbor, plain, { credential: robot });
    expect(result.images[0]?.replaced).toBe(two.root.digest);
    expect(harbor.store.manifest("quay.io/team/one", "v1")?.digest).toBe(one.root.digest);
  });

  it("is told by a dry run which tags were not asked about, and nothing changes", async () => {
    await using harbor = await startHarbor({
      users: users(),
      projects: { "quay.io": { immutable: new Set(["v1"]) } },
    });
    fill(harbor.store, "quay.io/team/one", two, "v1");
    const { events } = await pushTo(harbor, plain, { credential: robot, dryRun: true });
    expect(warnings(events)).toMatch(/immutable: quay\.io\/team\/one:v1\..*Artifact: Read/);
    expect(sent(harbor)).toBe(0);
  });

  it("hears nothing of that with Project: Read, Artifact: Read and Quota: Read", async () => {
    await using harbor = await startHarbor({
      users: users({ "robot$site+ci": { ...robotUser, reads: true, readsQuota: true } }),
      projects: { "quay.io": {} },
    });
    const { events } = await pushTo(harbor, plain, { credential: robot });
    expect(warnings(events)).toBe("");
  });

  it("is told that the quota was not checked without Quota: Read: Harbor leaves it out of its answer", async () => {
    await using harbor = await startHarbor({
      users: users({ "robot$site+ci": { ...robotUser, reads: true } }),
      projects: { "quay.io": { quota: 50_000 } },
    });
    const { events } = await pushTo(harbor, plain, { credential: robot, dryRun: true });
    expect(warnings(events)).toMatch(/read the quota of project 'quay.io'.*Quota: Read/);
  });

  it("hears nothing where Harbor has no quotas at all", async () => {
    const hooks: Hook[] = [
      (exchange) =>
        exchange.url.pathname.endsWith("/summary") ? exchange.json(200, { repo_count: 0 }) : undefined,
    ];
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks });
    const { events } = await pushTo(harbor, plain, { credential: admin });
    expect(warnings(events)).toBe("");
  });

  it("finds a signature's tag that is immutable and moves", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": { immutable: new Set([sigTag]) } } });
    fill(harbor.store, "quay.io/team/one", two, sigTag);
    await expect(pushTo(harbor, signed, { credential: admin })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining(`${sigTag} is immutable`),
    });
    expect(sent(harbor)).toBe(0);
  });
});

describe("projects that are made", () => {
  it("are not made with a quota that what goes into them exceeds", async () => {
    await using harbor = await startHarbor();
    await expect(
      pushTo(harbor, plain, { credential: admin, createProjects: "private", projectQuota: "50KiB" }),
    ).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/quota of 50\.0 KiB, and 79\.\d KiB go into it/),
    });
    expect(harbor.projects.size).toBe(0);
  });

  it("are told to have no quota where Harbor did not apply it", async () => {
    await using harbor = await startHarbor({
      users: users({ dev: { password: "dev", creates: true, rights: {} } }),
    });
    const { events } = await pushTo(harbor, plain, {
      credential: { username: "dev", password: "dev" },
      createProjects: "private",
      projectQuota: "1GiB",
    });
    expect(warnings(events)).toMatch(/did not apply --project-quota to project 'quay.io'/);
  });

  it("are told to be left behind where a robot made one that it may not push to", async () => {
    const maker: HarborUser = { ...robotUser, creates: true, reads: true, rights: {} };
    await using harbor = await startHarbor({ users: users({ "robot$site+ci": maker }) });
    const both = makeBundle({ "quay.io/team/one:v1": { image: one }, "ghcr.io/team/two:v1": { image: two } });
    await expect(
      pushTo(harbor, both, { credential: robot, createProjects: "private" }),
    ).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/make the project '.*', but not push to it.*stays there, empty/),
    });
    expect(harbor.projects.size).toBe(1);
  });

  it("are told to need a login when they are private", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {}, open: { public: true } } });
    const { events } = await pushTo(harbor, plain, { credential: admin });
    expect(events).toContainEqual({
      type: "note",
      message: expect.stringMatching(/Nodes need a login.*quay\.io/),
    });
  });
});

describe("suggestions", () => {
  it("repeat all options that were given", async () => {
    await using harbor = await startHarbor();
    await expect(
      pushTo(harbor, plain, {
        credential: admin,
        prefix: "/site",
        layout: "path",
        map: ["quay.io/**=site/mirror/*"],
        insecure: true,
        concurrency: 2,
      }),
    ).rejects.toMatchObject({
      suggestions: expect.arrayContaining([
        `airgap push test.tar ${harbor.host}/site --layout path --map 'quay.io/**=site/mirror/*' --concurrency 2 --insecure --create-projects private`,
      ]),
    });
  });
});

describe("robot accounts", () => {
  it("are made with the least rights, and work", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const { result } = await pushTo(harbor, plain, { credential: admin, makeRobots: true });
    const accounts = result.robots?.accounts ?? [];
    expect(accounts).toEqual([
      { role: "pull", name: "robot$test-pull", secret: expect.any(String) },
      { role: "push", name: "robot$test-push", secret: expect.any(String) },
    ]);
    expect(harbor.robots[0]).toMatchObject({
      level: "system",
      duration: -1,
      permissions: [
        { kind: "project", namespace: "quay.io", access: [{ resource: "repository", action: "pull" }] },
      ],
    });
    const login = (i: number) => {
      const { name = "", secret = "" } = (accounts[i] ?? {}) as { name?: string; secret?: string };
      return { username: name, password: secret };
    };
    const more = makeBundle({ "quay.io/team/three:v1": { image: makeImage("three", [base]) } });
    await expect(pushTo(harbor, more, { credential: login(0) })).rejects.toThrow(
      /may not push to project 'quay.io'/,
    );
    const { events } = await pushTo(harbor, more, { credential: login(1) });
    expect(warnings(events)).toBe("");
  });

  it("are made without Quota: Read by a Harbor that does not know it", async () => {
    const refused: Hook = async (exchange) => {
      if (exchange.method !== "POST" || !exchange.url.pathname.endsWith("/robots")) return undefined;
      const { name, permissions } = JSON.parse((await exchange.body()).toString());
      if (JSON.stringify(permissions).includes("quota"))
        return exchange.fail(400, "BAD_REQUEST", "bad request permission: quota:read");
      return exchange.json(201, { id: 1, name: `robot$${name}`, secret: "x" });
    };
    await using harbor = await startHarbor({ projects: { "quay.io": {} }, hooks: [refused] });
    const { result } = await pushTo(harbor, plain, { credential: admin, makeRobots: true });
    expect(result.robots?.accounts.map(({ role }) => role)).toEqual(["pull", "push"]);
  });

  it("leave their secrets in a file of the user's alone, and nowhere else", async () => {
    using scratch = new Scratch();
    const robotsFile = scratch.path("robots.json");
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const options = { credential: admin, makeRobots: true, robotsFile };
    const { result, events } = await pushTo(harbor, plain, options);
    expect(statSync(robotsFile).mode & 0o777).toBe(0o600);
    const kept = JSON.parse(readFileSync(robotsFile, "utf8")) as { name: string; secret: string }[];
    expect(kept.map(({ name }) => name)).toEqual(["robot$test-pull", "robot$test-push"]);
    for (const { secret } of kept) expect(JSON.stringify([result, events])).not.toContain(secret);
    await expect(pushTo(harbor, plain, options)).rejects.toMatchObject({ code: "usage" });
  });

  it("are not lost where the file cannot be written", async () => {
    using scratch = new Scratch();
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const robotsFile = scratch.path("no/such/folder/robots.json");
    const { result, events } = await pushTo(harbor, plain, {
      credential: admin,
      makeRobots: true,
      robotsFile,
    });
    expect(result.robots?.accounts).toMatchObject([
      { secret: expect.any(String) },
      { secret: expect.any(String) },
    ]);
    expect(warnings(events)).toMatch(/robots\.json cannot be written, so the secrets are printed/);
  });

  it("that are there already are named", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    await pushTo(harbor, plain, { credential: admin, makeRobots: true });
    const { result, events } = await pushTo(harbor, plain, { credential: admin, makeRobots: true });
    expect(result.robots).toEqual({ accounts: [] });
    expect(warnings(events)).toMatch(/has a robot account test-pull already.*only once/);
  });

  it("are made in one project by its own administrator", async () => {
    const dev = { dev: { password: "dev", rights: { "quay.io": "push" as const } } };
    const projects = { "quay.io": { members: { dev: 1 } }, "ghcr.io": {} };
    await using harbor = await startHarbor({ users: users(dev), projects });
    const credential = { username: "dev", password: "dev" };
    const { result } = await pushTo(harbor, plain, { credential, makeRobots: true });
    expect(result.robots?.accounts).toHaveLength(2);
    expect(harbor.robots[0]).toMatchObject({ level: "project" });
  });

  it("are made by who makes the project", async () => {
    const dev = { dev: { password: "dev", creates: true, rights: {} } };
    await using harbor = await startHarbor({ users: users(dev) });
    const { result } = await pushTo(harbor, plain, {
      credential: { username: "dev", password: "dev" },
      createProjects: "private",
      makeRobots: true,
    });
    expect(result.robots?.accounts).toHaveLength(2);
  });

  it("are not made by a developer: that is found before anything is sent", async () => {
    const dev = { dev: { password: "dev", rights: { "quay.io": "push" as const } } };
    await using harbor = await startHarbor({ users: users(dev), projects: { "quay.io": {} } });
    const credential = { username: "dev", password: "dev" };
    await expect(pushTo(harbor, plain, { credential, makeRobots: true })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/dev may not make robot accounts at .* for 1 project$/),
    });
    expect(sent(harbor)).toBe(0);
  });

  it.each([
    ["by a robot", robot],
    ["for several projects by somebody who is no administrator", { username: "dev", password: "dev" }],
  ])("cannot be made %s: nothing is sent", async (_, credential) => {
    using scratch = new Scratch();
    const dev = { dev: { password: "dev", rights: { "*": "push" as const } } };
    await using harbor = await startHarbor({ users: users(dev), projects: { "quay.io": {}, "ghcr.io": {} } });
    const both = makeBundle({ "quay.io/team/one:v1": { image: one }, "ghcr.io/team/two:v1": { image: two } });
    const robotsFile = scratch.path("robots.json");
    await expect(pushTo(harbor, both, { credential, makeRobots: true, robotsFile })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("may not make robot accounts"),
    });
    expect(sent(harbor)).toBe(0);
    expect(existsSync(robotsFile)).toBe(false);
  });

  it("are not made by a dry run", async () => {
    await using harbor = await startHarbor({ projects: { "quay.io": {} } });
    const { result } = await pushTo(harbor, plain, { credential: admin, makeRobots: true, dryRun: true });
    expect([result.robots, harbor.robots]).toEqual([undefined, []]);
  });
});
