import { describe, expect, test } from "vitest";
import { parseStream } from "../../../src/discovery/documents/parse.ts";
import { Text } from "../../../src/discovery/documents/text.ts";
import { type Find, findImages } from "../../../src/discovery/images/find.ts";

/** What a shell or a template puts in, out of a template string's way. */
const hole = (name: string): string => `$\{${name}}`;
const find = (...texts: string[]): Find[] =>
  findImages(
    texts.flatMap((text, i) => [...parseStream(new Text(`${i}.yaml`, text))].map(({ root }) => root)),
  );
const carried = (...texts: string[]): string[] =>
  find(...texts).flatMap(({ reference, confidence, artifact }) =>
    confidence === "possible" || artifact ? [] : [reference],
  );
const indent = (text: string, by: number): string => text.replace(/^(?=.)/gm, " ".repeat(by));
const pod = (spec: string): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n${indent(spec, 2)}`;
const container = (fields: string): string =>
  pod(`containers:\n- name: c\n  image: reg.site/main:1\n${indent(fields, 2)}`);
const config = (data: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: cm }\ndata:\n${indent(data, 2)}`;
const resource = (spec: string): string =>
  `apiVersion: example.org/v1\nkind: Thing\nmetadata: { name: t }\nspec:\n${indent(spec, 2)}`;
const beside = (text: string): string[] =>
  carried(text).filter((reference) => reference !== "reg.site/main:1");

describe("containers", () => {
  test("of every kind, and of custom resources that embed pods, are certain", () => {
    const text = pod(
      "initContainers: [{ name: a, image: one }]\ncontainers: [{ name: b, image: 'two/x' }]\nephemeralContainers: [{ name: c, image: quay.io/three:3 }]\nvolumes: [{ name: v, image: { reference: reg.site/four:4 } }]\n",
    );
    const nested = resource(
      `shard:\n  podTemplate:\n${indent(pod("containers: [{ name: z, image: five }]\n"), 4)}`,
    );
    const finds = find(text, nested);
    expect(finds.map(({ reference, confidence }) => [reference, confidence])).toEqual([
      ["docker.io/library/five:latest", "certain"],
      ["docker.io/library/one:latest", "certain"],
      ["docker.io/two/x:latest", "certain"],
      ["quay.io/three:3", "certain"],
      ["reg.site/four:4", "certain"],
    ]);
    expect(finds[1]?.places[0]).toMatchObject({
      file: "0.yaml",
      line: 5,
      object: "Pod/p",
      path: "spec.initContainers[0].image",
      how: "container",
    });
  });

  test("tag and digest both stay", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    expect(carried(pod(`containers: [{ name: a, image: reg.site/x:1@${digest} }]\n`))).toEqual([
      `reg.site/x:1@${digest}`,
    ]);
  });

  test.each([
    "auto",
    "ko://example.org/cmd/x",
    "{{ .Values.image }}",
    "$(IMAGE)",
    "FILLED BY THE OPERATOR",
    `${hole("IMAGE")}:1`,
  ])("%s is no image", (image) => {
    expect(find(pod(`containers: [{ name: a, image: ${JSON.stringify(image)} }]\n`))).toEqual([]);
  });

  test("one that is never pulled is left out", () => {
    expect(find(pod("containers: [{ name: a, image: local:1, imagePullPolicy: Never }]\n"))).toEqual([]);
  });
});

