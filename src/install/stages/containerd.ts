import { type ClusterHost, registryName, serversFor } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { containerdHosts, type HostsFile } from "../../names/containerd-hosts.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step, serviceStep } from "../../plan/step.ts";
import { type Context, setFor } from "../context.ts";
import { asksByLandedName } from "../node-images.ts";
import { mergeContainerdConfig } from "./containerd-config.ts";
import { proxyStep } from "./proxy.ts";
import { REGISTRY_CA } from "./trust.ts";
import { stopIfOurs, wantedOn } from "./wanted.ts";

const CONFIG = "/etc/containerd/config.toml";
const SOCKET = "unix:///run/containerd/containerd.sock";
/** Where containerd finds hosts.toml files. */
export const CERTS = "/etc/containerd/certs.d";

/** systemd, kubeadm's default, unless the cluster file sets another driver for kubelet. */
export function cgroupDriver({ cluster }: Context): "systemd" | "cgroupfs" {
  return cluster.kubeadm.KubeletConfiguration?.["cgroupDriver"] === "cgroupfs" ? "cgroupfs" : "systemd";
}

/** The version after the installation: the bundle's if it installs one, otherwise the host's own. */
export function containerdVersion(context: Context, host: ClusterHost): string | undefined {
  const facts = context.factsOf(host);
  const set = setFor(context.bundle, facts);
  const wanted = set
    ? wantedOn(set, host).find(({ name }) => name === "containerd" || name === "containerd.io")
    : undefined;
  const own = facts.versions.containerd;
  const version = wanted === undefined || (own !== undefined && !wanted.pinned) ? own : wanted.version;
  return version?.replace(/^\d+:/, "");
}

export function containerdSteps(context: Context, host: ClusterHost): Step[] {
  const facts = context.factsOf(host);
  const { cluster, images } = context;
  const config = mergeContainerdConfig(
    facts.containerdConfig,
    {
      major: Number.parseInt(containerdVersion(context, host) ?? "1", 10),
      sandbox: images.sandbox,
      systemdCgroup: cgroupDriver(context) === "systemd",
      configPath: CERTS,
    },
    host.name,
  );
  const proxy = proxyStep(context, host, "containerd");
  const limits = limitsStep(context, host, facts);
  const drops = [...proxy, ...limits];
  return [
    fileStep({
      id: "config",
      title: "containerd's configuration: CRI, cgroups, sandbox image, mirrors",
      path: CONFIG,
      content: config,
      undone: call("systemctl", "try-restart", "containerd"),
    }),
    ...siteHosts(context, host).map(({ registry, folder, content }) =>
      fileStep({
        id: `mirror-${registry?.replaceAll(":", "-") ?? "others"}`,
        title: `Images of ${registry ?? "all other registries"} come from the site`,
        path: `${CERTS}/${folder}/hosts.toml`,
        content,
        mode: cluster.registry.user === undefined ? "644" : "600",
      }),
    ),
    ...drops,
    serviceStep({
      id: "service",
      title: "containerd runs with this configuration",
      unit: "containerd",
      reads: [{ path: CONFIG, content: config }, ...drops.map(({ file }) => file ?? "")],
      undo: stopIfOurs(["containerd", "containerd.io"], "containerd"),
    }),
    fileStep({
      id: "crictl",
      title: "crictl finds containerd",
      path: "/etc/crictl.yaml",
      content: `runtime-endpoint: ${SOCKET}\nimage-endpoint: ${SOCKET}\ntimeout: 10\n`,
    }),
    criStep(),
  ];
}

/** Where containerd pulls images: every registry of the bundle, the site's own, and all others lead to the site. */
export function siteHosts(
  { cluster, images, secrets }: Pick<Context, "cluster" | "images" | "secrets">,
  node: ClusterHost,
): HostsFile[] {
  const { registry } = cluster;
  const servers = serversFor(cluster, node).map(({ name }) => registryName({ ...registry, host: name }));
  const host = registryName(registry);
  const mirrored = asksByLandedName(cluster)
    ? []
    : images.upstreams.filter((upstream) => upstream !== registry.host);
  const target = {
    host,
    ...(registry.mode === "serve" && servers.length > 1 ? { servers } : {}),
    prefix: registry.prefix,
    layout: registry.layout,
    byNamespace: registry.mode === "serve",
  };
  const access = {
    scheme: registry.scheme,
    ca: secrets.registryCa && REGISTRY_CA,
    login:
      registry.user === undefined
        ? undefined
        : { user: registry.user, password: secrets.registryPassword ?? "" },
  };
  return containerdHosts(mirrored, target, access, { others: true });
}

/** containerd keeps running when a plugin does not load, and `ctr` still pulls. kubeadm would wait minutes for a kubelet without CRI. */
function criStep(): Step {
  return {
    id: "cri",
    title: "containerd answers kubelet",
    check: call("cri_loaded"),
    apply: call("load_cri"),
  };
}

/** systemd before 240 turns containerd 2's "infinity" into a limit that breaks programs. */
function limitsStep(context: Context, host: ClusterHost, facts: Facts): Step[] {
  const major = Number.parseInt(containerdVersion(context, host) ?? "1", 10);
  if (major < 2 || (facts.systemd ?? 240) >= 240) return [];
  return [
    fileStep({
      id: "limits",
      title: "containerd has a limit of open files that this systemd understands",
      path: "/etc/systemd/system/containerd.service.d/airgap-limits.conf",
      content: "[Service]\nLimitNOFILE=1024:524288\n",
    }),
  ];
}
