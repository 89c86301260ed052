import { readdirSync, readFileSync } from "node:fs";

/** The numbers of a process after its name: state, parent, … as proc(5) counts them, two less. */
export const statOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];

function parentOf(pid: number): number | undefined {
  try {
    return Number(statOf(pid)[1]);
  } catch {
    return undefined;
  }
}

/** Every process below one, children before their parents. */
export function below(pid: number): number[] {
  const children = Map.groupBy(
    readdirSync("/proc").map(Number).filter(Boolean),
    (each) => parentOf(each) ?? 0,
  );
  const all = (parent: number): number[] =>
    (children.get(parent) ?? []).flatMap((child) => [...all(child), child]);
  return all(pid);
}