describe("arguments", () => {
  test.each([
    ["args: ['--solver-image=reg.site/solver:v1', '--v=2']", "reg.site/solver:v1"],
    ["args: [--solver-image, org/solver:v1, --v, '2']", "docker.io/org/solver:v1"],
    ["command:\n- manager\n- --helper-image\n- helper:v1.2", "docker.io/library/helper:v1.2"],
    ["args: ['--config-reloader=org/config-reloader:main']", "docker.io/org/config-reloader:main"],
    ["args: ['--reloader=org/other:v0.55.1']", "docker.io/org/other:v0.55.1"],
    [
      "command: [sh, -c, 'kubectl run x --image=busybox:1.36 -- sleep 1; echo --image']",
      "docker.io/library/busybox:1.36",
    ],
    ["args: ['a=1,image=reg.site/x:2,b=3']", "reg.site/x:2"],
    ["command: [sh, -c, 'crictl pull org/tool:1']", "docker.io/org/tool:1"],
  ])("%s", (fields, reference) => {
    expect(beside(container(fields))).toEqual([reference]);
  });

  test.each([
    "args: ['--listen=0.0.0.0:8080', '--upstream=web.ns.svc:8443', 'org/app:8080']",
    "args: ['--controller-class=example.io/ingress', '--taint=node.example.io/not-ready:NoExecute']",
    "args: ['--endpoint=https://host.example.com:443/path:v1', '-v', '/var/run:/var/run:ro']",
    `args: ['--repository=reg.site/x:{{ .Tag }}', '--other=$(REGISTRY)/x:1', '${hole("REG")}/y:2']`,
    "args: ['--image-pull-policy=IfNotPresent', '--image-registry=reg.site', '--image-gc-high-threshold=85']",
    "args: ['--service-account=ns/name', '--id=spiffe://td/x:1.2']",
  ])("nothing in %s", (fields) => {
    expect(beside(container(fields))).toEqual([]);
  });
});

describe("variables", () => {
  test("that speak of images, and short names in them", () => {
    expect(
      beside(
        container(
          "env:\n- { name: RELATED_IMAGE_PROXY, value: 'org/proxy:v1' }\n- { name: HELPER_IMG, value: helper }\n- { name: CSI_PROVISIONER, value: 'org/csi-provisioner:v5' }\n- { name: REDIS_HOST, value: 'redis:6379' }\n- { name: DEFAULT_BUILDER, value: 'reg.site/maven:1' }\n",
        ),
      ),
    ).toEqual(["docker.io/org/csi-provisioner:v5", "docker.io/org/proxy:v1", "reg.site/maven:1"]);
  });

  test("with a line for each version, or a list", () => {
    expect(
      beside(
        container(
          "env:\n- name: SERVER_IMAGES\n  value: |\n    4.2=reg.site/server:a-4.2\n    4.3=org/server:a-4.3\n- { name: IMAGES, value: 'org/a:1,org/b:2; c=reg.site/c:3' }\n",
        ),
      ),
    ).toEqual([
      "docker.io/org/a:1",
      "docker.io/org/b:2",
      "docker.io/org/server:a-4.3",
      "reg.site/c:3",
      "reg.site/server:a-4.2",
    ]);
  });

  test("that take their value from a ConfigMap say what the key there holds", () => {
    const user = container(
      "env: [{ name: SIDECAR_IMAGE, valueFrom: { configMapKeyRef: { name: cm, key: sidecar.ref } } }]",
    );
    expect(carried(user, config("sidecar.ref: sidecar:1\nother.ref: something:1\n"))).toEqual([
      "docker.io/library/sidecar:1",
      "reg.site/main:1",
    ]);
  });

  test("split over several of them", () => {
    expect(
      beside(
        container(
          "env: [{ name: PROXY_IMAGE_REPOSITORY, value: org/proxy }, { name: PROXY_IMAGE_TAG, value: v7 }, { name: LOG_LEVEL, value: info }]",
        ),
      ),
    ).toEqual(["docker.io/org/proxy:v7"]);
  });

  test("or with their registry apart, in arguments too", () => {
    expect(
      beside(
        container(
          "env: [{ name: DB_IMAGE, value: server }, { name: DB_REPO_URL, value: docker.io/org }, { name: GIT_REPO, value: org/x }, { name: GIT_TAG, value: v1 }]",
        ),
      ),
    ).toEqual([]);
    expect(beside(container("args: [--proxy-image-repository=org/proxy, --proxy-image-tag, v3]"))).toEqual([
      "docker.io/org/proxy:v3",
    ]);
  });
});

