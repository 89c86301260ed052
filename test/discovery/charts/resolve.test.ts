import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Event } from "../../../src/events.ts";
import { Http } from "../../../src/http.ts";
import type { CarriedFacts } from "../../../src/lock/carried-facts.ts";
import type { Lock } from "../../../src/lock/lock.ts";
import { resolveCharts } from "../../../src/resolve/charts.ts";
import type { DocumentsContext } from "../../../src/resolve/manifests.ts";
import { Scratch } from "../../support/scratch.ts";

const hasHelm = (() => {
  try {
    execFileSync("helm", ["version", "--short"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

const CHART: Record<string, string> = {
  "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3\n",
  "values.yaml":
    "image: { repository: org/web, tag: v1 }\nmetrics: { enabled: false, image: { repository: org/metrics, tag: v1 } }\n",
  "templates/a.yaml":
    "apiVersion: v1\nkind: Pod\nmetadata: { name: '{{ .Release.Name }}', namespace: '{{ .Release.Namespace }}', annotations: { kube: '{{ .Capabilities.KubeVersion }}' } }\nspec: { containers: [{ name: a, image: '{{ .Values.image.repository }}:{{ .Values.image.tag }}' }] }\n",
  "templates/random.yaml":
    "{{ if .Values.random }}\napiVersion: v1\nkind: Secret\nmetadata: { name: r }\nstringData: { password: {{ randAlphaNum 20 }} }\n{{ end }}\n",
  "templates/hook.yaml":
    "apiVersion: batch/v1\nkind: Job\nmetadata: { name: h, annotations: { helm.sh/hook: post-install } }\nspec: { template: { spec: { containers: [{ name: a, image: 'org/hook:1' }] } } }\n",
};

function chart(scratch: Scratch): void {
  for (const [path, text] of Object.entries(CHART)) {
    mkdirSync(dirname(join(scratch.path("shop"), path)), { recursive: true });
    writeFileSync(join(scratch.path("shop"), path), text);
  }
}

const http = new Http({ retries: 0 });
const contextOf = (
  scratch: Scratch,
  more: Partial<DocumentsContext> = {},
): DocumentsContext & { events: Event[] } => {
  const events: Event[] = [];
  return {
    baseDir: scratch.dir,
    cacheDir: scratch.path("cache"),
    http: () => http,
    emit: (event) => events.push(event),
    events,
    ...more,
  };
};

describe.skipIf(!hasHelm)("charts of a spec", () => {
  test("are carried with the rendering that is applied, and hooks that nobody runs", async () => {
    using scratch = new Scratch();
    chart(scratch);
    scratch.write("v.yaml", "image: { tag: v7 }\n");
    const context = contextOf(scratch, { kubeVersion: "v1.28.2" });
    const { resolved, images } = await resolveCharts(
      [
        {
          chart: "shop",
          as: "web",
          namespace: "ns",
          values: ["v.yaml"],
          set: ["image.repository=org/other"],
        },
      ],
      context,
    );
    const [item] = resolved.map((each) => each.item);
    const facts = item?.facts as unknown as CarriedFacts;
    expect(item).toMatchObject({ kind: "chart", name: "web", origins: ["shop"], wantedBy: ["charts[0]"] });
    expect(facts).toMatchObject({
      apply: ["rendered.yaml"],
      notRun: ["hooks.yaml"],
      rendered: {
        chart: "shop",
        version: "1.2.3",
        kubeVersion: "v1.28.2",
        namespace: "ns",
        hooks: ["Job/h (post-install)"],
      },
    });
    expect(images.map(({ reference }) => reference)).toEqual([
      "docker.io/org/hook:1",
      "docker.io/org/other:v7",
    ]);
    expect(facts.images.find(({ reference }) => reference.includes("metrics"))?.fate).toBe("off");
    const titles = resolved[0]?.blobs.flatMap(
      ({ descriptor }) => descriptor.annotations?.["org.opencontainers.image.title"] ?? [],
    );
    expect(titles).toEqual(
      expect.arrayContaining([
        "chart/Chart.yaml",
        "chart/templates/a.yaml",
        "hooks.yaml",
        "rendered.yaml",
        "values/0.yaml",
      ]),
    );
    expect(
      context.events.some(
        (event) => event.type === "warning" && event.message.includes("docker.io/org/metrics:v1"),
      ),
    ).toBe(true);
  });

  test("what is switched off is carried when the spec accepts it", async () => {
    using scratch = new Scratch();
    chart(scratch);
    const { images } = await resolveCharts(
      [{ chart: "shop", acceptImages: ["*/metrics"] }],
      contextOf(scratch),
    );
    expect(images.map(({ reference }) => reference)).toContain("docker.io/org/metrics:v1");
  });

  test("a rendering that is another each time is kept, and follows the lock", async () => {
    using scratch = new Scratch();
    chart(scratch);
    const entry = { chart: "shop", set: ["random=true"] };
    const first = await resolveCharts([entry], contextOf(scratch));
    const locked: Lock = {
      apiVersion: "airgap/v1",
      kind: "Lock",
      name: "x",
      platforms: [],
      items: JSON.parse(JSON.stringify(first.resolved.map(({ item }) => item))),
      blobs: [],
    };
    const again = await resolveCharts([entry], contextOf(scratch));
    expect(again.resolved[0]?.item.root.digest).not.toBe(first.resolved[0]?.item.root.digest);
    expect((await resolveCharts([entry], contextOf(scratch, { locked }))).resolved[0]?.item.root).toEqual(
      first.resolved[0]?.item.root,
    );
    await rm(scratch.path("cache"), { recursive: true });
    await expect(resolveCharts([entry], contextOf(scratch, { locked }))).rejects.toThrow(
      /has changed since it was locked/,
    );
  });

  test.each([
    [[{ chart: "nothing" }], /Cannot read the chart/],
    [
      [{ chart: "shop", version: "9.9.9" }],
      /version 9\.9\.9 is asked for, but the chart shop has version 1\.2\.3/,
    ],
    [[{ chart: "shop", repo: "stable" }], /not the URL/],
    [[{ chart: "shop" }, { chart: "./shop" }], /both have the name 'shop'/],
    [[{ chart: "shop", values: ["none.yaml"] }], /none\.yaml/],
  ])("%j is refused", async (entries, message) => {
    using scratch = new Scratch();
    chart(scratch);
    await expect(resolveCharts(entries, contextOf(scratch))).rejects.toThrow(message);
  });
});
