import { join } from "node:path";
import { cni, cniVersion, type KubernetesVersion, kubernetes } from "../go/recipes.ts";
import { built } from "../programs.ts";
import { type Files, layFiles, type Package } from "./content.ts";

type Format = "deb" | "rpm";

const UNIT = `[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
`;

/** How kubeadm hands its choices to the kubelet: the files that it writes, and the user's own last. */
const dropIn = (userFile: string): string => `[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-${userFile}
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`;

/** Packages before and after their repositories moved differ in their revisions and in what they require. */
const revisions = {
  old: { deb: "00", rpm: "0" },
  new: { deb: "1.1", rpm: "150500.1.1" },
};

/** On Debian a package starts its service, elsewhere the administrator does. */
const START = `if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable kubelet.service
  systemctl restart kubelet.service || true
fi
`;

/**
 * kubelet, kubeadm, kubectl and kubernetes-cni as upstream packages them.
 * @param stage an empty folder where the files are laid
 */
export async function kubernetesPackages(
  version: KubernetesVersion,
  format: Format,
  stage: string,
): Promise<Package[]> {
  const minor = Number(version.split(".")[1]);
  const revision = (minor < 24 ? revisions.old : revisions.new)[format];
  const programs = await built(kubernetes(version));
  const plugins = await built(cni);
  const versioned = `${version.slice(1)}-${revision}`;
  const atLeast = (name: string, lowest: string): string =>
    format === "deb" ? `${name} (>= ${lowest})` : `${name} >= ${lowest}`;
  const tools =
    format === "deb" ? ["iptables (>= 1.4.21)", "mount", "util-linux"] : ["iptables >= 1.4.21", "util-linux"];
  const oldTools = minor < 24 ? ["conntrack", "ebtables", "ethtool", "socat", "iproute2"] : [];
  const userFile = format === "deb" ? "/etc/default/kubelet" : "/etc/sysconfig/kubelet";
  const make = async (
    name: string,
    requires: string[],
    files: Files,
    more: Partial<Package> = {},
  ): Promise<Package> => ({
    ...{ name, version: versioned, summary: `${name} ${version}`, arch: "amd64", requires },
    tree: await layFiles(join(stage, name), files),
    ...more,
  });
  const program = (name: string): Files => ({ [`/usr/bin/${name}`]: { from: join(programs, name) } });
  const pluginFiles: Files = Object.fromEntries(
    Object.values(cni.programs).map((name) => [`/opt/cni/bin/${name}`, { from: join(plugins, name) }]),
  );
  const kubeletFiles: Files = {
    ...program("kubelet"),
    "/usr/lib/systemd/system/kubelet.service": { text: UNIT },
    [userFile]: { text: "KUBELET_EXTRA_ARGS=\n" },
  };
  const dropInFile: Files = {
    "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": { text: dropIn(userFile) },
  };
  return [
    await make("kubelet", [atLeast("kubernetes-cni", "0.8.7"), ...tools, ...oldTools], kubeletFiles, {
      config: [userFile],
      folders: ["/etc/kubernetes/manifests", "/var/lib/kubelet"],
      ...(format === "deb" ? { after: START } : {}),
    }),
    await make("kubeadm", minor < 24 ? ["kubelet", "kubectl", "kubernetes-cni"] : [], {
      ...program("kubeadm"),
      ...dropInFile,
    }),
    await make("kubectl", [], program("kubectl")),
    await make("kubernetes-cni", [], pluginFiles, {
      version: `${cniVersion.slice(1)}-${revision}`,
      summary: "CNI plugins",
    }),
  ];
}
