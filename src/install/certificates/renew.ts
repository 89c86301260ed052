import { type Cluster, type ClusterHost, hostsOf, serversOf } from "../../cluster/cluster.ts";
import { readAllFacts } from "../../cluster/connect.ts";
import { loadSecrets, type Secrets } from "../../cluster/secrets.ts";
import { AirgapError, Exit, isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import type { Facts } from "../../host/facts.ts";
import { rulesOf } from "../../kubernetes/rules.ts";
import type { RunLog } from "../../plan/log.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import type { StateDir } from "../../plan/state-dir.ts";
import { type Hands, runOn } from "../backup/hand.ts";
import { ETCD_CLIENT, endpointsOf, isExternal } from "../etcd/topology.ts";
import { apiServer, document } from "../kubeadm.ts";
import { rebuildKubeconfig } from "../kubeconfig.ts";
import { existingOf } from "../prepare.ts";
import { SERVER } from "../stages/serve.ts";
import { standingPlanes } from "../standing.ts";
import { type HostCertificate, SOON_DAYS } from "./read.ts";

/** What was renewed. */
export interface Renewed {
  renewed?: Record<string, string[]>;
  kubeconfig?: string;
}

export interface Renewal extends Hands {
  log: RunLog;
  cluster: Cluster;
  home: StateDir;
  /** Those that were reached. */
  hosts: ClusterHost[];
  /** Their certificates as they are now. */
  before: HostCertificate[];
  sure: (question: string) => Promise<boolean>;
  emit: Emit;
}

const PODS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];
const KUBELET = "kubelet-client-current.pem";
const RESTART_MS = 400_000;

/** Enough for kubeadm to renew without asking the cluster. */
function configuration(cluster: Cluster, host: ClusterHost): string {
  const rules = rulesOf(cluster.kubernetes.version);
  const api = `kubeadm.k8s.io/${rules.configApi.newest}`;
  const etcd = {
    external: {
      endpoints: endpointsOf(cluster),
      caFile: ETCD_CLIENT.ca,
      certFile: ETCD_CLIENT.cert,
      keyFile: ETCD_CLIENT.key,
    },
  };
  return [
    document(
      api,
      "InitConfiguration",
      {
        localAPIEndpoint: { advertiseAddress: host.address, bindPort: 6443 },
        nodeRegistration: { name: host.name, criSocket: rules.sockets[cluster.runtime] },
      },
      undefined,
    ),
    document(
      api,
      "ClusterConfiguration",
      {
        kubernetesVersion: cluster.kubernetes.version,
        clusterName: cluster.name,
        controlPlaneEndpoint: apiServer(cluster),
        ...(isExternal(cluster) ? { etcd } : {}),
      },
      cluster.kubeadm.ClusterConfiguration,
    ),
  ].join("---\n");
}

/** `certs` came with 1.20; before, everything of it was below `alpha`. */
const verb = (cluster: Cluster, name: string): string =>
  rulesOf(cluster.kubernetes.version).minor >= 20 ? name : `alpha ${name}`;

const daysOf = ({ before }: Renewal, host: ClusterHost, name: string): number | undefined =>
  before.find((each) => each.host === host.name && each.name === name)?.days;

/** Whether a kubelet can no longer ask for its next certificate by itself. */
const kubeletExpired = (renewal: Renewal, host: ClusterHost): boolean =>
  (daysOf(renewal, host, KUBELET) ?? daysOf(renewal, host, "kubelet.conf") ?? 0) < 0;

/** Whether the API server of any control plane cannot answer any more. */
const apiIsDown = (renewal: Renewal, planes: ClusterHost[]): boolean =>
  planes.some((host) =>
    renewal.before.some(
      ({ host: name, name: file, days }) =>
        name === host.name && days < 0 && !file.startsWith("airgap/") && !file.startsWith("kubelet"),
    ),
  );

/**
 * Makes the certificates of kubeadm and airgap's own again, control plane after control plane, and restarts what read the
 * old ones.
 * @throws AirgapError with exit 4 when it stopped part-way: it can run again
 */
