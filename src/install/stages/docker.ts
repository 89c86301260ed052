import type { ClusterHost } from "../cluster.ts";
import type { Context } from "../context.ts";
import type { Step } from "../step.ts";

export function dockerSteps(_context: Context, _host: ClusterHost): Step[] {
  throw new Error("to be written next");
}