describe("a name without tag, outside of what runs", () => {
  test.each([
    ["an argument", container("args: ['--image=busybox']"), ["docker.io/library/busybox:latest"]],
    [
      "a variable",
      container("env: [{ name: HELPER_IMG, value: helper }]"),
      ["docker.io/library/helper:latest"],
    ],
    ["a field", resource("image: quay.io/org/db"), ["quay.io/org/db:latest"]],
    ["split fields", resource("image: { repository: org/auth }"), ["docker.io/org/auth:latest"]],
    [
      "a parameter that is no image",
      resource("params: [{ name: binlog_row_image, defaultValue: full, mode: rw }]"),
      [],
    ],
    ["another such", resource("params: [{ name: row-image, default: noblob }]"), []],
    [
      "what is switched off",
      resource("vgpu: { enabled: false, image: vgpu-manager, imagePullPolicy: Always }"),
      [],
    ],
    [
      "the beginning of other names",
      container("image: reg.site/acme/op:v6\nenv: [{ name: ACME_IMAGE_REPOSITORY, value: reg.site/acme }]"),
      [],
    ],
    [
      "a registry for others",
      resource(
        "image:\n  baseRepo: registry.k8s.io\n  csi: { repository: /sig/provisioner, tag: v6.3.0 }\n  tag: v1",
      ),
      [],
    ],
    [
      "a number or a boolean",
      resource("useLatestImage: false\nimageTag: v1\nimage: 1.25\nbaseImage: true"),
      [],
    ],
  ])("%s: possible, or none", (_, text, references) => {
    const finds = find(text).filter(({ confidence }) => confidence === "possible");
    expect(finds.map(({ reference }) => reference)).toEqual(references);
    expect(beside(text).filter((reference) => !reference.includes("acme/op"))).toEqual([]);
  });

  test("a step that says what it runs means its image as it stands", () => {
    expect(carried(resource("container: { image: alpine, command: [sh] }"))).toEqual([
      "docker.io/library/alpine:latest",
    ]);
  });
});

