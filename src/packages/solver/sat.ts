import { Branches } from "./branches.ts";
import { Numbers } from "./growing.ts";
import { RuleStore } from "./rule-store.ts";

/** Thrown when the rules contradict each other; `rules` are those that the contradiction follows from. */
export class Unsatisfiable extends Error {
  readonly rules: number[];

  constructor(rules: number[]) {
    super("the rules contradict each other");
    this.rules = rules;
  }
}

const NO_RULE = -1;
const NONE = -1;

/**
 * Conflict-driven clause learning over rules. Who decides what next is the caller's: this class
 * propagates, learns from conflicts and goes back. Level 1 holds what follows from the rules alone.
 */
export class Sat {
  readonly #given: RuleStore;
  /** Learnt rules, counted on from the given ones. */
  readonly #learnt = new RuleStore();
  /** What a learnt rule was made from: rules, and variables of level 1. */
  readonly #origins: { rules: number[]; variables: number[] }[] = [];
  readonly #variables: number;
  /** Level at which a variable was set, negative when to false, 0 when open. */
  readonly #value: Int32Array;
  readonly #reason: Int32Array;
  /** The two literals that each rule watches: a rule's first watch is twice its number, its second follows. */
  readonly #watched: Numbers;
  /**
   * The watches of each literal, as linked lists: the given rules in their order, before them what
   * came later, the latest first. The order is libsolv's, since which conflict is met first decides
   * what is learnt from it.
   */
  readonly #first: Int32Array;
  readonly #next: Numbers;
  /** Rules that were given up, and those learnt from them. */
  readonly #disabled = new Set<number>();
  readonly #trail: number[] = [];
  #propagated = 0;
  readonly #branches = new Branches();

  /** @param variables the highest one */
  constructor(variables: number, rules: RuleStore) {
    this.#given = rules;
    this.#variables = variables;
    this.#value = new Int32Array(variables + 1);
    this.#reason = new Int32Array(variables + 1).fill(NO_RULE);
    this.#watched = new Numbers(2 * rules.size + 1);
    this.#next = new Numbers(2 * rules.size + 1);
    this.#first = new Int32Array(2 * variables + 1).fill(NONE);
    for (let rule = 0; rule < rules.size; rule++) this.#watch(rule, 1);
    for (let watch = 2 * rules.size - 1; watch >= 0; watch--)
      if (this.#watched.at(watch) !== 0) this.#prepend(watch);
  }

  isTrue(variable: number): boolean {
    return (this.#value[variable] as number) > 0;
  }

  isFalse(variable: number): boolean {
    return (this.#value[variable] as number) < 0;
  }

  isOpen(variable: number): boolean {
    return this.#value[variable] === 0;
  }

  levelOf(variable: number): number {
    return Math.abs(this.#value[variable] as number);
  }

  /** The variables that are true, in the order in which they became so. */
  chosen(): number[] {
    return this.#trail.filter((literal) => literal > 0);
  }

  get trailLength(): number {
    return this.#trail.length;
  }

  literalAt(index: number): number {
    return this.#trail[index] as number;
  }

  #storeOf(rule: number): [RuleStore, number] {
    return rule < this.#given.size ? [this.#given, rule] : [this.#learnt, rule - this.#given.size];
  }

  #literals(rule: number): Int32Array {
    const [store, index] = this.#storeOf(rule);
    return store.literals.subarray(store.start(index), store.end(index));
  }

  /** Watches a rule's first literal and another one; a rule of a single literal needs no watch. */
  #watch(rule: number, second: number): void {
    const [store, index] = this.#storeOf(rule);
    const start = store.start(index);
    const two = store.end(index) - start > 1;
    for (const side of [0, second]) {
      this.#watched.push(two ? (store.literals[start + side] as number) : 0);
      this.#next.push(NONE);
    }
  }

  /** Puts a watch at the start of its literal's list. */
  #prepend(watch: number): void {
    const literal = this.#watched.at(watch) + this.#variables;
    this.#next.set(watch, this.#first[literal] as number);
    this.#first[literal] = watch;
  }

