import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import type { Event } from "../../../src/events.ts";
import { Http } from "../../../src/http.ts";
import type { CarriedFacts } from "../../../src/lock/carried-facts.ts";
import type { Lock } from "../../../src/lock/lock.ts";
import type { Resolution } from "../../../src/lock/resolved.ts";
import { land } from "../../../src/names/landing.ts";
import { rewriteText } from "../../../src/names/rewrite.ts";
import { fitsPattern } from "../../../src/resolve/decide.ts";
import { type DocumentsContext, resolveManifests } from "../../../src/resolve/manifests.ts";
import { Scratch } from "../../support/scratch.ts";

const POD =
  "# net\napiVersion: v1\nkind: Pod\nmetadata: { name: net }\nspec:\n  containers:\n  - name: a\n    image: reg.site/net:1 # the one\n    args: [--helper-image=org/helper:2]\n";
const CONFIG =
  "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\ndata: { registry-path: quay.io/org/thing, demo-image: 'org/demo-x:1' }\n";

function contextOf(
  scratch: Scratch,
  http: Http,
  more: Partial<DocumentsContext> = {},
): DocumentsContext & { events: Event[] } {
  const events: Event[] = [];
  return {
    baseDir: scratch.dir,
    cacheDir: scratch.path("cache"),
    http: () => http,
    emit: (event) => events.push(event),
    events,
    ...more,
  };
}

const factsOf = (resolution: Resolution, i = 0): CarriedFacts =>
  resolution.resolved[i]?.item.facts as unknown as CarriedFacts;
const lockOf = ({ resolved }: Resolution): Lock => ({
  apiVersion: "airgap/v1",
  kind: "Lock",
  name: "x",
  platforms: [],
  items: JSON.parse(JSON.stringify(resolved.map(({ item }) => item))),
  blobs: [],
});

