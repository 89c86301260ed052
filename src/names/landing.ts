import { AirgapError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference, hostComponent, isHost, isRepository, type Reference } from "../oci/reference.ts";
import { applyRules, type MapRule } from "./map-rule.ts";

/** How upstream names become names in one registry. */
export type NameLayout = "host" | "path" | "flat";

/** A registry, and the path in it below which images land. */
export interface Target {
  /** `harbor.site.local:8443` */
  host: string;
  /** `mirror/k8s`, or empty. */
  prefix: string;
}

export interface LandingRules {
  target: Target;
  layout: NameLayout;
  /** `--map` rules. The first match wins over the layout. */
  map: MapRule[];
  /** The name that users write for the site's own registry. */
  siteName?: string | undefined;
}

/**
 * Reads `host[:port][/prefix]`; the first component is always the host, even without a dot.
 * @throws AirgapError `usage`
 */
export function parseTarget(text: string): Target {
  const bare = text.replace(/^[a-z]+:\/\//i, "").replace(/\/+$/, "");
  const slash = bare.indexOf("/");
  const host = (slash < 0 ? bare : bare.slice(0, slash)).toLowerCase();
  const prefix = slash < 0 ? "" : bare.slice(slash + 1);
  const right = isHost(host) && (prefix === "" || isRepository(prefix));
  if (right && bare === text.replace(/\/+$/, "")) return { host, prefix };
  const lower = prefix.toLowerCase();
  const small = isHost(host) && prefix !== lower && isRepository(lower);
  const why = small
    ? `'${prefix}' has capital letters, which the names of repositories do not take`
    : "host[:port][/prefix] is expected";
  throw new AirgapError("usage", `'${text}' is not a target: ${why}`, {
    suggestions: right
      ? [`write it as ${bare}`]
      : [
          small
            ? `write it as ${host}/${lower}`
            : "for example harbor.site.local or harbor.site.local:8443/mirror",
        ],
  });
}

const withoutDefaultPort = (host: string): string => host.replace(/:443$/, "");

/** Whether a reference already names this registry, so that its path stays. */
function isOwn({ host }: Reference, { target, siteName }: LandingRules): boolean {
  return [target.host, siteName].some(
    (own) => own !== undefined && withoutDefaultPort(own.toLowerCase()) === withoutDefaultPort(host),
  );
}

/** The path below the prefix that a layout gives a reference. */
function laidOut({ host, repository }: Reference, layout: NameLayout): string {
  if (layout === "path") return repository;
  if (layout === "flat") return repository.slice(repository.lastIndexOf("/") + 1);
  return `${hostComponent(host)}/${repository}`;
}

/**
 * Where an image lands: rules first, then the site's own names under their plain path, then the
 * layout below the target's prefix. Tag and digest stay.
 * @throws AirgapError `conflict` when the result is not a repository name
 */
export function land(reference: Reference, rules: LandingRules): Reference {
  const { target, layout, map } = rules;
  const mapped = applyRules(reference, map);
  const below = (path: string): string => (target.prefix === "" ? path : `${target.prefix}/${path}`);
  const repository =
    mapped !== undefined
      ? below(mapped)
      : isOwn(reference, rules)
        ? reference.repository
        : below(laidOut(reference, layout));
  if (!isRepository(repository)) {
    throw new AirgapError(
      "conflict",
      `${formatReference(reference)} would land as ${target.host}/${repository}, which is not a repository name`,
      {
        suggestions: [
          "give it a name with a rule: --map 'FROM=TO'",
          ...(repository.length > 255 ? ["or use --layout path or --layout flat"] : []),
        ],
      },
    );
  }
  return { ...reference, host: target.host, repository };
}

/** An image to push, with its names. */
export interface Landing {
  /** Its upstream name. */
  from: Reference;
  /** Its name at the target. */
  to: Reference;
  digest: Digest;
}

/**
 * Where each of several images lands.
 * @throws AirgapError `conflict` when different content would land on one name
 */
export function landAll(images: { reference: Reference; digest: Digest }[], rules: LandingRules): Landing[] {
  const byName = new Map<string, Landing>();
  const landings = images.map(
    ({ reference, digest }): Landing => ({ from: reference, to: land(reference, rules), digest }),
  );
  const clashes: [Landing, Landing][] = [];
  for (const landing of landings) {
    const { tag } = landing.to;
    if (tag === undefined) continue;
    const name = formatReference({ host: landing.to.host, repository: landing.to.repository, tag });
    const first = byName.get(name);
    if (first === undefined) byName.set(name, landing);
    else if (first.digest !== landing.digest) clashes.push([first, landing]);
  }
  if (clashes.length > 0) throw clash(clashes, rules);
  return landings;
}

function clash(clashes: [Landing, Landing][], rules: LandingRules): AirgapError {
  const lines = clashes.map(
    ([a, b]) =>
      `${formatReference(a.from)} (${a.digest}) and ${formatReference(b.from)} (${b.digest}) would both land as ${formatReference(a.to)}`,
  );
  const from = (clashes[0] as [Landing, Landing])[1].from;
  return new AirgapError("conflict", `Different images would get one name: ${lines.join("; ")}`, {
    suggestions: [
      ...(rules.layout === "host" ? [] : ["use --layout host: it keeps their names apart"]),
      `--map '${from.host}/${from.repository}=other/${from.repository}' gives the second another name`,
    ],
    data: {
      clashes: clashes.map(([a, b]) => ({
        name: formatReference(a.to),
        images: [a, b].map((each) => formatReference(each.from)),
      })),
    },
  });
}

/** A registry's rules for repository names. Components are the parts between slashes, without the host. */
export interface NameLimits {
  /** The registry that has these rules: `Harbor`. */
  who: string;
  minComponents?: number;
  maxComponents?: number;
  maxLength?: number;
  /** An extra rule for the first component, such as a Harbor project. */
  first?: RegExp;
}

/** Rules of well-known registries, by host. Harbor's rules are known once it has answered. */
export function limitsOfHost(host: string): NameLimits | undefined {
  return host === "docker.io" ? { who: "Docker Hub", minComponents: 2, maxComponents: 2 } : undefined;
}

/** Harbor: a project and at least one more component; projects have their own rule. */
export const HARBOR_NAMES: NameLimits = {
  who: "Harbor",
  minComponents: 2,
  maxLength: 255,
  first: /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/,
};

function problem({ repository }: Reference, limits: NameLimits): string | undefined {
  const components = repository.split("/");
  const { minComponents = 1, maxComponents = Number.POSITIVE_INFINITY, maxLength = 255, first } = limits;
  if (components.length < minComponents)
    return `${limits.who} needs at least ${minComponents} components; the first is the project`;
  if (components.length > maxComponents) return `${limits.who} allows at most ${maxComponents} components`;
  if (repository.length > maxLength) return `${limits.who} allows at most ${maxLength} characters`;
  if (first && !first.test(components[0] as string))
    return `'${components[0]}' is not a valid project name in ${limits.who}`;
  return undefined;
}

/** @throws AirgapError `conflict` naming every image whose name the target rejects */
export function checkLandingNames(landings: Landing[], limits: NameLimits): void {
  const bad = landings.flatMap(({ from, to }) => {
    const why = problem(to, limits);
    return why === undefined ? [] : [{ image: formatReference(from), name: formatReference(to), why }];
  });
  if (bad.length === 0) return;
  const lines = bad.map(({ image, name, why }) => `${image} → ${name}: ${why}`);
  const { host, repository } = (
    landings.find(({ from }) => formatReference(from) === bad[0]?.image) as Landing
  ).from;
  const project = (limits.minComponents ?? 1) > 1;
  throw new AirgapError("conflict", `The target rejects these names: ${lines.join("; ")}`, {
    suggestions: [
      ...(project ? ["give the target a project: HOST/PROJECT instead of HOST"] : []),
      `or map it: --map '${host}/${repository}=project/${repository.slice(repository.lastIndexOf("/") + 1)}'`,
    ],
    data: { names: bad },
  });
}
