import { existsSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { FunctionHost } from "../support/install/function-host.ts";
import { type Ran, SHELLS } from "../support/install/shells.ts";

const CLUSTER = `apiVersion: v1
data:
  ClusterConfiguration: |
    apiServer:
      extraArgs:
        authorization-mode: Node,RBAC
    apiVersion: kubeadm.k8s.io/v1beta3
    dns: {}
    etcd:
      local:
        dataDir: /var/lib/etcd
    imageRepository: k8s.gcr.io
    kind: ClusterConfiguration
    kubernetesVersion: v1.23.17
kind: ConfigMap
metadata:
  name: kubeadm-config
`;

describe.each(SHELLS)("functions of upgrades, by %s", (...shell) => {
  let host: FunctionHost;
  beforeEach(() => {
    host = new FunctionHost(shell);
    return () => host[Symbol.dispose]();
  });
  const sh = (script: string, bodies?: Record<string, string>): Ran => host.run(script, bodies);
  const place = (path: string, text?: string): string => host.place(path, text);
  const read = (path: string): string => readFileSync(host.path(path), "utf8");

  it("at_least compares as numbers", () => {
    expect(sh("at_least v1.28.10 v1.28.2").code).toBe(0);
    expect(sh("at_least v1.28.2 v1.28.2").code).toBe(0);
    expect(sh("at_least v1.9.9 v1.28.2").code).toBe(1);
    expect(sh("at_least '' v1.28.2").code).toBe(1);
  });

  describe("flags of kubelet", () => {
    const FLAGS =
      'KUBELET_KUBEADM_ARGS="--network-plugin=cni --pod-infra-container-image=k8s.gcr.io/pause:3.6 --v=2"\n';

    it("flags_fit names file and flag, and takes no flag for another that begins alike", () => {
      place("var/lib/kubelet/kubeadm-flags.env", FLAGS);
      expect(sh("flags_fit cni-bin-dir network-plugin").output).toMatch(
        /kubeadm-flags\.env has --network-plugin\n$/,
      );
      expect(sh("flags_fit network pod-infra-container").code).toBe(0);
    });

    it("drop_flags takes them from every file, with their values in either form, and leaves the rest", () => {
      place("var/lib/kubelet/kubeadm-flags.env", FLAGS);
      place("etc/default/kubelet", "KUBELET_EXTRA_ARGS='--network-plugin cni --node-ip=10.0.0.1'\n");
      place("etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=--container-runtime=remote\n");
      expect(sh("drop_flags network-plugin container-runtime").code).toBe(0);
      expect(read("var/lib/kubelet/kubeadm-flags.env")).toBe(
        'KUBELET_KUBEADM_ARGS=" --pod-infra-container-image=k8s.gcr.io/pause:3.6 --v=2"\n',
      );
      expect(read("etc/default/kubelet")).toBe("KUBELET_EXTRA_ARGS=' --node-ip=10.0.0.1'\n");
      expect(read("etc/sysconfig/kubelet")).toBe("KUBELET_EXTRA_ARGS=\n");
      expect(sh("flags_fit network-plugin container-runtime").code).toBe(0);
    });

    it("a switch of the runtime takes Docker's flag away, and Docker's containers of pods", () => {
      place("var/lib/kubelet/kubeadm-flags.env", FLAGS);
      const bodies = { systemctl: ":", docker: '[ "$1" != ps ] || echo c1', kubelet_stays: ":" };
      expect(sh("have() { true; }\nswitch_runtime unix:///run/containerd/containerd.sock", bodies).code).toBe(
        0,
      );
      expect(read("var/lib/kubelet/kubeadm-flags.env")).toMatch(
        /^KUBELET_KUBEADM_ARGS="--container-runtime=remote --container-runtime-endpoint=unix:\/\/\/run\/containerd\/containerd\.sock .*--v=2"\n$/,
      );
      expect(sh("runtime_is unix:///run/containerd/containerd.sock").code).toBe(0);
      expect(host.calls).toContain("docker rm -f c1");
      expect(host.calls.at(0)).toBe("systemctl stop kubelet");
    });
  });

  describe("what kubeadm reads from the cluster", () => {
    const kubectl = (text: string): Record<string, string> => ({
      kubectl: `case "$1" in replace) cat "$3" >'${host.path("replaced")}' ;; *) cat <<'EOF'\n${text}EOF\n;; esac`,
    });

    it("image repositories are replaced where they stand, and only there", () => {
      const bodies = kubectl(CLUSTER);
      expect(sh("images_come_from k8s.gcr.io - -", bodies).code).toBe(0);
      expect(sh("images_come_from registry.k8s.io - -", bodies).output).toBe(
        "kubeadm would take images from k8s.gcr.io \n",
      );
      sh("take_images_from reg.site/google reg.site/coredns reg.site/etcd", bodies);
      expect(read("replaced")).toBe(
        CLUSTER.replace("    dns: {}\n", "    dns:\n      imageRepository: reg.site/coredns\n")
          .replace("      local:\n", "      local:\n        imageRepository: reg.site/etcd\n")
          .replace("k8s.gcr.io", "reg.site/google"),
      );
      const again = kubectl(read("replaced"));
      expect(sh("images_come_from reg.site/google reg.site/coredns reg.site/etcd", again).code).toBe(0);
      sh("take_images_from registry.k8s.io - -", again);
      expect(read("replaced")).toBe(
        CLUSTER.replace("dns: {}", "dns:").replace("k8s.gcr.io", "registry.k8s.io"),
      );
    });

    it("the cgroup driver is written only where none is", () => {
      const kubelet =
        "apiVersion: v1\ndata:\n  kubelet: |\n    apiVersion: kubelet.config.k8s.io/v1beta1\n    kind: KubeletConfiguration\nkind: ConfigMap\n";
      const bodies = (text: string): Record<string, string> => ({
        kubectl: `case $* in *"-o name"*) printf 'configmap/%s\\n' kubelet-config coredns ;; replace*) cat "$3" >'${host.path("replaced")}' ;; *) printf '%s' '${text}' ;; esac`,
      });
      expect(sh("cgroup_driver_is_written", bodies(kubelet)).output).toContain(
        "does not name a cgroup driver",
      );
      expect(sh("write_cgroup_driver cgroupfs", bodies(kubelet)).code).toBe(0);
      expect(read("replaced")).toContain(
        "    cgroupDriver: cgroupfs\n    kind: KubeletConfiguration\nkind: ConfigMap",
      );
      expect(sh("cgroup_driver_is_written", bodies(read("replaced"))).code).toBe(0);
    });
  });

  describe("drain", () => {
    const node = (fields: {
      unschedulable?: string;
      cordoned?: string;
      version?: string;
      drained?: string;
    }) => ({
      kubectl: `case $* in
        *kubeletVersion*unschedulable*) echo '${fields.version ?? "v1.27.1"} ${fields.unschedulable ?? ""} ${fields.drained ?? ""}' ;;
        *unschedulable*) echo '${fields.unschedulable ?? ""}' ;;
        *airgap/cordoned*airgap/drained*) echo '${fields.cordoned ?? ""}${fields.drained ?? ""}' ;;
        *jsonpath*airgap/cordoned*) echo '${fields.cordoned ?? ""}' ;;
        "drain stuck"*) echo 'Cannot evict pod' >&2; return 1 ;;
        *poddisruptionbudgets*) echo 'shop/web 2 0' ;;
      esac`,
    });
    const done = (): string[] => host.calls.filter((call) => !call.startsWith("kubectl get"));

    it("a node of this version needs none; another must be cordoned and drained for this version", () => {
      expect(sh("is_drained n v1.28.2", node({ version: "v1.28.2" })).code).toBe(0);
      expect(sh("is_drained n v1.28.2", node({ unschedulable: "true" })).code).toBe(1);
      expect(sh("is_drained n v1.28.2", node({ unschedulable: "true", drained: "v1.28.2" })).code).toBe(0);
      expect(sh("is_drained n v1.28.2", node({ unschedulable: "true", drained: "v1.27.1" })).code).toBe(1);
    });

    it("marks what it cordons, and takes that back; a node of somebody else's stays cordoned", () => {
      sh("drain_node n v1.28.2 60 --ignore-daemonsets", node({}));
      expect(done()).toEqual([
        "kubectl annotate --overwrite node n airgap/cordoned=true",
        "kubectl cordon n",
        "kubectl drain n --timeout=60s --ignore-daemonsets",
        "kubectl annotate --overwrite node n airgap/drained=v1.28.2",
      ]);
      sh("drain_node n v1.28.2 60", node({ unschedulable: "true" }));
      expect(done().slice(4)).toEqual([
        "kubectl drain n --timeout=60s",
        "kubectl annotate --overwrite node n airgap/drained=v1.28.2",
      ]);
      sh("take_pods n", node({ cordoned: "true" }));
      sh("take_pods n", node({}));
      expect(done().filter((call) => call.includes("uncordon"))).toEqual(["kubectl uncordon n"]);
      expect(sh("takes_pods n", node({ cordoned: "true" })).code).toBe(1);
      expect(sh("takes_pods n", node({})).code).toBe(0);
    });

    it("a drain that fails names the budget in the way, and lets the node take pods again", () => {
      const ran = sh("drain_node stuck v1.28.2 60", node({ cordoned: "true" }));
      expect(ran.code).toBe(1);
      expect(ran.output).toContain("disruption budget shop/web allows no eviction: 2 pods");
      expect(done().at(-2)).toBe("kubectl uncordon stuck");
    });
  });

  describe("kubeadm upgrade", () => {
    const bodies = { kubeadm: ":", kubectl: ":" };
    const manifest = (version: string): string =>
      place(
        "etc/kubernetes/manifests/kube-apiserver.yaml",
        `    image: registry.k8s.io/kube-apiserver:${version}\n`,
      );

    it("plans before it applies, and forces only a run that was interrupted at the new version", () => {
      manifest("v1.27.1");
      expect(sh("apply_upgrade v1.28.2 ''", bodies).code).toBe(0);
      place("kept/upgrade-began", "v1.28.2\n");
      expect(sh("apply_upgrade v1.28.2 Swap", bodies).code).toBe(0);
      manifest("v1.28.2");
      place("kept/upgrade-began", "v1.28.2\n");
      expect(sh("apply_upgrade v1.28.2 ''", bodies).code).toBe(0);
      expect(host.calls.filter((call) => call.startsWith("kubeadm"))).toEqual([
        "kubeadm upgrade plan v1.28.2",
        "kubeadm upgrade apply v1.28.2 --yes",
        "kubeadm upgrade plan v1.28.2 --ignore-preflight-errors=Swap",
        "kubeadm upgrade apply v1.28.2 --yes --ignore-preflight-errors=Swap",
        "kubeadm upgrade plan v1.28.2",
        "kubeadm upgrade apply v1.28.2 --yes --force",
      ]);
      expect(existsSync(host.path("kept/upgrade-began"))).toBe(false);
    });

    it("one that fails leaves its mark, and the control plane is not taken for done", () => {
      manifest("v1.28.2");
      expect(sh("plane_is_at v1.28.2", bodies).code).toBe(0);
      const failing = { kubeadm: '[ "$2" = plan ]', kubectl: ":" };
      expect(sh("apply_upgrade v1.28.2 ''", failing).output).toContain("kubeadm upgrade apply failed");
      expect(sh("plane_is_at v1.28.2", bodies).output).toContain("kubeadm upgrade to v1.28.2 did not finish");
    });

    it("asks for images only before the control plane is there", () => {
      manifest("v1.28.2");
      expect(sh("before_plane v1.28.2 false").code).toBe(0);
      expect(sh("before_plane v1.29.0 false").code).toBe(1);
    });

    it("kubelet is not restarted with a program that is too old", () => {
      const ran = sh("restart_kubelet v1.28.2", { kubelet: "echo Kubernetes v1.27.1", systemctl: ":" });
      expect(ran.output).toContain("the kubelet on this host is Kubernetes v1.27.1, not v1.28.2");
      expect(host.calls).toEqual(["kubelet --version"]);
    });
  });

  it("what is kept can be read back in stretches", () => {
    place("etc/kubernetes/admin.conf", "secret\n");
    expect(sh("kept_before v1.28.2 kubernetes.tar.gz").code).toBe(1);
    expect(sh("keep_before v1.28.2 cp1 kubernetes.tar.gz").code).toBe(0);
    expect(sh("kept_before v1.28.2 kubernetes.tar.gz").code).toBe(0);
    const [name, size] = sh("show_kept v1.28.2").stdout.split(" ");
    expect(name).toBe("kubernetes.tar.gz");
    const path = host.path("kept/upgrade/v1.28.2/kubernetes.tar.gz");
    const part = (from: number, length: number): Buffer =>
      Buffer.from(sh(`print_stretch '${path}' ${from} ${length}`).stdout, "base64");
    expect(Buffer.concat([part(0, 50), part(50, Number(size) - 50)]).equals(readFileSync(path))).toBe(true);
  });

  it("etcd is kept before the rest, and a snapshot that failed half-way is not taken for one", () => {
    place("etc/kubernetes/admin.conf", "secret\n");
    const taking = (how: string): string =>
      `take_snapshot() { printf half >"$2"; ${how}; }; wait_for() { shift; "$@"; }; set -e`;
    const keep = "keep_before v1.28.2 cp1 etcd.db kubernetes.tar.gz";
    const kept = "kept_before v1.28.2 etcd.db kubernetes.tar.gz";
    expect(sh(`${taking("return 1")}\n${keep}`).code).toBe(1);
    expect(sh(kept).code).toBe(1);
    expect(sh(`${taking('printf whole >>"$2"')}\n${keep}`).code).toBe(0);
    expect(sh(kept).code).toBe(0);
    expect(readFileSync(host.path("kept/upgrade/v1.28.2/etcd.db"), "utf8")).toBe("halfwhole");
  });
});