export async function renew(renewal: Renewal): Promise<Renewed> {
  const { cluster, home, hosts, session, emit, signal } = renewal;
  const all = hostsOf(cluster, "control-plane");
  const facts = await readAllFacts(hosts, session, signal);
  const planes = standingPlanes(cluster, facts);
  const missing = all.filter((host) => !planes.includes(host));
  if (planes.length === 0 || missing.length > 0)
    throw new AirgapError(
      "check-failed",
      `Nothing was changed: ${missing.map(({ name }) => name).join(", ")} cannot be renewed: not reached, or no control plane`,
      {
        suggestions: [
          "bring it up first; one that is lost for good: airgap reset CLUSTER --hosts NAME --gone",
        ],
      },
    );
  if (
    !(await renewal.sure(
      `This renews the certificates of ${hosts.map(({ name }) => name).join(", ")} and restarts the control planes one by one. Continue?`,
    ))
  )
    throw new AirgapError("usage", "Cancelled: nothing was changed", {
      suggestions: ["use --yes to skip this question"],
    });
  const secrets = await loadSecrets(cluster, home, existingOf(cluster, facts), { renew: true });
  const done: Record<string, string[]> = {};
  const note = ({ name }: ClusterHost, what: string): void => {
    done[name] = [...(done[name] ?? []), what];
  };
  try {
    for (const host of hosts) await runOn(renewal, host.name, call("keep_certificates"));
    await members(renewal, secrets, note);
    await controlPlanes(renewal, planes, secrets, note);
    await kubelets(renewal, planes, note);
    await server(renewal, secrets, facts, note);
    emit({ type: "phase", name: "kubeconfig" });
    return { renewed: done, kubeconfig: await bringHome(renewal, planes, secrets) };
  } catch (cause) {
    if (!isAirgapError(cause)) throw cause;
    throw new AirgapError(cause.code, `Renewing stopped part-way: ${cause.message}`, {
      cause,
      exit: Exit.interrupted,
      suggestions: [
        "Fix the cause, then run the same command: it begins again.",
        `To go back: what was there before is on each host, in /var/lib/airgap/certificates-before/. Log: ${renewal.log.path}`,
      ],
    });
  }
}

type Note = (host: ClusterHost, what: string) => void;

/** Members read their certificates again with every connection. */
async function members(renewal: Renewal, { etcd }: Secrets, note: Note): Promise<void> {
  for (const host of renewal.hosts.filter(({ roles }) => roles.includes("etcd"))) {
    const own = etcd?.members[host.name];
    if (own === undefined) continue;
    renewal.emit({ type: "phase", name: "etcd", detail: host.name });
    await runOn(
      renewal,
      host.name,
      [
        callWithInput(own.key, "put_for", "etcd", "/etc/airgap/etcd/member.key"),
        callWithInput(own.cert, "put_for", "etcd", "/etc/airgap/etcd/member.crt"),
        call("wait_for", 60, "etcd_is_healthy"),
      ].join("\n"),
    );
    note(host, "etcd's member");
  }
}

async function controlPlanes(
  renewal: Renewal,
  planes: ClusterHost[],
  secrets: Secrets,
  note: Note,
): Promise<void> {
  const together = apiIsDown(renewal, planes);
  for (const host of planes) {
    renewal.emit({ type: "phase", name: "control plane", detail: host.name });
    await renewPlane(renewal, host, secrets);
    note(host, "kubeadm's certificates and kubeconfigs");
    await restart(renewal, host);
    // Where the API is down, etcd may need the others first.
    if (!together) await ready(renewal, host);
  }
  for (const host of planes) {
    if (together) await ready(renewal, host);
    const { sudo, user } = host.ssh;
    const users = [...new Set(["root", ...(sudo && user ? [user] : [])])];
    await runOn(renewal, host.name, users.map((name) => call("copy_kubeconfig", name)).join("\n"));
  }
}

