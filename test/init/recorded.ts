import { INIT_SYSTEMS, type InitSystem } from "../../src/init/systems.ts";

/** Packages as `name` or `name version`. */
export interface Recorded {
  /** Of the system's own repositories. */
  base: string[];
  /** Of Docker's repository for it, where `init` names one. */
  docker: string[];
  /** Beside the Kubernetes release that the spec asks for. */
  kubernetes: string[];
}

const EL = [
  ..."conntrack-tools socat ethtool ipset ipvsadm chrony bash-completion container-selinux keepalived haproxy".split(
    " ",
  ),
];
const DEB = [
  ..."conntrack socat ethtool ebtables ipset ipvsadm chrony nfs-common bash-completion containerd runc docker.io keepalived haproxy".split(
    " ",
  ),
];
const DOCKER = [
  "docker-ce 3:28.5.1-1",
  "docker-ce-cli 1:28.5.1-1",
  "containerd.io 1.7.28-1",
  "docker-compose-plugin 2.40.0-1",
];
const KUBERNETES = ["kubernetes-cni 1.7.1-1", "cri-tools 1.34.0-1"];

const el = (more: string[], docker = DOCKER): Recorded => ({
  base: [...EL, ...more],
  docker,
  kubernetes: KUBERNETES,
});
const deb: Recorded = { base: DEB, docker: [], kubernetes: KUBERNETES };
const openEuler: Recorded = {
  base: [...EL.filter((name) => name !== "container-selinux"), "containerd", "runc", "docker-engine"],
  docker: [],
  kubernetes: KUBERNETES,
};

/**
 * The names under which the systems' repositories have what `init` asks for, as far as it matters for a spec. Debian
 * 12's are compared with the real ones where apt knows them (recorded.test.ts); the others were noted from the
 * repositories' listings and other tools' files. Whoever adds a package to `init` looks it up and notes it here.
 */
export const RECORDED: Record<string, Recorded> = {
  el7: el(
    ["ebtables"],
    [
      "docker-ce 3:26.1.4-1.el7",
      "docker-ce-cli 1:26.1.4-1.el7",
      "docker-ce 3:20.10.24-3.el7",
      "docker-ce-cli 1:20.10.24-3.el7",
      "containerd.io 1.6.33-3.1.el7",
      "docker-compose-plugin 2.27.1-1.el7",
    ],
  ),
  el8: el(["iproute-tc"]),
  el9: el(["iproute-tc"]),
  el10: el(["iproute-tc"]),
  "kylin-v10": el([]),
  "openeuler-22.03": openEuler,
  "openeuler-24.03": openEuler,
  "debian-12": deb,
  "debian-13": deb,
  "ubuntu-22.04": deb,
  "ubuntu-24.04": deb,
};

export const systems: readonly InitSystem[] = INIT_SYSTEMS;
