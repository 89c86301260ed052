/** Candidates that a decision passed over, for going back to them. */
export interface Branch {
  level: number;
  open: number[];
  taken: number[];
}

/** The choices made so far, the earliest first. */
export class Branches {
  readonly #list: Branch[] = [];

  push(branch: Branch): void {
    this.#list.push(branch);
  }

  /** Forgets those of this level and above. */
  drop(level: number): void {
    while (this.#list.length > 0 && (this.#list.at(-1) as Branch).level >= level) this.#list.pop();
  }

  /**
   * Takes out the earliest choice that later ones make look wrong, with all behind it: a candidate
   * passed over that came in anyway may make the one taken needless, and one that is wished for by
   * now is better than one that nobody wishes for. The better candidate counts as taken then.
   * @param value level at which each candidate was set, negative when it was ruled out, 0 when open
   */
  reconsider(
    value: Int32Array,
    wished: (candidate: number) => boolean,
  ): { branch: Branch; candidate: number } | undefined {
    for (const [i, branch] of this.#list.entries()) {
      const candidate = betterOf(branch, value, wished);
      if (candidate === undefined) continue;
      branch.open.splice(branch.open.indexOf(candidate), 1);
      branch.taken.push(candidate);
      this.#list.length = i;
      return { branch, candidate };
    }
    return undefined;
  }
}

function betterOf(
  { open, taken, level }: Branch,
  value: Int32Array,
  wished: (candidate: number) => boolean,
): number | undefined {
  const present = open.find((candidate) => (value[candidate] as number) > level);
  if (present !== undefined) return present;
  const better = open.find(wished);
  if (better === undefined) return undefined;
  return taken.some((candidate) => value[candidate] === level + 1 && !wished(candidate)) ? better : undefined;
}
