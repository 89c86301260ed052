import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseKubeadmConfig } from "../../src/kubernetes/config.ts";
import { listKubeadmImages } from "../../src/kubernetes/list.ts";
import { rows } from "../../src/kubernetes/table.ts";

interface Fact {
  from: string;
  to: string;
  registry: string;
  etcd: string;
  coredns: string;
  corednsPath: string;
  customRepoCorednsPath: string;
  pause: string;
  order: "old" | "new";
}

/** Facts about kubeadm, collected apart from the table of the project. */
const facts = JSON.parse(readFileSync(new URL("./kubeadm-images.json", import.meta.url), "utf8")) as {
  orders: Record<"old" | "new", string[]>;
  entries: Fact[];
};

const patches = ({ from, to }: Fact): string[] => {
  const [minor, first, last] = [
    from.slice(0, from.lastIndexOf(".")),
    Number(from.split(".")[2]),
    Number(to.split(".")[2]),
  ];
  return Array.from({ length: last - first + 1 }, (_, i) => `${minor}.${first + i}`);
};

function expected(fact: Fact, version: string, repository: string, corednsPath: string): string[] {
  const special: Record<string, string> = {
    pause: `pause:${fact.pause}`,
    etcd: `etcd:${fact.etcd}`,
    coredns: `${corednsPath}:${fact.coredns}`,
  };
  return facts.orders[fact.order].map((name) => `${repository}/${special[name] ?? `${name}:${version}`}`);
}

const config = (text: string) => parseKubeadmConfig(text, "kubeadm.yaml");
const cluster = (api: string, fields: string): ReturnType<typeof config> =>
  config(`apiVersion: kubeadm.k8s.io/${api}\nkind: ClusterConfiguration\n${fields}`);

describe("kubeadm's list, by facts", () => {
  test.each(facts.entries.map((fact) => [`${fact.from} to ${fact.to}`, fact] as const))("%s", (_, fact) => {
    for (const version of patches(fact)) {
      expect(listKubeadmImages({ version }).images).toEqual(
        expected(fact, version, fact.registry, fact.corednsPath),
      );
      const mirrored = listKubeadmImages({ version, imageRepository: "reg.site:5000/k8s" }).images;
      expect(mirrored).toEqual(expected(fact, version, "reg.site:5000/k8s", fact.customRepoCorednsPath));
    }
  });

  test("covers v1.16.0 to v1.37.1", () => {
    expect([facts.entries[0]?.from, facts.entries.at(-1)?.to]).toEqual(["v1.16.0", "v1.37.1"]);
  });

  // What seven binaries printed when they were run.
  test.each([
    ["v1.21.1", "k8s.gcr.io", "reg/coredns/coredns:v1.8.0"],
    ["v1.23.17", "registry.k8s.io", "reg/coredns:v1.8.6"],
    ["v1.37.1", "registry.k8s.io", "reg/coredns:v1.14.6"],
  ])("%s with a custom repository", (version, registry, coredns) => {
    expect(listKubeadmImages({ version }).images[0]).toBe(`${registry}/kube-apiserver:${version}`);
    expect(listKubeadmImages({ version, imageRepository: "reg" }).images).toContain(coredns);
  });
});

describe("the table", () => {
  test("has well-formed, gapless rows with a source", () => {
    const number = (text: string): number => {
      expect(text).toMatch(/^v1\.\d+\.\d+$/);
      const [, minor, patch] = text.slice(1).split(".").map(Number);
      return (minor ?? 0) * 1000 + (patch ?? 0);
    };
    let last = -1;
    for (const row of rows) {
      const [from, to] = [number(row.from), number(row.to)];
      expect(Math.floor(from / 1000), `${row.from} and ${row.to} are of one minor`).toBe(
        Math.floor(to / 1000),
      );
      expect(to).toBeGreaterThanOrEqual(from);
      const first = Math.floor(from / 1000) !== Math.floor(last / 1000);
      if (last >= 0)
        expect(from, `${row.from} follows the row before`).toBe(
          first ? (Math.floor(last / 1000) + 1) * 1000 : last + 1,
        );
      last = to;
      expect(row.registry).toMatch(/^(k8s\.gcr|registry\.k8s)\.io$/);
      expect(row.etcd).toMatch(/^3\.\d+\.\d+-\d+$/);
      expect(row.pause).toMatch(/^3\.\d+(\.\d+)?$/);
      expect(row.coredns).toMatch(/^v?1\.\d+\.\d+$/);
      for (const path of [row.corednsPath, row.customCorednsPath])
        expect(path).toMatch(/^coredns(\/coredns)?$/);
      expect(row.order).toMatch(/^(old|new)$/);
      expect(row.confidence).toMatch(/^(high|medium|low)$/);
      expect(row.sources.length).toBeGreaterThan(0);
    }
  });
});

