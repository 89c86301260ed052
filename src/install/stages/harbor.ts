import { type Cluster, type ClusterHost, type HarborSettings, registryName } from "../../cluster/cluster.ts";
import { fillShipped, shipped } from "../../host/shipped.ts";
import { pathBelow } from "../../lock/titles.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step, shortHash } from "../../plan/step.ts";
import type { Context } from "../context.ts";
import { HARBOR_ARCHIVE, type HarborArchive, TRIVY_DB_FILE } from "../harbor/names.ts";
import { wantedHarbor } from "../harbor/projects.ts";
import { oldestCompose, oldestDocker, takenOver } from "../harbor/versions.ts";
import { containerdSteps } from "./containerd.ts";
import { dockerSteps } from "./docker.ts";
import { bundleOnHost, toolOnHost } from "./serve.ts";
import { REGISTRY_CA } from "./trust.ts";
import { stopIfOurs } from "./wanted.ts";

/** Compose calls Harbor's network after the folder's last part. */
export const HARBOR_FOLDER = "/opt/harbor";
const FILES = "/etc/airgap/harbor";
const SCRIPT = `${FILES}/harbor.sh`;
const UNIT = "airgap-harbor.service";
const UNIT_PATH = `/etc/systemd/system/${UNIT}`;

interface Harbor {
  settings: HarborSettings;
  archive: HarborArchive;
  host: ClusterHost;
}

/**
 * Harbor on the registry host, then what it holds: its projects, users and images. Those are told by the
 * host that has the bundle, as the operator's machine may not reach Harbor.
 */
export function harborWaves(context: Context): Wave[] {
  const { harbor: settings } = context.cluster.registry;
  const [host] = context.hosts("registry");
  const archive = context.harbor?.archive;
  if (settings === undefined) return [];
  const filler = context.cluster.repository.host;
  const filling = (...steps: (() => Step)[]): Wave =>
    context.facts[filler] === undefined ? [] : [{ host: filler, steps: steps.map((step) => step()) }];
  const upgrade = archive !== undefined && isUpgrade(context, archive);
  const installed =
    host === undefined || archive === undefined
      ? []
      : [{ host: host.name, steps: hostSteps(context, { settings, archive, host }) }];
  const known = upgrade ? [() => projectsNoted(context)] : [];
  const kept = upgrade ? [() => projectsChecked(context)] : [];
  return [
    filling(...known),
    installed,
    filling(
      () => answers(context),
      ...kept,
      () => contents(context),
      () => images(context),
    ),
  ];
}

/** A Harbor of another version stands. */
function isUpgrade({ cluster, facts }: Context, { version }: HarborArchive): boolean {
  const standing = harborVersion(cluster, facts);
  return standing !== undefined && standing !== version;
}

/** The version of the Harbor that airgap installed on the registry host. */
export function harborVersion(cluster: Cluster, facts: Context["facts"]): string | undefined {
  const host = cluster.hosts.find(({ roles }) => roles.includes("registry"));
  return host && facts[host.name]?.harbor;
}

function hostSteps(context: Context, harbor: Harbor): Step[] {
  return [
    ...runtimeFirst(context, harbor.host),
    ...dockerUp(harbor),
    ...archiveSteps(context, harbor),
    ...certificateFiles(context),
    ...unitSteps(),
    backupStep(harbor),
    runStep(context, harbor),
    ...certificateInUse(context, harbor),
    ...trivyStep(context, harbor),
  ];
}

/** Docker and containerd are restarted for Kubernetes before Harbor runs, not under it. */
function runtimeFirst(context: Context, host: ClusterHost): Step[] {
  if (!context.nodes.includes(host)) return [];
  return context.cluster.runtime === "docker" ? dockerSteps(context, host) : containerdSteps(context, host);
}

function dockerUp({ archive: { version } }: Harbor): Step[] {
  return [
    {
      id: "docker",
      title: "Docker runs, now and after a reboot",
      check: call("docker_is_up", oldestDocker(version)),
      apply: call("start_docker"),
      undo: stopIfOurs(["docker.io", "docker-ce", "docker-engine"], "docker.service", "docker.socket"),
    },
    {
      id: "compose",
      title: "Docker has compose",
      check: call("compose_is_there", oldestCompose(version)),
      apply: call("compose_is_there", oldestCompose(version)),
    },
  ];
}

