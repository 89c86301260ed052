import { minorOf } from "../../kubernetes/rules.ts";
import type { Finding } from "../preflight/finding.ts";
import type { UpgradeInput } from "./context.ts";

/** Looks for what would stop an upgrade. `stones` are the versions to pass that the bundle has. */
export type UpgradeCheck = (input: UpgradeInput, stones: readonly string[]) => Finding[];

/** The newest minor of the way; 0 when there is none. */
export const lastMinor = (stones: readonly string[]): number => Math.max(0, ...stones.map(minorOf));
