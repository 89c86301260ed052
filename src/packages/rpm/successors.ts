import type { Solvable, Universe } from "./universe.ts";

/** Which packages may take the place of those that hosts have. */
export class Successors {
  /** What hosts have. */
  readonly hosts: readonly Solvable[];
  readonly #universe: Universe;
  readonly #byName: ReadonlyMap<string, Solvable>;
  readonly #obsoleting = new Map<Solvable, number[]>();

  constructor(universe: Universe) {
    this.#universe = universe;
    this.hosts = universe.solvables.filter(
      (solvable): solvable is Solvable => solvable !== undefined && solvable.repository === undefined,
    );
    this.#byName = new Map(this.hosts.map((host) => [host.name, host]));
    if (this.hosts.length === 0) return;
    for (const solvable of universe.solvables) {
      if (solvable?.repository === undefined || solvable.data.obsoletes === undefined) continue;
      for (const host of this.#obsoleted(solvable))
        this.#obsoleting.set(host, [...this.obsoleting(host), solvable.id]);
    }
  }

  /** Packages of another name that obsolete what a host has, by id. */
  obsoleting(host: Solvable): number[] {
    return this.#obsoleting.get(host) ?? [];
  }

  /**
   * The ids that may stand in its place, as far as its own resolver is concerned: itself first, other
   * builds, older ones too, and what obsoletes it; where something that provides its name does, only
   * that. (libsolv's src/policy.c, `policy_findupdatepackages`.)
   */
  of(host: Solvable): number[] {
    const obsoleting = this.obsoleting(host);
    const named = this.#universe
      .providers({ kind: "simple", name: host.name, op: 0, version: "" })
      .filter((id) => id !== host.id)
      .filter((id) => this.#universe.get(id).name === host.name || obsoleting.includes(id));
    const renamed = named.some((id) => this.#universe.get(id).name !== host.name);
    return [host.id, ...named, ...(renamed ? [] : obsoleting)];
  }

  /** What hosts have that a package would take the place of. */
  replaced(solvable: Solvable): Solvable | undefined {
    const namesake = this.#byName.get(solvable.name);
    return namesake && !this.#universe.standTogether(solvable, namesake)
      ? namesake
      : this.#obsoleted(solvable)[0];
  }

  /**
   * By each Obsoletes by which packages of another name would take the place of what hosts have: who
   * has the very same, newer builds of the hosts' package too, and one of the hosts' packages.
   */
  split(): { host: Solvable; ids: number[] }[] {
    const found = new Map<string, { host: Solvable; ids: Set<number> }>();
    const add = (id: number, host: Solvable, text: string): void => {
      const known = found.get(text);
      if (known) known.ids.add(id);
      else found.set(text, { host, ids: new Set([id]) });
    };
    for (const obsoleting of this.#obsoleting.values())
      for (const id of obsoleting)
        for (const text of this.#universe.get(id).data.obsoletes ?? [])
          for (const host of this.#hostsIn(text)) add(id, host, text);
    for (const text of found.keys())
      for (const host of this.#hostsIn(text))
        for (const { id, data, repository } of this.#universe.named(host.name))
          if (repository !== undefined && data.obsoletes?.includes(text)) add(id, host, text);
    return [...found.values()].map(({ host, ids }) => ({ host, ids: [...ids] }));
  }

  #obsoleted({ data, name }: Solvable): Solvable[] {
    const found = (data.obsoletes ?? []).flatMap((text) => this.#hostsIn(text));
    return [...new Set(found)].filter((other) => other.name !== name);
  }

  /** What hosts have that an Obsoletes speaks of. */
  #hostsIn(text: string): Solvable[] {
    const relation = this.#universe.relation(text);
    if (relation.kind !== "simple") return [];
    return this.#universe.namedInRange(relation).filter(({ repository }) => repository === undefined);
  }
}
