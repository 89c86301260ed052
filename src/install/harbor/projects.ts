import type { Cluster } from "../../cluster/cluster.ts";
import { itemsOf, type Lock } from "../../lock/lock.ts";
import { land } from "../../names/landing.ts";
import { parseReference } from "../../oci/reference.ts";
import { landingRules } from "../node-images.ts";

/** A project that Harbor must have. */
export interface WantedProject {
  name: string;
  public: boolean;
  /** `50GiB`; as the cluster file has it. */
  quota?: string;
}

/** A user that Harbor must have. */
export interface WantedUser {
  name: string;
  email: string;
  /** Absent when Harbor has the user already. */
  password?: string;
  /** Roles by project. */
  projects: Record<string, string>;
}

/** What Harbor must have, beside images. `airgap harbor configure` reads it. */
export interface WantedHarbor {
  projects: WantedProject[];
  users: WantedUser[];
}

/** The projects into which the bundle's images go: the first part of a repository. */
export function landingProjects(cluster: Cluster, lock: Lock): string[] {
  const rules = landingRules(cluster, lock);
  const names = itemsOf(lock, "image").map(
    ({ name }) => land(parseReference(name), rules).repository.split("/", 1)[0] as string,
  );
  return [...new Set(names)].sort();
}

/**
 * The projects and users of the cluster file, and the projects of the bundle's images. Everybody may
 * pull from those of the bundle, unless nodes log in: then their account may.
 */
export function wantedHarbor(cluster: Cluster, lock: Lock, passwords: Record<string, string>): WantedHarbor {
  const { harbor, user: puller } = cluster.registry;
  const own = harbor?.projects ?? [];
  const landing = landingProjects(cluster, lock);
  const others = landing.filter((name) => !own.some((project) => project.name === name));
  const projects: WantedProject[] = [
    ...own.map(({ name, public: open, quota }) => ({ name, public: open, ...(quota ? { quota } : {}) })),
    ...others.map((name) => ({ name, public: puller === undefined })),
  ];
  const users = (harbor?.users ?? []).map(({ name, email, projects: roles }): WantedUser => {
    const pulls = name === puller ? Object.fromEntries(landing.map((project) => [project, "guest"])) : {};
    const password = passwords[name];
    return { name, email, projects: { ...pulls, ...roles }, ...(password ? { password } : {}) };
  });
  return { projects, users };
}