describe("names and versions apart", () => {
  const env = (...pairs: [string, string][]): string =>
    container(`env:\n${pairs.map(([name, value]) => `- { name: ${name}, value: "${value}" }\n`).join("")}`);

  test.each([
    [
      "one level up",
      resource(
        "version: v7.1.0\ntool: { image: busybox }\nstore: { baseImage: org/store }\nfront: { image: org/front }",
      ),
      ["docker.io/org/front:v7.1.0", "docker.io/org/store:v7.1.0"],
    ],
    [
      "in variables, the version's prefix shorter",
      env(["ACME_DATABASE_IMAGE", "reg.site/acme/database"], ["DATABASE_VERSION", "1.10.0"]),
      ["reg.site/acme/database:1.10.0"],
    ],
    [
      "in variables, the image's prefix shorter",
      env(["DATABASE_IMAGE", "reg.site/acme/database"], ["ACME_DATABASE_TAG", "1.10"]),
      ["reg.site/acme/database:1.10"],
    ],
    [
      "without the word image",
      env(
        ["SEARCH_REPO_URL", "reg.example.io/acme"],
        ["SEARCH_NAME", "acme-search"],
        ["SEARCH_VERSION", "1.70.1"],
      ),
      ["reg.example.io/acme/acme-search:1.70.1"],
    ],
    [
      "a registry with a path inside of an organisation",
      resource(
        "images: { imagePrefix: org, registry: docker.io, main: { image: a, tag: v1 }, other: { imagePrefix: reg.example.io/own, imageName: b, imageTag: v2 } }",
      ),
      ["docker.io/org/a:v1", "reg.example.io/own/b:v2"],
    ],
    [
      "a base above components",
      resource(
        "base: reg.example.io/store\ncomponents: { server: { image: a, tag: v1 }, kernel: { tag: v2, match: [{ image: b }] } }",
      ),
      ["reg.example.io/store/a:v1", "reg.example.io/store/b:v2"],
    ],
    [
      "two versions that could be meant",
      env(["A_DB_IMAGE", "reg.site/acme/db"], ["DB_VERSION", "1.1"], ["Z_A_DB_VERSION", "2.2"]),
      [],
    ],
    [
      "a prefix that holds the host",
      resource("controller: { imagePrefix: reg.example.io/acme, imageName: controller, imageTag: v1 }"),
      ["reg.example.io/acme/controller:v1"],
    ],
  ])("%s", (_, text, references) => {
    expect(beside(text)).toEqual(references);
  });

  test.each([
    ["a new tag", "{ name: quay.io/orig/one, newTag: '3' }", ["quay.io/orig/one:3"]],
    ["a new name and tag", "{ name: orig, newName: quay.io/flux/two, newTag: '4' }", ["quay.io/flux/two:4"]],
    [
      "a digest",
      `{ name: orig, newName: quay.io/flux/two, digest: 'sha256:${"a".repeat(64)}' }`,
      [`quay.io/flux/two@sha256:${"a".repeat(64)}`],
    ],
    ["a new name alone", "{ name: orig, newName: quay.io/flux/two }", []],
    ["no change", "{ name: orig, other: quay.io/flux/two }", []],
  ])("kustomize's list in an object of Flux: %s", (_, entry, references) => {
    expect(carried(resource(`images: [${entry}]`))).toEqual(references);
    expect(carried(resource(`postRenderers: [{ kustomize: { images: [${entry}] } }]`))).toEqual(references);
  });

  test("a registry above bare names, in a text too; the places are both", () => {
    const text = config(
      "config.yaml: |\n  images:\n    repo: reg.example.io/px\n    common:\n      prober: probe:v1.7.0\n    store: { main: { exporter: 'exporter:v2' } }\n  other: name:v3\n",
    );
    expect(carried(text)).toEqual(["reg.example.io/px/exporter:v2", "reg.example.io/px/probe:v1.7.0"]);
    const site = find(text)[1]?.places[0]?.spans;
    const cut = (span?: { start: number; end: number }): string => text.slice(span?.start, span?.end);
    expect([...(site?.names ?? []).map(cut), cut(site?.tag)]).toEqual([
      "reg.example.io/px",
      "probe",
      "v1.7.0",
    ]);
  });

  test.each([
    ["reg.site/a/one:v1@reg.site/b/two:3.9", ["reg.site/a/one:v1", "reg.site/b/two:3.9"]],
    ["one/a:v1+two/b:v2.1", ["docker.io/one/a:v1", "docker.io/two/b:v2.1"]],
    ["one/a:v1 two/b:v2.1", ["docker.io/one/a:v1", "docker.io/two/b:v2.1"]],
    [`one/a:v1@sha256:${"a".repeat(64)}`, [`docker.io/one/a:v1@sha256:${"a".repeat(64)}`]],
    ["one/a:v1@latest", []],
  ])("two in one text: %s", (image, references) => {
    expect(carried(resource(`image: '${image}'`))).toEqual(references);
  });

  test("what catalogues show of an operator is not what it is", () => {
    expect(
      find(
        "apiVersion: operators.coreos.com/v1alpha1\nkind: ClusterServiceVersion\nmetadata:\n  name: acme.v1\n  annotations: { containerImage: 'org/op:0.0.0' }\nspec: {}\n",
      ),
    ).toEqual([]);
  });
});

