import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { emitStream } from "../../src/discovery/documents/emit.ts";
import { buildKustomization } from "../../src/discovery/kustomize/build.ts";
import { command } from "../support/daemon.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
const airgap = join(import.meta.dirname, "../../bin/airgap");
const image = (name: string) => makeImage(name, [bytesOf(`documents ${name}`, 50_000)]);
let upstream: DockerRegistry;

const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  AIRGAP_CACHE_DIR: scratch.path("cache"),
  HOME: scratch.dir,
});
const run = async (...args: string[]): Promise<string> =>
  (await command(airgap, args, { env: environment(), cwd: scratch.dir, maxBuffer: 1 << 26 })).stdout;
const skopeo = async (...args: string[]): Promise<string> =>
  (await command("skopeo", ["--insecure-policy", ...args], { maxBuffer: 1 << 26 })).stdout;
const lines = (text: string): string[] => text.split("\n").filter(Boolean);
const isThere = async (reference: string): Promise<string> =>
  skopeo("inspect", "--raw", "--tls-verify=false", `docker://${reference}`);

async function put(name: string, content: ReturnType<typeof image>): Promise<void> {
  const layout = writeLayout(scratch.path(`layout-${name.replace(/\W+/g, "-")}`), { it: content });
  await skopeo(
    "copy",
    "--all",
    "--preserve-digests",
    "--dest-tls-verify=false",
    `oci:${layout}:it`,
    `docker://${upstream.host}/${name}`,
  );
}

