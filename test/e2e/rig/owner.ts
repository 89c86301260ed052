import { readFileSync } from "node:fs";

/** When a process started, in clock ticks since boot: with its id that names it for ever; undefined when it is gone. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold blanks, so count from its end.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** `PID START`: what is written down to know a process again after a crash. */
export const identityOf = (pid: number): string => `${pid} ${startOf(pid) ?? "gone"}`;

/** The id of the process that was written down, when it still is that process. */
export function livingProcess(identity: string): number | undefined {
  const [pid = "0", start] = identity.trim().split(" ");
  return start !== undefined && startOf(Number(pid)) === start ? Number(pid) : undefined;
}
