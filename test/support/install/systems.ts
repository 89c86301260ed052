import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Facts } from "../../../src/host/facts.ts";

/** What fast tests of hosts know of each system: what `manifests/host/facts.sh` prints there, and what is read from that. */
export const RAW = join(import.meta.dirname, "../../host/facts");
export const READ = join(import.meta.dirname, "../../install/facts");

/** Every system that hosts may have, with what its packages are called and at which version they come. */
export const SYSTEMS = {
  "centos-7.9": {
    set: "el7",
    containerd: "containerd.io 1.6.33-3.1.el7",
    docker: "docker-ce 3:26.1.4-1.el7",
  },
  "rocky-8.10": {
    set: "el8",
    containerd: "containerd.io 1.7.27-3.1.el8",
    docker: "docker-ce 3:28.1.1-1.el8",
  },
  "rocky-9.4": { set: "el9", containerd: "containerd.io 1.7.27-3.1.el9", docker: "docker-ce 3:28.1.1-1.el9" },
  "rocky-10.0": {
    set: "el10",
    containerd: "containerd.io 2.1.5-1.el10",
    docker: "docker-ce 3:28.5.1-1.el10",
  },
  "openeuler-22.03": {
    set: "oe2203",
    containerd: "containerd 1.6.22-25.oe2203sp4",
    docker: "docker-engine 18.09.0-346.oe2203sp4",
  },
  "openeuler-24.03": {
    set: "oe2403",
    containerd: "containerd 1.6.22-24.oe2403sp1",
    docker: "docker-engine 18.09.0-346.oe2403sp1",
  },
  "kylin-v10": {
    set: "kylin10",
    containerd: "containerd.io 1.6.32-3.1.el8",
    docker: "docker-ce 3:26.1.3-1.el8",
  },
  "debian-11": {
    set: "debian11",
    containerd: "containerd.io 1.6.33-1",
    docker: "docker-ce 5:27.3.1-1~debian.11~bullseye",
  },
  "debian-12": {
    set: "debian12",
    containerd: "containerd 1.6.20~ds1-1+deb12u1",
    docker: "docker.io 20.10.24+dfsg1-1+deb12u1",
  },
  "debian-13": {
    set: "debian13",
    containerd: "containerd 1.7.24~ds1-6+b4",
    docker: "docker.io 26.1.5+dfsg1-9+b8",
  },
  "ubuntu-20.04": {
    set: "ubuntu2004",
    containerd: "containerd 1.7.24-0ubuntu1~20.04.2",
    docker: "docker.io 26.1.3-0ubuntu1~20.04.1",
  },
  "ubuntu-22.04": {
    set: "ubuntu2204",
    containerd: "containerd 1.7.24-0ubuntu1~22.04.2",
    docker: "docker.io 26.1.3-0ubuntu1~22.04.1",
  },
  "ubuntu-24.04": {
    set: "ubuntu2404",
    containerd: "containerd 2.1.3-0ubuntu1~24.04.1",
    docker: "docker.io 27.5.1-0ubuntu3~24.04.2",
  },
} as const;

export type System = keyof typeof SYSTEMS;
export const systems = Object.keys(SYSTEMS) as System[];

/** A fresh copy of a system's facts. */
export function factsOf(system: System): Facts {
  return JSON.parse(readFileSync(join(READ, `${system}.json`), "utf8")) as Facts;
}