describe("custom resources", () => {
  test.each([
    ["image: quay.io/org/db:v3", "quay.io/org/db:v3"],
    ["imageName: org/db:15", "docker.io/org/db:15"],
    ["dbVersion: { image: 'quay.io/org/db:v18' }", "quay.io/org/db:v18"],
    ["image: { repository: org/db, tag: '3.1' }", "docker.io/org/db:3.1"],
    ["image: { registry: quay.io, repository: org/db, tag: v3 }", "quay.io/org/db:v3"],
    [
      `image: { registry: quay.io, repository: org/db, tag: v3, digest: 'sha256:${"b".repeat(64)}' }`,
      `quay.io/org/db:v3@sha256:${"b".repeat(64)}`,
    ],
    ["driver: { repository: nvcr.site/org, image: driver, version: '535.1' }", "nvcr.site/org/driver:535.1"],
    ["baseImage: quay.io/org/prom\nversion: v2.4", "quay.io/org/prom:v2.4"],
    ["hub: reg.site/mesh\ntag: 1.20.1\nproxy: { image: proxyv2 }", "reg.site/mesh/proxyv2:1.20.1"],
    ["mainImage: org/main\nmainTag: v1", "docker.io/org/main:v1"],
    ["server: { image: org/serving, defaultImageVersion: '1.14.0' }", "docker.io/org/serving:1.14.0"],
    ["provisioner: { registry: reg.site, repository: org/prov, tag: v2 }", "reg.site/org/prov:v2"],
    ["package: xpkg.site/org/provider:v0.4", "xpkg.site/org/provider:v0.4"],
    ["source: { url: 'docker://quay.io/org/disk:39' }", "quay.io/org/disk:39"],
    ["source: { url: 'docker://org/disk' }", "docker.io/org/disk:latest"],
    [
      `relatedImages: [{ name: a, image: 'org/a@sha256:${"c".repeat(64)}' }]`,
      `docker.io/org/a@sha256:${"c".repeat(64)}`,
    ],
    ["params: [{ name: builder-image, default: 'org/builder:v1' }]", "docker.io/org/builder:v1"],
    ["steps: [{ name: a, image: alpine, script: echo }]", "docker.io/library/alpine:latest"],
  ])("%s", (spec, reference) => {
    expect(carried(resource(spec))).toEqual([reference]);
  });

  test.each([
    "repository: https://charts.site\nchart: web\nversion: 1.2.3",
    "name: web\nversion: 1.2.3",
    "image: logo.png\nicon: { image: 'https://site/logo:v1.png' }",
    "imagePullSecrets: [{ name: regcred }]\nimagePullPolicy: Always",
    "record: 'instance:node_cpu:rate5m'\nexpr: sum(rate(x{image!=\"\"}[5m])) by (ns/pod:total)",
    "time: 2026-03-16T10:30:00Z\nfingerprint: 'SHA256:abc'\narn: 'arn:aws:iam::123:role/x:1'",
    "group: apps/v1\nlabel: example.org/name\nhost: 'web.site:8443'",
    "pattern: 'quay.site/*/x:1'\nimageReferences: ['ghcr.site/org/*']",
    "description: Use reg.site/x:1 for the image.",
    "operator: { baseImage: quay.io/org/half }\nvolumes: [{ name: v, rbd: { pool: a, image: foo } }]",
  ])("nothing in %s", (spec) => {
    expect(carried(resource(spec))).toEqual([]);
  });

  test("objects that watch, grant or judge name nothing to pull", () => {
    const objects = [
      "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: { name: x }\nspec: { image: reg.site/x:1 }\n",
      "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: x }\nspec: { default: { image: reg.site/x:1 } }\n",
      "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: { name: x }\nspec: { rules: [{ name: a, validate: { pattern: { image: 'reg.site/x:1' } } }] }\n",
      "apiVersion: policy.sigstore.dev/v1\nkind: ClusterImagePolicy\nmetadata: { name: x }\nspec: { images: [{ glob: 'reg.site/x:1' }] }\n",
    ];
    expect(find(...objects)).toEqual([]);
  });

  test("a policy that adds a container does", () => {
    expect(
      carried(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: { name: x }\nspec: { rules: [{ name: a, mutate: { patchStrategicMerge: { spec: { containers: [{ name: s, image: 'reg.site/side:1' }] } } } }] }\n",
      ),
    ).toEqual(["reg.site/side:1"]);
  });

  test("parameters of an OpenShift Template are put in", () => {
    const template = `apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: { name: x }\nparameters: [{ name: IMG, value: org/app }, { name: TAG, value: v9 }]\nobjects:\n- ${indent(pod(`containers: [{ name: a, image: '${hole("IMG")}:${hole("TAG")}' }]\n`), 2).trimStart()}`;
    expect(carried(template)).toEqual(["docker.io/org/app:v9"]);
  });
});

