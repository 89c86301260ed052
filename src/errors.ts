/**
 * What went wrong, in a form that a script can switch on.
 * Closed on purpose: a new code is a decision, taken here.
 */
export type ErrorCode =
  | "usage" // wrong flags or arguments
  | "spec" // a spec, cluster file or other input of the user's is wrong
  | "not-found" // a registry, archive or repository does not have it
  | "unauthorized" // credentials are missing or wrong, or lack permission
  | "refused" // the server understood the request and refused it (quota, immutable, read-only, 4xx)
  | "network" // no answer, or an incomplete one
  | "protocol" // an answer that its specification forbids
  | "corrupt" // content that is not what its digest, size or signature says
  | "unsupported" // valid, but not something this tool handles
  | "check-failed" // a check failed before anything was changed
  | "not-closed" // something that the bundle needs is not in it
  | "unsatisfiable" // a package request that has no solution
  | "conflict" // two things want one name
  | "interrupted" // stopped part-way; the same command resumes
  | "step-failed" // a command on a host failed
  | "disk" // no space, no permission, no such file
  | "environment"; // this machine lacks what is needed (Node, a native module, a daemon)

/** Exit codes as promised to users. */
export const Exit = { done: 0, failed: 1, usage: 2, check: 3, interrupted: 4, bug: 70 } as const;

const EXIT_OF: Partial<Record<ErrorCode, number>> = {
  usage: Exit.usage,
  spec: Exit.usage,
  "check-failed": Exit.check,
  "not-closed": Exit.check,
  conflict: Exit.check,
  interrupted: Exit.interrupted,
};

export interface ErrorDetails {
  /** What to type or change next; each works as written. */
  suggestions?: string[];
  /** A page of the documentation. */
  ref?: string;
  cause?: unknown;
  /** Overrides the exit code that follows from the code. */
  exit?: number;
  /** Facts for `--json`: names, digests, locations. Never a secret. */
  data?: Record<string, unknown>;
}

/**
 * An error that the user can act on. The message says what was tried, on what, and what came
 * back; the suggestions can be typed as written. Anything else that is thrown is a bug.
 */
export class AirgapError extends Error {
  override readonly name = "AirgapError";
  readonly code: ErrorCode;
  readonly suggestions: string[];
  readonly ref: string | undefined;
  readonly exit: number;
  readonly data: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.suggestions = details.suggestions ?? [];
    this.ref = details.ref;
    this.exit = details.exit ?? EXIT_OF[code] ?? Exit.failed;
    this.data = details.data;
  }
}

/** Whether `error` is an AirgapError, optionally with one of `codes`. */
export function isAirgapError(error: unknown, ...codes: ErrorCode[]): error is AirgapError {
  return error instanceof AirgapError && (codes.length === 0 || codes.includes(error.code));
}

/** What the system's errors of files mean, by their code. errno(3) */
const SYSTEM: Record<string, string> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is not a folder",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EEXIST: "it is there already",
  ELOOP: "too many symbolic links",
};

/** `ENOENT: no such file or directory, open 'x'` */
const SYSTEM_MESSAGE = /\b(E[A-Z]+): [^,:]+, [a-z]+(?: '([^']*)')?(?: -> '([^']*)')?/g;

/**
 * Node's own message without what a user of this tool cannot use: flags of Node, names of system calls.
 * @param before what was said before it: a path in it is not repeated
 */
function inWords(message: string, before: string): string {
  return message
    .replace(/; if the root CA is installed locally, try running Node\.js with --use-system-ca/g, "")
    .replace(SYSTEM_MESSAGE, (whole, code: string, path?: string, to?: string) => {
      if (!Object.hasOwn(SYSTEM, code)) return whole;
      const paths = [path, to].filter((each) => each !== undefined && !before.includes(each));
      return [...(paths.length > 0 ? [paths.join(" → ")] : []), SYSTEM[code]].join(": ");
    });
}

/** The message of anything thrown, with the causes that add something to it. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const parts = [inWords(error.message, "") || error.name];
  if (error instanceof AggregateError && !error.message) parts[0] = error.errors.map(messageOf).join("; ");
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    const message = inWords(cause.message, parts.join(" "));
    if (message && !parts.some((part) => part.includes(message))) parts.push(message);
  }
  // A message may have been made with that of its cause.
  return parts.join(": ").replace(/(^|\s)([^\s:]+): \2: /g, "$1$2: ");
}
