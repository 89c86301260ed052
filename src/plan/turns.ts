import { Pending } from "./pending.ts";
import { type PlacedStep, type Plan, placed } from "./stage.ts";

/** One turn of a host: what it does before another host must act. */
export interface Turn {
  host: string;
  steps: PlacedStep[];
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
    while (pending.isReady(host)) {
      const unit = pending.take(host);
      pending.finish(unit);
      turn.steps.push(...placed(unit.stage.name, unit.steps));
    }
    turns.push(turn);
  }
  return turns;
}