async function renewPlane(renewal: Renewal, host: ClusterHost, { etcd }: Secrets): Promise<void> {
  const { cluster } = renewal;
  const config = configuration(cluster, host);
  await runOn(renewal, host.name, callWithInput(config, "renew_control_plane", verb(cluster, "certs")));
  if (etcd !== undefined)
    await runOn(
      renewal,
      host.name,
      [
        callWithInput(etcd.client.key, "put_key", ETCD_CLIENT.key),
        callWithInput(etcd.client.cert, "put", ETCD_CLIENT.cert, "644"),
      ].join("\n"),
    );
  if (kubeletExpired(renewal, host)) await renewKubelet(renewal, host, host);
}

async function restart(renewal: Renewal, host: ClusterHost): Promise<void> {
  await runOn(renewal, host.name, call("stop_static_pods", ...PODS), RESTART_MS);
  await runOn(renewal, host.name, call("start_static_pods"));
}

const ready = (renewal: Renewal, host: ClusterHost): Promise<unknown> =>
  runOn(renewal, host.name, call("wait_for", 300, "api_answers"), RESTART_MS);

/** A control plane signs the certificate of any node's kubelet. */
async function renewKubelet(renewal: Renewal, plane: ClusterHost, host: ClusterHost): Promise<void> {
  const { cluster } = renewal;
  const { stdout } = await runOn(
    renewal,
    plane.name,
    callWithInput(
      configuration(cluster, plane),
      "make_kubelet_kubeconfig",
      verb(cluster, "kubeconfig"),
      host.name,
    ),
  );
  await runOn(renewal, host.name, callWithInput(stdout, "give_kubelet_kubeconfig"));
}

/** Kubelets get their next certificate by themselves, unless they could not ask for it in time. */
async function kubelets(renewal: Renewal, [plane]: ClusterHost[], note: Note): Promise<void> {
  if (plane === undefined) return;
  for (const host of renewal.hosts) {
    const client = daysOf(renewal, host, KUBELET) ?? daysOf(renewal, host, "kubelet.conf");
    const serving = daysOf(renewal, host, "kubelet.crt");
    const worker = !host.roles.includes("control-plane");
    if (worker && client !== undefined && kubeletExpired(renewal, host)) {
      renewal.emit({ type: "phase", name: "kubelet", detail: host.name });
      await renewKubelet(renewal, plane, host);
    }
    if (client !== undefined && client < 0) note(host, "kubelet's client certificate");
    if (serving === undefined || serving >= SOON_DAYS) continue;
    await runOn(renewal, host.name, call("renew_kubelet_server"));
    note(host, "kubelet's serving certificate");
  }
}

/** The server that airgap starts reads its certificate when it starts. It gets a new one in its last 90 days. */
async function server(
  renewal: Renewal,
  { tls }: Secrets,
  facts: Record<string, Facts>,
  note: Note,
): Promise<void> {
  const { cluster, hosts } = renewal;
  const { cert, key } = tls?.server ?? {};
  if (cert === undefined || key === undefined) return;
  for (const host of serversOf(cluster).filter((each) => hosts.includes(each))) {
    if (facts[host.name]?.siteCertificate?.trim() === cert.trim()) continue;
    renewal.emit({ type: "phase", name: "server", detail: host.name });
    await runOn(
      renewal,
      host.name,
      [
        callWithInput(key, "put_for", SERVER.user, SERVER.key),
        callWithInput(cert, "put_for", SERVER.user, SERVER.cert),
        call("systemctl", "restart", SERVER.unit),
      ].join("\n"),
    );
    note(host, "the certificate of airgap's server");
  }
}

/** @returns path of the administrator's kubeconfig beside the cluster file */
async function bringHome(renewal: Renewal, [plane]: ClusterHost[], { ca }: Secrets): Promise<string> {
  const { cluster, home } = renewal;
  const host = plane?.name ?? "";
  const { stdout } = await runOn(renewal, host, call("cat", "/etc/kubernetes/admin.conf"));
  home.write("kubeconfig", rebuildKubeconfig(stdout, host, cluster, ca));
  return home.path("kubeconfig");
}