function archiveSteps({ bundle }: Context, { settings, archive }: Harbor): Step[] {
  const { digest, size, offset, version } = archive;
  const to = pathBelow("/var/lib/airgap", HARBOR_ARCHIVE);
  return [
    {
      id: "archive-copy",
      title: `Harbor's installer is on the host (${size} bytes)`,
      check: call("harbor_arrived", HARBOR_FOLDER, digest, to, size),
      apply: call("receive", HARBOR_ARCHIVE, to, size),
      upload: { from: bundle.path, offset, size, to, beside: HARBOR_ARCHIVE },
      undo: call("rm", "-f", `${to}.part`),
      timeoutMs: 2 * 3_600_000,
    },
    {
      id: "archive",
      title: `Harbor ${version} is unpacked, with its images`,
      check: call("harbor_is_unpacked", HARBOR_FOLDER, digest),
      apply: call("unpack_harbor", HARBOR_FOLDER, digest, to, HARBOR_ARCHIVE, size, version),
      undo: call("remove_harbor", HARBOR_FOLDER, settings.data),
      timeoutMs: 1_800_000,
    },
  ];
}

/** The certificate that Harbor shows; without a key it is another operator's, whose host keeps it. */
function certificateOf({ cluster, secrets }: Context): { cert: string; key?: string } | undefined {
  if (cluster.registry.scheme === "http") return undefined;
  const { cert, key } = secrets.harbor ?? {};
  return cert === undefined || key === undefined ? secrets.tls?.server : { cert, key };
}

function certificateFiles(context: Context): Step[] {
  const { cert, key } = certificateOf(context) ?? {};
  if (cert === undefined || key === undefined) return [];
  const closed = { mode: "600", closed: true };
  return [
    fileStep({
      id: "certificate",
      title: "Harbor's certificate",
      path: `${FILES}/tls.crt`,
      content: cert,
      ...closed,
    }),
    fileStep({ id: "key", title: "Harbor's key", path: `${FILES}/tls.key`, content: key, ...closed }),
  ];
}

function unitSteps(): Step[] {
  return [
    fileStep({
      id: "script",
      title: "Harbor is started in the right order",
      path: SCRIPT,
      content: shipped("harbor/harbor.sh"),
      after: call("reload_harbor"),
    }),
    fileStep({
      id: "unit",
      title: "Harbor is a service",
      path: UNIT_PATH,
      content: fillShipped("systemd/airgap-harbor.service", { SCRIPT, FOLDER: HARBOR_FOLDER }),
      after: call("reload_harbor"),
      undone: call("systemctl", "daemon-reload"),
    }),
  ];
}

function backupStep({ settings: { data }, archive: { version } }: Harbor): Step {
  return {
    id: "backup",
    title: "Before an upgrade, Harbor's database is copied",
    check: call("harbor_is_backed_up", data, version),
    apply: call("back_up_harbor", HARBOR_FOLDER, data),
    timeoutMs: 3_600_000,
  };
}

function runStep({ cluster, secrets }: Context, { settings, archive }: Harbor): Step {
  const { host, scheme, port } = cluster.registry;
  const { data, httpPort, trivy } = settings;
  const configured = [data, host, scheme, port, httpPort, trivy ? "yes" : "no"] as const;
  const stamp = shortHash(archive.digest, ...configured.map(String));
  return {
    id: "harbor",
    title: `Harbor ${archive.version} runs and all its containers are healthy`,
    check: call("harbor_runs", HARBOR_FOLDER, stamp),
    apply: callWithInput(
      secrets.harbor?.initial ?? "",
      "run_harbor",
      HARBOR_FOLDER,
      stamp,
      archive.version,
      takenOver(archive.version),
      ...configured,
    ),
    undo: call("stop_harbor", HARBOR_FOLDER),
    timeoutMs: 1_800_000,
  };
}

/** A renewed certificate is taken over without stopping anything. */
function certificateInUse(context: Context, { settings: { data } }: Harbor): Step[] {
  const { cert } = certificateOf(context) ?? {};
  if (cert === undefined) return [];
  const ca = context.secrets.registryCa ? [REGISTRY_CA] : [];
  const stamp = shortHash(cert, context.secrets.registryCa ?? "");
  return [
    {
      id: "certificate-in-use",
      title: "Harbor shows its certificate, and offers its authority in the portal",
      check: call("harbor_has_certificate", data, stamp, ...ca),
      apply: call("give_harbor_certificate", data, stamp, ...ca),
    },
  ];
}

