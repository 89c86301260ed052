import { Numbers } from "./growing.ts";

/**
 * Rules: disjunctions of literals, variable `v` (from 1) written `v`, its negation `-v`. All in
 * two lists of numbers, since a large repository has hundreds of thousands of them.
 */
export class RuleStore {
  readonly #literals: Numbers;
  readonly #starts: Numbers;

  /** @param like as large as this one */
  constructor(like?: RuleStore) {
    this.#literals = new Numbers(like && like.#literals.length + 1);
    this.#starts = new Numbers(like && like.#starts.length + 1);
    this.#starts.push(0);
  }

  /** Number of rules; they are counted from 0. */
  get size(): number {
    return this.#starts.length - 1;
  }

  /** The literals of all rules; a rule's are those from `start` up to `end`. */
  get literals(): Int32Array {
    return this.#literals.array;
  }

  start(rule: number): number {
    return this.#starts.at(rule);
  }

  end(rule: number): number {
    return this.#starts.at(rule + 1);
  }

  /** A copy, for who wants to keep it. */
  of(rule: number): number[] {
    return [...this.literals.subarray(this.start(rule), this.end(rule))];
  }

  add(literals: ArrayLike<number>): number {
    for (let i = 0; i < literals.length; i++) this.#literals.push(literals[i] as number);
    return this.#ended();
  }

  /** Adds a rule of another store. */
  addFrom(other: RuleStore, rule: number): number {
    const { literals } = other;
    for (let at = other.start(rule), end = other.end(rule); at < end; at++)
      this.#literals.push(literals[at] as number);
    return this.#ended();
  }

  release(): void {
    this.#literals.release();
    this.#starts.release();
  }

  #ended(): number {
    this.#starts.push(this.#literals.length);
    return this.size - 1;
  }

  /** Compares literal by literal; the rule that ends first comes first. */
  compare(a: number, b: number): number {
    const { literals } = this;
    const [from, length] = [this.start(a), this.end(a) - this.start(a)];
    const [other, otherLength] = [this.start(b), this.end(b) - this.start(b)];
    for (let i = 0; i < length && i < otherLength; i++) {
      const order = (literals[from + i] as number) - (literals[other + i] as number);
      if (order !== 0) return order;
    }
    return length - otherLength;
  }
}

/** Rules with what they mean, in the order in which they are looked at. */
export class ExplainedRules<Kind extends string> {
  readonly store: RuleStore;
  /** The kinds met so far; a rule's is its place among them. */
  readonly #names: Kind[] = [];
  readonly #kinds: Numbers;
  readonly #from: Numbers;
  readonly #relations: string[] = [];

  /** @param like as many as these */
  constructor(like?: ExplainedRules<Kind>) {
    this.store = new RuleStore(like?.store);
    this.#kinds = new Numbers(like && like.size + 1);
    this.#from = new Numbers(like && like.size + 1);
  }

  get size(): number {
    return this.store.size;
  }

  /**
   * @param from the package that says so; 0 for what was asked for
   * @param relation as its metadata say it
   */
  add(literals: ArrayLike<number>, kind: Kind, from: number, relation: string): void {
    this.store.add(literals);
    this.#describe(kind, from, relation);
  }

  #describe(kind: Kind, from: number, relation: string): void {
    let number = this.#names.indexOf(kind);
    if (number < 0) number = this.#names.push(kind) - 1;
    this.#kinds.push(number);
    this.#from.push(from);
    this.#relations.push(relation);
  }

  kind(rule: number): Kind {
    return this.#names[this.#kinds.at(rule)] as Kind;
  }

  from(rule: number): number {
    return this.#from.at(rule);
  }

  relation(rule: number): string {
    return this.#relations[rule] as string;
  }

  literals(rule: number): number[] {
    return this.store.of(rule);
  }

  /** The numbers of the rules of a kind. */
  ofKind(kind: Kind): number[] {
    const found: number[] = [];
    const number = this.#names.indexOf(kind);
    for (let rule = 0; rule < this.size; rule++) if (this.#kinds.at(rule) === number) found.push(rule);
    return found;
  }

  /** The same rules sorted by their literals, each once; these here are void then. */
  sorted(): ExplainedRules<Kind> {
    const order = new Int32Array(this.size);
    for (let rule = 0; rule < order.length; rule++) order[rule] = rule;
    order.sort((a, b) => this.store.compare(a, b) || a - b);
    const result = new ExplainedRules<Kind>(this);
    let last = -1;
    for (const rule of order) {
      if (last < 0 || this.store.compare(last, rule) !== 0) this.copy(rule, result);
      last = rule;
    }
    for (const list of [this.store, this.#kinds, this.#from]) list.release();
    return result;
  }

  /** Adds one of these rules to others. */
  copy(rule: number, to: ExplainedRules<Kind>): void {
    to.store.addFrom(this.store, rule);
    to.#describe(this.kind(rule), this.from(rule), this.relation(rule));
  }
}
