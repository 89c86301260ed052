import { type ClusterHost, serversOf } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { pathBelow } from "../../lock/titles.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step, serviceStep } from "../../plan/step.ts";
import { bundleFileName, uploadOf } from "../bundle.ts";
import { type Context, wave } from "../context.ts";
import { DIGEST_LENGTH, toolFor } from "../tool.ts";
import { SITE_CA } from "./trust.ts";

export const BUNDLES = "/var/lib/airgap/bundles";
const POLICY = "/etc/airgap";
const UNIT = "airgap-serve.service";
/** The user that the server runs as; the group of that name has no other members. */
const USER = "airgap-serve";
/** What others must know to change the server's certificate. */
export const SERVER = {
  unit: UNIT,
  user: USER,
  cert: "/etc/airgap/serve/tls.crt",
  key: "/etc/airgap/serve/tls.key",
};
const FILES = {
  cert: SERVER.cert,
  key: SERVER.key,
  users: "/etc/airgap/serve/htpasswd",
};

/** The path of the bundle on the host that serves it. */
export const bundleOnHost = (context: Context): string => pathBelow(BUNDLES, bundleFileName(context.bundle));

/** The folder of the tool on the host that serves; its `bin/airgap` runs with its own Node. */
export function toolOnHost(context: Context): string {
  return `/opt/airgap/${toolFor(context).digest.slice(7, 7 + DIGEST_LENGTH)}`;
}

/** The bundle and the tool are sent to each server, once; every host gets packages, files and images from there. */
export function serveStage(context: Context): Wave[] {
  const servers = new Set(serversOf(context.cluster));
  const reached = context.reached.filter((host) => servers.has(host));
  return reached.length === 0 ? [] : [wave(reached, (host) => serverSteps(context, host))];
}

function serverSteps(context: Context, host: ClusterHost): Step[] {
  return [
    userStep(),
    bundleCopy(context),
    ...toolSteps(context),
    ...trustSteps(context),
    ...mergeStep(context),
    bundleCheck(context),
    ...sequenceStep(context),
    bundleOwner(context),
    ...serverFiles(context),
    ...service(context, host),
  ];
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
  const result = bundleOnHost(context);
  const to = bundle.fullSize === undefined ? result : deltaOnHost(context);
  return {
    id: "bundle-copy",
    title: `The ${bundle.fullSize === undefined ? "bundle" : "delta"} is on the host (${bundle.size} bytes)`,
    check: call("arrived", to, bundle.size, result),
    apply: call("receive", bundleFileName(bundle), to, bundle.size),
    upload: uploadOf(bundle, { offset: 0, size: bundle.size }, { to, beside: bundleFileName(bundle) }),
    undo: call("rm", "-rf", BUNDLES),
    timeoutMs: 6 * 3_600_000,
  };
}

const deltaOnHost = (context: Context): string => `${bundleOnHost(context)}.delta`;

/** The host makes the full bundle of a delta and of the bundles that it has. */
function mergeStep(context: Context): Step[] {
  const { fullSize } = context.bundle;
  if (fullSize === undefined) return [];
  const to = bundleOnHost(context);
  return [
    {
      id: "bundle-merge",
      title: `The full bundle is on the host (${fullSize} bytes)`,
      check: call("arrived", to, fullSize, to),
      apply: call("merge_bundle", toolOnHost(context), to),
      timeoutMs: 2 * 3_600_000,
    },
  ];
}

/** The tool is taken from the bundle if the bundle carries it; otherwise it is sent too. */
function toolSteps(context: Context): Step[] {
  const tool = toolFor(context);
  const folder = toolOnHost(context);
  const archive = tool.file === undefined ? undefined : pathBelow("/var/lib/airgap", tool.name);
  const inDelta = context.bundle.fullSize !== undefined && !tool.onHost;
  const bytes = archive
    ? [archive, 0]
    : [inDelta ? deltaOnHost(context) : bundleOnHost(context), tool.offset];
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
      upload: {
        from: tool.file,
        ...(tool.parts ? { parts: tool.parts } : {}),
        offset: tool.offset,
        size: tool.size,
        to: archive,
        beside: tool.name,
      },
      undo: call("rm", "-f", `${archive}.part`),
      timeoutMs: 3_600_000,
    },
    unpack,
  ];
}

/** The host's own `verify` and `serve` ask for the signatures that this machine asks for. */
function trustSteps(context: Context): Step[] {
  const { policy, signatures = [] } = context.bundle;
  const own = signatures.map(({ suffix, text }) =>
    fileStep({
      id: `signature${suffix.replace(/\.?sigstore\.json$/, "").replace(".", "-")}`,
      title: `The bundle's signature is on the host (${suffix})`,
      path: `${bundleOnHost(context)}${suffix}`,
      content: text,
      mode: "640",
      closed: true,
      group: USER,
    }),
  );
  if (policy === undefined) return own;
  return [
    ...policy.keys.map(({ path, pem }) =>
      fileStep({
        id: `key-${path.replace(/^trust\/|\.pub$/g, "")}`,
        title: `The host knows the public key ${path}`,
        path: pathBelow(POLICY, path),
        content: pem,
      }),
    ),
    fileStep({
      id: "policy",
      title: "The host asks for the signatures that this machine asks for",
      path: pathBelow(POLICY, "trust.yaml"),
      content: policy.text,
    }),
    ...own,
  ];
}

/** Which bundle of this name the site has, so that an older one is not taken for a newer one. */
function sequenceStep({ bundle: { lock, lockDigest } }: Context): Step[] {
  if (lock.sequence === undefined) return [];
  const noted = [`sequences/${lock.name}`, `${lock.sequence} ${lockDigest}`] as const;
  return [
    {
      id: "sequence",
      title: `The host remembers the bundle's number, ${lock.sequence}`,
      check: call("is_noted", ...noted),
      apply: call("note", ...noted),
    },
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
    ...(context.servedToo?.[host.name] ?? []).map((path) => `--fallback ${path}`),
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
