import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

export const AIRGAP = join(import.meta.dirname, "../../bin/airgap");

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunningCli {
  child: ChildProcess;
  ended: Promise<CliResult>;
}

/** Starts the command as a user does. */
export function startCli(args: string[], env: NodeJS.ProcessEnv = {}): RunningCli {
  const child = spawn(AIRGAP, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  const result = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (result.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (result.stderr += chunk.toString()));
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...result }));
  });
  return { child, ended };
}

export const cli = (args: string[], env?: NodeJS.ProcessEnv): Promise<CliResult> => startCli(args, env).ended;
