import { createHash } from "node:crypto";
import type { ClusterHost } from "../../cluster/cluster.ts";
import type { EtcdTls } from "../../cluster/etcd-tls.ts";
import type { ClusterKeys, Secrets } from "../../cluster/secrets.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { type Step, serviceStep } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { ETCD_CLIENT } from "../etcd/topology.ts";
import { apiServer, initConfiguration, joinConfiguration } from "../kubeadm.ts";
import { hasJoined, isBare, isUnfinished, standingPlanes } from "../standing.ts";
import { backupSteps } from "./backup.ts";
import { userSteps } from "./kubeconfig.ts";
import { proxyStep } from "./proxy.ts";
import { imageCalls } from "./runtime.ts";

const PKI = "/etc/kubernetes/pki";

/**
 * Where no control plane stands, the first is initialised; all others join, one by one. On one that stands `init` only
 * waits for its API server.
 */
export function controlPlaneStage(context: Context): Wave[] {
  const { first } = context;
  const others = context.hosts("control-plane").filter(({ name }) => name !== first.name);
  return [
    wave([first], (host) => [
      discardStep(context),
      ...pkiStep(context),
      imagesStep(context),
      ...aroundKubelet(context, host, initStep(context)),
      ...userSteps(context, host),
      ...backupSteps(context, host),
    ]),
    ...forgetWaves(context, others),
    ...tokenWaves(context, others),
    ...others.map((host) =>
      wave([host], () => [
        ...unfinishedStep(context, host),
        ...pkiStep(context),
        imagesStep(context),
        ...joinSteps(context, host),
        ...userSteps(context, host),
        ...backupSteps(context, host),
      ]),
    ),
  ];
}

/** Files that kubeadm takes as they are: a CA whose files exist is kept. */
function pkiFiles({ keys, etcd }: Secrets, own: boolean): { path: string; content: string; mode: string }[] {
  return [...(keys ? keyFiles(keys, own) : []), ...(etcd ? etcdFiles(etcd) : [])];
}

/** What the API server shows an external etcd; kubeadm makes neither. */
const etcdFiles = ({ ca, client }: EtcdTls) => [
  { path: ETCD_CLIENT.ca, content: ca, mode: "644" },
  { path: ETCD_CLIENT.cert, content: client.cert, mode: "644" },
  { path: ETCD_CLIENT.key, content: client.key, mode: "600" },
];

/** @param own whether the authority of etcd is the cluster's own */
function keyFiles(keys: ClusterKeys, own: boolean): { path: string; content: string; mode: string }[] {
  const pair = (name: string, { cert, key }: { cert: string; key: string }) => [
    { path: `${PKI}/${name}.crt`, content: cert, mode: "644" },
    { path: `${PKI}/${name}.key`, content: key, mode: "600" },
  ];
  return [
    ...pair("ca", keys.ca),
    ...pair("front-proxy-ca", keys.frontProxyCa),
    ...(own ? pair("etcd/ca", keys.etcdCa) : []),
    { path: `${PKI}/sa.key`, content: keys.serviceAccount.privateKey, mode: "600" },
    { path: `${PKI}/sa.pub`, content: keys.serviceAccount.publicKey, mode: "644" },
  ];
}

function pkiStep({ secrets, cluster }: Context): Step[] {
  const found = pkiFiles(secrets, cluster.etcd.mode !== "given");
  // The authority of etcd is in both parts, and is the same.
  const files = [...new Map(found.map((file) => [file.path, file])).values()];
  if (files.length === 0) return [];
  return [
    {
      id: "pki",
      title: "The cluster's authorities are in place, the same on every control plane",
      check: files
        .map(({ path, content, mode }) =>
          call("same", path, mode, createHash("sha256").update(content).digest("hex")),
        )
        .join("\n"),
      apply: files.map(({ path, content, mode }) => callWithInput(content, "put", path, mode)).join("\n"),
    },
  ];
}

function imagesStep({ images, cluster }: Context): Step {
  const wanted = images.kubeadm.map(({ asked }) => asked);
  const { has, pull } = imageCalls(cluster);
  return {
    id: "images",
    title: `kubeadm's images are on the host: ${wanted.length}`,
    check: call("before_init", ...has, ...wanted),
    apply: call(...pull, ...wanted),
    timeoutMs: 1_800_000,
  };
}

const socketOf = ({ images, cluster }: Context): string => images.rules.sockets[cluster.runtime];
/** Whether kubeadm can check its own configuration file. */
const validates = ({ images }: Context): string => (images.rules.configValidate ? "yes" : "no");

/** The files of a failed kubeadm run are removed first; later, the removal would take files of other steps too. */
export const unfinishedStep = (context: Context, host: ClusterHost): Step[] =>
  isCleared(context, host) ? [] : [discardStep(context)];

