import { type PlacedStep, type Plan, placed } from "./stage.ts";

/** One turn of a host: what it does before another host must act. */
export interface Turn {
  host: string;
  steps: PlacedStep[];
}

/** What a host does in one wave of a stage. */
interface Unit {
  stage: string;
  needs: readonly string[];
  wave: number;
  steps: PlacedStep[];
}

/** The units of each host, in order, and how many of each stage and wave nobody has done yet. */
class Pending {
  readonly #units = new Map<string, Unit[]>();
  readonly #open = new Map<string, number[]>();

  constructor({ stages }: Plan) {
    for (const { name, needs, waves } of stages) {
      this.#open.set(
        name,
        waves.map(({ length }) => length),
      );
      for (const [wave, works] of waves.entries())
        for (const { host, steps } of works) {
          const unit = { stage: name, needs, wave, steps: placed(name, steps) };
          const units = this.#units.get(host);
          if (units === undefined) this.#units.set(host, [unit]);
          else units.push(unit);
        }
    }
    for (const units of this.#units.values()) units.reverse();
  }

  get left(): boolean {
    return this.#units.size > 0;
  }

  /** Whether the host's next unit waits for nobody. */
  isReady(host: string): boolean {
    const unit = this.#units.get(host)?.at(-1);
    if (unit === undefined) return false;
    const isDone = (stage: string, waves?: number): boolean =>
      (this.#open.get(stage) ?? []).slice(0, waves).every((open) => open === 0);
    return isDone(unit.stage, unit.wave) && unit.needs.every((stage) => isDone(stage));
  }

  take(host: string): PlacedStep[] {
    const units = this.#units.get(host) ?? [];
    const unit = units.pop() as Unit;
    if (units.length === 0) this.#units.delete(host);
    const open = this.#open.get(unit.stage) as number[];
    open[unit.wave] = (open[unit.wave] ?? 0) - 1;
    return unit.steps;
  }
}

/**
 * A plan as turns: each host does as much as it can before another host must act. In the order given,
 * which is the order of the files.
 */
export function turnsOf(plan: Plan, hosts: string[]): Turn[] {
  const pending = new Pending(plan);
  const turns: Turn[] = [];
  while (pending.left) {
    const host = hosts.find((name) => pending.isReady(name));
    if (host === undefined) throw new Error("the plan's stages wait for each other");
    const turn: Turn = { host, steps: [] };
    while (pending.isReady(host)) turn.steps.push(...pending.take(host));
    turns.push(turn);
  }
  return turns;
}
