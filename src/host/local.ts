import { Readable } from "node:stream";
import { messageOf } from "../errors.ts";
import {
  type Become,
  DEFAULT_TIMEOUT,
  type Host,
  type Output,
  prefixed,
  proveRoot,
  type RunOptions,
  shell,
  wholeScript,
} from "./host.ts";
import { run } from "./process.ts";

/** The machine that airgap runs on. */
export class LocalHost implements Host {
  readonly name: string;
  readonly #become: Become;

  private constructor(name: string, become: Become) {
    this.name = name;
    this.#become = become;
  }

  /** @throws AirgapError `unauthorized` when commands would not run as root */
  static async open(name: string, become: Become): Promise<LocalHost> {
    const needed = process.getuid?.() === 0 ? { sudo: false } : become;
    await proveRoot(name, needed, (line, input) => execute(line, input, {}));
    return new LocalHost(name, needed);
  }

  run(script: string, options: RunOptions = {}): Promise<Output> {
    const { line, before } = shell(this.#become);
    return execute(line, before + wholeScript(script), options);
  }

  pipe(command: string, input: Readable, options: RunOptions = {}): Promise<Output> {
    const { line, before } = shell(this.#become, command);
    return execute(line, Readable.from(prefixed(before, input)), options);
  }

  async close(): Promise<void> {}
}

async function execute(
  line: string,
  input: string | Readable,
  { timeoutMs = DEFAULT_TIMEOUT, signal, maxOutput, onStdout }: RunOptions,
): Promise<Output> {
  try {
    return await run("sh", ["-c", line], {
      input,
      timeoutMs,
      ...(signal ? { signal } : {}),
      ...(maxOutput ? { maxOutput } : {}),
      ...(onStdout ? { onStdout } : {}),
    });
  } catch (error) {
    signal?.throwIfAborted();
    return { code: null, stdout: "", stderr: messageOf(error) };
  }
}
