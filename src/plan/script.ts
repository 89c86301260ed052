import { readdirSync } from "node:fs";
import { quote } from "../host/host.ts";
import { shipped, shippedPath } from "../host/shipped.ts";
import { here } from "./shell.ts";
import { fullId, type PlacedStep } from "./stage.ts";
import { shortHash } from "./step.ts";

export type Mode = "apply" | "check";

const LIBRARY = "host/lib";

let library: string | undefined;

/** The functions that steps call and that run the steps: every file of `manifests/host/lib`. */
export function stepLibrary(): string {
  library ??= readdirSync(shippedPath(LIBRARY))
    .filter((name) => name.endsWith(".sh"))
    .toSorted()
    .map((name) => shipped(`${LIBRARY}/${name}`))
    .join("\n");
  return library;
}

let loading: string | undefined;

/** Defines the functions and keeps their text: a host stores it with the undo of each step. */
export function loadLibrary(): string {
  const text = stepLibrary();
  loading ??= [
    `airgap_library=${shortHash(text)}`,
    `airgap_print_library() {\ncat ${here(text).text}\n}`,
    'eval "$(airgap_print_library)"',
  ].join("\n");
  return loading;
}

/** A script of calls that are not steps: what asks, and what is done once. Ends with the first that fails. */
export const withLibrary = (script: string): string => `${stepLibrary()}\nset -e\n${script}\n`;

const isOneLine = (script: string): boolean => !script.includes("\n");

function body(name: string, script: string): string {
  const text = script.trim() === "" ? ":" : script;
  return isOneLine(text) ? `${name}() { ${text}; }` : `${name}() {\n${text}\n}`;
}

/** Prints how to undo a step. */
const undoBody = (undo: string): string =>
  body("taken_back", isOneLine(undo) ? `printf '%s\\n' ${quote(undo)}` : `cat ${here(undo).text}`);

function rendered(placed: PlacedStep, mode: Mode): string {
  const { step } = placed;
  const call = `${quote(fullId(placed))} ${quote(step.title)}`;
  const parts = [body("check", step.check)];
  // A dry run sends no command that changes anything.
  if (mode === "apply") parts.push(body("apply", step.apply), ...(step.undo ? [undoBody(step.undo)] : []));
  else if (step.file)
    parts.push(body("show", `[ ! -f ${quote(step.file.path)} ] || head -c 65536 ${quote(step.file.path)}`));
  return `${parts.join("\n")}\nrun ${call}\n`;
}

/** @param mark begins the lines that a program reads to follow a script; empty for people */
function scriptOf(mode: Mode, mark: string, body: string): string {
  return `airgap_mode=${mode}\nairgap_mark=${quote(mark)}\n${loadLibrary()}\nairgap_begin\n${body}\nexit "$airgap_failed"\n`;
}

/** One script for all these steps of a host. */
export function renderSteps(steps: PlacedStep[], mode: Mode, mark: string): string {
  return scriptOf(mode, mark, steps.map((step) => rendered(step, mode)).join("\n"));
}

/** A script that people run; it needs nothing that the host does not have. */
export function renderScript(host: string, steps: PlacedStep[]): string {
  return `#!/bin/sh
# shellcheck disable=SC2034,SC2154,SC2317  # functions and variables are in the library; functions are called by name
# shellcheck disable=SC2016  # how a step is undone is printed, not expanded
# shellcheck disable=SC2041,SC2043  # lists are as long as the cluster is large: one entry is one too
# Run as root on ${host}: sh FILE; with --check it changes nothing and says what it would.
# It holds keys and passwords: for nobody else's eyes. Safe to run again.
[ "$(id -u)" = 0 ] || { echo 'Run this script as root.' >&2; exit 1; }
airgap_beside=$(cd "$(dirname "$0")" && pwd)
airgap_mode=apply
[ "\${1-}" != --check ] || airgap_mode=check
airgap_mark=
${loadLibrary()}
airgap_begin
${steps.map((step) => rendered(step, "apply")).join("\n")}
exit "$airgap_failed"
`;
}

/** A script that undoes every step that a host remembers. @param packages also remove installed packages */
export function renderUndo(mark: string, packages: boolean): string {
  return scriptOf("apply", mark, `undo_all${packages ? " packages" : ""}`);
}
