import type { Opening } from "../bundle/reader.ts";
import { type Cluster, namedHosts } from "../cluster/cluster.ts";
import { askAllFacts, type ConnectOptions, openerFor } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import type { Facts } from "../host/facts.ts";
import { Session } from "../plan/session.ts";
import { StateDir } from "../plan/state-dir.ts";
import { readBalancers } from "./balancer-views.ts";
import { type Bundle, bundleAt, readBundle } from "./bundle.ts";
import { type Context, makeContext } from "./context.ts";
import { silentEndpoint } from "./endpoint.ts";
import { askEtcd } from "./etcd/ask.ts";
import { readHarborArchive } from "./harbor/archive.ts";
import { readHarborHost } from "./harbor/host.ts";
import { readMembers } from "./members.ts";
import { imagesFor } from "./node-images.ts";
import type { Finding } from "./preflight/finding.ts";
import { preflight, preflightHosts } from "./preflight/preflight.ts";
import { readUserManifests } from "./user-manifests.ts";

export interface HostsCheckOptions extends ConnectOptions {
  opening?: Opening | undefined;
  clusterFile: string;
  /** Also check that this bundle has what the hosts need. */
  bundle?: string;
  hosts?: string[];
}

export interface HostsCheckResult {
  cluster: string;
  facts: Record<string, Facts>;
  findings: Finding[];
}

/** An empty bundle, for checks of the hosts alone. */
const NOTHING: Bundle = {
  path: "no bundle",
  size: 0,
  lockDigest: `sha256:${"0".repeat(64)}`,
  lock: { apiVersion: "airgap/v1", kind: "Lock", name: "none", platforms: [], items: [], blobs: [] },
  manifests: {},
  packageSets: [],
  tools: {},
  files: {},
};

/** The hosts' facts, and every problem that would stop an installation. Changes nothing. */
export async function checkHosts(options: HostsCheckOptions): Promise<HostsCheckResult> {
  const { signal } = options;
  const cluster = await readCluster(options.clusterFile);
  const whole =
    options.bundle === undefined ? NOTHING : await readBundle(options.bundle, signal, options.opening);
  const bundle = bundleAt(whole, cluster.kubernetes.version);
  const asked: Cluster = { ...cluster, hosts: namedHosts(cluster, options.hosts) };
  const open = openerFor(StateDir.open(cluster), options);
  const { session, failures } = await Session.reach(asked.hosts, open, options);
  try {
    const reached = asked.hosts.filter(({ name }) => session.has(name));
    const { facts, lost } = await askAllFacts(reached, session, options);
    const members = await readMembers(cluster, facts, session, signal);
    const harborHost = await readHarborHost(cluster, session, signal);
    const archive =
      cluster.registry.harbor && options.bundle !== undefined ? await readHarborArchive(bundle) : undefined;
    const silent = await silentEndpoint(cluster, facts, session, signal);
    const balancers = await readBalancers(cluster, facts, session, signal);
    const etcd = await askEtcd(cluster, facts, session, signal);
    const context: Context = makeContext({
      cluster,
      facts,
      bundle,
      secrets: { ca: "", joinToken: "" },
      images: imagesFor(cluster, bundle.lock),
      userManifests:
        options.bundle === undefined ? { files: {}, missing: [] } : readUserManifests(cluster, bundle.lock),
      ignored: [],
      unreachable: { ...failures, ...lost },
      balancers,
      ...(members ? { members } : {}),
      ...(silent ? { endpointSilentFor: silent } : {}),
      ...(etcd ? { etcd } : {}),
      harbor: { ...(archive ? { archive } : {}), ...(harborHost ? { host: harborHost } : {}) },
    });
    const narrowed: Context = { ...context, cluster: asked };
    return {
      cluster: cluster.name,
      facts,
      findings: options.bundle === undefined ? preflightHosts(narrowed) : preflight(narrowed),
    };
  } finally {
    await session.close();
  }
}
