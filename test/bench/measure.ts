import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

/** What one run cost, all its processes together. */
export interface Cost {
  /** Seconds. */
  wall: number;
  /** User and system, children included. Seconds. */
  cpu: number;
  /** Of the process that had most. Bytes. */
  rss: number;
}

export class RunFailed extends Error {}

/**
 * Runs a shell script under GNU time.
 * @throws RunFailed when it fails, or after `timeoutMs`
 */
export async function measure(
  script: string,
  options: { cwd: string; timeoutMs: number; env?: NodeJS.ProcessEnv },
): Promise<Cost> {
  const report = `${options.cwd}/time.txt`;
  const child = spawn("/usr/bin/time", ["-f", "%e %U %S %M", "-o", report, "sh", "-ec", script], {
    cwd: options.cwd,
    // A group of its own, which can be ended as a whole.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2000)));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (child.pid) process.kill(-child.pid, "SIGKILL");
  }, options.timeoutMs);
  const code = await new Promise((resolve, reject) => child.once("close", resolve).once("error", reject));
  clearTimeout(timer);
  if (late) throw new RunFailed(`over ${options.timeoutMs / 1000} s`);
  if (code !== 0) throw new RunFailed(`failed: ${output.trim()}`);
  const [wall = 0, user = 0, system = 0, kilobytes = 0] = (
    readFileSync(report, "utf8").trim().split("\n").at(-1) ?? ""
  )
    .split(" ")
    .map(Number);
  return { wall, cpu: user + system, rss: kilobytes * 1024 };
}
