import type { Cluster } from "../cluster/cluster.ts";
import { AirgapError } from "../errors.ts";
import { itemsOf, type Lock } from "../lock/lock.ts";
import type { Engine } from "../transport/engine.ts";
import { type BaseOptions, type MadeBase, makeBase } from "./base.ts";
import { debBase } from "./base-deb.ts";
import { baseRepositories, EXAMPLES } from "./base-repositories.ts";
import { rpmBase } from "./base-rpm.ts";

export interface ImageOptions {
  /** The spec that the bundle was built from: its repositories have what hosts have before an installation. */
  spec?: string | undefined;
  /** Repositories for the same, as `parseBaseRepository` reads them. */
  baseRepositories: readonly string[];
  /** The engine's image for a system: `debian-12` → `debian:12-systemd`. */
  images: ReadonlyMap<string, string>;
  /** The system of a host, where the bundle is for several. */
  systems: ReadonlyMap<string, string>;
}

/** What a host starts from. */
export interface SystemImage {
  system: string;
  /** Name of an image of the engine. */
  image: string;
  /** Where it comes from, in words. */
  made: string;
}

/**
 * Finds an image for every host.
 * @param lock of the bundle that hosts get first
 * @throws AirgapError `usage` when it is not clear which system a host has, `not-found` when the engine lacks an image
 */
export async function imagesFor(
  cluster: Cluster,
  lock: Lock,
  engine: Engine,
  options: ImageOptions & BaseOptions,
): Promise<Map<string, SystemImage>> {
  const systems = systemsOf(cluster, lock, options);
  const images = new Map<string, SystemImage>();
  for (const system of new Set(systems.values())) {
    const given = options.images.get(system);
    if (given !== undefined) {
      const image = await engine.findImage(given);
      images.set(system, { system, image, made: `${system}: the image ${given}` });
    } else images.set(system, { system, ...(await baseOf(system, lock, engine, options)) });
  }
  return new Map(
    [...systems].flatMap(([host, system]) => {
      const image = images.get(system);
      return image ? [[host, image] as const] : [];
    }),
  );
}

const FORMATS = { deb: debBase, rpm: rpmBase } as const;

/** @throws AirgapError `usage` when nobody said what hosts have before an installation */
async function baseOf(
  system: string,
  lock: Lock,
  engine: Engine,
  options: ImageOptions & BaseOptions,
): Promise<MadeBase> {
  const own = [`--image ${system}=IMAGE  # an image of your engine with systemd and openssh-server`];
  const item = itemsOf(lock, "packages").find(({ facts }) => facts.for.includes(system));
  if (item === undefined)
    throw new AirgapError("usage", `The bundle has no packages for ${system}, of which hosts could be made`, {
      suggestions: own,
    });
  const base = await baseRepositories(item, { spec: options.spec, lines: options.baseRepositories });
  const { format } = item.facts;
  if (base === undefined)
    throw new AirgapError(
      "usage",
      `Hosts with ${system} are made of the bundle and of what hosts have before an installation: say where that comes from`,
      {
        suggestions: [
          "--spec SPEC  # the repositories of the spec that the bundle was built from",
          ...EXAMPLES[format],
          ...own,
        ],
        ref: "docs/rehearse.md",
      },
    );
  return makeBase(FORMATS[format], { system, item }, base, engine, options);
}

/** The system of every host: said, or the only one that it can be. */
function systemsOf(cluster: Cluster, lock: Lock, { images, systems }: ImageOptions): Map<string, string> {
  const sets = itemsOf(lock, "packages").map(({ facts }) => facts.for);
  // Sets of several versions are for the same systems.
  const one = sets.every((each) => each.join() === sets[0]?.join()) ? (sets[0] ?? []) : [];
  const [only] = images.size === 1 ? images.keys() : one;
  const unknown = cluster.hosts.filter(({ name }) => !systems.has(name));
  if (only === undefined && unknown.length > 0)
    throw new AirgapError(
      "usage",
      `The bundle is for ${sets.flat().join(", ") || "hosts that have their packages"}: which system has ${unknown.map(({ name }) => name).join(", ")}?`,
      {
        suggestions: [
          `--system ${unknown[0]?.name}=${sets.flat()[0] ?? "debian-12"}`,
          `--image ${sets.flat()[0] ?? "debian-12"}=IMAGE  # the system of all hosts`,
        ],
      },
    );
  return new Map(cluster.hosts.map(({ name }) => [name, systems.get(name) ?? only ?? ""]));
}
