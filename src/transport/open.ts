import { AirgapError } from "../errors.ts";
import { parseReference, type Reference, tryParseReference, withDefaultTag } from "../oci/reference.ts";
import type { DaemonOptions } from "./docker-daemon.ts";
import { type LocalPlace, openLocal, openLocalDestination, parseLocal } from "./local.ts";
import type { Registries } from "./registry/registries.ts";
import type { Destination, Source } from "./types.ts";

/** A place of an image: `docker://host/repository:tag`, or one of the local places. */
export type Place = { kind: "docker"; reference: Reference } | LocalPlace;

/**
 * Reads `transport:rest`.
 * @param baseDir the folder that relative paths start at
 * @throws AirgapError `usage`
 */
export function parsePlace(text: string, baseDir: string): Place {
  if (text.startsWith("docker://"))
    return { kind: "docker", reference: withDefaultTag(parseReference(text.slice("docker://".length))) };
  const local = parseLocal(text, baseDir);
  if (local !== undefined) return local;
  const meant = tryParseReference(text);
  throw new AirgapError("usage", `'${text}' does not say where the image is`, {
    suggestions: [meant ? `docker://${text}` : "airgap copy --help"],
  });
}

export interface OpenOptions extends DaemonOptions {
  registries: Registries;
  foreignLayers?: boolean;
}

/** Opens a place for reading, with the tag, name or digest to resolve. */
export async function openPlace(
  place: Place,
  options: OpenOptions,
): Promise<{ source: Source; reference: string }> {
  if (place.kind !== "docker") return { source: await openLocal(place, options), reference: place.name };
  const { host, repository, tag, digest } = place.reference;
  const { foreignLayers = false } = options;
  return {
    source: options.registries.source(host, repository, { foreignLayers }),
    reference: digest ?? tag ?? "latest",
  };
}

/** Opens a place for writing, with the names that the image gets; none = its digest alone. */
export function openTarget(place: Place, options: OpenOptions): { destination: Destination; tags: string[] } {
  if (place.kind !== "docker")
    return { destination: openLocalDestination(place, options), tags: [place.name] };
  const { host, repository, tag } = place.reference;
  return {
    destination: options.registries.destination(host, repository),
    tags: tag === undefined ? [] : [tag],
  };
}
