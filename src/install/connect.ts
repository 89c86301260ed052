import { type Facts, readFacts } from "../host/facts.ts";
import type { ClusterHost } from "./cluster.ts";
import type { Session } from "./session.ts";

/** Facts of several hosts, asked side by side. */
export async function readAllFacts(
  hosts: ClusterHost[],
  session: Session,
  signal: AbortSignal | undefined,
): Promise<Record<string, Facts>> {
  const read = await Promise.all(
    hosts.map(
      async ({ name }) => [name, await readFacts(session.get(name), signal ? { signal } : {})] as const,
    ),
  );
  return Object.fromEntries(read);
}