describe("versions", () => {
  test.each(["v1.28", "1.28", "stable-1.28"])("%s is the newest known patch, said aloud", (version) => {
    const list = listKubeadmImages({ version });
    expect(list.version).toBe("v1.28.15");
    expect(list.notes.join()).toContain("v1.28.15");
  });

  test("without a version, the newest of all", () => {
    expect(listKubeadmImages({}).version).toBe("v1.37.1");
  });

  test("a patch newer than the table is answered from its minor with a warning", () => {
    const list = listKubeadmImages({ version: "v1.36.99" });
    expect(list.images[0]).toBe("registry.k8s.io/kube-apiserver:v1.36.99");
    expect(list.images).toContain("registry.k8s.io/etcd:3.6.8-0");
    expect(list.warnings.join()).toContain("v1.36.5");
  });

  test.each([
    ["v1.28.2+vendor.1", "registry.k8s.io/kube-apiserver:v1.28.2_vendor.1"],
    ["1.28.2", "registry.k8s.io/kube-apiserver:v1.28.2"],
    ["ci/v1.30.0-alpha.1", "gcr.io/k8s-staging-ci-images/kube-apiserver:v1.30.0-alpha.1"],
    ["ci/v1.18.15", "gcr.io/kubernetes-ci-images/kube-apiserver:v1.18.15"],
    ["ci/v1.18.16", "gcr.io/k8s-staging-ci-images/kube-apiserver:v1.18.16"],
  ])("%s", (version, apiserver) => {
    const { images } = listKubeadmImages({ version });
    expect(images[0]).toBe(apiserver);
    expect(images.filter((image) => image.includes("/pause:"))[0]).not.toContain("ci-images");
  });

  test("a custom repository wins over the CI one", () => {
    expect(listKubeadmImages({ version: "ci/v1.30.0", imageRepository: "r.site" }).images[0]).toBe(
      "r.site/kube-apiserver:v1.30.0",
    );
  });

  test.each([
    ["v1.15.3", "unsupported", "v1.16.0"],
    ["v1.38.0", "unsupported", "kubeadm config images list --kubernetes-version v1.38.0"],
    ["v1.99", "unsupported", "docs/kubernetes-versions.md"],
    ["v2.0.0", "unsupported", "newer airgap"],
    ["latest", "usage", "v1.34"],
    ["v1.28.x", "usage", "v1.34"],
  ])("%s is refused with advice", (version, code, advice) => {
    expect.assertions(2);
    try {
      listKubeadmImages({ version });
    } catch (error) {
      expect((error as { code: string }).code).toBe(code);
      expect((error as { suggestions: string[] }).suggestions.join("\n")).toContain(advice);
    }
  });

  test("a release that never was is named", () => {
    expect(listKubeadmImages({ version: "v1.18.7" }).warnings.join()).toContain("never released");
  });
});

