import { makePlan, type Plan } from "../plan/stage.ts";
import { makeContext, type PlanInput } from "./context.ts";
import { STAGES } from "./stages/index.ts";

/**
 * The plan of an installation. Pure: it reads nothing else, and the same input gives the same plan.
 * Holds secrets.
 * @throws AirgapError `spec`, `not-closed`
 */
export const planInstall = (input: PlanInput): Plan => makePlan(STAGES, makeContext(input));
