import type { ClusterHost } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { pathBelow } from "../../lock/titles.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step, serviceStep } from "../../plan/step.ts";
import { bundleFileName } from "../bundle.ts";
import type { Context } from "../context.ts";
import { DIGEST_LENGTH, toolFor } from "../tool.ts";
import { SITE_CA } from "./trust.ts";

export const BUNDLES = "/var/lib/airgap/bundles";
const UNIT = "airgap-serve.service";
/** The user that the server runs as; the group of that name has no other members. */
const USER = "airgap-serve";
const FILES = {
  cert: "/etc/airgap/serve/tls.crt",
  key: "/etc/airgap/serve/tls.key",
  users: "/etc/airgap/serve/htpasswd",
};

/** The path of the bundle on the host that serves it. */
export const bundleOnHost = (context: Context): string => pathBelow(BUNDLES, bundleFileName(context.bundle));

/** The folder of the tool on the host that serves; its `bin/airgap` runs with its own Node. */
export function toolOnHost(context: Context): string {
  return `/opt/airgap/${toolFor(context).digest.slice(7, 7 + DIGEST_LENGTH)}`;
}

/** The bundle and the tool are sent to one host, once; every host gets packages, files and images from there. */
export function serveStage(context: Context): Wave[] {
  const host = context.reached.find(({ name }) => name === context.cluster.repository.host);
  if (host === undefined) return [];
  const steps = [
    userStep(),
    bundleCopy(context),
    ...toolSteps(context),
    bundleCheck(context),
    bundleOwner(context),
    ...serverFiles(context),
    ...service(context, host),
  ];
  return [[{ host: host.name, steps }]];
}

/** The server's own user, who may read the bundle; made before the transfer, so that nobody else can read the bundle meanwhile. */
function userStep(): Step {
  return {
    id: "user",
    title: `The server has its own user: ${USER}`,
    check: call("server_user_exists", USER, BUNDLES),
    apply: call("make_server_user", USER, BUNDLES),
    undo: call("remove_server_user", USER, UNIT),
  };
}

/** Bundles may hold Secrets. Older versions left bundles that everybody can read. */
function bundleOwner(context: Context): Step {
  return {
    id: "bundle-owner",
    title: `Only ${USER} can read the bundle`,
    check: call("group_reads", USER, bundleOnHost(context)),
    apply: call("let_group_read", USER, BUNDLES),
  };
}

function bundleCopy(context: Context): Step {
  const { bundle } = context;
  const to = bundleOnHost(context);
  return {
    id: "bundle-copy",
    title: `The bundle is on the host (${bundle.size} bytes)`,
    check: call("arrived", to, bundle.size, to),
    apply: call("receive", bundleFileName(bundle), to, bundle.size),
    upload: { from: bundle.path, offset: 0, size: bundle.size, to, beside: bundleFileName(bundle) },
    undo: call("rm", "-rf", BUNDLES),
    timeoutMs: 6 * 3_600_000,
  };
}

/** The tool is taken from the bundle if the bundle carries it; otherwise it is sent too. */
function toolSteps(context: Context): Step[] {
  const tool = toolFor(context);
  const folder = toolOnHost(context);
  const archive = tool.file === undefined ? undefined : pathBelow("/var/lib/airgap", tool.name);
  const bytes = archive ? [archive, 0] : [bundleOnHost(context), tool.offset];
  const unpack: Step = {
    id: "tool",
    title: "airgap itself is installed, with its own Node",
    check: call("test", "-x", `${folder}/bin/airgap`),
    apply: [
      call("install_tool", folder, tool.name, tool.digest, ...bytes, tool.size),
      ...(archive ? [call("rm", "-f", `${archive}.part`)] : []),
    ].join("\n"),
    undo: call("rm", "-rf", "/opt/airgap"),
  };
  if (archive === undefined || tool.file === undefined) return [unpack];
  return [
    {
      id: "tool-copy",
      title: `airgap itself is on the host (${tool.size} bytes)`,
      check: call("arrived", archive, tool.size, `${folder}/bin/airgap`),
      apply: call("receive", tool.name, archive, tool.size),
      upload: { from: tool.file, offset: tool.offset, size: tool.size, to: archive, beside: tool.name },
      undo: call("rm", "-f", `${archive}.part`),
      timeoutMs: 3_600_000,
    },
    unpack,
  ];
}

function bundleCheck(context: Context): Step {
  const to = bundleOnHost(context);
  return {
    id: "bundle",
    title: "The bundle is verified, every byte of it",
    check: call("test", "-f", to),
    apply: call("verify_bundle", toolOnHost(context), to),
    timeoutMs: 2 * 3_600_000,
  };
}

function serverFiles({ secrets }: Context): Step[] {
  const { cert = "", key } = secrets.tls?.server ?? {};
  const closed = { mode: "640", closed: true, group: USER };
  return [
    ...(key === undefined
      ? []
      : [
          fileStep({
            id: "certificate",
            title: "The server's certificate",
            path: FILES.cert,
            content: cert,
            ...closed,
          }),
          fileStep({ id: "key", title: "The server's key", path: FILES.key, content: key, ...closed }),
        ]),
    ...(secrets.htpasswd
      ? [
          fileStep({
            id: "users",
            title: "The users of the server",
            path: FILES.users,
            content: secrets.htpasswd,
            ...closed,
          }),
        ]
      : []),
  ];
}

function service(context: Context, host: ClusterHost): Step[] {
  const { cluster, secrets } = context;
  const { port } = cluster.repository;
  const flags = [
    `--listen 0.0.0.0:${port}`,
    ...(secrets.tls ? [`--tls-cert ${FILES.cert}`, `--tls-key ${FILES.key}`] : []),
    ...(secrets.htpasswd ? [`--htpasswd ${FILES.users}`] : []),
  ];
  const command = `${toolOnHost(context)}/bin/airgap serve ${bundleOnHost(context)} ${flags.join(" ")}`;
  const unit = fillShipped("systemd/airgap-serve.service", {
    COMMAND: command,
    USER,
    CAPABILITIES: port < 1024 ? "CAP_NET_BIND_SERVICE" : "",
  });
  const name = new URL(context.repositoryUrl).hostname || host.name;
  const ca = secrets.tls ? [SITE_CA] : [];
  const answers = ["server_answers", toolOnHost(context), port, name, ...ca] as const;
  return [
    fileStep({
      id: "unit",
      title: "The server is a service",
      path: `/etc/systemd/system/${UNIT}`,
      content: unit,
      undone: call("systemctl", "daemon-reload"),
    }),
    serviceStep({
      id: "service",
      title: `${context.repositoryUrl} serves images, packages and files`,
      unit: UNIT,
      reads: [
        { path: `/etc/systemd/system/${UNIT}`, content: unit },
        ...serverFiles(context).flatMap(({ file }) => file ?? []),
      ],
      undo: call("disable_services", UNIT),
    }),
    {
      id: "health",
      title: "The server answers",
      check: call(...answers),
      apply: call("wait_for", 60, ...answers),
    },
  ];
}
