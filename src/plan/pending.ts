import type { Plan, PlannedStage } from "./stage.ts";
import type { Step } from "./step.ts";

/** What a host does in one wave of a stage. */
export interface Unit {
  host: string;
  stage: PlannedStage;
  /** The stage's place in the plan. */
  order: number;
  wave: number;
  steps: Step[];
}

/** The units of each host, in order, and how many of each stage and wave nobody has finished yet. */
export class Pending {
  readonly #stages: readonly PlannedStage[];
  /** Each list ends with the next one. */
  readonly #units = new Map<string, Unit[]>();
  /** By stage and wave. */
  readonly #open: number[][];
  readonly #after: readonly number[][];

  /** @param waits stages that wait for everything before them, whatever they need */
  constructor({ stages }: Plan, waits: (stage: PlannedStage) => boolean = () => false) {
    this.#stages = stages;
    this.#open = stages.map(({ waves }) => waves.map(({ length }) => length));
    this.#after = stages.map((stage, i) =>
      stages.flatMap(({ name }, j) => (stage.needs.includes(name) || (waits(stage) && j < i) ? [j] : [])),
    );
    for (const [order, stage] of stages.entries())
      for (const [wave, works] of stage.waves.entries())
        for (const { host, steps } of works) {
          const units = this.#units.get(host) ?? [];
          units.push({ host, stage, order, wave, steps });
          this.#units.set(host, units);
        }
    for (const units of this.#units.values()) units.reverse();
  }

  get left(): boolean {
    return this.#units.size > 0;
  }

  /** Hosts that have something to do, in the plan's order. */
  get hosts(): string[] {
    return [...this.#units.keys()];
  }

  /** What a host has to do still, the last first. */
  of(host: string): readonly Unit[] {
    return this.#units.get(host) ?? [];
  }

  /** Whether the host's next unit waits for nobody. */
  isReady(host: string): boolean {
    const unit = this.of(host).at(-1);
    if (unit === undefined) return false;
    return this.isDone(unit.order, unit.wave) && this.#lacking(unit).length === 0;
  }

  /** Names of the stages that the host's next unit waits for; its own where an earlier wave is not done. */
  waitsFor(host: string): string[] {
    const unit = this.of(host).at(-1);
    if (unit === undefined) return [];
    const lacking = this.#lacking(unit).flatMap((order) => this.#stages[order]?.name ?? []);
    return this.isDone(unit.order, unit.wave) ? lacking : [...lacking, unit.stage.name];
  }

  #lacking({ order }: Unit): number[] {
    return (this.#after[order] ?? []).filter((earlier) => !this.isDone(earlier));
  }

  /** Whether every unit of a stage is finished, or of its first waves. */
  isDone(order: number, waves?: number): boolean {
    return (this.#open[order] ?? []).slice(0, waves).every((open) => open === 0);
  }

  /** The host's next unit, which is then its own to finish. */
  take(host: string): Unit {
    const units = this.#units.get(host) ?? [];
    const unit = units.pop() as Unit;
    if (units.length === 0) this.#units.delete(host);
    return unit;
  }

  /** @returns whether it was the last of its wave, so that others may be ready now */
  finish({ order, wave }: Unit): boolean {
    const open = this.#open[order] as number[];
    open[wave] = (open[wave] ?? 0) - 1;
    return open[wave] === 0;
  }
}
