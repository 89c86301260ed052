import { AirgapError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference, hostComponent, isHost, isRepository, type Reference } from "../oci/reference.ts";
import { applyRules, type MapRule } from "./map-rule.ts";

/** How upstream names become names of one registry. interface.md, "What lands, and where". */
export type NameLayout = "host" | "path" | "flat";

/** A registry, and the path in it below which images land. */
export interface Target {
  /** `harbor.site.local:8443` */
  host: string;
  /** `mirror/k8s`; empty for none. */
  prefix: string;
}

export interface LandingRules {
  target: Target;
  layout: NameLayout;
  /** `--map` rules, the first that matches wins over the layout. */
  map: MapRule[];
  /** The site's own registry by the name that its users write. */
  siteName?: string | undefined;
}

/**
 * Reads `host[:port][/prefix]`; the first component is always the host, also where it has no dot.
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
    ? `'${prefix}' has upper-case letters, which the names of repositories do not take`
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

/** Whether a reference names this registry already, so that its path is right as it is. */
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
 * @throws AirgapError `conflict` when the name would be none
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
      `${formatReference(reference)} would land as ${target.host}/${repository}, which is no repository name`,
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

/** An image that is to land. */
export interface Landing {
  /** As it is called upstream. */
  from: Reference;
  /** As it will be called at the target. */
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
  return new AirgapError("conflict", `Different images on one name: ${lines.join("; ")}`, {
    suggestions: [
      ...(rules.layout === "host" ? [] : ["--layout host keeps them apart"]),
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

/** What a registry asks of repository names. Components are what stands between slashes, the host not counted. */
export interface NameLimits {
  /** Who asks for it: `Harbor`. */
  who: string;
  minComponents?: number;
  maxComponents?: number;
  maxLength?: number;
  /** What the first component must look like besides: a Harbor project. */
  first?: RegExp;
}

/** What known registries ask, by their host; Harbor's own rules are known once it has answered. */
export function limitsOfHost(host: string): NameLimits | undefined {
  return host === "docker.io" ? { who: "Docker Hub", minComponents: 2, maxComponents: 2 } : undefined;
}

/** Harbor: a project and at least one component; the project by its own rule. */
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
    return `${limits.who} wants at least ${minComponents} components, the first being the project`;
  if (components.length > maxComponents) return `${limits.who} takes at most ${maxComponents} components`;
  if (repository.length > maxLength) return `${limits.who} takes at most ${maxLength} characters`;
  if (first && !first.test(components[0] as string))
    return `'${components[0]}' can't be a project of ${limits.who}'s`;
  return undefined;
}

/** @throws AirgapError `conflict` naming every image whose name the target can't take */
export function checkNames(landings: Landing[], limits: NameLimits): void {
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
  throw new AirgapError("conflict", `Names that the target can't take: ${lines.join("; ")}`, {
    suggestions: [
      ...(project ? ["give the target a project: HOST/PROJECT instead of HOST"] : []),
      `or map it: --map '${host}/${repository}=project/${repository.slice(repository.lastIndexOf("/") + 1)}'`,
    ],
    data: { names: bad },
  });
}
