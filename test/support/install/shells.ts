import { spawnSync } from "node:child_process";
import { loadLibrary } from "../../../src/plan/script.ts";

/** Every `sh` of this machine: hosts have dash or bash, small systems busybox. */
export const SHELLS: [name: string, ...command: string[]][] = (
  [
    ["dash", "dash"],
    ["bash", "bash", "--posix"],
    ["busybox", "busybox", "sh"],
  ] as [string, ...string[]][]
).filter(([, program = "", ...args]) => spawnSync(program, [...args, "-c", ":"]).status === 0);

export interface Ran {
  code: number | null;
  /** stdout and stderr, as they came. */
  output: string;
  stdout: string;
}

/** Runs a script with a shell, by its stdin. */
export function runShell(
  [, program = "sh", ...args]: [string, ...string[]],
  script: string,
  env: Record<string, string> = {},
): Ran {
  const { status, stdout, stderr } = spawnSync(program, args, {
    input: script,
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", ...env },
    timeout: 20_000,
  });
  return { code: status, output: stdout + stderr, stdout };
}

/** The functions of steps, with a folder of the test's own in the place of what they keep on a host. */
export function libraryIn(home: string, mode: "apply" | "check" = "apply", mark = ""): string {
  return `airgap_mode=${mode}\nairgap_mark='${mark}'\n${loadLibrary()}\nairgap_home='${home}/kept'\nairgap_lock='${home}/lock'\n`;
}

/** Whether a shell takes a text for a script, without running it. */
export const parses = (script: string, shell: [string, ...string[]] = ["sh", "sh"]): string =>
  runShell(["", ...shell.slice(1), "-n"], script).output;
