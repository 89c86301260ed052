import type { Role } from "../../cluster/schema.ts";
import type { Stage } from "../../plan/stage.ts";
import type { Context } from "../context.ts";
import { addonsStage } from "./addons.ts";
import { controlPlaneStage } from "./control-plane.ts";
import { etcdStage } from "./etcd.ts";
import { hostsStage } from "./hosts.ts";
import { loadBalancerStage } from "./load-balancer.ts";
import { networkStage } from "./network.ts";
import { packagesStage } from "./packages.ts";
import { registryStage } from "./registry.ts";
import { repositoryStage } from "./repository.ts";
import { runtimeStage } from "./runtime.ts";
import { serveStage } from "./serve.ts";
import { trustStage } from "./trust.ts";
import { verifyStage } from "./verify.ts";
import { workersStage } from "./workers.ts";

/** A stage of an installation. */
export interface InstallStage<Name extends string = string> extends Stage<Context, Name> {
  /** Later stages depend on the hosts of this role: `reset` resets them after the hosts of those stages. */
  role?: Role;
}

/** An installation's table of contents: `--only`, `--skip`, help, docs, the order of scripts and of `reset` follow from it. */
export const STAGES = [
  {
    name: "hosts",
    title: "Names, kernel settings, swap, firewall and time of every host",
    needs: [],
    waves: hostsStage,
  },
  {
    name: "trust",
    title: "Every host trusts the site's authority",
    needs: [],
    waves: trustStage,
  },
  {
    name: "serve",
    title: "One host serves the bundle: images, packages, files",
    needs: [],
    role: "registry",
    waves: serveStage,
  },
  {
    name: "repository",
    title: "Package managers install from the bundle",
    needs: ["serve"],
    waves: repositoryStage,
  },
  {
    name: "packages",
    title: "Packages of each host's roles",
    needs: ["serve"],
    waves: packagesStage,
  },
  {
    name: "registry",
    title: "The registry has every image that the cluster will pull; Harbor is installed for that",
    needs: ["serve"],
    role: "registry",
    waves: registryStage,
  },
  {
    name: "runtime",
    title: "containerd or Docker, with the site's registry",
    needs: ["serve", "registry"],
    waves: runtimeStage,
  },
  {
    name: "load-balancer",
    title: "haproxy leads to the control planes; keepalived moves their shared address",
    needs: [],
    role: "load-balancer",
    waves: loadBalancerStage,
  },
  {
    name: "etcd",
    title: "etcd on the hosts with that role, where it is not on the control planes",
    needs: [],
    role: "etcd",
    waves: etcdStage,
  },
  {
    name: "control-plane",
    title: "kubeadm init on the first control plane; the others join one by one",
    needs: ["registry", "load-balancer", "etcd"],
    role: "control-plane",
    waves: controlPlaneStage,
  },
  {
    name: "network",
    title: "The pod network",
    needs: [],
    waves: networkStage,
  },
  {
    name: "workers",
    title: "Workers join; labels and taints",
    needs: ["control-plane"],
    role: "worker",
    waves: workersStage,
  },
  {
    name: "addons",
    title: "Add-ons, in the order of the cluster file",
    needs: ["workers"],
    waves: addonsStage,
  },
  {
    name: "verify",
    title: "Nodes, system pods, DNS and pod traffic work",
    needs: ["workers", "addons"],
    wholeCluster: true,
    waves: verifyStage,
  },
] as const satisfies readonly InstallStage[];

export type StageName = (typeof STAGES)[number]["name"];

/** The values of `--only` and `--skip`, in order. */
export const STAGE_NAMES: readonly StageName[] = STAGES.map(({ name }) => name);

/** A host's rank among those that others depend on: 0 for the host that provides the result of the earliest stage. */
function rank({ roles }: { roles: readonly Role[] }): number {
  const stages: readonly InstallStage[] = STAGES;
  const first = stages.findIndex(({ role }) => role !== undefined && roles.includes(role));
  return first < 0 ? stages.length : first;
}

/**
 * Groups of hosts for `reset`, first group first: a host is reset after those that depend on it.
 * For a host of several roles, the role that most others depend on counts.
 */
export function resetOrder<Host extends { roles: readonly Role[] }>(hosts: readonly Host[]): Host[][] {
  const ranks = [...new Set(hosts.map(rank))].toSorted((a, b) => b - a);
  return ranks.map((level) => hosts.filter((host) => rank(host) === level));
}

/** The order of scripts, by name: the host that serves packages first, then hosts that others depend on. */
export function scriptOrder(
  hosts: readonly { name: string; roles: readonly Role[] }[],
  repository: string,
): string[] {
  const place = (host: (typeof hosts)[number]): number => (host.name === repository ? -1 : rank(host));
  return hosts.toSorted((a, b) => place(a) - place(b)).map(({ name }) => name);
}
