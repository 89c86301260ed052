import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface DnfRequest {
  repositories: { id: string; path: string; priority?: number; moduleHotfixes?: boolean }[];
  install: string[];
  recommends?: boolean;
  /** As EL's dnf.conf has it: the newest, or nothing. */
  best?: boolean;
  /** A folder that is kept between requests about the same repositories. */
  cache?: string;
  /** One whose rpm database says what hosts have. */
  root?: string;
}

/** dnf's own answers, from one process for many questions. */
export class DnfOracle implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const script = join(import.meta.dirname, "oracles/dnf-solve.py");
    this.#child = spawn("/usr/bin/python3", [script], { stdio: ["pipe", "pipe", "ignore"] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error("no stdout");
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** The packages that dnf would install, sorted; undefined when it finds no solution. */
  async solve(request: DnfRequest): Promise<string[] | undefined> {
    return (await this.answer(request)).packages;
  }

  /** The same, with the names of what goes away, and with what dnf says when there is no solution. */
  async answer(request: DnfRequest): Promise<{ packages?: string[]; removes?: string[]; error?: string }> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the dnf oracle ended; is python3-dnf installed?");
    return JSON.parse(value) as { packages?: string[]; removes?: string[]; error?: string };
  }

  [Symbol.dispose](): void {
    this.#child.stdin?.end();
  }
}
