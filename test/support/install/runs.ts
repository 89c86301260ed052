import { secretTexts } from "../../../src/cluster/secrets.ts";
import type { Event } from "../../../src/events.ts";
import type { PlanInput } from "../../../src/install/context.ts";
import { hintsFor } from "../../../src/install/hints.ts";
import type { RunContext } from "../../../src/plan/execute.ts";
import { RunLog } from "../../../src/plan/log.ts";
import { Mask } from "../../../src/plan/mask.ts";
import { type RunResult, runPlan } from "../../../src/plan/run.ts";
import type { Plan } from "../../../src/plan/stage.ts";
import { StateDir } from "../../../src/plan/state-dir.ts";
import { Scratch } from "../scratch.ts";
import { RecordingHost } from "./recording-host.ts";

/** Played hosts of a plan, with everything that a run needs beside them. */
export class Rig implements Disposable {
  readonly scratch = new Scratch();
  readonly events: Event[] = [];
  /** `host step state`, as the journal is told. */
  readonly recorded: string[] = [];
  readonly hosts: Record<string, RecordingHost>;
  readonly log: RunLog;
  readonly context: RunContext;
  /** Times that a connection was made anew. */
  reconnected = 0;

  constructor(plan: Plan, names: string[], input?: PlanInput) {
    this.hosts = Object.fromEntries(names.map((name) => [name, RecordingHost.of(plan, name)]));
    const mask = new Mask(input ? secretTexts(input.secrets) : []);
    this.log = new RunLog(StateDir.open({ baseDir: this.scratch.dir, name: "site" }), mask);
    this.context = {
      connections: {
        get: (name) => this.host(name),
        again: async (name) => {
          this.reconnected++;
          return this.host(name);
        },
      },
      log: this.log,
      mask,
      emit: (event) => this.events.push(event),
      record: (host, { id, state }) => this.recorded.push(`${host} ${id} ${state}`),
      hints: hintsFor,
      patienceMs: 20,
    };
  }

  host(name: string): RecordingHost {
    const host = this.hosts[name];
    if (host === undefined) throw new Error(`nobody plays ${name}`);
    return host;
  }

  run(plan: Plan): Promise<RunResult> {
    return runPlan(plan, this.context);
  }

  [Symbol.dispose](): void {
    this.log.close();
    this.scratch[Symbol.dispose]();
  }
}
