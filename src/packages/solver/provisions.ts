import { Numbers } from "./growing.ts";

const NONE = -1;

/**
 * Who provides what, of the names that somebody speaks of: a list for each name, in the order in
 * which they came, in lists of numbers, since there are some hundred thousand of them.
 */
export class Provisions<Provider> {
  /** Names by their number, from 0 in the order in which they were asked for. */
  readonly #names = new Map<string, number>();
  readonly #first = new Numbers();
  readonly #last = new Numbers();
  readonly #repositories = new Numbers();
  readonly #rows = new Numbers();
  readonly #next = new Numbers();
  readonly #ranges: string[] = [];
  #providers: (Provider | undefined)[] = [];

  /** Whether the name is asked for the first time. */
  ask(name: string): boolean {
    if (this.#names.has(name)) return false;
    this.#names.set(name, this.#names.size);
    this.#first.push(NONE);
    this.#last.push(NONE);
    return true;
  }

  /** A row of a repository that provides a name that was asked for. */
  add(name: string, repository: number, row: number, range: string): void {
    const number = this.#names.get(name);
    if (number === undefined) return;
    const entry = this.#next.length;
    this.#repositories.push(repository);
    this.#rows.push(row);
    this.#ranges.push(range);
    this.#next.push(NONE);
    const last = this.#last.at(number);
    if (last === NONE) this.#first.set(number, entry);
    else this.#next.set(last, entry);
    this.#last.set(number, entry);
  }

  /** Says once and for all who the rows are; those that were not loaded provide nothing. */
  settle(provider: (repository: number, row: number) => Provider | undefined): void {
    this.#providers = this.#ranges.map((_, entry) =>
      provider(this.#repositories.at(entry), this.#rows.at(entry)),
    );
  }

  of(name: string, visit: (provider: Provider, range: string) => void): void {
    const number = this.#names.get(name);
    if (number === undefined) return;
    for (let entry = this.#first.at(number); entry !== NONE; entry = this.#next.at(entry)) {
      const provider = this.#providers[entry];
      if (provider !== undefined) visit(provider, this.#ranges[entry] as string);
    }
  }
}