async function contentOf(resolution: Resolution, title: string): Promise<string> {
  const { blobs } = resolution.resolved[0] as Resolution["resolved"][0];
  const blob = blobs.find(
    ({ descriptor }) => descriptor.annotations?.["org.opencontainers.image.title"] === title,
  );
  const chunks: Buffer[] = [];
  if (blob) for await (const chunk of await blob.source.fetch(blob.descriptor)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

describe("what would be missing behind the gap", () => {
  const http = new Http({ retries: 0 });
  const open = POD.replace("reg.site/net:1", "'reg.site/{{ x }}:1'");

  test("a container whose image can't be read ends the build, unless it is ignored", async () => {
    using scratch = new Scratch();
    scratch.write("a.yaml", open);
    await expect(resolveManifests([{ path: "a.yaml" }], contextOf(scratch, http))).rejects.toMatchObject({
      code: "not-closed",
      exit: 3,
      message: expect.stringContaining(
        "a.yaml:8 Pod/net spec.containers[0].image: 'reg.site/{{ x }}:1' is not an image",
      ),
    });
    const found = await resolveManifests(
      [{ path: "a.yaml", ignoreImages: ["reg.site/{{ x }}:1"] }],
      contextOf(scratch, http),
    );
    expect(found.images.map(({ reference }) => reference)).toEqual(["docker.io/org/helper:2"]);
  });

  test("a list of images is nothing to apply", async () => {
    using scratch = new Scratch();
    scratch.write("a.txt", "a/b:1\nc/d:2\n");
    await expect(resolveManifests([{ path: "a.txt" }], contextOf(scratch, http))).rejects.toThrow(
      /list of images/,
    );
  });

  test("addImages answers the warning that an operator may pull more", async () => {
    using scratch = new Scratch();
    scratch.write("a.yaml", "apiVersion: x.example.org/v1\nkind: Thing\nmetadata: { name: t }\n");
    const said = async (more: object): Promise<string> => {
      const context = contextOf(scratch, http);
      await resolveManifests([{ path: "a.yaml", ...more }], context);
      return JSON.stringify(context.events);
    };
    expect(await said({})).toContain("Thing (x.example.org)");
    expect(await said({ addImages: ["a/b:1"] })).not.toContain("Thing (x.example.org)");
    expect(await said({ addImages: [] })).not.toContain("Thing (x.example.org)");
  });
});

describe("manifests of a spec", () => {
  const http = new Http({ retries: 0 });

  test("are carried byte for byte, with what they name, why, and where to rewrite it", async () => {
    using scratch = new Scratch();
    scratch.write("net.yml", POD);
    const found = await resolveManifests([{ path: "net.yml", as: "net" }], contextOf(scratch, http));
    expect(found.resolved[0]?.item).toMatchObject({
      kind: "manifests",
      name: "net",
      origins: ["net.yml"],
      wantedBy: ["manifests[0]"],
    });
    expect(await contentOf(found, "net.yml")).toBe(POD);
    expect(found.images).toEqual([
      { reference: "docker.io/org/helper:2", wantedBy: "manifests net: net.yml:9" },
      { reference: "reg.site/net:1", wantedBy: "manifests net: net.yml:8" },
    ]);
    const facts = factsOf(found);
    expect(facts.apply).toEqual(["net.yml"]);
    const rewritten = rewriteText(POD, facts.sites["net.yml"] ?? [], {
      land: (reference) => land(reference, { target: { host: "h", prefix: "" }, layout: "path", map: [] }),
    });
    expect(rewritten.text).toBe(
      POD.replace("reg.site/net:1", "h/net:1").replace("org/helper:2", "h/org/helper:2"),
    );
  });

  test("the spec adds, accepts and ignores; what is left open is told", async () => {
    using scratch = new Scratch();
    scratch.write("a.yaml", `${POD}---\n${CONFIG}`);
    const context = contextOf(scratch, http);
    const open = await resolveManifests([{ path: "a.yaml" }], context);
    expect(factsOf(open).images.map(({ reference, fate }) => [reference, fate])).toEqual([
      ["docker.io/org/demo-x:1", "carried"],
      ["docker.io/org/helper:2", "carried"],
      ["quay.io/org/thing:latest", "possible"],
      ["reg.site/net:1", "carried"],
    ]);
    expect(
      context.events.some((event) => event.type === "warning" && event.message.includes("quay.io/org/thing")),
    ).toBe(true);
    const decided = await resolveManifests(
      [{ path: "a.yaml", addImages: ["extra:1"], acceptImages: ["quay.io/*"], ignoreImages: ["*/demo-*"] }],
      contextOf(scratch, http),
    );
    expect(decided.images.map(({ reference }) => reference)).toEqual([
      "docker.io/library/extra:1",
      "docker.io/org/helper:2",
      "quay.io/org/thing:latest",
      "reg.site/net:1",
    ]);
  });

  test("folders, patterns, kustomizations and URLs", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("d/sub"), { recursive: true });
    mkdirSync(scratch.path("k"));
    scratch.write("d/a.yaml", POD);
    scratch.write("d/sub/a.yaml", CONFIG);
    scratch.write("k/a.yaml", POD);
    scratch.write(
      "k/kustomization.yaml",
      "resources: [a.yaml]\nimages: [{ name: reg.site/net, newTag: '9' }]\n",
    );
    const server = createServer((_, response) => response.end(POD));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x/kube-net.yml`;
      const found = await resolveManifests(
        [{ path: "d" }, { path: "k" }, { path: url }, { path: "d/**/*.yaml", as: "glob" }],
        contextOf(scratch, http),
      );
      expect(
        found.resolved.map(({ item }) => [
          item.name,
          factsOf({ resolved: [{ item, blobs: [] }], images: [] }).apply,
        ]),
      ).toEqual([
        ["d", ["a.yaml", "sub/a.yaml"]],
        ["k", ["k.built.yaml"]],
        ["kube-net", ["kube-net.yml"]],
        ["glob", ["d/a.yaml", "d/sub/a.yaml"]],
      ]);
      expect(found.images.map(({ reference }) => reference)).toContain("reg.site/net:9");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test("definitions alone are documents too", async () => {
    using scratch = new Scratch();
    const text =
      "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: x }\n";
    scratch.write("crds.yaml", text);
    const found = await resolveManifests([{ path: "crds.yaml" }], contextOf(scratch, http));
    expect([await contentOf(found, "crds.yaml"), found.images]).toEqual([text, []]);
  });

  test.each([
    [[{ path: "nothing.yaml" }], /no such file or folder/],
    [[{ path: "bad.yaml" }], /bad\.yaml:1: is not YAML/],
    [[{ path: "empty.yaml" }], /no Kubernetes object/],
    [[{ path: "net.yml" }, { path: "x/../net.yml" }], /both have the name 'net'/],
    [[{ path: "d" }], /d\/bad\.yaml:1/],
  ])("%j is refused", async (entries, message) => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("d"));
    mkdirSync(scratch.path("x"));
    scratch.write("net.yml", POD);
    scratch.write("bad.yaml", "a: b\n c: d\n");
    scratch.write("d/bad.yaml", "a: b\n c: d\n");
    scratch.write("empty.yaml", "# nothing\n");
    await expect(resolveManifests(entries, contextOf(scratch, http))).rejects.toThrow(message);
  });
});

describe("with a lock", () => {
  const http = new Http({ retries: 0 });

  test("the content is what it was, though the file has changed; without what was kept, that is said", async () => {
    using scratch = new Scratch();
    scratch.write("net.yml", POD);
    const first = await resolveManifests([{ path: "net.yml" }], contextOf(scratch, http));
    const locked = lockOf(first);
    scratch.write("net.yml", POD.replace("net:1", "net:2"));
    const followed = await resolveManifests([{ path: "net.yml" }], contextOf(scratch, http, { locked }));
    expect(await contentOf(followed, "net.yml")).toBe(POD);
    expect(followed.images).toEqual(first.images);
    await rm(scratch.path("cache"), { recursive: true });
    await expect(
      resolveManifests([{ path: "net.yml" }], contextOf(scratch, http, { locked })),
    ).rejects.toThrow(/has changed since it was locked/);
    scratch.write("net.yml", POD);
    expect(
      (await resolveManifests([{ path: "net.yml" }], contextOf(scratch, http, { locked }))).resolved[0]?.item
        .root,
    ).toEqual(first.resolved[0]?.item.root);
    await expect(
      resolveManifests([{ path: "net.yml", as: "other" }], contextOf(scratch, http, { locked })),
    ).rejects.toThrow(/not in it/);
  });
});

describe("patterns", () => {
  test.each([
    ["quay.io/*", "quay.io/a/b:1", true],
    ["*/demo-*", "docker.io/org/demo-x:1", true],
    ["*", "x", true],
    ["a*b*c", "aXbYc", true],
    ["a*b*c", "aXbY", false],
    ["reg.site/x:1", "reg_site/x:1", false],
    [`${"*a".repeat(200)}b`, "a".repeat(2_000), false],
  ])("%s", (pattern, text, answer) => {
    expect(fitsPattern(pattern, text)).toBe(answer);
  });
});
