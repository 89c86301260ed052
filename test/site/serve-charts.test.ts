import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BundleReader } from "../../src/bundle/reader.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { chartsToPush } from "../../src/site/push/charts.ts";
import { fillRegistry } from "../../src/site/push/fill.ts";
import { bundleLibrary } from "../../src/site/serve/library.ts";
import { Registries } from "../../src/transport/registry/registries.ts";
import { bundleWithCharts, bundleWithOtherChart } from "../support/charts.ts";
import { Scratch } from "../support/scratch.ts";
import { Serving } from "../support/serve.ts";

const scratch = new Scratch();
let built: Awaited<ReturnType<typeof bundleWithCharts>>;
let serving: Serving;

beforeAll(async () => {
  built = await bundleWithCharts(scratch);
  serving = await Serving.start({ libraries: [bundleLibrary([BundleReader.open(built.bundle)])], store: "" });
});
afterAll(async () => {
  await serving[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const get = async (path: string, from = serving): Promise<Buffer> => {
  const { status, body } = await from.call("GET", path);
  expect(status).toBe(200);
  return body;
};

/** What `helm pull oci://` reads: manifest, config, archive, each checked. */
async function pull(
  repository: string,
  tag: string,
  from = serving,
): Promise<{ archive: Buffer; config: unknown }> {
  const manifest = JSON.parse((await get(`/v2/${repository}/manifests/${tag}`, from)).toString("utf8")) as {
    config: { mediaType: string; digest: string };
    layers: { mediaType: string; digest: string }[];
  };
  expect(manifest.config.mediaType).toBe("application/vnd.cncf.helm.config.v1+json");
  expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual([
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
  ]);
  const archive = await get(`/v2/${repository}/blobs/${manifest.layers[0]?.digest}`, from);
  expect(digestOf(archive)).toBe(manifest.layers[0]?.digest);
  const config = JSON.parse(
    (await get(`/v2/${repository}/blobs/${manifest.config.digest}`, from)).toString(),
  );
  return { archive, config };
}

describe("charts of a bundle", () => {
  it("are a repository for helm: index.yaml and archives", async () => {
    const index = JSON.parse((await get("/charts/index.yaml")).toString("utf8")) as {
      entries: Record<string, { version: string; urls: string[]; digest: string; appVersion: string }[]>;
    };
    expect(Object.keys(index.entries)).toEqual(["web"]);
    expect(index.entries.web?.map(({ version }) => version).toSorted()).toEqual(["1.0.0", "1.1.0+build.2"]);
    for (const { urls, digest, appVersion } of index.entries.web ?? []) {
      expect(digestOf(await get(`/charts/${urls[0]}`))).toBe(`sha256:${digest}`);
      expect(appVersion).toBe("1.20");
    }
    expect((await get("/charts/web-1.0.0.tgz")).equals(built.archive)).toBe(true);
    expect((await get("/charts/")).toString()).toContain('href="./web-1.1.0%2Bbuild.2.tgz"');
    expect((await serving.call("GET", "/charts/nothing.tgz")).status).toBe(404);
  });

  it("are artifacts of the registry, by their own name and by the spec's", async () => {
    const { archive, config } = await pull("charts/web", "1.0.0");
    expect(archive.equals(built.archive)).toBe(true);
    expect(config).toMatchObject({ apiVersion: "v2", name: "web", version: "1.0.0", description: "The web" });
    const own = await pull("charts/web", "1.1.0_build.2");
    expect((await pull("charts/web-new", "1.1.0_build.2")).archive.equals(own.archive)).toBe(true);
    const { tags } = JSON.parse((await get("/v2/charts/web/tags/list")).toString()) as { tags: string[] };
    expect(tags).toEqual(["1.0.0", "1.1.0_build.2"]);
    expect((await get("/v2/_catalog")).toString()).toContain("charts/web-new");
    const { headers } = await serving.call("HEAD", "/v2/charts/web/manifests/1.0.0");
    expect(
      (await serving.call("GET", `/v2/charts/web/manifests/${headers["docker-content-digest"]}`)).status,
    ).toBe(200);
    expect((await serving.call("GET", "/v2/charts/web-new/manifests/1.0.0")).status).toBe(404);
  });

  it("stand beside manifests, which are files", async () => {
    expect((await get("/manifests/m/m.yaml")).toString()).toContain("kind: ConfigMap");
    expect((await get("/manifests/")).toString()).toContain('href="./m/"');
    expect((await get("/")).toString()).toMatch(/Manifests.*Helm charts/s);
  });

  it("of one name and version that differ end serve before it listens", async () => {
    using other = new Scratch();
    const bundles = [built.bundle, await bundleWithOtherChart(other)].map((path) => BundleReader.open(path));
    expect(() => bundleLibrary(bundles)).toThrow(/charts\/web:1\.0\.0 would be two different charts/);
    expect(() =>
      bundleLibrary([built.bundle, built.bundle].map((path) => BundleReader.open(path))),
    ).not.toThrow();
  });

  it("are pushed into a registry with --charts, once", async () => {
    await using target = await Serving.start();
    const bundle = BundleReader.open(built.bundle);
    const host = `127.0.0.1:${new URL(target.server.url).port}`;
    const registries = new Registries({ trust: () => ({ insecure: true }) });
    const again = async () =>
      fillRegistry({
        bundle: { name: built.bundle, lock: bundle.lock, source: bundle.source() },
        target: `${host}/pre`,
        layout: "host",
        map: [],
        dryRun: false,
        repair: false,
        yes: false,
        concurrency: 2,
        registries,
        charts: await chartsToPush(bundle, `${host}/pre`),
        withCharts: true,
        emit: () => {},
      });
    const { images, notImages } = await again();
    expect(images.map(({ name, state }) => [name, state])).toEqual([
      [`${host}/pre/charts/web:1.0.0`, "pushed"],
      [`${host}/pre/charts/web:1.1.0_build.2`, "pushed"],
    ]);
    expect(notImages).toBe(2);
    expect((await pull("pre/charts/web", "1.0.0", target)).archive.equals(built.archive)).toBe(true);
    const { images: present, totals } = await again();
    expect(present.map(({ state }) => state)).toEqual(["present", "present"]);
    expect(totals.sent.blobs).toBe(0);
    await registries.close();
    bundle.close();
  });
});
