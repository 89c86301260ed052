import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Opening } from "../bundle/reader.ts";
import { type Cluster, type ClusterHost, namedHosts, serversOf } from "../cluster/cluster.ts";
import { askAllFacts, type ConnectOptions, openerFor, readAllFacts, sshSecrets } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { type Existing, loadSecrets, type Secrets, secretTexts } from "../cluster/secrets.ts";
import { isAirgapError } from "../errors.ts";
import type { Facts } from "../host/facts.ts";
import { findSelf } from "../host/shipped.ts";
import { Mask } from "../plan/mask.ts";
import { type Opener, Session } from "../plan/session.ts";
import { StateDir } from "../plan/state-dir.ts";
import { readBalancers } from "./balancer-views.ts";
import { blobsOn, type FetchBlobs } from "./base-blobs.ts";
import { type Bundle, bundleAt, readBundle } from "./bundle.ts";
import { architecture, makeContext, type PlanInput } from "./context.ts";
import { silentEndpoint } from "./endpoint.ts";
import { askEtcd } from "./etcd/ask.ts";
import { askForFacts, readGatheredFacts } from "./gathered-facts.ts";
import { readHarborArchive } from "./harbor/archive.ts";
import { type HarborHost, readHarborHost } from "./harbor/host.ts";
import { readMembers } from "./members.ts";
import { imagesFor } from "./node-images.ts";
import type { Finding } from "./preflight/finding.ts";
import { parseIgnored, preflight } from "./preflight/preflight.ts";
import { harborVersion } from "./stages/harbor.ts";
import { standingPlanes } from "./standing.ts";
import { withLocalTool } from "./tool.ts";
import { readUserManifests } from "./user-manifests.ts";

export interface PrepareOptions extends ConnectOptions {
  clusterFile: string;
  bundle: string;
  opening?: Opening | undefined;
  /** Go back to a bundle that is older than the site's. */
  allowOlder?: boolean | undefined;
  /** A folder for scripts, with facts that were gathered by hand. */
  script?: string;
  hosts?: string[];
  /** Hosts that came back empty under a name that the cluster knows: it forgets them, then they join. */
  replace?: string[];
  ignoreChecks: string[];
  /** Hosts that are worked on at a time. Default 50. */
  parallel?: number | undefined;
}

/** Everything that a plan is made from. */
export interface PreparedInstall {
  cluster: Cluster;
  /** With package sets of every version. */
  whole: Bundle;
  /** With those for the cluster file's version. */
  bundle: Bundle;
  home: StateDir;
  /** Absent when facts were gathered by hand and there is no connection. */
  session: Session<ClusterHost> | undefined;
  facts: Record<string, Facts>;
  secrets: Secrets;
  input: PlanInput;
  mask: Mask;
  findings: Finding[];
}

/** Archives of airgap itself: in a checkout's build folder, or the unpacked archive that runs. */
function localTools(): string[] {
  const folder = join(findSelf().root, "build");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^airgap-.*-linux-[a-z0-9]+\.tar\.gz$/.test(name))
    .map((name) => join(folder, name));
}

/** What the hosts have already: the cluster's authority on a control plane, the certificate on the serving host. */
export function existingOf(cluster: Cluster, facts: Record<string, Facts>): Existing {
  const harbor = harborVersion(cluster, facts) !== undefined;
  const plane = standingPlanes(cluster, facts).find(({ name }) => facts[name]?.kubernetesCa);
  const ca = plane && facts[plane.name]?.kubernetesCa;
  const [tls] = serversOf(cluster).flatMap(({ name }) => {
    const { owner, siteCa: ca, siteCertificate: cert } = facts[name] ?? {};
    return owner === cluster.name && ca && cert ? [{ ca, cert }] : [];
  });
  return { ...(ca ? { ca } : {}), ...(tls ? { tls } : {}), ...(harbor ? { harbor } : {}) };
}

type Reached = Pick<
  PlanInput,
  "facts" | "unreachable" | "members" | "endpointSilentFor" | "balancers" | "etcd"
> & {
  harborHost?: HarborHost;
} & Pick<PreparedInstall, "session">;
type Connecting = ConnectOptions & Pick<PrepareOptions, "script" | "parallel">;

