import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ClusterStatus, status } from "../../src/install/status.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { PlayedSite } from "../support/install/played-site.ts";

let site: PlayedSite;
beforeEach(async () => {
  site = new PlayedSite();
  await site.write();
});
afterEach(() => site[Symbol.dispose]());

const X = digestOf(Buffer.from("x"));
const meta = (namespace: string, name: string): object => ({ metadata: { namespace, name } });
const template = (...containers: object[]): object => ({ template: { spec: { containers } } });
const running = (namespace: string, name: string, image: string, imageID = ""): object => ({
  ...{ apiVersion: "v1", kind: "Pod" },
  ...meta(namespace, name),
  spec: { containers: [{ name: "c", image }] },
  status: {
    phase: "Running",
    conditions: [{ type: "Ready", status: "True" }],
    containerStatuses: [{ name: "c", image, imageID }],
  },
});

/** Answers as kubectl of a control plane: objects by kind; a text is why a kind is not listed. */
function play(objects: Record<string, object[] | string>): void {
  const names = Object.keys(objects).join("\n");
  for (const name of ["master1", "node1"]) {
    const host = site
      .host(name)
      .answers(/kubectl get nodes -o json/, JSON.stringify({ items: NODES }))
      .answers(/kubectl get pods --all-namespaces/, JSON.stringify({ items: objects["pods"] ?? [] }))
      .answers(/^show_certificates$/, "")
      .answers(
        /^show_etcd_status /,
        "=== health\nhttps://127.0.0.1:2379 is healthy\n=== status\n[]\n=== alarms\n",
      )
      .answers(/^show_disks$/, "/ 100000000 50000000\n")
      .answers(/^show_image_origins$/, "https://register.site.local\n")
      .answers(/^kubectl --request-timeout=60s api-resources /, `${names}\n`);
    for (const [kind, items] of Object.entries(objects))
      host.answers(
        new RegExp(`^kubectl --request-timeout=60s get ${kind} --all-namespaces -o json$`),
        typeof items === "string"
          ? { code: 1, stdout: "", stderr: items }
          : { code: 0, stdout: JSON.stringify({ items }), stderr: "" },
      );
  }
}
const NODES = ["master1", "node1"].map((name) => ({
  metadata: { name, labels: {} },
  status: {
    conditions: [{ type: "Ready", status: "True" }],
    addresses: [],
    nodeInfo: { kubeletVersion: "v1.28.2", containerRuntimeVersion: "containerd://1.7.27" },
  },
}));
const ask = (): Promise<ClusterStatus> =>
  status({
    clusterFile: site.clusterFile,
    bundle: site.scratch.path("site.tar"),
    open: site.open,
    emit: () => {},
  });

const CARRIED = "docker.io/flannel/flannel:v0.24.4";

describe("images of a cluster beside a bundle, in status", () => {
  it("are compared with those of templates without pods, of custom resources and of operators too", async () => {
    play({
      pods: [
        running("kube-flannel", "flannel", "flannel/flannel:v0.24.4"),
        running("shop", "odd", "quay.io/odd/one:1"),
      ],
      "cronjobs.batch": [
        {
          ...{ apiVersion: "batch/v1", kind: "CronJob" },
          ...meta("shop", "nightly"),
          spec: {
            suspend: true,
            jobTemplate: { spec: template({ name: "c", image: "quay.io/odd/dump:3" }) },
          },
        },
      ],
      "deployments.apps": [
        {
          ...{ apiVersion: "apps/v1", kind: "Deployment" },
          ...meta("shop", "asleep"),
          spec: { replicas: 0, ...template({ name: "c", image: "quay.io/odd/one:1" }) },
        },
        {
          ...{ apiVersion: "apps/v1", kind: "Deployment" },
          ...meta("op", "operator"),
          spec: template({
            ...{ name: "c", image: CARRIED },
            env: [{ name: "RELATED_IMAGE_AGENT", value: "quay.io/odd/agent:2" }],
          }),
        },
      ],
      "prometheuses.monitoring.coreos.com": [
        {
          ...{ apiVersion: "monitoring.coreos.com/v1", kind: "Prometheus" },
          ...meta("mon", "k8s"),
          spec: { image: "quay.io/odd/prometheus:v2" },
        },
      ],
    });
    const { images, differences, healthy } = await ask();
    expect(images?.carried).toEqual([CARRIED]);
    expect(images?.missing.map(({ reference }) => reference)).toEqual([
      "quay.io/odd/agent:2",
      "quay.io/odd/dump:3",
      "quay.io/odd/one:1",
      "quay.io/odd/prometheus:v2",
    ]);
    expect(images?.missing[1]?.places).toEqual([expect.stringContaining("shop/CronJob/nightly")]);
    expect(images?.missing.find(({ reference }) => reference === "quay.io/odd/one:1")?.places).toHaveLength(
      2,
    );
    expect(differences).toContainEqual(
      expect.stringMatching(
        /^quay\.io\/odd\/one:1 is not in the bundle; shop\/\S+ .* and 1 other place name it$/,
      ),
    );
    expect(differences).toHaveLength(4);
    expect(healthy).toBe(false);
  });

  it("are known by the site's names, by content, and differ where another content runs", async () => {
    play({
      pods: [
        running("a", "mirrored", "register.site.local/docker.io/calico/node:v3.27.0"),
        running("a", "own", "register.site.local/shop/other:v9"),
        running("a", "changed", "flannel/flannel:v0.24.4", `docker.io/flannel/flannel@${X}`),
      ],
    });
    const { images, problems } = await ask();
    expect(images?.missing).toEqual([]);
    expect(images?.differs).toMatchObject([{ reference: CARRIED, runs: [X] }]);
    expect(images?.unused).toEqual(
      expect.arrayContaining(["docker.io/kubernetesui/dashboard:v2.7.0", "register.site.local/shop/web:v1"]),
    );
    expect(images?.unused).not.toContain("docker.io/calico/node:v3.27.0");
    expect(problems).toEqual([
      expect.stringMatching(`^${CARRIED} is another image in the bundle: ${X} runs, the bundle has sha256:`),
    ]);
  });

  it("follow the layout with which push filled the registry", async () => {
    const registry = { mode: "external", host: "harbor.other", layout: "flat" };
    await site.write({ registry });
    play({ pods: [running("a", "flat", "harbor.other/flannel:v0.24.4")] });
    const { images } = await ask();
    expect(images?.carried).toEqual(["harbor.other/flannel:v0.24.4"]);
    expect(images?.unused).not.toContain(CARRIED);
  });

  it("say what could not be read", async () => {
    play({ pods: [], "cronjobs.batch": "Error from server (Forbidden): no" });
    const { images, healthy } = await ask();
    expect(images?.warnings).toEqual([expect.stringContaining("cannot list cronjobs.batch")]);
    expect(healthy).toBe(true);
  });
});
