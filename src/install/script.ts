import { quote } from "../host/host.ts";
import { shipped } from "../host/shipped.ts";
import type { StageName } from "./stage.ts";
import type { Step } from "./step.ts";

/** A step with the stage that it belongs to. */
export interface PlacedStep {
  stage: StageName;
  step: Step;
}

export type Mode = "apply" | "check" | "undo";

/** The functions that steps are written with, and that run them. */
export function stepLibrary(): string {
  return ["steps", "cluster", "verify"].map((name) => shipped(`host/${name}.sh`)).join("");
}

export const fullId = ({ stage, step }: PlacedStep): string => `${stage}/${step.id}`;

const body = (name: string, script: string): string => `${name}() {\n${script.trim() === "" ? ":" : script}\n}`;

function rendered(placed: PlacedStep, mode: Mode): string {
  const { step } = placed;
  const call = `${quote(fullId(placed))} ${quote(step.title)}`;
  if (mode === "undo") return step.undo === undefined ? "" : `${body("apply", step.undo)}\nundo ${call}\n`;
  const parts = [body("check", step.check)];
  // A dry run sends nothing that changes something.
  if (mode === "apply") parts.push(body("apply", step.apply));
  else if (step.file) parts.push(body("show", `[ ! -f ${quote(step.file.path)} ] || head -c 65536 ${quote(step.file.path)}`));
  return `${parts.join("\n")}\nrun ${call}\n`;
}

/**
 * One script for all these steps of a host.
 * @param mark begins the lines by which a program follows it; empty for people
 */
export function renderSteps(steps: PlacedStep[], mode: Mode, mark: string): string {
  const head = `airgap_mode=${mode === "check" ? "check" : "apply"}\nairgap_mark=${quote(mark)}\n`;
  const end = 'exit "$airgap_failed"\n';
  return `${head}${stepLibrary()}\nairgap_begin\n${steps.map((step) => rendered(step, mode)).join("\n")}\n${end}`;
}
