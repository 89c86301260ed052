import { type Cluster, type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import { AirgapError } from "../../errors.ts";
import type { Output } from "../../host/host.ts";
import type { RunLog } from "../../plan/log.ts";
import { withLibrary } from "../../plan/script.ts";
import type { Session } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";
import { memberHosts } from "../etcd/status.ts";

/** How commands reach hosts beside a plan. */
export interface Hands {
  session: Session<ClusterHost>;
  log?: RunLog;
  signal?: AbortSignal | undefined;
}

/** Bytes that come over a connection at a time: their base64 has to fit into one answer. */
const PIECE = 8 << 20;

/** Runs a call on a host. @throws AirgapError `step-failed` when it fails, with what it said */
export async function runOn(
  { session, log, signal }: Hands,
  host: string,
  script: string,
  timeoutMs = 120_000,
): Promise<Output> {
  const output = await session
    .get(host)
    .run(withLibrary(script), { timeoutMs, ...(signal ? { signal } : {}) });
  if (output.code === 0) return output;
  log?.output(host, output.stderr);
  const said = `${output.stdout}\n${output.stderr}`.trim().split("\n").slice(-4).join("; ");
  throw new AirgapError("step-failed", `${host}: ${said || `it ended with ${output.code}`}`);
}

/** The content of a file on a host, piece by piece. */
export async function* fetched(
  hands: Hands,
  host: string,
  path: string,
  size: number,
): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < size; offset += PIECE) {
    const asked = call("print_stretch", path, offset, Math.min(PIECE, size - offset));
    const { stdout } = await runOn(hands, host, asked, 600_000);
    yield Buffer.from(stdout.trim(), "base64");
  }
}

/** The first of several hosts on which something works. @throws what the last one said */
export async function firstOf<T>(hosts: ClusterHost[], work: (host: ClusterHost) => Promise<T>): Promise<T> {
  let last: unknown = new AirgapError("network", "no host that could do it was reached");
  for (const host of hosts) {
    try {
      return await work(host);
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      last = error;
    }
  }
  throw last;
}

/** Control planes and members of etcd, each once. @throws AirgapError `unsupported` where somebody else keeps etcd */
export function keepers(cluster: Cluster): ClusterHost[] {
  if (cluster.etcd.mode === "given")
    throw new AirgapError(
      "unsupported",
      "etcd is not airgap's own here, so airgap makes no backup of it and restores none",
      {
        suggestions: [
          "back it up where it is kept: etcdctl snapshot save FILE",
          "docs/backup.md says what else belongs to a backup",
        ],
      },
    );
  return [...new Set([...hostsOf(cluster, "control-plane"), ...memberHosts(cluster)])];
}
