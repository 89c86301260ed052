import { type Answers, systemNamed } from "./answers.ts";
import { sampleHosts } from "./hosts-file.ts";

const REGISTER = "register.site.local";
const RAW = "https://raw.githubusercontent.com";

const plain = (
  letter: string,
  os: string,
  given: Partial<Answers> & Pick<Answers, "name">,
  title: string[],
): Answers => {
  const system = systemNamed(os);
  return {
    system,
    archs: ["amd64"],
    kubernetes: system.kubernetes,
    runtime: "containerd",
    network: "flannel",
    registry: "serve",
    registryHost: REGISTER,
    china: false,
    hosts: sampleHosts(1, true),
    ...given,
    more: { ...given.more, title: [`Scenario ${letter}: ${title[0]}`, ...title.slice(1)] },
  };
};

/**
 * The ready-made files in `bundles/` that are made of answers, by name; each has its letter of
 * docs/cookbook.md. C, D, G and I are written by hand.
 */
export const SCENARIOS: Record<string, Answers> = {
  "A-docker": plain(
    "A",
    "el7",
    {
      name: "a-docker",
      runtime: "docker",
      china: true,
      hosts: [
        { name: "master1", address: "10.0.0.12", roles: ["control-plane"] },
        { name: "node1", address: "10.0.0.15", roles: ["worker"] },
        { name: "node2", address: "10.0.0.16", roles: ["worker"] },
        { name: "register", address: "10.0.0.20", roles: ["registry"] },
      ],
    },
    ["one control plane, Kubernetes 1.23 with Docker on CentOS 7.9, from mirrors in China."],
  ),
  "B-containerd": plain("B", "el9", { name: "b-containerd", kubernetes: "v1.28.2" }, [
    "one control plane, Kubernetes 1.28 with containerd on EL 9.",
  ]),
  "E-addons": plain(
    "E",
    "ubuntu-24.04",
    {
      name: "e-addons",
      network: "calico",
      more: {
        title: [],
        proxyMode: "ipvs # its modules and ipvsadm are in the bundle",
        manifests: [
          `  - path: ${RAW}/kubernetes/dashboard/v2.7.0/aio/deploy/recommended.yaml`,
          "    as: dashboard",
          "  - path: https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.8.1/components.yaml",
          "    as: metrics-server",
          `  - path: ${RAW}/kubernetes/ingress-nginx/controller-v1.13.3/deploy/static/provider/baremetal/deploy.yaml`,
          "    as: ingress",
          "  - E-addons/ # your own documents: their images are carried too",
        ],
        cluster: [
          "addons: # applied in this order; images are found and renamed by airgap, no sed is needed",
          "  - dashboard",
          "  - metrics-server",
          "  - ingress",
          "  - { manifest: E-addons/ } # the dashboard as NodePort 30443, with an administrator",
        ],
      },
    },
    ["calico, kube-proxy in ipvs mode, dashboard, metrics-server and ingress, on Ubuntu 24.04."],
  ),
  "F-applications": plain(
    "F",
    "el9",
    {
      name: "f-applications",
      more: {
        title: [],
        images: [
          "  # built here with `docker build`; the name is the one at the site",
          `  - { ref: "${REGISTER}/apps/nginx_web:v0.1", from: "docker-daemon:nginx_web:v0.1" }`,
          `  - { ref: "${REGISTER}/apps/django_web:v0.1", from: "docker-daemon:django_web:v0.1" }`,
          `  - { ref: "${REGISTER}/apps/tomcat_web:v0.1", from: "docker-daemon:tomcat_web:v0.1" }`,
        ],
        cluster: [
          "addons:",
          "  - { manifest: F-applications/ } # deployed after the cluster; change v0.1 to v0.2, build, install again",
        ],
      },
    },
    ["your own applications: images of the local Docker, and their manifests, on EL 9."],
  ),
  "H-hosts": plain(
    "H",
    "debian-12",
    {
      name: "h-hosts",
      hosts: [
        { name: "cp1", address: "10.0.0.12", roles: ["control-plane", "worker", "registry"] },
        { name: "node1", address: "10.0.0.15", roles: ["worker"] },
      ],
      more: {
        title: [],
        cluster: [
          "# airgap prepares every host: names, /etc/hosts, swap, modules, sysctl, firewall, SELinux, time, cgroup driver.",
          "time: { servers: [] } # empty: the first control plane gives the time",
        ],
      },
    },
    ["two bare hosts with Debian 12; airgap prepares them, and the control plane serves the bundle itself."],
  ),
};
