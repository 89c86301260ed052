import type { Emit } from "../events.ts";
import type { Facts } from "../host/facts.ts";
import type { HostKey } from "../host/ssh.ts";
import { type Bundle, readBundle } from "./bundle.ts";
import { type Cluster, namedHosts, readCluster } from "./cluster.ts";
import { readAllFacts } from "./connect.ts";
import { type Context, makeContext } from "./context.ts";
import { Home } from "./home.ts";
import { imagesFor } from "./images.ts";
import type { Finding } from "./preflight/finding.ts";
import { preflight, preflightHosts } from "./preflight/preflight.ts";
import { type Opener, opener, Session } from "./session.ts";
import { readUserManifests } from "./user-manifests.ts";

export interface HostsCheckOptions {
  clusterFile: string;
  /** Checks that the bundle has what these hosts need, too. */
  bundle?: string;
  hosts?: string[];
  confirm?: (host: string, key: HostKey) => Promise<boolean>;
  open?: Opener;
  emit: Emit;
  signal?: AbortSignal;
}

export interface HostsCheckResult {
  cluster: string;
  facts: Record<string, Facts>;
  findings: Finding[];
}

/** A bundle that holds nothing: for checks that are about hosts alone. */
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

/** What hosts are, and everything that an installation would find wrong with them. Changes nothing. */
export async function checkHosts(options: HostsCheckOptions): Promise<HostsCheckResult> {
  const { emit, signal, confirm } = options;
  const cluster = await readCluster(options.clusterFile);
  const bundle = options.bundle === undefined ? NOTHING : await readBundle(options.bundle, signal);
  const asked: Cluster = { ...cluster, hosts: namedHosts(cluster, options.hosts) };
  const open =
    options.open ??
    opener({
      home: Home.open(cluster),
      emit,
      ...(confirm ? { confirm } : {}),
      ...(signal ? { signal } : {}),
    });
  const session = await Session.start(asked.hosts, open);
  try {
    const facts = await readAllFacts(asked.hosts, session, signal);
    const context: Context = makeContext({
      cluster,
      facts,
      bundle,
      secrets: { ca: "", joinToken: "" },
      images: imagesFor(cluster, bundle.lock),
      userManifests:
        options.bundle === undefined ? { files: {}, missing: [] } : readUserManifests(cluster, bundle.lock),
      ignored: [],
    });
    const among = (host: { name: string }): boolean => asked.hosts.some(({ name }) => name === host.name);
    const narrowed: Context = { ...context, cluster: asked, nodes: context.nodes.filter(among) };
    return {
      cluster: cluster.name,
      facts,
      findings: options.bundle === undefined ? preflightHosts(narrowed) : preflight(narrowed),
    };
  } finally {
    await session.close();
  }
}
