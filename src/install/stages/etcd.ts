import type { ClusterHost } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { call } from "../../plan/shell.ts";
import type { Wave, Work } from "../../plan/stage.ts";
import { fileStep, type Step, shortHash } from "../../plan/step.ts";
import { uploadOf } from "../bundle.ts";
import { type Context, wave } from "../context.ts";
import { listed } from "../etcd/found.ts";
import { clientUrl, DATA, isMember, peerUrl, tokenOf } from "../etcd/topology.ts";

const USER = "etcd";
const UNIT = "etcd.service";
const FOLDER = "/etc/airgap/etcd";
/** The file of the bundle that has etcd's release archive. */
export const ETCD_FILE = "etcd";
const FILES = {
  ca: `${FOLDER}/ca.crt`,
  cert: `${FOLDER}/member.crt`,
  key: `${FOLDER}/member.key`,
  settings: `${FOLDER}/etcd.env`,
  defrag: `${FOLDER}/defrag.sh`,
};
/** etcd's own advice for the most: https://etcd.io/docs/v3.6/dev-guide/limit/ */
const QUOTA = 8 * 2 ** 30;
const DEFRAG = "airgap-etcd-defrag";

/**
 * Members that stand change one after the other. New ones start side by side, since the first is ready only when a second
 * runs; one that replaces a lost one is let in by a member that stands, gets its data, and then votes.
 */
export function etcdStage(context: Context): Wave[] {
  const { cluster, etcd } = context;
  if (cluster.etcd.mode !== "external") return [];
  const members = context.hosts("etcd");
  const learns = (host: ClusterHost): boolean => listed(etcd?.members ?? [], host)?.learner === true;
  const stand = members.filter((host) => isMember(cluster, host, context.facts[host.name]));
  const hand = stand.find(({ name }) => name === etcd?.by) ?? stand.find((host) => !learns(host));
  if (hand === undefined) return founding(context, members);
  const steady = stand.filter((host) => !learns(host));
  const coming = members.filter(
    (host) => !steady.includes(host) && (learns(host) || isReplaced(context, host)),
  );
  return [
    ...steady.map((host) =>
      wave([host], () => [...memberSteps(context, host, ["new", members]), healthStep()]),
    ),
    ...coming.flatMap((host, i) => replacing(context, hand, host, [...steady, ...coming.slice(0, i + 1)])),
  ];
}

const isReplaced = ({ replace }: Context, { name }: ClusterHost): boolean => replace?.includes(name) === true;

function founding(context: Context, members: ClusterHost[]): Wave[] {
  return [
    wave(members, (host) => memberSteps(context, host, ["new", members])),
    wave(members, () => [healthStep()]),
  ];
}

/** @param members those that etcd will have when this one has started */
function replacing(context: Context, hand: ClusterHost, host: ClusterHost, members: ClusterHost[]): Wave[] {
  const byHand = (step: Step): Wave => [{ host: hand.name, steps: [step], for: [host.name] } satisfies Work];
  return [
    byHand({
      id: `admit-${host.name}`,
      title: `etcd waits for ${host.name} in the place of the member that was lost`,
      check: call("etcd_awaits", peerUrl(host)),
      apply: call("admit_etcd_member", host.name, peerUrl(host)),
    }),
    wave([host], () => memberSteps(context, host, ["existing", members])),
    byHand({
      id: `vote-${host.name}`,
      title: `${host.name} has etcd's data and votes`,
      check: call("etcd_votes", peerUrl(host)),
      apply: call("promote_etcd_member", peerUrl(host)),
    }),
    wave([host], () => [healthStep()]),
  ];
}

type Start = [state: "new" | "existing", members: ClusterHost[]];

function memberSteps(context: Context, host: ClusterHost, start: Start): Step[] {
  const settings = settingsStep(host);
  const unit = fileStep({
    id: "unit",
    title: "etcd is a service",
    path: `/etc/systemd/system/${UNIT}`,
    content: fillShipped("systemd/etcd.service", {}),
    undone: call("systemctl", "daemon-reload"),
  });
  return [
    {
      id: "user",
      title: `etcd has its own user: ${USER}`,
      check: call("server_user_exists", USER, FOLDER),
      apply: call("make_server_user", USER, FOLDER),
      undo: call("remove_server_user", USER, UNIT),
    },
    programStep(context),
    {
      id: "data",
      title: `${DATA} belongs to ${USER}`,
      check: call("user_owns", USER, DATA),
      apply: call("give_folder", USER, DATA),
      undo: [call("disable_services", UNIT), call("empty_folder", DATA)].join("\n"),
    },
    ...certificateSteps(context, host),
    settings,
    unit,
    serviceStep(context, start, [settings, unit]),
    ...defragSteps(context, host),
  ];
}

