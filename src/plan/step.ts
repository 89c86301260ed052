import { createHash } from "node:crypto";
import { dirname } from "node:path/posix";
import { call, callWithInput } from "./shell.ts";

/**
 * A desired state of a host: how to check it, apply it and undo it. All three are calls of the functions
 * of manifests/host/lib, one a line; each text is run with `set -e` in a shell of its own.
 */
export interface Step {
  /** Unique within stage and host: `swap`. */
  id: string;
  title: string;
  /** Changes nothing; succeeds when the host is in this state already. What it prints says why not. */
  check: string;
  /** Safe to run after an earlier try that did not come to its end. */
  apply: string;
  /** Safe to repeat. */
  undo?: string;
  /** A file with its whole content: dry runs show what would change in it. */
  file?: { path: string; content: string };
  /** Something that is sent from here before `apply`, unless `check` says that it is there. */
  upload?: Upload;
  /** Longest time that apply may take. Default 10 minutes. */
  timeoutMs?: number;
}

/** A stretch of a local file that goes to a host, on from where an earlier try ended. */
export interface Upload {
  /** Local path. */
  from: string;
  offset: number;
  /** Bytes. */
  size: number;
  /** Where it goes; it is written beside, as `.part`, and gets its name by `apply`. */
  to: string;
  /** Name of the file that a script finds beside itself. */
  beside: string;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Short name of a content, for stamps. */
export const fingerprint = (...contents: string[]): string =>
  sha256(contents.map(sha256).join()).slice(0, 16);

export interface FileStep {
  id: string;
  title: string;
  path: string;
  /** Ends with a line feed. */
  content: string;
  /** Octal. Default 644. */
  mode?: string;
  /** Nobody but root, and this group, gets into its folder, which is ours. */
  closed?: boolean;
  /** Who may read it with a mode like 640. Default: root. */
  group?: string;
  /** Calls after it was written. */
  after?: string;
  /** Calls after it was given back. */
  undone?: string;
}

/** A file with a known content. What was there before is kept and given back. */
export function fileStep(file: FileStep): Step {
  const { id, title, path, content, mode = "644", closed = false, group, after, undone } = file;
  const text = content.endsWith("\n") ? content : `${content}\n`;
  const by = group === undefined ? [] : [group];
  const folder = [dirname(path), ...by];
  return {
    id,
    title,
    check: [
      ...(closed ? [call("closed", ...folder)] : []),
      call("same", path, mode, sha256(text), ...by),
    ].join("\n"),
    apply: [
      ...(closed ? [call("close", ...folder)] : []),
      callWithInput(text, "put", path, mode),
      ...(group === undefined ? [] : [call("chgrp", group, path)]),
      ...(after ? [after] : []),
    ].join("\n"),
    undo: [call("give_back", path), ...(undone ? [undone] : [])].join("\n"),
    file: { path, content: text },
  };
}

export interface BlockStep {
  id: string;
  title: string;
  path: string;
  lines: string[];
  /** Lines that must be there; by default all. */
  needed?: string[];
}

/** Marked lines in a file that others write too. */
export function blockStep({ id, title, path, lines, needed = lines }: BlockStep): Step {
  return {
    id,
    title,
    check: call("block_has", path, ...needed),
    apply: callWithInput(lines.join("\n"), "put_block", path),
    undo: call("drop_block", path),
  };
}

export interface ServiceStep {
  id: string;
  title: string;
  unit: string;
  /** Everything that a running service must have read: a change of it restarts the service, also of a file that somebody else changed in between. */
  reads: (string | NonNullable<Step["file"]>)[];
  /** Calls before it is restarted. */
  before?: string;
  undo?: string;
}

/** A service that is enabled and runs with its present configuration, also when a run broke off between writing and restarting. */
export function serviceStep({ id, title, unit, reads, before, undo }: ServiceStep): Step {
  const stamp = fingerprint(...reads.map((each) => (typeof each === "string" ? each : each.content)));
  const files = reads.flatMap((each) => (typeof each === "string" ? [] : [each.path]));
  return {
    id,
    title,
    check: call("stamped", unit, stamp, ...files),
    apply: [...(before ? [before] : []), call("restart", unit, stamp)].join("\n"),
    ...(undo ? { undo } : {}),
  };
}