describe("kubeadm's configuration", () => {
  test.each(["v1beta1", "v1beta2", "v1beta3", "v1beta4"])(
    "%s: version, repository and component overrides",
    (api) => {
      const version =
        { v1beta1: "v1.19.16", v1beta2: "v1.22.0", v1beta3: "v1.28.2", v1beta4: "v1.34.4" }[api] ?? "";
      const list = listKubeadmImages({
        config: cluster(
          api,
          `kubernetesVersion: ${version}\nimageRepository: r.site/k8s\ndns: { imageRepository: d.site/dns, imageTag: v9.9.9 }\netcd: { local: { imageRepository: e.site, imageTag: 3.5.99-9 } }\n`,
        ),
      });
      expect(list.warnings).toEqual([]);
      expect(list.images).toContain("d.site/dns/coredns:v9.9.9");
      expect(list.images).toContain("e.site/etcd:3.5.99-9");
      expect(list.images).toContain(`r.site/k8s/kube-proxy:${version}`);
      expect(list.images).toHaveLength(7);
    },
  );

  test("dns.imageRepository that equals the default keeps CoreDNS's directory, and v1.21.1 always does", () => {
    const dns = (version: string, repository: string): string[] =>
      listKubeadmImages({
        version,
        imageRepository: "r.site",
        config: cluster("v1beta2", `dns: { imageRepository: ${repository} }`),
      }).images;
    expect(dns("v1.25.5", "registry.k8s.io")).toContain("registry.k8s.io/coredns/coredns:v1.9.3");
    expect(dns("v1.25.5", "k8s.gcr.io")).toContain("k8s.gcr.io/coredns:v1.9.3");
    expect(dns("v1.21.1", "d.site")).toContain("d.site/coredns/coredns:v1.8.0");
  });

  test("an external etcd and what is disabled leave no line", () => {
    const config = cluster(
      "v1beta4",
      "etcd: { external: { endpoints: [https://10.0.0.1:2379] } }\ndns: { disabled: true }\nproxy: { disabled: true }\n",
    );
    expect(listKubeadmImages({ version: "v1.34.4", config }).images).toEqual([
      "registry.k8s.io/kube-apiserver:v1.34.4",
      "registry.k8s.io/kube-controller-manager:v1.34.4",
      "registry.k8s.io/kube-scheduler:v1.34.4",
      "registry.k8s.io/pause:3.10.1",
    ]);
  });

  test("`disabled` is no field before v1beta4", () => {
    const config = cluster("v1beta3", "dns: { disabled: true }\nproxy: { disabled: true }\n");
    expect(listKubeadmImages({ version: "v1.28.2", config }).images).toHaveLength(7);
  });

  test("hyperkube replaces the four, until 1.21", () => {
    const config = cluster("v1beta2", "useHyperKubeImage: true\n");
    expect(listKubeadmImages({ version: "v1.18.20", config }).images).toEqual([
      "k8s.gcr.io/hyperkube:v1.18.20",
      "k8s.gcr.io/pause:3.2",
      "k8s.gcr.io/etcd:3.4.3-0",
      "k8s.gcr.io/coredns:1.6.7",
    ]);
    expect(listKubeadmImages({ version: "v1.22.0", config }).images).toHaveLength(7);
  });

  test("kube-dns has three images, and ended with 1.20", () => {
    const config = cluster("v1beta1", "dns: { type: kube-dns }\n");
    expect(
      listKubeadmImages({ version: "v1.17.0", config })
        .images.slice(-3)
        .map((image) => image.replace(/:.*/, "")),
    ).toEqual([
      "k8s.gcr.io/k8s-dns-kube-dns",
      "k8s.gcr.io/k8s-dns-sidecar",
      "k8s.gcr.io/k8s-dns-dnsmasq-nanny",
    ]);
    expect(() => listKubeadmImages({ version: "v1.21.0", config })).toThrow(/kube-dns/);
  });

  test("other kinds beside it are passed over, and a file without ClusterConfiguration changes nothing", () => {
    const text =
      "apiVersion: kubeadm.k8s.io/v1beta3\nkind: InitConfiguration\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    expect(listKubeadmImages({ version: "v1.28.2", config: config(text) }).images).toHaveLength(7);
    expect(
      listKubeadmImages({
        config: config(
          `${text}---\napiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nkubernetesVersion: v1.27.7\n`,
        ),
      }).version,
    ).toBe("v1.27.7");
  });

  test("an API that this kubeadm does not read is said", () => {
    expect(
      listKubeadmImages({ version: "v1.37.1", config: cluster("v1beta3", "") }).warnings.join(),
    ).toContain("v1beta4");
  });

  test("flag and file must not disagree", () => {
    const config = cluster("v1beta3", "kubernetesVersion: v1.28.2\n");
    expect(listKubeadmImages({ version: "1.28.2", config }).version).toBe("v1.28.2");
    expect(() => listKubeadmImages({ version: "v1.28.3", config })).toThrow(/v1\.28\.3.*v1\.28\.2/);
  });

  test.each([
    ["apiVersion: kubeadm.k8s.io/v1alpha3\nkind: ClusterConfiguration\n", /v1alpha3/],
    ["apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\ndns: []\n", /dns must be a mapping/],
    [
      "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nimageRepository: 7\n",
      /must be a string/,
    ],
    [
      "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\netcd: { local: {}, external: {} }\n",
      /exclude/,
    ],
    ["a: [\n", /kubeadm\.yaml:2/],
    [`kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta3\n${"a: b\n".repeat(300_000)}`, /larger/],
  ])("a wrong file is refused (%#)", (text, message) => {
    expect(() => config(text)).toThrow(message);
  });
});

describe("what comes with a version", () => {
  test.each([
    ["v1.23.9", "k8s.gcr.io/pause:3.6", "v1beta3", true, "supported"],
    ["v1.28.2", "registry.k8s.io/pause:3.9", "v1beta3", false, "supported"],
    ["v1.34.4", "registry.k8s.io/pause:3.10.1", "v1beta4", false, "maintenance"],
    ["v1.36.0", "registry.k8s.io/pause:3.10.2", "v1beta4", false, "refused"],
  ])("%s", (version, pause, api, dockershim, cgroupV1) => {
    const { requirements } = listKubeadmImages({ version });
    expect(requirements).toMatchObject({
      pauseImage: pause,
      configApi: { newest: api },
      dockershim,
      cgroupV1,
    });
  });
});
