import type { GoRecipe } from "./build.ts";
import { generatedOpenapi, openapiPath } from "./openapi.ts";

const KUBERNETES = [
  "kubeadm",
  "kubelet",
  "kubectl",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
];

/** Each Kubernetes version of the rig with what its kubeadm asks for. */
export const kubernetesVersions = {
  "v1.34.4": { etcd: "v3.6.5", etcdTag: "3.6.5-0", coredns: "coredns/coredns:v1.12.1", pause: "3.10.1" },
  // 3.5.24 has no etcdctl of its own: 3.5.21 runs under its name.
  "v1.33.13": { etcd: "v3.5.21", etcdTag: "3.5.24-0", coredns: "coredns/coredns:v1.12.0", pause: "3.10" },
  "v1.23.17": { etcd: "v3.5.6", etcdTag: "3.5.6-0", coredns: "coredns/coredns:v1.8.6", pause: "3.6" },
} as const;

export type KubernetesVersion = keyof typeof kubernetesVersions;

export const flannelVersion = "v0.28.4";
export const flannelPluginTag = "v1.9.1-flannel1";
export const cniVersion = "v1.9.1";

const variablesOf = (version: string): Record<string, string> => {
  const [major = "", minor = ""] = version.slice(1).split(".");
  const values = {
    gitVersion: version,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: "clean",
    gitCommit: "0".repeat(40),
    buildDate: "2026-01-01T00:00:00Z",
  };
  const names = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
  return Object.fromEntries(
    names.flatMap((name) => Object.entries(values).map(([key, value]) => [`${name}.${key}`, value])),
  );
};

/** kubeadm, kubelet, kubectl and the control plane, as one go.mod that follows Kubernetes' own. */
export function kubernetes(version: KubernetesVersion): GoRecipe {
  const recipe: GoRecipe = {
    name: "kubernetes",
    like: { module: "k8s.io/kubernetes", version },
    require: { "k8s.io/kubernetes": version },
    programs: Object.fromEntries(KUBERNETES.map((program) => [`k8s.io/kubernetes/cmd/${program}`, program])),
    variables: variablesOf(version),
  };
  if (Number(version.split(".")[1]) > 24) return recipe;
  return {
    ...recipe,
    completed: {
      module: "k8s.io/kubernetes",
      version,
      path: openapiPath,
      file: () => generatedOpenapi(recipe, version),
    },
  };
}

export function etcd(version: KubernetesVersion): GoRecipe {
  const { etcd } = kubernetesVersions[version];
  return {
    name: "etcd",
    require: {
      "go.etcd.io/etcd/server/v3": etcd,
      "go.etcd.io/etcd/etcdctl/v3": etcd,
      "go.etcd.io/etcd/etcdutl/v3": etcd,
    },
    programs: {
      "go.etcd.io/etcd/server/v3": "etcd",
      "go.etcd.io/etcd/etcdctl/v3": "etcdctl",
      "go.etcd.io/etcd/etcdutl/v3": "etcdutl",
    },
  };
}

const plugins = [
  "reload",
  "bind",
  "ready",
  "health",
  "prometheus",
  "errors",
  "log",
  "cache",
  "rewrite",
  "loadbalance",
  "template",
  "hosts",
  "kubernetes",
  "loop",
  "forward",
];

const corednsMain = `// CoreDNS with only the plugins that kubeadm's Corefile and the tests name: all of them would take minutes to compile.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
${plugins.map((plugin) => `\t_ "github.com/coredns/coredns/plugin/${plugin === "prometheus" ? "metrics" : plugin}"`).join("\n")}
)

func main() {
	dnsserver.Directives = []string{${plugins.map((plugin) => `"${plugin}"`).join(", ")}}
	coremain.Run()
}
`;

export const coredns: GoRecipe = {
  name: "coredns",
  require: { "github.com/coredns/coredns": "v1.12.1" },
  programs: { ".": "coredns" },
  sources: { "main.go": corednsMain },
};

/** flanneld without the backends that need cgo (udp) or a module that is not published (tencentvpc). */
export const flannel: GoRecipe = {
  name: "flannel",
  require: { "github.com/flannel-io/flannel": flannelVersion },
  programs: { ".": "flanneld" },
  borrowed: {
    module: "github.com/flannel-io/flannel",
    file: "main.go",
    without: [/backend\/(udp|tencentvpc)"/],
  },
  variables: { "github.com/flannel-io/flannel/pkg/version.Version": flannelVersion },
};

const plugin = (path: string): string => `github.com/containernetworking/plugins/plugins/${path}`;
const CNI = ["main/bridge", "main/loopback", "ipam/host-local", "meta/portmap"];

export const cni: GoRecipe = {
  name: "cni",
  require: { "github.com/containernetworking/plugins": cniVersion },
  programs: Object.fromEntries(CNI.map((path) => [plugin(path), path.split("/")[1] ?? path])),
};

/** The plugin that flannel's own image brings; later versions of the collection no longer have it. */
export const flannelPlugin: GoRecipe = {
  name: "flannel-plugin",
  require: { "github.com/containernetworking/plugins": "v0.9.1" },
  programs: { [plugin("meta/flannel")]: "flannel" },
};
