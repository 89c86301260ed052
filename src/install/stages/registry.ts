import type { Context } from "../context.ts";
import type { Wave } from "../stage.ts";

export function registryStage(_context: Context): Wave[] {
  return [];
}
