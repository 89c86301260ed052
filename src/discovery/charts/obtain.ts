import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import type { Http } from "../../http.ts";
import { describePlace, localPath, readPlace } from "../../transport/url.ts";
import { fetchFromRepository, MAX_ARCHIVE } from "./helm-repository.ts";
import { fetchFromRegistry, type OpenRepository } from "./oci.ts";
import { type ChartFiles, type LeftOut, readArchive, readFolder } from "./tree.ts";

/** What is needed to fetch charts. */
export interface ChartReach {
  /** Relative paths start here. */
  baseDir: string;
  http(): Http;
  /** Absent when no registry may be asked. */
  registry?: OpenRepository | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
  /** Links in a folder that cannot be followed are left out and told; without it they are refused. */
  leftOut?: LeftOut;
}

export interface Obtained {
  tree: ChartFiles;
  /** As it was given, packaged; absent for a folder. */
  archive?: Buffer;
  /** For messages. */
  what: string;
  /** For the lock. */
  origin: string;
  /** The folder on disk, for `file://` dependencies. */
  folder?: string;
}

export interface ChartPlace {
  chart: string;
  repo?: string | undefined;
  version?: string | undefined;
}

async function packaged(bytes: Buffer, what: string, origin: string): Promise<Obtained> {
  return { tree: await readArchive(bytes, what), archive: bytes, what, origin };
}

/** Fetches from a registry, if registries may be asked. */
export async function fromRegistry(
  reach: ChartReach,
  url: string,
  version: string | undefined,
): Promise<Obtained> {
  if (reach.registry === undefined)
    throw new AirgapError("unsupported", `Cannot read ${url} here: registries are not asked`, {
      suggestions: [`helm pull ${url}`, "and name the archive instead"],
    });
  const { bytes, origin } = await fetchFromRegistry(reach.registry, url, version, reach.signal);
  return packaged(bytes, url, origin);
}

/** Fetches from a chart repository. */
export async function fromRepository(
  reach: ChartReach,
  repo: string,
  name: string,
  version: string | undefined,
): Promise<Obtained> {
  if (/^oci:\/\//.test(repo)) return fromRegistry(reach, `${repo.replace(/\/+$/, "")}/${name}`, version);
  if (!/^(?:https?|file):/i.test(repo)) {
    throw new AirgapError("spec", `'${repo}' is not the URL of a chart repository`, {
      suggestions: [
        "write https://…, or oci://… for a registry; `helm repo list` shows the URL behind a name",
      ],
    });
  }
  const {
    bytes,
    version: found,
    origin,
  } = await fetchFromRepository(reach.http(), repo, name, version, reach.signal);
  return packaged(bytes, `${name}-${found}.tgz`, origin);
}

/**
 * Reads a chart from wherever it is: a folder, an archive, a URL, a registry, a repository.
 * @throws AirgapError
 */
export async function obtainChart(place: ChartPlace, reach: ChartReach): Promise<Obtained> {
  const { chart, repo, version } = place;
  if (repo !== undefined) return fromRepository(reach, repo, chart, version);
  if (chart.startsWith("oci://")) return fromRegistry(reach, chart, version);
  if (/^https?:/i.test(chart))
    return packaged(
      await readPlace(reach.http(), chart, MAX_ARCHIVE, undefined, reach.signal),
      basename(new URL(chart).pathname),
      describePlace(chart),
    );
  const path = /^file:/i.test(chart) ? localPath(chart) : resolve(reach.baseDir, chart);
  const found = await stat(path).catch((cause) => {
    throw new AirgapError("spec", `Cannot read the chart ${chart}: ${path} does not exist`, {
      cause,
      suggestions: ["for a chart from a repository, give the repository's URL with repo:"],
    });
  });
  if (found.isDirectory())
    return { tree: await readFolder(path, reach.leftOut), what: basename(path), origin: chart, folder: path };
  return packaged(await readPlace(reach.http(), path, MAX_ARCHIVE), basename(path), chart);
}

export const isUnreachable = (error: unknown): error is AirgapError =>
  isAirgapError(error, "network", "not-found", "unauthorized", "refused", "unsupported", "spec", "protocol");
