import { closeSync, openSync, writeSync } from "node:fs";
import type { Mask } from "./mask.ts";
import type { StateDir } from "./state-dir.ts";

/** The full output of a run's commands, with secrets masked. */
export class RunLog {
  readonly path: string;
  readonly #fd: number;
  readonly #mask: Mask;

  constructor(home: StateDir, mask: Mask, now = new Date()) {
    this.path = home.path("runs", `${now.toISOString().replace(/[:.]/g, "-")}.log`);
    this.#fd = openSync(this.path, "a", 0o600);
    this.#mask = mask;
  }

  line(text: string): void {
    writeSync(this.#fd, `${new Date().toISOString()} ${this.#mask.hide(text)}\n`);
  }

  /** Logs the output of a step, each line after the host's name. */
  output(host: string, text: string): void {
    if (text.trim() === "") return;
    const lines = this.#mask.hide(text.trimEnd()).split("\n");
    writeSync(this.#fd, lines.map((line) => `${host}| ${line}\n`).join(""));
  }

  close(): void {
    closeSync(this.#fd);
  }
}
