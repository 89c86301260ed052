import { existsSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { type KeptBundle, pruneBundles } from "../../src/install/former-bundles.ts";
import { FunctionHost } from "../support/install/function-host.ts";
import { PlayedSite } from "../support/install/played-site.ts";
import { SHELLS } from "../support/install/shells.ts";

const FOLDER = "/var/lib/airgap/bundles";
const current = `${FOLDER}/site-222222222222.tar`;
const former = `${FOLDER}/site-111111111111.tar`;
const beside = `${FOLDER}/site-000000000000.tar`;

const listing = (kubernetes: string[], ...images: string[]): string =>
  JSON.stringify({ kubernetes, items: images.map((name) => ({ kind: "image", name })) }, undefined, 2);
const section = (path: string, state: string, text: string): string => `=== ${path} 1000 ${state}\n${text}\n`;

let site: PlayedSite;
beforeEach(async () => {
  site = new PlayedSite();
  await site.write();
  return () => site[Symbol.dispose]();
});

const BUNDLES = [
  section(
    current,
    "served",
    listing(["v1.29.9"], "registry.k8s.io/pause:3.9", "docker.io/library/nginx:1.28"),
  ),
  section(former, "former", listing(["v1.28.2"], "docker.io/library/nginx:1.27", "quay.io/team/app:v1")),
  section(beside, "beside", listing(["v1.27.1"], "docker.io/library/nginx:1.26")),
];

interface Played {
  version?: string;
  workloads?: object[];
  refuses?: boolean;
}
function play(bundles: string[], images: string[], more: Played = {}): void {
  const { version = "v1.29.9", workloads = [], refuses } = more;
  const pods = images.map((image) => ({ spec: { containers: [{ image }] } }));
  site
    .host("master1")
    .answers(/^show_bundles /, bundles.join(""))
    .answers(/^forget_bundle /, "")
    .answers(
      /kubectl get pods,.* --all-namespaces -o json/,
      refuses
        ? { code: 1, stdout: "", stderr: "refused" }
        : JSON.stringify({ items: [...pods, ...workloads] }),
    )
    .answers(
      /kubectl get nodes -o json/,
      JSON.stringify({
        items: [{ metadata: { name: "node1" }, status: { nodeInfo: { kubeletVersion: version } } }],
      }),
    );
}

async function prune(more: { dryRun?: boolean; sure?: boolean } = {}) {
  const shown: KeptBundle[][] = [];
  const result = await pruneBundles({
    clusterFile: site.clusterFile,
    open: site.open,
    emit: () => {},
    dryRun: more.dryRun ?? false,
    sure: async (bundles) => {
      shown.push(bundles.map((each) => ({ ...each })));
      return more.sure ?? true;
    },
  });
  const removed = site.host("master1").commands.filter((command) => command.startsWith("forget_bundle"));
  return { result, shown, removed };
}
const needs = ({ bundles }: { bundles: KeptBundle[] }) => bundles.map(({ neededBy }) => neededBy);

describe("prune", () => {
  it("shows every bundle first, and removes what nothing needs", async () => {
    play(BUNDLES, ["nginx:1.28", "registry.k8s.io/pause:3.9", "registry.example/own:1"]);
    const { result, shown, removed } = await prune();
    expect(shown[0]?.map(({ path, removed: gone }) => [path, gone])).toEqual([
      [current, false],
      [former, false],
      [beside, false],
    ]);
    expect(removed.map((command) => command.split(" ")[1]?.replaceAll("'", ""))).toEqual([former, beside]);
    expect(result).toMatchObject({ host: "master1", freed: 2000 });
  });

  it.each<[string, string[], string, string[][]]>([
    ["an image that only it has", ["nginx:1.27"], "v1.29.9", [[], ["nginx:1.27"], []]],
    [
      "an image under its name at the site",
      ["register.site.local/docker.io/library/nginx:1.27"],
      "v1.29.9",
      [[], ["register.site.local/docker.io/library/nginx:1.27"], []],
    ],
    ["a node that is still at its version", ["nginx:1.28"], "v1.28.2", [[], ["node1 is at v1.28.2"], []]],
  ])("keeps a bundle for %s", async (_, images, version, expected) => {
    play(BUNDLES, images, { version });
    const { result, removed } = await prune();
    expect(needs(result)).toEqual(expected);
    expect(removed).toHaveLength(1);
    expect(removed[0]).toContain(beside);
  });

  it("does not take an image of the same last name in the served bundle for the one that runs", async () => {
    play(
      [section(current, "served", listing([], "docker.io/other/app:v1")), BUNDLES[1] ?? ""],
      ["quay.io/team/app:v1"],
    );
    expect(needs((await prune()).result)).toEqual([[], ["quay.io/team/app:v1"]]);
  });

  it("finds images of templates that have no pods at the moment", async () => {
    const cron = {
      spec: { jobTemplate: { spec: { template: { spec: { initContainers: [{ image: "nginx:1.27" }] } } } } },
    };
    play(BUNDLES, [], { workloads: [cron] });
    expect(needs((await prune()).result)[1]).toEqual(["nginx:1.27"]);
  });

  it("removes nothing without a yes, nor in a dry run", async () => {
    play(BUNDLES, []);
    expect((await prune({ sure: false })).removed).toEqual([]);
    expect((await prune({ dryRun: true })).shown).toEqual([]);
    expect((await prune({ dryRun: true })).removed).toEqual([]);
  });

  it.each([
    ["it", [BUNDLES[0] ?? "", section(former, "former", "")]],
    ["the served one", [section(current, "served", "no JSON"), BUNDLES[1] ?? ""]],
  ])("keeps a bundle when %s cannot be read", async (_, bundles) => {
    play(bundles, []);
    const { result, removed } = await prune();
    expect(needs(result)[1]).toEqual([expect.stringContaining("could not be read")]);
    expect(removed).toEqual([]);
  });

  it("removes nothing when the cluster does not answer", async () => {
    play(BUNDLES, [], { refuses: true });
    await expect(prune()).rejects.toMatchObject({ code: "refused" });
    expect(site.host("master1").commands.filter((each) => each.startsWith("forget_bundle"))).toEqual([]);
  });

  it("takes no path that could mean something else", async () => {
    play(
      [
        BUNDLES[0] ?? "",
        section(`${FOLDER}/../x.tar`, "former", listing([])),
        section("/etc/passwd", "former", listing([])),
      ],
      [],
    );
    expect((await prune()).result.bundles).toHaveLength(1);
  });
});

describe.each(SHELLS)("functions for bundles that are there, by %s", (...shell) => {
  let host: FunctionHost;
  beforeEach(() => {
    host = new FunctionHost(shell);
    return () => host[Symbol.dispose]();
  });
  const unit = (line: string): string =>
    host.place("unit.service", `[Service]\nExecStart=${line}\nRestart=always\n`);

  it("show_bundles says which is served, and what airgap lists of each", () => {
    const tool = host.place(
      "tool",
      '#!/bin/sh\n[ "$1 $3" = "list --json" ] && echo "{ \\"of\\": \\"${2##*/}\\" }"\n',
    );
    const [a, b, c] = ["a", "b", "c"].map((name) => host.place(`bundles/${name}.tar`, "12345"));
    const file = unit(`${tool} serve ${b} --listen 0.0.0.0:443 --fallback ${c}`);
    const { stdout } = host.run(`chmod +x '${tool}'\nshow_bundles '${host.path("bundles")}' '${file}'`);
    expect(stdout).toBe(
      `=== ${a} 5 former\n{ "of": "a.tar" }\n=== ${b} 5 served\n{ "of": "b.tar" }\n=== ${c} 5 beside\n{ "of": "c.tar" }\n`,
    );
    expect(host.run(`show_bundles '${host.path("none")}' '${host.path("none")}'`)).toMatchObject({
      code: 0,
      stdout: "",
    });
  });

  it("forget_bundle removes a bundle with its signatures, and never the one that is served", () => {
    const [a, b] = ["a", "b"].map((name) => host.place(`bundles/${name}.tar`));
    for (const end of [".sigstore.json", ".second.sigstore.json"]) host.place(`bundles/b.tar${end}`);
    const file = unit(`/opt/airgap serve ${a} --listen 0.0.0.0:443 --fallback ${b} --htpasswd u`);
    const forget = (path = "") =>
      host.run(`forget_bundle '${path}' airgap-serve.service '${file}'`, { systemctl: "" });
    expect(forget(a)).toMatchObject({
      code: 1,
      output: expect.stringContaining("is the bundle that is served"),
    });
    expect(forget(b)).toMatchObject({ code: 0 });
    expect(host.calls).toEqual(["systemctl daemon-reload", "systemctl restart airgap-serve.service"]);
    expect(host.run(`cat '${file}'`).stdout).toContain(
      `ExecStart=/opt/airgap serve ${a} --listen 0.0.0.0:443 --htpasswd u\n`,
    );
    expect(
      ["b.tar", "b.tar.sigstore.json", "b.tar.second.sigstore.json"].filter((name) =>
        existsSync(host.path(`bundles/${name}`)),
      ),
    ).toEqual([]);
    expect(existsSync(host.path("bundles/a.tar"))).toBe(true);
  });
});