/** A host whose join did not finish, in a cluster that stands: both are cleared of it before it joins again. */
const isCleared = ({ cluster, facts, factsOf }: Context, host: ClusterHost): boolean =>
  isUnfinished(factsOf(host)) && standingPlanes(cluster, facts).length > 0;

/**
 * What the cluster knows of hosts that are to join as new is forgotten before any joins: a member of etcd that comes back
 * without its data never works, and takes part in every majority meanwhile.
 */
export function forgetWaves(context: Context, hosts: ClusterHost[]): Wave[] {
  const cleared = hosts.filter((host) => isCleared(context, host));
  const lost = hosts.filter((host) => context.replace?.includes(host.name) && isBare(context.factsOf(host)));
  const forget = (host: ClusterHost, step: Step): Wave => [
    { host: context.first.name, steps: [step], for: [host.name] },
  ];
  return [
    wave(cleared, () => [discardStep(context)]),
    ...cleared.map((host) => forget(host, forgetStep(context, host, "an unfinished join of"))),
    ...lost.map((host) => forget(host, forgetStep(context, host, "the lost"))),
  ];
}

function forgetStep({ first }: Context, { name, address }: ClusterHost, what: string): Step {
  const args = [name, address, first.name] as const;
  return {
    id: `forget-${name}`,
    title: `The cluster has forgotten ${what} ${name}: its node, and its member of etcd`,
    check: call("node_is_forgotten", ...args),
    apply:
      what === "the lost" ? call("forget_lost_node", ...args) : call("forget_node", ...args, "discarded"),
  };
}

function discardStep(context: Context): Step {
  return {
    id: "unfinished",
    title: "No unfinished run of kubeadm is left",
    check: call("kubeadm_finished"),
    apply: call("kubeadm_discard", socketOf(context)),
  };
}

function initStep(context: Context): Step {
  const { cluster } = context;
  return {
    id: "init",
    title: `${context.first.name} is a control plane of Kubernetes ${cluster.kubernetes.version}`,
    check: call("control_plane_is_initialised"),
    apply: callWithInput(
      initConfiguration(context),
      "init_control_plane",
      validates(context),
      apiServer(cluster),
    ),
    undo: call("kubeadm_undo", socketOf(context)),
    timeoutMs: 1_200_000,
  };
}

/** kubelet reaches the API and pods without a proxy from its first start; if the drop-in changes, kubelet restarts. */
function aroundKubelet(context: Context, host: ClusterHost, step: Step): Step[] {
  const proxy = proxyStep(context, host, "kubelet");
  const service = serviceStep({
    id: "kubelet",
    title: "kubelet runs with this configuration",
    unit: "kubelet",
    reads: proxy.map(({ file }) => file ?? ""),
  });
  return [...proxy, step, ...(proxy.length > 0 ? [service] : [])];
}

/** Joins a worker, or a further control plane. */
export const joinSteps = (context: Context, host: ClusterHost): Step[] =>
  aroundKubelet(context, host, joinStep(context, host));

function joinStep(context: Context, host: ClusterHost): Step {
  const plane = host.roles.includes("control-plane");
  return {
    id: "join",
    title: `${host.name} is a ${plane ? "control plane" : "worker"} of the cluster`,
    check: call("node_has_joined"),
    apply: callWithInput(joinConfiguration(context, host), "join_node", validates(context)),
    undo: call("kubeadm_undo", socketOf(context)),
    timeoutMs: 900_000,
  };
}

/** A token for hosts that have not joined; the one from `init` may have expired. */
export function tokenWaves(context: Context, hosts: ClusterHost[]): Wave[] {
  const joining = hosts.filter((host) => !hasJoined(context.factsOf(host))).map(({ name }) => name);
  if (joining.length === 0) return [];
  return [[{ host: context.first.name, steps: [tokenStep(context)], for: joining }]];
}

function tokenStep({ secrets }: Context): Step {
  const [id = "", secret = ""] = secrets.joinToken.split(".");
  return {
    id: "token",
    title: "The cluster has a token for hosts that join",
    check: call("token_exists", id, Buffer.from(secret).toString("base64")),
    apply: callWithInput(tokenSecret(id, secret), "make_token"),
  };
}

function tokenSecret(id: string, secret: string): string {
  return `apiVersion: v1
kind: Secret
metadata:
  name: bootstrap-token-${id}
  namespace: kube-system
type: bootstrap.kubernetes.io/token
stringData:
  description: made by airgap for hosts that join now
  token-id: ${id}
  token-secret: ${secret}
  usage-bootstrap-authentication: "true"
  usage-bootstrap-signing: "true"
  auth-extra-groups: system:bootstrappers:kubeadm:default-node-token
`;
}
