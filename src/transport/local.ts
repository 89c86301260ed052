import { resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import { ArchiveDestination } from "./archive-destination.ts";
import { DaemonDestination } from "./daemon-destination.ts";
import { openDockerArchive } from "./docker-archive.ts";
import { type DaemonOptions, openDockerDaemon } from "./docker-daemon.ts";
import { openOci } from "./oci.ts";
import { openOciArchive } from "./oci-archive.ts";
import { OciDestination } from "./oci-destination.ts";
import type { Destination, Source } from "./types.ts";

/** Where images come from besides registries, by the word before the colon. */
export type LocalKind = "oci" | "oci-archive" | "docker-archive" | "docker-daemon";

export interface LocalPlace {
  kind: LocalKind;
  /** Directory or file, absolute; the name for `docker-daemon`. */
  path: string;
  /** The image's name inside the place; "" for the only image. */
  name: string;
}

const PATTERN = /^(oci|oci-archive|docker-archive|docker-daemon):(.+)$/s;

/**
 * Reads `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:NAME]` and
 * `docker-daemon:NAME`. A name starts after the first colon of the path, as in skopeo.
 * @param baseDir the folder that relative paths start at
 * @returns undefined for another transport
 */
export function parseLocal(text: string, baseDir: string): LocalPlace | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const kind = match[1] as LocalKind;
  const rest = match[2] as string;
  if (kind === "docker-daemon") return { kind, path: rest, name: "" };
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (path === "")
    throw new AirgapError("usage", `'${text}' does not name a ${kind === "oci" ? "directory" : "file"}`, {
      suggestions: [`${kind}:./path:name`],
    });
  return { kind, path: resolve(baseDir, path), name: colon < 0 ? "" : rest.slice(colon + 1) };
}

/** Opens such a place for reading. The image is `place.name` there. @throws AirgapError */
export function openLocal({ kind, path }: LocalPlace, options: DaemonOptions): Promise<Source> {
  switch (kind) {
    case "oci":
      return openOci(path);
    case "oci-archive":
      return openOciArchive(path, options);
    case "docker-archive":
      return openDockerArchive(path, options);
    case "docker-daemon":
      return openDockerDaemon(path, options);
  }
}

/**
 * Opens such a place for writing. Tag the image `place.name`, even if that is ""; for
 * `docker-daemon` with the name itself. Archives and the engine get the image when it is closed.
 */
export function openLocalDestination({ kind, path }: LocalPlace, options: DaemonOptions): Destination {
  switch (kind) {
    case "oci":
      return new OciDestination(path);
    case "oci-archive":
    case "docker-archive":
      return new ArchiveDestination(path, kind);
    case "docker-daemon":
      return new DaemonDestination(path, options);
  }
}
