import type { Readable } from "node:stream";
import { AirgapError } from "../errors.ts";

export interface Output {
  /** Null when a signal killed the program. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Most bytes of output. Default 16 MiB. */
  maxOutput?: number;
  /** Called with each piece of stdout as it arrives. */
  onStdout?: (text: string) => void;
}

/**
 * A machine on which commands run as root. `sh` reads them from its stdin, so that a process list
 * shows nothing of them.
 */
export interface Host {
  readonly name: string;
  /**
   * Runs a script and returns its output, whatever its exit code. The script's stdin is empty.
   * @throws AirgapError `network` when the connection broke: the script may have run, wholly or in part
   */
  run(script: string, options?: RunOptions): Promise<Output>;
  /** Runs a small command with a stream on its stdin. The command must not hold a secret. */
  pipe(command: string, input: Readable, options?: RunOptions): Promise<Output>;
  close(): Promise<void>;
}

/** How commands run as root. */
export interface Become {
  sudo: boolean;
  /** sudo reads it from its stdin. */
  password?: string;
}

export const DEFAULT_TIMEOUT = 120_000;

/** Quotes a word for sh. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Marks the end of the password, which sudo may or may not have read. Not a secret. */
const MARK = "--airgap--";
const END = "# whole";
/** Runs a script only if all of it arrived: the sender may have been killed. */
const RUN = `s=$(cat); case $s in *'${END}') eval "$s" ;; *) exit 96 ;; esac`;
/** sudo reads one line when it needs a password, and none otherwise: skip what it left. */
const SKIP = `IFS= read -r l; until [ "$l" = ${MARK} ]; do IFS= read -r l || exit 97; done`;

/** A script in the form that the command line of `shell` reads from stdin. */
export const wholeScript = (script: string): string => `${script}\n${END}\n`;

/** The command line that makes `sh` run a `wholeScript` from stdin, and the text to send before it. */
export function shell(become: Become, command = RUN): { line: string; before: string } {
  if (!become.sudo) return { line: `sh -c ${quote(command)}`, before: "" };
  if (become.password === undefined) return { line: `sudo -n sh -c ${quote(command)}`, before: "" };
  return {
    line: `sudo -S -p '' sh -c ${quote(`${SKIP}; ${command}`)}`,
    before: `${become.password}\n${MARK}\n`,
  };
}

/** A stream with a short text before it. */
export async function* prefixed(before: string, input: Readable): AsyncGenerator<Buffer> {
  if (before !== "") yield Buffer.from(before);
  for await (const chunk of input) yield chunk as Buffer;
}

const SUDO_PROBLEMS: [RegExp, string, string[]][] = [
  [
    /incorrect password|Sorry, try again/,
    "sudo refused the password",
    ["correct the password in the variable that `sudoPasswordEnv` names"],
  ],
  [
    /a password is required|no password was provided/,
    "sudo asks for a password",
    ["name the variable that holds the password: `ssh: { sudo: true, sudoPasswordEnv: NAME }`"],
  ],
  [
    /must have a tty|a terminal is required/,
    "sudo requires a terminal",
    ["remove `Defaults requiretty` from the host's /etc/sudoers"],
  ],
  [
    /not in the sudoers file|may not run sudo|not allowed to execute/,
    "the user may not use sudo",
    ["log in as root, or add the user to the host's sudoers"],
  ],
  [
    /sudo: (?:command )?not found|sudo.*not found/,
    "sudo is not installed",
    ["log in as root, or install sudo on the host"],
  ],
];

/**
 * Makes sure that commands will run as root. Tries sudo's password only once, so that no account gets locked.
 * @param execute runs a command line with text on its stdin
 * @throws AirgapError `unauthorized`
 */
export async function proveRoot(
  name: string,
  become: Become,
  execute: (line: string, input: string) => Promise<Output>,
): Promise<void> {
  const line = become.sudo
    ? become.password === undefined
      ? "sudo -n id -u"
      : "sudo -S -p '' id -u"
    : "id -u";
  const { stdout, stderr } = await execute(line, become.password === undefined ? "" : `${become.password}\n`);
  if (stdout.trim().split("\n").at(-1) === "0") return;
  const [, why, suggestions] = SUDO_PROBLEMS.find(([pattern]) => pattern.test(stderr)) ?? [];
  if (why !== undefined)
    throw new AirgapError("unauthorized", `${name}: ${why}: ${stderr.trim()}`, {
      suggestions: suggestions ?? [],
    });
  const details = become.sudo
    ? { suggestions: [`try it on the host: ${line}`] }
    : { suggestions: ["log in as root, or add `sudo: true` under `ssh:` in the cluster file"] };
  throw new AirgapError(
    "unauthorized",
    `${name}: commands would not run as root${stderr.trim() ? `: ${stderr.trim()}` : ""}`,
    details,
  );
}
