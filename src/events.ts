/**
 * What the rooms report while they work. Only src/report prints.
 * Sizes are bytes.
 */
export type Event =
  | { type: "phase"; name: string; detail?: string }
  | { type: "note"; message: string }
  | { type: "warning"; message: string; suggestion?: string }
  /** The work ahead, as far as it is known. A later plan replaces it. `names`: what items are for people, by digest. */
  | { type: "plan"; items: number; bytes: number; names?: ReadonlyMap<string, string> }
  /** Bytes moved since the last such event, for the item named. `had`: they were there already, and count for no rate. */
  | { type: "progress"; item: string; bytes: number; had?: true }
  | { type: "item"; item: string; state: ItemState; bytes?: number; detail?: string }
  | { type: "retry"; what: string; reason: string; attempt: number; waitMs: number }
  | { type: "step"; host: string; step: string; state: StepState; ms?: number; detail?: string }
  /** Work on many hosts: how many there are in it, and how many of them had nothing to do. Stages may overlap. */
  | {
      type: "stage";
      name: string;
      state: "started" | "done";
      hosts: number;
      done: number;
      /** Nothing is changed yet: connecting, facts, checks. */
      before?: true;
      /** From its beginning, with the end. */
      ms?: number;
    }
  /** A host in a stage. `lost`: the connection broke, and airgap waits for the host. */
  | { type: "host"; host: string; stage: string; state: HostState };

export type ItemState = "started" | "done" | "present" | "mounted" | "resumed" | "failed";
export type StepState = "checking" | "already" | "applying" | "done" | "would-change" | "skipped" | "failed";

export type HostState = "started" | "done" | "failed" | "lost";

export type Emit = (event: Event) => void;

/** For callers that want no progress. */
export const silent: Emit = () => {};
