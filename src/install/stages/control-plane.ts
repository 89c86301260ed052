import { createHash } from "node:crypto";
import type { ClusterHost } from "../../cluster/cluster.ts";
import type { ClusterKeys } from "../../cluster/secrets.ts";
import { here, raw, sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { initConfiguration, joinConfiguration } from "../kubeadm.ts";
import { dockerPull } from "./docker.ts";
import { userSteps } from "./kubeconfig.ts";

const PKI = "/etc/kubernetes/pki";
const CONFIG = "/run/airgap-kubeadm.yaml";
const TOKEN = "/run/airgap-token.yaml";

/** The first control plane is initialised; the others join it, one by one. */
export function controlPlaneStage(context: Context): Wave[] {
  const [first, ...others] = context.hosts("control-plane");
  if (first === undefined) return [];
  const joiners = context.nodes.filter((host) => host !== first && !joined(context, host));
  return [
    wave([first], (host) => [
      ...pkiStep(context),
      imagesStep(context),
      initStep(context),
      ...userSteps(context, host),
      ...tokenStep(context, joiners.length > 0),
    ]),
    ...others.map((host) =>
      wave([host], () => [
        ...pkiStep(context),
        imagesStep(context),
        joinStep(context, host),
        ...userSteps(context, host),
      ]),
    ),
  ];
}

/** Whether a host was in a cluster when its facts were read. */
export function joined(context: Context, host: ClusterHost): boolean {
  return context.factsOf(host).exists.includes("/etc/kubernetes/kubelet.conf");
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
        .map(
          ({ path, content, mode }) =>
            sh`same ${path} ${mode} ${createHash("sha256").update(content).digest("hex")}`,
        )
        .join(" &&\n"),
      apply: writePki(secrets.keys),
    },
  ];
}

const writePki = (keys: ClusterKeys): string =>
  [
    sh`mkdir -p ${PKI}/etcd`,
    ...pkiFiles(keys).map(({ path, content, mode }) => sh`put ${path} ${mode} ${here(content)}`),
  ].join("\n");

function imagesStep({ images, cluster }: Context): Step {
  const wanted = images.kubeadm.map(({ asked }) => asked);
  const list =
    cluster.runtime === "docker"
      ? "docker image ls --format '{{.Repository}}:{{.Tag}}'"
      : "ask_containerd -n k8s.io images ls -q";
  const pull = cluster.runtime === "docker" ? dockerPull : pullByCri;
  return {
    id: "images",
    title: `kubeadm's images are on the host: ${wanted.length}`,
    check: sh`
      [ ! -s /etc/kubernetes/admin.conf ] || exit 0
      there=$(${raw(list)})
      for image in ${wanted}; do printf '%s\n' "$there" | grep -qxF "$image" || fail "$image is not on the host"; done`,
    apply: sh`
      for image in ${wanted}; do
        echo "$image"
        ${raw(pull)} >/dev/null
      done`,
    timeoutMs: 1_800_000,
  };
}

const pullByCri =
  'if have crictl; then crictl pull "$image"; else ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d "$image"; fi';

/** kubeadm's own check of the file, where it has one. */
const validated = ({ images }: Context): string =>
  images.rules.configValidate ? `kubeadm config validate --config ${CONFIG}` : ":";

function initStep(context: Context): Step {
  const { cluster, secrets } = context;
  const socket = context.images.rules.sockets[cluster.runtime];
  return {
    id: "init",
    title: `${context.first.name} is a control plane of Kubernetes ${cluster.kubernetes.version}`,
    check: sh`
      [ ! -e "$airgap_home/kubeadm-began" ] || fail "an earlier try did not come to its end"
      [ -s /etc/kubernetes/admin.conf ] || fail "kubeadm has not initialised it"
      kubectl get --raw=/healthz >/dev/null || fail "the API server does not answer"
      kubectl -n kube-system get configmap kubeadm-config >/dev/null`,
    apply: sh`
      if [ -s /etc/kubernetes/admin.conf ] && [ ! -e "$airgap_home/kubeadm-began" ]; then
        # It was initialised and is perhaps just starting: nothing of it is touched.
        wait_for 180 kubectl get --raw=/healthz
        exit 0
      fi
      kubeadm_begins ${socket}
      ${raw(secrets.keys ? writePki(secrets.keys) : ":")}
      trap 'rm -f ${raw(CONFIG)}' EXIT
      (umask 077 && cat >${CONFIG}) ${here(initConfiguration(context))}
      ${raw(validated(context))}
      kubeadm init --config ${CONFIG} --skip-token-print || kubeadm_failed 'kubeadm init'
      wait_for 60 kubectl get --raw=/healthz
      kubeadm_ended`,
    undo: sh`kubeadm_undo ${socket}`,
    timeoutMs: 1_200_000,
  };
}

/** Joins a worker, or a further control plane. */
export function joinStep(context: Context, host: ClusterHost): Step {
  const { cluster, secrets } = context;
  const socket = context.images.rules.sockets[cluster.runtime];
  const plane = host.roles.includes("control-plane");
  return {
    id: "join",
    title: `${host.name} is a ${plane ? "control plane" : "worker"} of the cluster`,
    check: sh`
      [ ! -e "$airgap_home/kubeadm-began" ] || fail "an earlier try did not come to its end"
      [ -s /etc/kubernetes/kubelet.conf ] || fail "it has not joined"
      systemctl is-active --quiet kubelet || fail "kubelet does not run"`,
    apply: sh`
      if [ -s /etc/kubernetes/kubelet.conf ] && [ ! -e "$airgap_home/kubeadm-began" ]; then
        systemctl start kubelet
        wait_for 60 kubelet_stays
        exit 0
      fi
      kubeadm_begins ${socket}
      ${raw(plane && secrets.keys ? writePki(secrets.keys) : ":")}
      trap 'rm -f ${raw(CONFIG)}' EXIT
      (umask 077 && cat >${CONFIG}) ${here(joinConfiguration(context, host))}
      ${raw(validated(context))}
      kubeadm join --config ${CONFIG} || kubeadm_failed 'kubeadm join'
      wait_for 60 kubelet_stays
      kubeadm_ended`,
    undo: sh`kubeadm_undo ${socket}`,
    timeoutMs: 900_000,
  };
}

/** A token for those that come to a standing cluster; `init` has brought one for the first day. */
function tokenStep({ secrets }: Context, needed: boolean): Step[] {
  if (!needed) return [];
  const [id = "", secret = ""] = secrets.joinToken.split(".");
  const data = (text: string): string => Buffer.from(text).toString("base64");
  return [
    {
      id: "token",
      title: "Hosts can join",
      check: sh`
        found=$(kubectl -n kube-system get secret ${`bootstrap-token-${id}`} -o 'jsonpath={.data.token-secret}' 2>/dev/null) || fail "there is no token for them"
        [ "$found" = ${data(secret)} ]`,
      // By a file: what is in a list of arguments, others can read.
      apply: sh`
        until=$(date -u -d '+2 hours' +%Y-%m-%dT%H:%M:%SZ)
        trap 'rm -f ${raw(TOKEN)}' EXIT
        (umask 077 && cat >${TOKEN}) ${here(tokenSecret(id, secret))}
        printf '  expiration: "%s"\n' "$until" >>${TOKEN}
        wait_for 60 kubectl apply -f ${TOKEN}`,
    },
  ];
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