beforeAll(async () => {
  upstream = await startDockerRegistry(scratch.dir);
});
afterAll(async () => {
  await upstream[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

describe("scenario A: Kubernetes through a flat mirror", () => {
  it("becomes one spec and one command, and kubeadm finds everything at the site", async () => {
    const kubeadm = lines(await run("images", "list", "--kubernetes-version", "v1.23.9"));
    expect(kubeadm).toContain("k8s.gcr.io/coredns/coredns:v1.8.6");
    for (const reference of kubeadm)
      await put(`google_containers/${reference.replace(/^.*\//, "")}`, image(reference));
    scratch.spec(
      `sources:\n  registry.k8s.io: { mirrors: ["${upstream.host}/google_containers/*"] }\n  ${upstream.host}: { insecure: true }\nkubernetes: [{ version: v1.23.9 }]`,
    );
    await run("build", "site.yaml", "-o", "site.tar", "--quiet");
    await run("verify", "site.tar");
    const names = JSON.parse(await run("list", "site.tar", "--json"));
    expect(JSON.stringify(names)).toContain("k8s.gcr.io/pause:3.6");
    await using site = await startDockerRegistry(scratch.dir);
    await run("push", "site.tar", `${site.host}/google_containers`, "--layout", "flat", "--insecure");
    const asked = lines(
      await run(
        "images",
        "list",
        "--kubernetes-version",
        "v1.23.9",
        "--image-repository",
        `${site.host}/google_containers`,
      ),
    );
    expect(asked).toHaveLength(kubeadm.length);
    for (const reference of asked) await isThere(reference);
  });
});

describe("scenario E: network and add-ons, rewritten as they are pushed", () => {
  const pinned = makeIndex([image("certgen amd64"), image("certgen arm64")]);
  const network =
    "# the network\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: { name: net, namespace: kube-system }\nspec:\n  template:\n    spec:\n      initContainers:\n      - { name: plugin, image: 'ghcr.io/net/plugin:v1' }  # CNI\n      containers:\n      - name: net\n        image: ghcr.io/net/net:v2\n        args: [--helper-image=helper:v3]\n";
  const addon = `apiVersion: batch/v1\nkind: Job\nmetadata: { name: certgen }\nspec: { template: { spec: { containers: [{ name: c, image: 'registry.k8s.io/ingress/certgen:v1@${pinned.root.digest}' }] } } }\n`;

  it("the documents are carried, closed, and every name in the rewritten ones is answered", async () => {
    for (const name of ["net/plugin:v1", "net/net:v2", "library/helper:v3"]) await put(name, image(name));
    await put("ingress/certgen:v1", pinned);
    scratch.write("net.yml", network);
    scratch.write("addon.yml", addon);
    const mirror = `{ mirrors: ["${upstream.host}"] }`;
    scratch.spec(
      `sources:\n  ghcr.io: ${mirror}\n  docker.io: ${mirror}\n  registry.k8s.io: ${mirror}\n  ${upstream.host}: { insecure: true }\nmanifests:\n- { path: net.yml, as: net }\n- addon.yml`,
    );
    await run("build", "site.yaml", "-o", "addons.tar", "--quiet");
    await run("verify", "addons.tar");
    for (const layout of ["host", "path", "flat"]) {
      await using site = await startDockerRegistry(scratch.dir);
      await run("push", "addons.tar", site.host, "--layout", layout, "--insecure");
      const rewritten = await run(
        "manifests",
        "rewrite",
        "net.yml",
        "addon.yml",
        "--target",
        site.host,
        "--layout",
        layout,
      );
      expect(rewritten).toContain("# CNI");
      scratch.write("rewritten.yml", rewritten);
      const asked = lines(await run("images", "find", "rewritten.yml"));
      expect(asked).toHaveLength(4);
      for (const reference of asked) {
        expect(reference.startsWith(`${site.host}/`)).toBe(true);
        // What is pinned is asked for by its digest alone, as a runtime does.
        await isThere(reference.replace(/:[^/:@]+@/, "@"));
      }
    }
  });

  it("a document that changed after the build is carried as it was locked", async () => {
    scratch.write("net.yml", network.replace("net:v2", "net:v9"));
    await run("build", "site.yaml", "-o", "again.tar", "--locked", "--quiet");
    await run("verify", "again.tar");
  });
});

describe("kustomizations, compared with kubectl", () => {
  const deployment = (name: string, ...images: string[]): string =>
    `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: ${name} }\nspec:\n  selector: { matchLabels: { app: ${name} } }\n  template:\n    metadata: { labels: { app: ${name} } }\n    spec:\n      serviceAccountName: robot\n      containers:\n${images.map((each, i) => `      - name: c${i}\n        image: ${each}\n        env: [{ name: A, value: "1" }, { name: B, value: "2" }]\n`).join("")}`;
  const files: Record<string, string> = {
    "base/kustomization.yaml":
      "resources: [web.yaml, rest.yaml]\ncommonLabels: { team: x }\nconfigMapGenerator:\n- { name: settings, literals: ['a=1', 'b=\"two\"'], files: [x.txt, named=y.bin], envs: [e.env] }\nsecretGenerator:\n- { name: secret, literals: [password=p] }\ngeneratorOptions: { disableNameSuffixHash: true }\nimages: [{ name: org/web, newTag: v2 }]\n",
    "base/web.yaml": deployment("web", "org/web:1", "reg.site/side:1"),
    "base/rest.yaml":
      "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: robot }\n---\napiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ port: 80, name: a }] }\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: { name: b }\nroleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: r }\nsubjects: [{ kind: ServiceAccount, name: robot, namespace: default }]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: r }\nrules: []\n---\napiVersion: example.org/v1\nkind: Thing\nmetadata: { name: t }\nspec: { list: [{ name: a, image: 'org/web:1' }], containers: [{ name: z, image: 'org/web:1' }] }\n",
    "base/x.txt": "line one\n\n  line two  \n\ttab: yes\n",
    "base/y.bin": "é: no\n",
    "base/e.env": "# comment\nE=5\n",
    "extra/kustomization.yaml":
      "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- target: { kind: Deployment }\n  patch: |-\n    - { op: add, path: /spec/replicas, value: 3 }\n",
    "site/kustomization.yaml":
      "resources: [../base, more.yaml]\ncomponents: [../extra]\nnamespace: ns\nnamePrefix: p-\nnameSuffix: -s\ncommonAnnotations: { note: hi }\npatchesStrategicMerge: [merge.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: { name: gone }\n    $patch: delete\nreplicas: [{ name: more, count: 4 }]\nimages:\n- { name: reg.site/side, newName: other.site/side, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000' }\nreplacements:\n- source: { kind: ConfigMap, name: settings, fieldPath: data.a }\n  targets: [{ select: { kind: Deployment, name: web }, fieldPaths: ['spec.template.spec.containers.[name=c0].env.[name=A].value'] }]\n",
    "site/more.yaml": `${deployment("more", "busybox")}---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: gone }\n`,
    "site/merge.yaml":
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec: { template: { spec: { containers: [{ name: new, image: 'new:1' }, { name: c1, env: [{ name: C, value: '3' }, { name: A, $patch: delete }] }], volumes: [{ name: v, configMap: { name: settings } }] } } }\n",
  };

  it("every object is the same", async () => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(scratch.path(path)), { recursive: true });
      writeFileSync(scratch.path(path), text);
    }
    const read = (text: string): Record<string, unknown> =>
      Object.fromEntries(
        parseAllDocuments(text, { version: "1.1" }).map((document) => {
          const value = document.toJS() as { kind: string; metadata: { name: string } };
          return [`${value.kind}/${value.metadata.name}`, value];
        }),
      );
    const { stdout } = await command("kubectl", ["kustomize", scratch.path("site")], { maxBuffer: 1 << 26 });
    const built = await buildKustomization(scratch.path("site"), { strict: true, warn: () => {} });
    expect(read(emitStream(built.documents))).toEqual(read(stdout));
  });
});
