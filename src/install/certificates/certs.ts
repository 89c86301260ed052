import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import { type ConnectOptions, openerFor } from "../../cluster/connect.ts";
import { readCluster } from "../../cluster/read.ts";
import type { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { RunLog } from "../../plan/log.ts";
import { Mask } from "../../plan/mask.ts";
import { Session } from "../../plan/session.ts";
import { StateDir } from "../../plan/state-dir.ts";
import { byEnd, certificateProblems, certificatesOf, type HostCertificate } from "./read.ts";
import { type Renewed, renew } from "./renew.ts";

export interface CertsOptions extends ConnectOptions {
  clusterFile: string;
  renew: boolean;
  /** Asked before anything is renewed. */
  sure: (question: string) => Promise<boolean>;
  emit: Emit;
}

export interface CertsResult {
  cluster: string;
  /** The one that ends first comes first; after renewing, as they are now. */
  certificates: HostCertificate[];
  /** Hosts that could not be asked, and why. */
  unreachable: { host: string; message: string }[];
  /** None has expired or is about to. */
  fine: boolean;
  problems: string[];
  /** What was renewed, by host. */
  renewed?: Record<string, string[]>;
  /** The administrator's kubeconfig, brought here anew. */
  kubeconfig?: string;
}

async function readAll(
  hosts: ClusterHost[],
  session: Session<ClusterHost>,
  signal: AbortSignal | undefined,
): Promise<HostCertificate[]> {
  const found = await Promise.all(
    hosts.map(({ name }) => certificatesOf(session.get(name), signal ? { signal } : {})),
  );
  return byEnd(found.flat());
}

/**
 * Every certificate of every host that is reached. With `renew` those of kubeadm and airgap's own are made again first; that
 * needs no API server.
 * @throws AirgapError
 */
export async function certs(options: CertsOptions): Promise<CertsResult> {
  const { signal, emit } = options;
  const cluster = await readCluster(options.clusterFile);
  const home = StateDir.open(cluster);
  const log = new RunLog(home, new Mask([]));
  const { session, failures } = await Session.reach(cluster.hosts, openerFor(home, options));
  const reached = cluster.hosts.filter(({ name }) => session.has(name));
  try {
    const before = await readAll(reached, session, signal);
    if (!options.renew) return resultOf(cluster, before, failures);
    const renewed = await renew({
      ...{ cluster, home, log, session, hosts: reached, before, emit, signal },
      sure: options.sure,
    });
    return { ...resultOf(cluster, await readAll(reached, session, signal), failures), ...renewed };
  } finally {
    await session.close();
    log.close();
  }
}

function resultOf(
  cluster: Cluster,
  certificates: HostCertificate[],
  failures: Record<string, AirgapError>,
): Omit<CertsResult, keyof Renewed> {
  const unreachable = Object.entries(failures).map(([host, { message }]) => ({ host, message }));
  const problems = [...unreachable.map(({ message }) => message), ...certificateProblems(certificates)];
  return { cluster: cluster.name, certificates, unreachable, fine: problems.length === 0, problems };
}