/** Connects to every host and reads its facts; those that were gathered by hand for scripts are taken as they are. */
async function connect(cluster: Cluster, home: StateDir, options: Connecting): Promise<Reached> {
  const { signal, script, parallel, emit } = options;
  const gathered = Object.fromEntries(
    cluster.hosts.flatMap(({ name }) => {
      const facts = script === undefined ? undefined : readGatheredFacts(script, name);
      return facts ? [[name, facts]] : [];
    }),
  );
  const missing = cluster.hosts.filter(({ name }) => gathered[name] === undefined);
  if (missing.length === 0) return { session: undefined, facts: gathered };
  const open = openerFor(home, options);
  if (script !== undefined) return byScript(missing, open, gathered, script, signal);
  const { session, failures } = await Session.reach(missing, open, { parallel, emit });
  try {
    const reached = missing.filter(({ name }) => session.has(name));
    const { facts, lost } = await askAllFacts(reached, session, options, parallel);
    const [members, silent, balancers, etcd, harborHost] = await Promise.all([
      readMembers(cluster, facts, session, signal),
      silentEndpoint(cluster, facts, session, signal),
      readBalancers(cluster, facts, session, signal),
      askEtcd(cluster, facts, session, signal),
      readHarborHost(cluster, session, signal),
    ]);
    return {
      ...{ session, facts, unreachable: { ...failures, ...lost }, balancers },
      ...(members ? { members } : {}),
      ...(silent ? { endpointSilentFor: silent } : {}),
      ...(etcd ? { etcd } : {}),
      ...(harborHost ? { harborHost } : {}),
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Scripts are written for whole clusters: a host that is not reached is asked about by hand. */
async function byScript(
  missing: ClusterHost[],
  open: Opener<ClusterHost>,
  gathered: Record<string, Facts>,
  script: string,
  signal: AbortSignal | undefined,
): Promise<Reached> {
  const session = await Session.start(missing, open).catch((cause: unknown) => {
    if (!isAirgapError(cause, "network", "unauthorized")) throw cause;
    const names = missing.map(({ name }) => name);
    throw askForFacts(script, names, cause);
  });
  try {
    return { session, facts: { ...gathered, ...(await readAllFacts(missing, session, signal)) } };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Reads cluster, bundle and facts, makes secrets, and checks all of it. The caller closes the session. */
export async function prepare(options: PrepareOptions): Promise<PreparedInstall> {
  const cluster = await readCluster(options.clusterFile);
  namedHosts(cluster, options.hosts);
  namedHosts(cluster, options.replace, "--replace");
  const ignored = parseIgnored(options.ignoreChecks);
  const home = StateDir.open(cluster);
  let reached: Reached | undefined;
  const fetchBlobs: FetchBlobs = async (digests) => {
    if (digests.length === 0) return new Map();
    reached ??= await connect(cluster, home, options);
    const { host } = cluster.repository;
    return reached.session?.has(host)
      ? blobsOn(reached.session.get(host), digests, options.signal)
      : new Map();
  };
  let carried: Bundle;
  try {
    carried = await readBundle(options.bundle, options.signal, options.opening, fetchBlobs);
  } catch (error) {
    await (reached as Reached | undefined)?.session?.close();
    throw error;
  }
  const images = imagesFor(cluster, carried.lock);
  const userManifests = readUserManifests(cluster, carried.lock);
  const archive = cluster.registry.harbor ? await readHarborArchive(carried) : undefined;
  const { session, harborHost, ...known } = reached ?? (await connect(cluster, home, options));
  const { facts } = known;
  try {
    const server = serversOf(cluster)
      .map(({ name }) => facts[name])
      .find((found) => found !== undefined);
    const whole = server ? withLocalTool(carried, localTools(), architecture(server).node) : carried;
    const bundle = bundleAt(whole, cluster.kubernetes.version);
    const secrets = await loadSecrets(cluster, home, existingOf(cluster, facts));
    const mask = new Mask([...secretTexts(secrets), ...sshSecrets(cluster.hosts)]);
    const input: PlanInput = {
      ...known,
      ...{ cluster, bundle, secrets, images, userManifests, ignored },
      ...(cluster.registry.harbor
        ? { harbor: { ...(archive ? { archive } : {}), ...(harborHost ? { host: harborHost } : {}) } }
        : {}),
      allowOlder: options.allowOlder,
      ...(options.hosts ? { asked: options.hosts } : {}),
      ...(options.replace ? { replace: options.replace } : {}),
    };
    const findings = preflight(makeContext(input));
    return { cluster, whole, bundle, home, session, facts, secrets, input, mask, findings };
  } catch (error) {
    await session?.close();
    throw error;
  }
}
