import { readFileSync } from "node:fs";
import { below, statOf } from "./processes.ts";

/** The kernel's unit for processor times in /proc. */
const TICKS = 100;

/** What a process and its children used. Bytes, seconds. */
export interface TreeCost {
  wall: number;
  /** Of the process alone. */
  cpu: number;
  /** Of its children, as far as it has waited for them. */
  childrenCpu: number;
  peakRss: number;
  /** Most memory of all children at one time, with what they share counted once. */
  childrenPss: number;
  /** Most children at one time. */
  children: number;
}

const EVERY_MS = 400;
/** Shared memory is counted less often: the kernel walks every page for it. */
const PSS_EVERY = 5;

/** Looks at a process of ours and its children until it is told to stop. */
export class TreeWatch {
  readonly #pid: number;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #cost: TreeCost = { wall: 0, cpu: 0, childrenCpu: 0, peakRss: 0, childrenPss: 0, children: 0 };
  #looks = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  end(): TreeCost {
    clearInterval(this.#timer);
    this.#cost.wall = (performance.now() - this.#began) / 1000;
    return this.#cost;
  }

  #look(): void {
    try {
      const cost = this.#cost;
      const fields = statOf(this.#pid);
      cost.cpu = (Number(fields[11]) + Number(fields[12])) / TICKS;
      cost.childrenCpu = (Number(fields[13]) + Number(fields[14])) / TICKS;
      const status = readFileSync(`/proc/${this.#pid}/status`, "utf8");
      // A process that has just ended has no memory any more.
      cost.peakRss = Math.max(cost.peakRss, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
      const children = below(this.#pid);
      cost.children = Math.max(cost.children, children.length);
      if (this.#looks++ % PSS_EVERY === 0)
        cost.childrenPss = Math.max(
          cost.childrenPss,
          children.reduce((sum, pid) => sum + pssOf(pid), 0),
        );
    } catch {
      // It has just ended; the last numbers stay.
    }
  }
}

function pssOf(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
