import { batches } from "../solver/loader.ts";
import { artifactId, type HiddenBy, type ModuleStream } from "./modulemd.ts";
import type { RpmRepository } from "./repository.ts";
import { nevra } from "./universe.ts";

export function inWords({ stream, active, provides }: HiddenBy): string {
  if (!active) return `it belongs to the module stream ${stream}, which is not enabled`;
  if (provides === undefined) return `the module stream ${stream} has packages of that name`;
  return `it provides ${provides}, which the module stream ${stream} has a package for`;
}

/** What a spec can say about it. */
export const wayOut = ({ stream, active }: HiddenBy): string =>
  active
    ? "moduleHotfixes: true  # at that repository, in the spec"
    : `"@${stream}"  # in install:, enables that stream`;

/**
 * Hides what libdnf's modular filtering does (its dnf-sack.cpp, `setModuleExcludes`): packages of
 * streams that are not active, and any others that are called like a package of an active one or
 * provide its name. What hosts have stays to be seen, since it is there.
 */
export async function hidePackages(
  repositories: RpmRepository[],
  streams: ModuleStream[],
  active: ReadonlySet<ModuleStream>,
  installed: ReadonlySet<string>,
): Promise<void> {
  const shown = new Set(installed);
  const others = new Map<string, string>();
  const claimed = new Map<string, string>();
  const names = new Set<string>();
  const released = demodularized(active);
  for (const stream of streams) {
    const label = `${stream.name}:${stream.stream}`;
    for (const id of stream.artifacts) {
      const { name, arch } = artifactId(id) as { name: string; arch: string };
      names.add(name);
      if (!active.has(stream)) others.set(id, label);
      else {
        shown.add(id);
        if (arch !== "src" && arch !== "nosrc" && !released.get(label)?.has(name)) claimed.set(name, label);
      }
    }
  }
  for (const repository of repositories) {
    repository.hidden = new Map();
    if (repository.moduleHotfixes || streams.length === 0) continue;
    const hidden = new Map<number, HiddenBy>();
    for (const batch of batches(names)) {
      for (const row of await repository.versions(batch)) {
        const id = nevra(row);
        if (shown.has(id)) continue;
        const [other, claimant] = [others.get(id), claimed.get(row.name)];
        if (other !== undefined) hidden.set(row.id, { stream: other, active: false });
        else if (claimant !== undefined) hidden.set(row.id, { stream: claimant, active: true });
      }
    }
    for (const [row, by] of await providing(repository, claimed, shown))
      if (!hidden.has(row)) hidden.set(row, by);
    repository.hidden = hidden;
  }
}

/** Names that the newest build of an active stream says have left it, by `name:stream`. */
function demodularized(active: ReadonlySet<ModuleStream>): Map<string, Set<string>> {
  const newest = new Map<string, bigint>();
  const released = new Map<string, Set<string>>();
  for (const stream of active) {
    const label = `${stream.name}:${stream.stream}`;
    const version = BigInt(stream.version);
    const known = newest.get(label) ?? -1n;
    if (version < known) continue;
    released.set(
      label,
      new Set([...(version === known ? (released.get(label) ?? []) : []), ...stream.demodularized]),
    );
    newest.set(label, version);
  }
  return released;
}

async function providing(
  repository: RpmRepository,
  claimed: ReadonlyMap<string, string>,
  shown: ReadonlySet<string>,
): Promise<Map<number, HiddenBy>> {
  const found = new Map<number, HiddenBy>();
  for (const batch of batches(claimed.keys())) {
    const provided = new Map((await repository.providers(batch)).map((row) => [row.package, row.name]));
    for (const rows of batches(provided.keys())) {
      for (const row of await repository.packages(rows)) {
        const name = provided.get(row.id) as string;
        if (!shown.has(nevra(row)))
          found.set(row.id, { stream: claimed.get(name) as string, active: true, provides: name });
      }
    }
  }
  return found;
}
