import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

export interface ProcessOptions {
  /** Written to the program's stdin, which is then closed. */
  input?: string | Readable;
  /** Called with each piece of stdout as it arrives. */
  onStdout?: (text: string) => void;
  timeoutMs: number;
  signal?: AbortSignal;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Most bytes of output; a program that prints more is killed. Default 16 MiB. */
  maxOutput?: number;
}

export interface ProcessResult {
  /** Null when a signal killed the program. */
  code: number | null;
  stdout: string;
  stderr: string;
}

const MAX_OUTPUT = 16 * 1024 * 1024;

/**
 * Runs a program without a shell and returns its output, whatever its exit code.
 * @throws Error when it cannot start, takes longer than `timeoutMs` or prints too much
 */
export function run(command: string, args: string[], options: ProcessOptions): Promise<ProcessResult> {
  const { input, onStdout, timeoutMs, signal, cwd, env, maxOutput = MAX_OUTPUT } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: "pipe",
      ...(cwd ? { cwd } : {}),
      ...(env ? { env } : {}),
      ...(signal ? { signal } : {}),
    });
    let size = 0;
    const stop = (why: string): void => {
      child.kill("SIGKILL");
      reject(new Error(`${command} ${why}`));
    };
    const collect = (chunks: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxOutput) stop(`printed more than ${maxOutput} bytes`);
      else chunks.push(chunk);
    };
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => stop(`gave no answer within ${timeoutMs} ms`), timeoutMs);
    child.stdout.on("data", collect(out));
    child.stderr.on("data", collect(err));
    if (onStdout) {
      const decoder = new StringDecoder("utf8");
      child.stdout.on("data", (chunk: Buffer) => onStdout(decoder.write(chunk)));
    }
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({
        code,
        stdout: Buffer.concat(out).toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8"),
      });
    });
    // It is not an error when a program does not read its input.
    child.stdin.on("error", () => {});
    if (typeof input === "object")
      input.on("error", (error) => stop(`did not get its input: ${error.message}`)).pipe(child.stdin);
    else child.stdin.end(input ?? "");
  });
}