function trivyStep({ bundle }: Context, { settings: { data, trivy } }: Harbor): Step[] {
  const place = bundle.files[TRIVY_DB_FILE];
  if (!trivy || place === undefined) return [];
  const { digest, size, offset } = place;
  const name = `${TRIVY_DB_FILE}.tar.gz`;
  const to = pathBelow("/var/lib/airgap", name);
  return [
    {
      id: "trivy-db",
      title: "Trivy has the bundle's database of vulnerabilities",
      check: call("trivy_has_database", data, digest),
      apply: call("give_trivy_database", data, digest, to, name, size),
      upload: { from: bundle.path, offset, size, to, beside: name },
      undo: call("rm", "-f", `${to}.part`),
      timeoutMs: 1_800_000,
    },
  ];
}

/** How airgap's own commands reach Harbor from the host that has the bundle. */
function reaching({ cluster, secrets }: Context): string[] {
  const { scheme } = cluster.registry;
  return [
    ...(secrets.registryCa ? [`--ca-file=${REGISTRY_CA}`] : []),
    ...(scheme === "http" ? ["--insecure"] : []),
  ];
}

const loginOf = ({ secrets }: Context): { user: string; password: string; initial: string } => {
  const { admin = "", initial = "" } = secrets.harbor ?? {};
  return { user: "admin", password: admin, initial };
};

function answers(context: Context): Step {
  const asked = [
    "harbor_answers",
    toolOnHost(context),
    registryName(context.cluster.registry),
    ...reaching(context),
  ] as const;
  return {
    id: "health",
    title: "Harbor answers by its name, and all its components are healthy",
    check: call(...asked),
    apply: call("wait_for", 180, ...asked),
  };
}

function contents(context: Context): Step {
  const { cluster, bundle, secrets } = context;
  const wanted = wantedHarbor(cluster, bundle.lock, secrets.harbor?.users ?? {});
  const input = JSON.stringify({ login: loginOf(context), ...wanted });
  const args = [toolOnHost(context), registryName(cluster.registry), ...reaching(context)] as const;
  return {
    id: "contents",
    title: `Harbor has its projects and users: ${wanted.projects.map(({ name }) => name).join(", ")}`,
    check: callWithInput(input, "harbor_has", ...args),
    apply: callWithInput(input, "harbor_gets", ...args),
  };
}

function projectsNoted(context: Context): Step {
  const args = [toolOnHost(context), registryName(context.cluster.registry), ...reaching(context)] as const;
  return {
    id: "projects-noted",
    title: "Before the upgrade, the names of all projects are noted",
    check: call("harbor_projects_are_noted"),
    apply: callWithInput(JSON.stringify({ login: loginOf(context) }), "note_harbor_projects", ...args),
  };
}

function projectsChecked(context: Context): Step {
  const args = [toolOnHost(context), registryName(context.cluster.registry), ...reaching(context)] as const;
  return {
    id: "projects-checked",
    title: "After the upgrade, all projects are still there",
    check: call("harbor_projects_are_checked"),
    apply: callWithInput(JSON.stringify({ login: loginOf(context) }), "check_harbor_projects", ...args),
  };
}

/** The bundle is pushed and every digest read back; what Harbor has already is not sent. */
function images(context: Context): Step {
  const { cluster, secrets } = context;
  const { registry } = cluster;
  const name = registryName(registry);
  const target = `${name}${registry.prefix ? `/${registry.prefix}` : ""}`;
  const auth = Buffer.from(`admin:${secrets.harbor?.admin ?? ""}`).toString("base64");
  const login = JSON.stringify({ auths: { [name]: { auth } } });
  const args = [
    toolOnHost(context),
    bundleOnHost(context),
    target,
    `--layout=${registry.layout}`,
    ...registry.map.map(({ text }) => `--map=${text}`),
    ...reaching(context),
  ] as const;
  return {
    id: "images",
    title: `${target} has every image of the bundle`,
    check: callWithInput(login, "registry_has_bundle", ...args),
    apply: callWithInput(login, "push_bundle", ...args),
    timeoutMs: 6 * 3_600_000,
  };
}
