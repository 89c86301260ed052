import { Pending, type Unit } from "./pending.ts";
import type { Plan } from "./stage.ts";

/**
 * Which host works next. A host goes on as soon as nothing that its next stage needs is missing: neither a slow
 * host nor a lost one holds those that do not need it. Hosts that others wait for come first, then earlier stages.
 */
export class Flow {
  readonly #pending: Pending;
  /** Places in the plan of stages that others need. */
  readonly #needed: ReadonlySet<number>;
  /** What may begin, by rank. */
  readonly #ready = new Map<number, Unit[]>();
  /** Hosts whose next unit waits for other hosts. */
  readonly #held = new Set<string>();
  readonly #stages: number;

  /** @param strict every stage waits for all stages before it, on every host */
  constructor(plan: Plan, strict: boolean) {
    this.#pending = new Pending(plan, ({ wholeCluster }) => strict || wholeCluster);
    this.#stages = plan.stages.length;
    const names = new Set(plan.stages.flatMap(({ needs }) => needs));
    this.#needed = new Set(plan.stages.flatMap(({ name }, i) => (names.has(name) ? [i] : [])));
    for (const host of this.#pending.hosts) this.#look(host);
  }

  /** What comes next, for the caller to finish; undefined while there is nothing that may begin. */
  take(): Unit | undefined {
    if (this.#ready.size === 0) return undefined;
    const rank = Math.min(...this.#ready.keys());
    const units = this.#ready.get(rank) as Unit[];
    const unit = units.shift();
    if (units.length === 0) this.#ready.delete(rank);
    return unit;
  }

  /** Gives back what could not be finished: it comes before everything else. */
  again(unit: Unit): void {
    this.#add(-1, unit);
  }

  /** Lets the host go on, and those that waited for it. One that is not finished holds whatever needs it. */
  finish(unit: Unit): void {
    const last = this.#pending.finish(unit);
    this.#look(unit.host);
    if (last) for (const host of [...this.#held]) this.#look(host);
  }

  /** Stages that hosts cannot begin because others did not finish theirs: who waits, for which. */
  get held(): { host: string; stages: string[] }[] {
    return [...this.#held].map((host) => ({ host, stages: this.#pending.waitsFor(host) }));
  }

  #look(host: string): void {
    this.#held.delete(host);
    if (this.#pending.isReady(host)) this.#add(this.#rank(host), this.#pending.take(host));
    else if (this.#pending.of(host).length > 0) this.#held.add(host);
  }

  /** The earliest stage ahead of a host that others need, then its next stage. */
  #rank(host: string): number {
    const units = this.#pending.of(host);
    const needed = units.findLast(({ order }) => this.#needed.has(order))?.order ?? this.#stages;
    return needed * this.#stages + (units.at(-1)?.order ?? 0);
  }

  #add(rank: number, unit: Unit): void {
    const units = this.#ready.get(rank);
    if (units === undefined) this.#ready.set(rank, [unit]);
    else units.push(unit);
  }
}