function programStep({ bundle }: Context): Step {
  const place = bundle.files[ETCD_FILE];
  const to = `/var/lib/airgap/${ETCD_FILE}.tar.gz`;
  const digest = place?.digest ?? "";
  return {
    id: "program",
    title: `etcd ${bundle.etcd?.version ?? ""} is installed, with etcdctl and etcdutl`,
    check: call("etcd_is_installed", digest),
    apply: call("install_etcd", ETCD_FILE, to, digest),
    undo: call("remove_etcd"),
    ...(place ? { upload: uploadOf(bundle, place, { to, beside: ETCD_FILE }) } : {}),
  };
}

/** A machine that has not made them leaves them as they are. */
function certificateSteps({ secrets }: Context, { name }: ClusterHost): Step[] {
  const own = secrets.etcd?.members[name];
  if (secrets.etcd === undefined || own === undefined) return [];
  const file = (id: string, title: string, path: string, content: string): Step =>
    fileStep({ id, title, path, content, mode: "640", closed: true, group: USER });
  return [
    file("ca", "The authority that members and API servers trust", FILES.ca, secrets.etcd.ca),
    file("certificate", "The member's certificate", FILES.cert, own.cert),
    file("key", "The member's key", FILES.key, own.key),
  ];
}

/** As variables: etcd ignores them once it is given a configuration file, and the first start needs three of its own. */
function settingsStep(host: ClusterHost): Step {
  const tls = (side: string): Record<string, string> => ({
    [`${side}CERT_FILE`]: FILES.cert,
    [`${side}KEY_FILE`]: FILES.key,
    [`${side}TRUSTED_CA_FILE`]: FILES.ca,
    [`${side}CLIENT_CERT_AUTH`]: "true",
  });
  const settings = {
    NAME: host.name,
    DATA_DIR: DATA,
    LISTEN_CLIENT_URLS: `${clientUrl(host)},https://127.0.0.1:2379`,
    ADVERTISE_CLIENT_URLS: clientUrl(host),
    LISTEN_PEER_URLS: peerUrl(host),
    INITIAL_ADVERTISE_PEER_URLS: peerUrl(host),
    LISTEN_METRICS_URLS: "http://127.0.0.1:2381",
    // Kubernetes compacts by itself; this is for keys of others. https://etcd.io/docs/v3.6/op-guide/maintenance/
    AUTO_COMPACTION_MODE: "periodic",
    AUTO_COMPACTION_RETENTION: "8h",
    QUOTA_BACKEND_BYTES: String(QUOTA),
    ...tls(""),
    ...tls("PEER_"),
  };
  return fileStep({
    id: "settings",
    title: "etcd's settings",
    path: FILES.settings,
    content: Object.entries(settings)
      .map(([name, value]) => `ETCD_${name}=${value}\n`)
      .join(""),
  });
}

/** Certificates are read again with every connection; an authority is not. */
function serviceStep({ cluster, secrets }: Context, [state, members]: Start, files: Step[]): Step {
  const read = files.flatMap(({ file }) => file ?? []);
  const stamp = shortHash(secrets.etcd?.ca ?? "", ...read.map(({ content }) => content));
  const initial = members.map((host) => `${host.name}=${peerUrl(host)}`).join(",");
  return {
    id: "service",
    title: "etcd runs with these settings",
    check: call("etcd_runs", stamp, ...read.map(({ path }) => path)),
    apply: call("start_etcd", state, initial, tokenOf(cluster), stamp),
    undo: call("disable_services", UNIT),
  };
}

function healthStep(): Step {
  return {
    id: "health",
    title: "The member is healthy: it agrees with a majority",
    check: call("etcd_is_healthy"),
    apply: call("wait_for_etcd", 180),
  };
}

/** Every day, each member at another hour: a member does not answer meanwhile. */
function defragSteps({ cluster }: Context, host: ClusterHost): Step[] {
  const rank = cluster.hosts
    .filter(({ roles }) => roles.includes("etcd"))
    .findIndex(({ name }) => name === host.name);
  const time = `${String((1 + rank) % 24).padStart(2, "0")}:30:00`;
  return [
    fileStep({
      id: "defrag-script",
      title: "How space is given back to the disk",
      path: FILES.defrag,
      content: fillShipped("host/etcd-defrag.sh", {}),
    }),
    fileStep({
      id: "defrag-unit",
      title: "Giving space back is a service",
      path: `/etc/systemd/system/${DEFRAG}.service`,
      content: fillShipped(`systemd/${DEFRAG}.service`, {}),
    }),
    fileStep({
      id: "defrag-timer-unit",
      title: `Space is given back every day at ${time}`,
      path: `/etc/systemd/system/${DEFRAG}.timer`,
      content: fillShipped(`systemd/${DEFRAG}.timer`, { TIME: time }),
      undone: call("systemctl", "daemon-reload"),
    }),
    {
      id: "defrag-timer",
      title: "The timer runs",
      check: call("systemctl", "is-active", "--quiet", `${DEFRAG}.timer`),
      apply: [
        call("systemctl", "daemon-reload"),
        call("systemctl", "enable", "--now", `${DEFRAG}.timer`),
      ].join("\n"),
      undo: call("disable_services", `${DEFRAG}.timer`),
    },
  ];
}
