import { createHash } from "node:crypto";
import { dirname } from "node:path/posix";
import { call, callWithInput } from "./shell.ts";

/**
 * A desired state of a host: how to check it, apply it and undo it. All three are calls of the functions
 * of manifests/host/lib, one a line; each text runs with `set -e` in its own shell.
 */
export interface Step {
  /** Unique within stage and host: `swap`. */
  id: string;
  title: string;
  /** Changes nothing; succeeds when the host is already in this state. Otherwise its output says why not. */
  check: string;
  /** Safe to run again after an attempt that did not finish. */
  apply: string;
  /** Safe to repeat. */
  undo?: string;
  /** The file that the step writes, with its whole content: a dry run shows what would change in it. */
  file?: { path: string; content: string };
  /** A file to send before `apply`, unless `check` finds it on the host. */
  upload?: Upload;
  /** Time limit of `apply`. Default 10 minutes. */
  timeoutMs?: number;
}

/** A region of a local file that goes to a host; an earlier attempt is resumed. */
export interface Upload {
  /** Local path. */
  from: string;
  /** The files that are read as one instead of `from`, where that lies in several. */
  parts?: readonly { path: string; size: number }[];
  offset: number;
  /** Bytes. */
  size: number;
  /** Path on the host. It is sent to `<to>.part`; `apply` renames it. */
  to: string;
  /** Name of the file when it lies next to a script. */
  beside: string;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** A short hash of a content, for stamps. */
export const shortHash = (...contents: string[]): string => sha256(contents.map(sha256).join()).slice(0, 16);

export interface FileStep {
  id: string;
  title: string;
  path: string;
  /** Ends with a line feed. */
  content: string;
  /** Octal. Default 644. */
  mode?: string;
  /** Only root and this group can enter the file's folder, which belongs to airgap. */
  closed?: boolean;
  /** Who may read it with a mode like 640. Default: root. */
  group?: string;
  /** Calls after the file is written. */
  after?: string;
  /** Calls after the earlier file is restored. */
  undone?: string;
}

/** A file with a known content. The earlier file is kept, and restored by undo. */
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
}

/** Whether a file has these lines in its marked block. */
export const blockCheck = (path: string, lines: string[]): string => call("block_has", path, ...lines);

/** Marked lines in a file that other programs write too. */
export function blockStep({ id, title, path, lines }: BlockStep): Step {
  return {
    id,
    title,
    check: blockCheck(path, lines),
    apply: callWithInput(lines.join("\n"), "put_block", path),
    undo: call("drop_block", path),
  };
}

export interface ServiceStep {
  id: string;
  title: string;
  unit: string;
  /** Everything that the running service must have read. A change restarts the service, even if another program made it. */
  reads: (string | NonNullable<Step["file"]>)[];
  /** Calls before the service is restarted. */
  before?: string;
  undo?: string;
}

/** A service that is enabled and runs with its present configuration, even if an earlier run stopped before restarting it. */
export function serviceStep({ id, title, unit, reads, before, undo }: ServiceStep): Step {
  const stamp = shortHash(...reads.map((each) => (typeof each === "string" ? each : each.content)));
  const files = reads.flatMap((each) => (typeof each === "string" ? [] : [each.path]));
  return {
    id,
    title,
    check: call("stamped", unit, stamp, ...files),
    apply: [...(before ? [before] : []), call("restart", unit, stamp)].join("\n"),
    ...(undo ? { undo } : {}),
  };
}
