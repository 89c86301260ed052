import { describe, expect, it } from "vitest";
import type { Event } from "../../src/events.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { type CopyOptions, copyWith } from "../../src/site/copy/copy.ts";
import type { Credential } from "../../src/transport/credential.ts";
import { fixedCredentials } from "../../src/transport/credentials.ts";
import { Registries } from "../../src/transport/registry/registries.ts";
import { fill } from "../support/fill.ts";
import { startHarbor } from "../support/harbor.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

const image = makeImage("app", [bytesOf("app", 50_000)]);
const other = makeImage("other", [bytesOf("other", 500)]);
const signature = makeImage("signature", [bytesOf("signature", 30_000)]);
const admin = { username: "admin", password: "Harbor12345" };
const site = { projects: { site: {} } };

async function copyTo(
  harbor: TestRegistry,
  { credential = admin, ...options }: Partial<CopyOptions> & { credential?: Credential } = {},
) {
  await using from = await startRegistry();
  fill(from.store, "team/app", image, "v1");
  fill(from.store, "team/app", signature, attachedTag(image.root.digest, "sig"));
  const events: Event[] = [];
  const emit = (event: Event): void => void events.push(event);
  const registries = new Registries({
    emit,
    retries: 0,
    credentials: fixedCredentials({ [harbor.host]: credential }),
  });
  try {
    const result = await copyWith(registries, {
      source: `docker://${from.host}/team/app:v1`,
      destination: `docker://${harbor.host}/site/app:v1`,
      baseDir: "/",
      all: true,
      platform: "linux/amd64",
      foreignLayers: false,
      yes: false,
      cacheDir: "/nowhere",
      emit,
      ...options,
    });
    return { result, events };
  } finally {
    await registries.close();
  }
}

describe("a copy to a Harbor", () => {
  it("lands with its signature", async () => {
    await using harbor = await startHarbor(site);
    const { result } = await copyTo(harbor);
    expect(result.attached).toBe(1);
    expect(harbor.store.manifest("site/app", "v1")?.digest).toBe(image.root.digest);
    expect(harbor.store.manifest("site/app", attachedTag(image.root.digest, "sig"))).toBeDefined();
  });

  it("counts its progress up to its total", async () => {
    await using harbor = await startHarbor(site);
    const { events } = await copyTo(harbor);
    const total = events.find(({ type }) => type === "plan") as unknown as { bytes: number };
    const done = events.reduce((sum, event) => (event.type === "progress" ? sum + event.bytes : sum), 0);
    expect(done).toBe(total.bytes);
  });

  it("is refused where the project is missing, with what to do", async () => {
    await using harbor = await startHarbor();
    await expect(copyTo(harbor)).rejects.toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringContaining("has no project 'site'"),
      suggestions: [expect.stringMatching(/^curl -u admin .*"project_name":"site"/)],
    });
  });

  it.each([
    ["a quota", { quota: 60_000 }, /has 58\.6 KiB left of its quota.*79\.\d KiB are new to it/],
    ["a proxy cache", { proxyCache: true }, /proxy cache, and nobody can push to it/],
  ])("is refused before the first byte: %s", async (_, project, message) => {
    await using harbor = await startHarbor({ projects: { site: project } });
    await expect(copyTo(harbor)).rejects.toMatchObject({ exit: 3, message: expect.stringMatching(message) });
    expect(harbor.count("POST start-upload") + harbor.count("PUT manifest")).toBe(0);
  });

  it("is refused for an immutable tag with another image, and goes on where it has this one", async () => {
    const tags = new Set(["v1", attachedTag(image.root.digest, "sig")]);
    await using harbor = await startHarbor({ projects: { site: { immutable: tags } } });
    await copyTo(harbor);
    const { result } = await copyTo(harbor);
    expect(result.totals.sent.blobs).toBe(0);
    expect(harbor.seen.filter(({ status }) => status === 412)).toEqual([]);
    fill(harbor.store, "site/app", other, "v1");
    await expect(copyTo(harbor)).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("site/app:v1 is immutable"),
    });
  });

  it("is refused before the first byte by a proxy cache that a robot may not read", async () => {
    const ci = { password: "x", robot: true, rights: { site: "push" as const } };
    await using harbor = await startHarbor({
      users: { robot$ci: ci },
      projects: { site: { proxyCache: true } },
    });
    const credential = { username: "robot$ci", password: "x" };
    await expect(copyTo(harbor, { credential })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("proxy cache, and nobody can push to it"),
    });
  });

  it("is told when a policy lets nobody pull it, and not when it is signed", async () => {
    await using harbor = await startHarbor({ projects: { site: { cosign: true } } });
    await using from = await startHarbor({ projects: { site: { public: true } } });
    fill(from.store, "site/other", other, "v1");
    const warned = (events: Event[]): string[] =>
      events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    expect(warned((await copyTo(harbor)).events)).toEqual([]);
    const destination = `docker://${harbor.host}/site/other:v1`;
    const { events } = await copyTo(harbor, { source: `docker://${from.host}/site/other:v1`, destination });
    expect(warned(events)).toEqual([
      expect.stringMatching(/^Nobody can pull .*\/site\/other:v1, as .*not signed by cosign\)/),
    ]);
  });

  it("shows a wrong password once", async () => {
    await using harbor = await startHarbor(site);
    await expect(copyTo(harbor, { credential: { username: "admin", password: "x" } })).rejects.toMatchObject({
      code: "unauthorized",
      exit: 3,
      message: expect.stringContaining("does not accept the login of admin"),
    });
    expect(harbor.failedLogins).toHaveLength(1);
  });

  it("explains what is refused half-way, and repeats the command with its options", async () => {
    await using harbor = await startHarbor(site);
    harbor.hooks.unshift((exchange) =>
      exchange.label === "PUT upload"
        ? exchange.fail(403, "DENIED", "The system is in read only mode. Any modification is prohibited.")
        : undefined,
    );
    await expect(copyTo(harbor, { insecure: true, yes: true })).rejects.toMatchObject({
      message: expect.stringContaining("is in read-only mode"),
      suggestions: expect.arrayContaining([
        expect.stringMatching(
          /airgap copy --all --yes --insecure docker:\/\/.*\/team\/app:v1 docker:\/\/.*\/site\/app:v1$/,
        ),
      ]),
    });
  });

  it("does not take the source's refusal for Harbor's", async () => {
    await using harbor = await startHarbor(site);
    await using from = await startHarbor();
    await expect(copyTo(harbor, { source: `docker://${from.host}/nothing/app:v1` })).rejects.toMatchObject({
      code: "unauthorized",
      message: expect.stringContaining(from.host),
    });
  });
});
