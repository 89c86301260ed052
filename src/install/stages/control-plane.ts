import { createHash } from "node:crypto";
import type { ClusterHost } from "../../cluster/cluster.ts";
import type { ClusterKeys } from "../../cluster/secrets.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { type Step, serviceStep } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { apiServer, initConfiguration, joinConfiguration } from "../kubeadm.ts";
import { hasJoined } from "../standing.ts";
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
      unfinishedStep(context),
      ...pkiStep(context),
      imagesStep(context),
      ...aroundKubelet(context, host, initStep(context)),
      ...userSteps(context, host),
    ]),
    ...tokenWaves(context, others),
    ...others.map((host) =>
      wave([host], () => [
        unfinishedStep(context),
        ...pkiStep(context),
        imagesStep(context),
        ...joinSteps(context, host),
        ...userSteps(context, host),
      ]),
    ),
  ];
}

/** Files that kubeadm takes as they are: a CA whose files exist is kept. */
function pkiFiles(keys: ClusterKeys): { path: string; content: string; mode: string }[] {
  const pair = (name: string, { cert, key }: { cert: string; key: string }) => [
    { path: `${PKI}/${name}.crt`, content: cert, mode: "644" },
    { path: `${PKI}/${name}.key`, content: key, mode: "600" },
  ];
  return [
    ...pair("ca", keys.ca),
    ...pair("front-proxy-ca", keys.frontProxyCa),
    ...pair("etcd/ca", keys.etcdCa),
    { path: `${PKI}/sa.key`, content: keys.serviceAccount.privateKey, mode: "600" },
    { path: `${PKI}/sa.pub`, content: keys.serviceAccount.publicKey, mode: "644" },
  ];
}

function pkiStep({ secrets }: Context): Step[] {
  if (secrets.keys === undefined) return [];
  const files = pkiFiles(secrets.keys);
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
export function unfinishedStep(context: Context): Step {
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
