import { type ClusterHost, registryName } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { mergeDockerConfig } from "../../names/docker-config.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step, serviceStep } from "../../plan/step.ts";
import { uploadOf } from "../bundle.ts";
import { type Context, setFor } from "../context.ts";
import { cgroupDriver } from "./containerd.ts";
import { proxyStep } from "./proxy.ts";
import { stopIfOurs, wantedOn } from "./wanted.ts";

const CONFIG = "/etc/docker/daemon.json";
/** Where kubelet, and docker with `--config`, find the registry's login. */
export const DOCKER_LOGIN = "/var/lib/kubelet";
/** The file of the bundle that has cri-dockerd, when no package has it. */
export const CRI_DOCKERD = "cri-dockerd.tgz";

/**
 * Docker has mirrors only for its own registry: every image is pulled by the name that
 * it has at the site. Images do not get their upstream names back: kubelet would collect those.
 */
export function dockerSteps(context: Context, host: ClusterHost): Step[] {
  const { cluster, secrets } = context;
  const registry = registryName(cluster.registry);
  const config = mergeDockerConfig(
    context.factsOf(host).dockerConfig,
    {
      cgroupDriver: cgroupDriver(context),
      insecure: cluster.registry.scheme === "http" ? registry : undefined,
    },
    host.name,
  );
  const proxy = proxyStep(context, host, "docker");
  return [
    fileStep({
      id: "config",
      title: "Docker uses systemd cgroups and the site's registry",
      path: CONFIG,
      content: config,
      undone: call("systemctl", "try-restart", "docker"),
    }),
    ...(secrets.registryCa
      ? [
          fileStep({
            id: "registry-ca",
            title: "Docker trusts the site's registry",
            path: `/etc/docker/certs.d/${registry}/ca.crt`,
            content: secrets.registryCa,
          }),
        ]
      : []),
    ...loginStep(context, registry),
    ...proxy,
    serviceStep({
      id: "service",
      title: "Docker runs with this configuration",
      unit: "docker",
      undo: stopIfOurs(
        ["docker.io", "docker-ce", "docker-engine"],
        "docker.service",
        "docker.socket",
        "containerd",
      ),
      reads: [{ path: CONFIG, content: config }, ...proxy.map(({ file }) => file ?? "")],
    }),
    ...(context.images.rules.dockershim ? [] : shimSteps(context, host)),
  ];
}

/** kubelet reads this file by default; docker gets its path. */
function loginStep({ cluster, secrets }: Context, registry: string): Step[] {
  const { user } = cluster.registry;
  if (user === undefined) return [];
  const auth = Buffer.from(`${user}:${secrets.registryPassword ?? ""}`).toString("base64");
  const content = `${JSON.stringify({ auths: { [registry]: { auth } } })}\n`;
  return [
    fileStep({
      id: "login",
      title: "kubelet and Docker can log in to the registry",
      path: `${DOCKER_LOGIN}/config.json`,
      content,
      mode: "600",
    }),
  ];
}

/** From Kubernetes 1.24 on Docker is reached through cri-dockerd: its package's, or the bundle's file. */
function shimSteps(context: Context, host: ClusterHost): Step[] {
  const { bundle, images } = context;
  const set = setFor(bundle, context.factsOf(host));
  const packaged = set !== undefined && wantedOn(set, host).some(({ name }) => name === "cri-dockerd");
  const byPackage = packaged || bundle.files[CRI_DOCKERD] === undefined;
  const socket = "unix:///var/run/cri-dockerd.sock";
  const crictl = fileStep({
    id: "crictl",
    title: "crictl finds cri-dockerd",
    path: "/etc/crictl.yaml",
    content: `runtime-endpoint: ${socket}\nimage-endpoint: ${socket}\ntimeout: 10\n`,
  });
  const proxy = proxyStep(context, host, "cri-docker");
  return [
    ...proxy,
    ...(byPackage ? packagedShim(images.sandbox, proxy) : carriedShim(context, proxy)),
    crictl,
  ];
}

/** The package has its own unit; only the sandbox image differs. */
function packagedShim(sandbox: string, proxy: Step[]): Step[] {
  const content = `[Service]\nExecStart=\nExecStart=/usr/bin/cri-dockerd --container-runtime-endpoint fd:// --network-plugin=cni --pod-infra-container-image=${sandbox}\n`;
  return [
    fileStep({
      id: "shim-unit",
      title: "cri-dockerd uses the sandbox image",
      path: "/etc/systemd/system/cri-docker.service.d/airgap.conf",
      content,
      undone: call("systemctl", "daemon-reload"),
    }),
    shimService(content, proxy),
  ];
}

const shimService = (content: string, proxy: Step[]): Step =>
  serviceStep({
    id: "shim",
    title: "cri-dockerd runs",
    unit: "cri-docker.service",
    reads: [content, ...proxy.map(({ file }) => file ?? "")],
    before: [
      call("systemctl", "daemon-reload"),
      call("systemctl", "enable", "--now", "cri-docker.socket"),
    ].join("\n"),
    undo: call("disable_services", "cri-docker.service", "cri-docker.socket"),
  });

function carriedShim({ bundle, images }: Context, proxy: Step[]): Step[] {
  const place = bundle.files[CRI_DOCKERD];
  if (place === undefined) return [];
  const to = `/var/lib/airgap/${CRI_DOCKERD}`;
  const unit = fillShipped("systemd/cri-docker.service", { SANDBOX: images.sandbox });
  return [
    {
      id: "shim-program",
      title: "cri-dockerd is installed",
      check: call("cri_dockerd_is_installed", place.digest),
      apply: call("install_cri_dockerd", CRI_DOCKERD, to, place.digest),
      undo: call("rm", "-f", "/usr/local/bin/cri-dockerd"),
      upload: uploadOf(bundle, place, { to, beside: CRI_DOCKERD }),
    },
    fileStep({
      id: "shim-socket",
      title: "cri-dockerd has a socket",
      path: "/etc/systemd/system/cri-docker.socket",
      content: fillShipped("systemd/cri-docker.socket", {}),
    }),
    fileStep({
      id: "shim-unit",
      title: "cri-dockerd is a service",
      path: "/etc/systemd/system/cri-docker.service",
      content: unit,
      undone: call("systemctl", "daemon-reload"),
    }),
    shimService(unit, proxy),
  ];
}