  /** Takes a watch out of a literal's list. */
  #remove(watch: number, before: number, literal: number): void {
    const next = this.#next.at(watch);
    if (before === NONE) this.#first[literal + this.#variables] = next;
    else this.#next.set(before, next);
  }

  #valueOf(literal: number): number {
    return literal > 0 ? (this.#value[literal] as number) : -(this.#value[-literal] as number);
  }

  #set(literal: number, level: number, reason: number): void {
    const variable = Math.abs(literal);
    this.#value[variable] = literal > 0 ? level : -level;
    this.#reason[variable] = reason;
    this.#trail.push(literal);
  }

  /** How many rules there are, with those that were learnt. */
  get rules(): number {
    return this.#given.size + this.#learnt.size;
  }

  /** The open literals of a rule of which one must come in; undefined when it is kept already, or was given up. */
  open(rule: number): number[] | undefined {
    if (this.#disabled.has(rule)) return undefined;
    const learnt = rule >= this.#given.size;
    const store = learnt ? this.#learnt : this.#given;
    const index = learnt ? rule - this.#given.size : rule;
    const { literals } = store;
    let open: number[] | undefined;
    for (let at = store.start(index), end = store.end(index); at < end; at++) {
      const literal = literals[at] as number;
      const value = this.#value[literal < 0 ? -literal : literal] as number;
      if (literal < 0) {
        if (value <= 0) return undefined;
      } else if (value > 0) return undefined;
      else if (value === 0) {
        if (open) open.push(literal);
        else open = [literal];
      }
    }
    return open;
  }

  /** Sets what the rules alone demand. @throws Unsatisfiable */
  start(): void {
    for (let rule = 0; rule < this.rules; rule++) {
      const [store, index] = this.#storeOf(rule);
      const at = store.start(index);
      const length = store.end(index) - at;
      if (length > 1 || this.#disabled.has(rule)) continue;
      if (length === 0) throw this.#refuted(rule);
      const literal = store.literals[at] as number;
      const value = this.#valueOf(literal);
      if (value === 0) this.#set(literal, 1, rule);
      else if (value < 0) throw this.#refuted(rule);
    }
    const conflict = this.#propagate(1);
    if (conflict !== NO_RULE) throw this.#refuted(conflict);
  }

  /**
   * Gives rules up for good and takes every decision back. What was learnt is kept, except what was
   * learnt from them. `start` follows.
   */
  giveUp(rules: Iterable<number>): void {
    this.#settleOrigins();
    for (const rule of rules) this.#disable(rule);
    for (const [i, { rules: from }] of this.#origins.entries())
      if (from.some((rule) => this.#disabled.has(rule))) this.#disable(this.#given.size + i);
    this.revert(0);
  }

  #disable(rule: number): void {
    if (this.#disabled.has(rule)) return;
    this.#disabled.add(rule);
    for (const watch of [2 * rule, 2 * rule + 1]) {
      const literal = this.#watched.at(watch);
      if (literal === 0) continue;
      let before = NONE;
      for (let at = this.#first[literal + this.#variables] as number; at !== watch; at = this.#next.at(at))
        before = at;
      this.#remove(watch, before, literal);
    }
  }

  /** What was learnt rests on the reasons of level 1 too, and those change when it is worked out again. */
  #settleOrigins(): void {
    for (const origin of this.#origins) {
      const seen = new Set<number>();
      const queue = origin.variables.splice(0);
      for (let variable = queue.pop(); variable !== undefined; variable = queue.pop()) {
        if (seen.has(variable)) continue;
        seen.add(variable);
        const reason = this.#reason[variable] as number;
        if (reason === NO_RULE) continue;
        origin.rules.push(reason);
        for (const literal of this.#literals(reason)) queue.push(Math.abs(literal));
      }
    }
  }

  /**
   * Sets a literal at a new level and whatever follows; learns from conflicts.
   * @returns the level reached: `level + 1`, or one further back when it went wrong
   * @throws Unsatisfiable
   */
  decide(literal: number, level: number): number {
    let current = level + 1;
    this.#set(literal, current, NO_RULE);
    for (;;) {
      const conflict = this.#propagate(current);
      if (conflict === NO_RULE) return current;
      if (current === 1) throw this.#refuted(conflict);
      const { literals, why, back } = this.#analyze(conflict, current);
      this.revert(back);
      const rule = this.#given.size + this.#learnt.add(literals);
      this.#origins.push(why);
      this.#watchLearnt(rule, literals);
      current = back;
      this.#set(literals[0] as number, current, rule);
    }
  }

  /** A learnt rule's second watch is the literal that was decided last, so that it wakes when that is taken back. */
  #watchLearnt(rule: number, literals: number[]): void {
    let second = 1;
    for (let i = 2; i < literals.length; i++)
      if (this.#levelOfLiteral(literals[i]) > this.#levelOfLiteral(literals[second])) second = i;
    this.#watch(rule, second);
    if (literals.length > 1) for (const side of [0, 1]) this.#prepend(2 * rule + side);
  }

  #levelOfLiteral(literal: number | undefined): number {
    return this.levelOf(Math.abs(literal as number));
  }

  /** Like `decide` for the first of several candidates; the others are remembered for `minimise`. */
  branch(candidates: number[], level: number): number {
    if (candidates.length > 1)
      this.#branches.push({ level, open: candidates.slice(1), taken: candidates.slice(0, 1) });
    return this.decide(candidates[0] as number, level);
  }

  /** How often something was taken back: what was worked out from the trail before is void then. */
  reverts = 0;

  /** Takes back every level above `level`. */
  revert(level: number): void {
    this.reverts++;
    while (this.#trail.length > 0) {
      const variable = Math.abs(this.#trail.at(-1) as number);
      if (this.levelOf(variable) <= level) break;
      this.#value[variable] = 0;
      this.#reason[variable] = NO_RULE;
      this.#trail.pop();
    }
    this.#propagated = Math.min(this.#propagated, this.#trail.length);
    this.#branches.drop(level);
  }

  /**
   * Goes back to a choice that later ones make look wrong, and takes another candidate.
   * @returns the new level, or undefined when there is nothing to gain
   */
  minimise(wished: (candidate: number) => boolean): number | undefined {
    const found = this.#branches.reconsider(this.#value, wished);
    if (found === undefined) return undefined;
    const { branch, candidate } = found;
    this.revert(branch.level);
    this.#branches.push(branch);
    return this.decide(candidate, branch.level);
  }

  /** @returns a rule that can't be kept any more, or NO_RULE */
  #propagate(level: number): number {
    while (this.#propagated < this.#trail.length) {
      const falsified = -(this.#trail[this.#propagated++] as number);
      let before = NONE;
      for (let watch = this.#first[falsified + this.#variables] as number; watch !== NONE; ) {
        const next = this.#next.at(watch);
        const other = this.#watched.at(watch ^ 1);
        const value = this.#valueOf(other);
        const replacement = value > 0 ? 0 : this.#replacement(watch >> 1, other, falsified);
        if (replacement !== 0) {
          this.#remove(watch, before, falsified);
          this.#watched.set(watch, replacement);
          this.#prepend(watch);
        } else {
          if (value < 0) return watch >> 1;
          if (value === 0) this.#set(other, level, watch >> 1);
          before = watch;
        }
        watch = next;
      }
    }
    return NO_RULE;
  }

  /** Another literal of a rule that is not false, or 0. */
  #replacement(rule: number, other: number, falsified: number): number {
    const [store, index] = this.#storeOf(rule);
    const { literals } = store;
    for (let at = store.start(index), end = store.end(index); at < end; at++) {
      const literal = literals[at] as number;
      if (literal !== other && literal !== falsified && this.#valueOf(literal) >= 0) return literal;
    }
    return 0;
  }

  /** The first unique implication point; the literal to set comes first, the others in the order in which they were met. */
  #analyze(
    conflict: number,
    level: number,
  ): { literals: number[]; why: { rules: number[]; variables: number[] }; back: number } {
    const seen = new Set<number>();
    const rest: number[] = [];
    const why = { rules: [conflict], variables: [] as number[] };
    let open = 0;
    let back = 1;
    const visit = (index: number): void => {
      for (const literal of this.#literals(index)) {
        const variable = Math.abs(literal);
        if (seen.has(variable)) continue;
        const at = this.levelOf(variable);
        if (this.#valueOf(literal) > 0) continue;
        seen.add(variable);
        if (at === 1) why.variables.push(variable);
        else if (at === level) open++;
        else {
          rest.push(literal);
          back = Math.max(back, at);
        }
      }
    };
    visit(conflict);
    let position = this.#trail.length;
    let literal = 0;
    for (;;) {
      do literal = this.#trail[--position] as number;
      while (!seen.has(Math.abs(literal)));
      if (--open === 0) break;
      const reason = this.#reason[Math.abs(literal)] as number;
      why.rules.push(reason);
      visit(reason);
    }
    return { literals: [-literal, ...rest], why, back };
  }

  /** The given rules that a contradiction at level 1 follows from, in the order met from the contradiction back. */
  #refuted(conflict: number): Unsatisfiable {
    const found = new Set<number>();
    const seenVariables = new Set<number>();
    const seenRules = new Set<number>();
    const queue = [conflict];
    const reach = (variable: number): void => {
      if (seenVariables.has(variable)) return;
      seenVariables.add(variable);
      const reason = this.#reason[variable] as number;
      if (reason !== NO_RULE) queue.push(reason);
    };
    for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
      if (seenRules.has(index)) continue;
      seenRules.add(index);
      const origin = this.#origins[index - this.#given.size];
      if (origin) {
        queue.push(...origin.rules);
        origin.variables.forEach(reach);
      } else found.add(index);
      for (const literal of this.#literals(index)) {
        if (this.levelOf(Math.abs(literal)) === 1) reach(Math.abs(literal));
      }
    }
    return new Unsatisfiable([...found]);
  }
}