describe("texts in ConfigMaps and Secrets", () => {
  test("YAML, JSON, properties, templates, shell, and one in another", () => {
    const helper = pod("containers:\n- { name: h, image: busybox }\n");
    const text = config(
      [
        `pod.yaml: |\n${indent(helper, 2)}`,
        `values.json: '{"global":{"hub":"reg.site/mesh","tag":"1.9"},"proxy":{"image":"proxyv2"}}'`,
        "app.properties: |\n  # image.old=org/old:1\n  server.image=org/server:3\n  port=8080\n",
        'inject.tpl: |\n  - name: {{ .Name }}\n    image: "{{ or .Image "org/injected:4" }}"\n    other: {{ .Values.hub }}/x:1\n',
        "run.sh: |\n  #!/bin/sh\n  docker run reg.site/tool:5 --image alpine:3.20\n",
        `deep: |\n  nested.json: '{"image":"org/deep:6"}'\n`,
        "queue-sidecar-image: reg.site/queue:7",
        "_example: |\n  queue-sidecar-image: reg.site/other:8\n",
      ].join("\n"),
    );
    expect(carried(text)).toEqual([
      "docker.io/library/alpine:3.20",
      "docker.io/library/busybox:latest",
      "docker.io/org/deep:6",
      "docker.io/org/injected:4",
      "docker.io/org/server:3",
      "reg.site/mesh/proxyv2:1.9",
      "reg.site/queue:7",
      "reg.site/tool:5",
    ]);
    const busybox = find(text).find(({ reference }) => reference.includes("busybox"));
    expect(busybox).toMatchObject({ confidence: "certain", places: [{ line: 11 }] });
  });

  test("base64 of a Secret", () => {
    const packed = Buffer.from("sidecar:\n  image: org/sidecar:2\n").toString("base64");
    expect(
      carried(
        `apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata:\n  config.yaml: ${packed}\n  key: ${Buffer.from([0, 1, 2, 255, 254, 3, 4, 5]).toString("base64")}\n`,
      ),
    ).toEqual(["docker.io/org/sidecar:2"]);
  });

  test("annotations", () => {
    expect(
      carried(
        'apiVersion: v1\nkind: Service\nmetadata:\n  name: x\n  annotations:\n    artifacthub.io/images: |\n      - name: a\n        image: org/a:1\n    kubectl.kubernetes.io/last-applied-configuration: \'{"image":"org/old:1"}\'\n',
      ),
    ).toEqual(["docker.io/org/a:1"]);
  });

  test("half of an image in a setting is no image when the whole stands elsewhere", () => {
    expect(
      carried(
        container("args: [--x]"),
        config("values: |\n  controllerImage: reg.site/main\n  version: edge\n"),
      ),
    ).toEqual(["reg.site/main:1"]);
  });
});

describe("grades", () => {
  test("an artifact is a class of its own, and what speaks little is only possible", () => {
    const finds = find(
      resource("wasm: { url: 'oci://reg.site/filter:v1' }\nregistryPath: quay.io/org/thing\n"),
    );
    expect(finds.map(({ reference, confidence, artifact }) => [reference, confidence, artifact])).toEqual([
      ["quay.io/org/thing:latest", "possible", undefined],
      ["reg.site/filter:v1", "possible", true],
    ]);
  });

  test("lists of objects and JSON are read as what is in them", () => {
    expect(
      carried(
        JSON.stringify({
          apiVersion: "v1",
          kind: "List",
          items: [
            {
              apiVersion: "v1",
              kind: "Pod",
              metadata: { name: "a" },
              spec: { containers: [{ name: "a", image: "x:1" }] },
            },
          ],
        }),
      ),
    ).toEqual(["docker.io/library/x:1"]);
  });
});
