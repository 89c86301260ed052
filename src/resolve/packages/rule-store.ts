/**
 * Rules: disjunctions of literals, variable `v` (from 1) written `v`, its negation `-v`. All in
 * two arrays of numbers, since a large repository has hundreds of thousands of them.
 */
export class RuleStore {
  #literals = new Int32Array(1024);
  #starts = new Int32Array(256);
  #count = 0;

  /** Number of rules; they are counted from 0. */
  get size(): number {
    return this.#count;
  }

  /** The literals of all rules; a rule's are those from `start` up to `end`. */
  get literals(): Int32Array {
    return this.#literals;
  }

  start(rule: number): number {
    return this.#starts[rule] as number;
  }

  end(rule: number): number {
    return this.#starts[rule + 1] as number;
  }

  /** A copy, for who wants to keep it. */
  of(rule: number): number[] {
    return [...this.#literals.subarray(this.start(rule), this.end(rule))];
  }

  add(literals: ArrayLike<number>): number {
    const start = this.start(this.#count);
    const end = start + literals.length;
    if (end > this.#literals.length) this.#literals = grown(this.#literals, end);
    if (this.#count + 2 > this.#starts.length) this.#starts = grown(this.#starts, this.#count + 2);
    for (let i = 0; i < literals.length; i++) this.#literals[start + i] = literals[i] as number;
    this.#starts[this.#count + 1] = end;
    return this.#count++;
  }

  /** Compares literal by literal; the rule that ends first comes first. */
  compare(a: number, b: number): number {
    const [from, length] = [this.start(a), this.end(a) - this.start(a)];
    const [other, otherLength] = [this.start(b), this.end(b) - this.start(b)];
    for (let i = 0; i < length && i < otherLength; i++) {
      const order = (this.#literals[from + i] as number) - (this.#literals[other + i] as number);
      if (order !== 0) return order;
    }
    return length - otherLength;
  }
}

function grown(array: Int32Array<ArrayBuffer>, needed: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(needed, array.length + (array.length >> 1)));
  larger.set(array);
  return larger;
}

/** Rules with what they mean, in the order in which they are looked at. */
export class ExplainedRules<Kind extends string> {
  readonly store = new RuleStore();
  readonly #kinds: Kind[] = [];
  readonly #from: number[] = [];
  readonly #relations: string[] = [];

  get size(): number {
    return this.store.size;
  }

  /**
   * @param from the package that says so; 0 for what was asked for
   * @param relation as its metadata say it
   */
  add(literals: ArrayLike<number>, kind: Kind, from: number, relation: string): void {
    this.store.add(literals);
    this.#kinds.push(kind);
    this.#from.push(from);
    this.#relations.push(relation);
  }

  kind(rule: number): Kind {
    return this.#kinds[rule] as Kind;
  }

  from(rule: number): number {
    return this.#from[rule] as number;
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
    for (const [rule, own] of this.#kinds.entries()) if (own === kind) found.push(rule);
    return found;
  }

  /** The same rules sorted by their literals, each once. */
  sorted(): ExplainedRules<Kind> {
    const order = Int32Array.from({ length: this.size }, (_, i) => i).sort((a, b) => this.store.compare(a, b) || a - b);
    const result = new ExplainedRules<Kind>();
    let last = -1;
    for (const rule of order) {
      if (last < 0 || this.store.compare(last, rule) !== 0) this.copy(rule, result);
      last = rule;
    }
    return result;
  }

  /** Adds one of these rules to others. */
  copy(rule: number, to: ExplainedRules<Kind>): void {
    to.add(this.store.literals.subarray(this.store.start(rule), this.store.end(rule)), this.kind(rule), this.from(rule), this.relation(rule));
  }
}
