import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { Scratch } from "../scratch.ts";
import { libraryIn, type Ran, runShell, type SHELLS } from "./shells.ts";

/** Runs functions of the library as a step does, with a host's own folders below a folder of the test's. */
export class FunctionHost extends Scratch {
  readonly #shell: (typeof SHELLS)[number];

  constructor(shell: (typeof SHELLS)[number]) {
    super();
    this.#shell = shell;
    for (const folder of ["kept", "run"]) mkdirSync(this.path(folder));
  }

  /** @param bodies of programs, by their names; each also writes down how it was called */
  run(script: string, bodies: Record<string, string> = {}): Ran {
    const library = libraryIn(this.dir).replaceAll(
      /(?<![\w.])\/(?=etc\/|run\/airgap|var\/lib\/kubelet)/g,
      `${this.dir}/`,
    );
    const programs = Object.entries(bodies).map(
      ([name, body]) => `${name}() { printf '%s\\n' "${name} $*" >>'${this.path("calls")}'\n${body}\n}\n`,
    );
    return runShell(this.#shell, `${library}${programs.join("")}(set -e\n${script}\n)\n`);
  }

  /** How programs were called, in order. */
  get calls(): string[] {
    if (!existsSync(this.path("calls"))) return [];
    return readFileSync(this.path("calls"), "utf8").replaceAll(`${this.dir}/`, "/").trimEnd().split("\n");
  }

  place(path: string, text = "x\n"): string {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    return this.write(path, text);
  }
}
