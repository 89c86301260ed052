import type { ClusterHost } from "../../cluster/cluster.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import type { PackageSet } from "../bundle.ts";
import { type Context, setFor, wave } from "../context.ts";
import type { SiteRepository, Tree } from "../systems/system.ts";
import { SITE_CA } from "./trust.ts";

/** Adds the site's repository; the host's own repositories stay as they are, and airgap does not use them. */
export const repositoryStage = (context: Context): Wave[] => [
  wave(context.reached, (host) => repositorySteps(context, host)),
];

/** The repository of the set that is for a host. */
export function repositorySteps(context: Context, host: ClusterHost): Step[] {
  const set = setFor(context.bundle, context.factsOf(host));
  if (set === undefined) return [];
  return context.systemOf(host).repositorySteps({
    set,
    trees: treesFor(set, host),
    url: `${context.repositoryUrl}/packages/${set.name}/`,
    login: loginOf(context),
    ca: context.secrets.tls ? SITE_CA : undefined,
  });
}

/** A host sees the packages of its roles; the whole set only when roles make no difference. */
function treesFor(set: PackageSet, host: ClusterHost): Tree[] {
  const roles = Object.keys(set.facts.roles);
  const own = roles.filter((role) => (host.roles as string[]).includes(role));
  const plain = roles.length === 1 && roles[0] === "all";
  const names = own.length > 0 ? own : ["all"];
  const unsigned = set.facts.packages.filter((each) => each.unsigned).map(({ id }) => id);
  return (plain ? [undefined] : names).flatMap((role): Tree[] => {
    const id = role === undefined ? `airgap-${set.name}` : `airgap-${set.name}-${role}`;
    const path = role === undefined ? "" : `roles/${role}/`;
    const within =
      role === undefined
        ? unsigned
        : unsigned.filter((each) => set.facts.roles[role]?.packages.includes(each));
    const signed: Tree = { id, path, signed: true };
    return set.facts.format === "rpm" && within.length > 0
      ? [signed, { id: `${id}-unsigned`, path: `${path}unsigned/`, signed: false }]
      : [signed];
  });
}

export const repositoryIds = (set: PackageSet, host: ClusterHost): string[] =>
  treesFor(set, host).map(({ id }) => id);

/** If the server requires a login, it requires it from everybody. */
function loginOf({ cluster, secrets }: Context): SiteRepository["login"] {
  const { user, mode } = cluster.registry;
  const { registryPassword: password } = secrets;
  return mode === "serve" && user !== undefined && password !== undefined ? { user, password } : undefined;
}
