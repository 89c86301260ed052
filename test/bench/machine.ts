import { cpus, loadavg, totalmem } from "node:os";
import type { Tool } from "./tools.ts";

/** On what, with what and beside what was measured. */
export function conditions(tools: Tool[]): string {
  const versions = new Map(tools.map(({ name, version }) => [name.split(",")[0] as string, version]));
  const programs = [...versions].map(([name, version]) => `${name} ${version}`).join(", ");
  const [load = 0] = loadavg();
  return `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${programs}; ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, load ${load.toFixed(1)} when it began.`;
}
