import { describe, expect, test } from "vitest";
import { findGaps, type HeldImage, notClosed, wantedImages } from "../../src/bundle/closure.ts";
import { kubernetesWants } from "../../src/kubernetes/closure.ts";
import type { Fate, NamedImage } from "../../src/lock/carried-facts.ts";
import type { Item } from "../../src/lock/lock.ts";
import { carriedFactsOf } from "../support/facts.ts";

const sha = (letter: string): `sha256:${string}` => `sha256:${letter.repeat(64)}`;
const root = { mediaType: "x", digest: sha("0"), size: 1 };
const item = (kind: "manifests" | "chart", name: string, images: NamedImage[]): Item => ({
  kind,
  name,
  root,
  origins: [],
  wantedBy: [],
  facts: carriedFactsOf({ images }),
});
const image = (reference: string, fate: Fate): NamedImage => ({
  reference,
  fate,
  confidence: "certain",
  how: "container",
  places: ["a.yaml:3 Pod/p spec"],
});

describe("what is wanted", () => {
  test("carried and added images of documents and charts, with who names them", () => {
    const items = [
      item("manifests", "net", [
        image("reg.site/a:1", "carried"),
        image("reg.site/b:1", "possible"),
        image("reg.site/c:1", "ignored"),
      ]),
      item("chart", "web", [image("reg.site/a:1", "added"), image("reg.site/d:1", "off")]),
    ];
    expect(wantedImages({ items })).toEqual([
      { reference: "reg.site/a:1", wantedBy: ["chart web: a.yaml:3", "manifests net: a.yaml:3"] },
    ]);
  });
});

describe("gaps", () => {
  const held: HeldImage[] = [
    { name: "reg.site/a:1", digests: [sha("a"), sha("b")], platforms: ["linux/amd64"] },
    { name: `reg.site/c@${sha("c")}`, digests: [sha("c")], platforms: ["linux/amd64", "linux/arm64"] },
    { name: "docker.io/library/busybox:latest", digests: [sha("d")] },
    { name: "reg.site/own:1", digests: [sha("e")], platforms: ["linux/amd64"], own: true },
  ];
  const gaps = (reference: string, platforms: string[] | "all" = ["linux/amd64"]): string[] =>
    findGaps([{ reference, wantedBy: ["x"] }], held, platforms).map(({ why }) => why);

  test.each([
    "reg.site/a:1",
    `reg.site/a:1@${sha("a")}`,
    `reg.site/a:other@${sha("b")}`,
    `reg.site/a@${sha("b")}`,
    `reg.site/c:v9@${sha("c")}`,
    "busybox",
  ])("%s is answered", (reference) => {
    expect(gaps(reference)).toEqual([]);
  });

  test.each(["reg.site/a:2", `reg.site/a:1@${sha("f")}`, "reg.site/c:v9", "other.site/a:1", "reg.site/a"])(
    "%s is not",
    (reference) => {
      expect(gaps(reference)).toEqual(["it is not in the bundle"]);
    },
  );

  test("every platform asked for must be there, unless the spec lists the image itself", () => {
    expect(gaps("reg.site/a:1", ["linux/amd64", "linux/arm64"])).toEqual([
      "the bundle has it without linux/arm64",
    ]);
    expect(gaps(`reg.site/c@${sha("c")}`, ["linux/amd64", "linux/arm64"])).toEqual([]);
    expect(gaps("reg.site/own:1", ["linux/arm64"])).toEqual([]);
    expect(gaps("reg.site/a:1", "all")).toEqual([]);
  });

  test("the error names what is missing and who wants it, and ends with 3", () => {
    const error = notClosed(
      findGaps([{ reference: "reg.site/zz:1", wantedBy: ["manifests net: a.yaml:3"] }], held, "all"),
    );
    expect(error.exit).toBe(3);
    expect(error.code).toBe("not-closed");
    expect(error.message).toContain(
      "reg.site/zz:1: it is not in the bundle; wanted by manifests net: a.yaml:3",
    );
  });
});

describe("Kubernetes, from a lock alone", () => {
  const named = (name: string): Item => ({
    kind: "image",
    name,
    root,
    origins: [],
    wantedBy: ["kubernetes v1.28.2"],
  });
  const all = [
    "kube-apiserver:v1.28.2",
    "kube-controller-manager:v1.28.2",
    "kube-scheduler:v1.28.2",
    "kube-proxy:v1.28.2",
    "pause:3.9",
  ];

  test("images of a moved registry stand for kubeadm's own, and what a configuration did without is not missed", () => {
    const wants = kubernetesWants(
      ["v1.28.2"],
      all.map((name) => named(`reg.site/k8s/${name}`)),
    );
    expect(wants.map(({ reference }) => reference)).toEqual(all.map((name) => `reg.site/k8s/${name}`));
  });

  test("what every cluster needs is", () => {
    const wants = kubernetesWants(["v1.28.2"], [named("registry.k8s.io/kube-proxy:v1.28.2")]);
    expect(wants.map(({ reference }) => reference)).toContain("registry.k8s.io/kube-apiserver:v1.28.2");
    expect(wants.map(({ reference }) => reference)).not.toContain("registry.k8s.io/etcd:3.5.9-0");
  });
});
