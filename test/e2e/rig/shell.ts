import { type ProcessOptions, type ProcessResult, run } from "../../../src/host/process.ts";

/** Everything that a test prints on a terminal goes through here. */
export function say(text: string): void {
  process.stderr.write(`rig: ${text}\n`);
}

const tail = (text: string): string => text.trim().split("\n").slice(-30).join("\n");

/**
 * Runs a program of the test machine that has to succeed.
 * @returns what it printed
 * @throws Error with the end of its output otherwise
 */
export async function must(
  command: string,
  args: string[],
  options: Partial<ProcessOptions> = {},
): Promise<ProcessResult> {
  const result = await run(command, args, { timeoutMs: 120_000, maxOutput: 256 * 1024 * 1024, ...options });
  if (result.code === 0) return result;
  throw new Error(
    `${[command, ...args].join(" ").slice(0, 400)}: exit ${result.code}\n${tail(result.stdout)}\n${tail(result.stderr)}`,
  );
}

/** The same, giving what it printed on stdout without the last line's end. */
export async function output(
  command: string,
  args: string[],
  options: Partial<ProcessOptions> = {},
): Promise<string> {
  return (await must(command, args, options)).stdout.trimEnd();
}

/** Calls `probe` until it gives something, at most for `seconds`. */
export async function eventually<T>(
  what: string,
  seconds: number,
  probe: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await new Promise((wake) => setTimeout(wake, 200));
  }
}
