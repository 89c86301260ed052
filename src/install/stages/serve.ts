import type { ClusterHost } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { pathBelow } from "../../lock/titles.ts";
import { raw, sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step, serviceStep } from "../../plan/step.ts";
import { bundleFileName } from "../bundle.ts";
import type { Context } from "../context.ts";
import { DIGEST_LENGTH, toolFor } from "../tool.ts";
import { SITE_CA } from "./trust.ts";

export const BUNDLES = "/var/lib/airgap/bundles";
const UNIT = "airgap-serve.service";
/** Whom the server runs as; nobody else is in the group of that name. */
const USER = "airgap-serve";
const FILES = {
  cert: "/etc/airgap/serve/tls.crt",
  key: "/etc/airgap/serve/tls.key",
  users: "/etc/airgap/serve/htpasswd",
};

/** Where the bundle lies on the host that serves it. */
export const bundleOnHost = (context: Context): string => pathBelow(BUNDLES, bundleFileName(context.bundle));

/** Where the tool is on the host that serves; its `bin/airgap` runs with its own Node. */
export function toolOnHost(context: Context): string {
  return `/opt/airgap/${toolFor(context).digest.slice(7, 7 + DIGEST_LENGTH)}`;
}

/** The bundle and the tool go to one host, once; from there every host gets packages, files and images. */
export function serveStage(context: Context): Wave[] {
  const host = context.cluster.hosts.find(({ name }) => name === context.cluster.repository.host);
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

/** A user of the server's own, who gets at the bundle; before it comes, so that nobody else reads it on its way. */
function userStep(): Step {
  return {
    id: "user",
    title: `The server has a user of its own: ${USER}`,
    check: sh`
      case $(getent passwd ${USER} | cut -d: -f3) in '' | 0) fail ${`there is no user ${USER}`} ;; esac
      closed ${BUNDLES} ${USER}`,
    apply: sh`
      if ! getent group ${USER} >/dev/null; then
        echo group >>"$airgap_home/serve-user"
        groupadd --system ${USER}
      fi
      if ! getent passwd ${USER} >/dev/null; then
        echo user >>"$airgap_home/serve-user"
        useradd --system --gid ${USER} --no-create-home --home-dir /nonexistent --shell "$(command -v nologin || echo /bin/false)" ${USER}
      fi
      close ${BUNDLES} ${USER}`,
    // On a host where an earlier version made the service, this is taken back before that.
    undo: sh`
      [ -e "$airgap_home/serve-user" ] || exit 0
      systemctl disable --now ${UNIT} 2>/dev/null || :
      ! grep -qx user "$airgap_home/serve-user" || ! getent passwd ${USER} >/dev/null || userdel ${USER}
      ! grep -qx group "$airgap_home/serve-user" || ! getent group ${USER} >/dev/null || groupdel ${USER}
      rm -f "$airgap_home/serve-user"`,
  };
}

/** Bundles may hold Secrets. One that another version has left is for everybody. */
function bundleOwner(context: Context): Step {
  const to = bundleOnHost(context);
  return {
    id: "bundle-owner",
    title: `Nobody but ${USER} reads the bundle`,
    check: sh`[ "$(stat -c '%a %G' ${to})" = ${`640 ${USER}`} ]`,
    apply: sh`
      for bundle in ${raw(BUNDLES)}/*; do
        chgrp ${USER} "$bundle"
        chmod 640 "$bundle"
      done`,
  };
}

function bundleCopy(context: Context): Step {
  const { bundle } = context;
  const to = bundleOnHost(context);
  return {
    id: "bundle-copy",
    title: `The bundle is on the host (${bundle.size} bytes)`,
    check: sh`[ -f ${to} ] || [ "$(stat -c %s ${`${to}.part`} 2>/dev/null)" = ${bundle.size} ]`,
    apply: sh`
      from_beside ${bundleFileName(bundle)} ${`${to}.part`}
      [ "$(stat -c %s ${`${to}.part`} 2>/dev/null)" = ${bundle.size} ] || fail ${`${bundleFileName(bundle)} did not get here whole`}`,
    upload: { from: bundle.path, offset: 0, size: bundle.size, to, beside: bundleFileName(bundle) },
    undo: sh`rm -rf ${BUNDLES}`,
    timeoutMs: 6 * 3_600_000,
  };
}

/** The tool comes out of the bundle when that carries it, else it is sent as well. */
function toolSteps(context: Context): Step[] {
  const tool = toolFor(context);
  const folder = toolOnHost(context);
  const archive = tool.file === undefined ? undefined : pathBelow("/var/lib/airgap", tool.name);
  const bundle = bundleOnHost(context);
  const content = archive
    ? sh`cat ${`${archive}.part`}`
    : sh`
      bundle=${bundle}
      [ -f "$bundle" ] || bundle=$bundle.part
      tail -c +${tool.offset + 1} "$bundle" | head -c ${tool.size}`;
  const unpack: Step = {
    id: "tool",
    title: "airgap itself is installed, with its own Node",
    check: sh`[ -x ${folder}/bin/airgap ]`,
    apply: sh`
      content() {
        ${raw(content)}
      }
      [ "$(content | sha256sum)" = ${`${tool.digest.slice(7)}  -`} ] || fail ${`${tool.name} is damaged`}
      rm -rf ${`${folder}.new`}
      mkdir -p ${`${folder}.new`}
      content | gzip -dc | tar -xf - --strip-components=1 --no-same-owner -C ${`${folder}.new`}
      if have restorecon; then restorecon -R ${`${folder}.new`} || :; fi
      ${`${folder}.new/bin/airgap`} --version
      rm -rf ${folder}
      mv ${`${folder}.new`} ${folder}
      ${raw(archive ? sh`rm -f ${`${archive}.part`}` : ":")}`,
    undo: sh`rm -rf /opt/airgap`,
  };
  if (archive === undefined || tool.file === undefined) return [unpack];
  return [
    {
      id: "tool-copy",
      title: `airgap itself is on the host (${tool.size} bytes)`,
      check: sh`[ -x ${folder}/bin/airgap ] || [ "$(stat -c %s ${`${archive}.part`} 2>/dev/null)" = ${tool.size} ]`,
      apply: sh`
        from_beside ${tool.name} ${`${archive}.part`}
        [ "$(stat -c %s ${`${archive}.part`} 2>/dev/null)" = ${tool.size} ] || fail ${`${tool.name} did not get here whole`}`,
      upload: { from: tool.file, offset: tool.offset, size: tool.size, to: archive, beside: tool.name },
      undo: sh`rm -f ${`${archive}.part`}`,
      timeoutMs: 3_600_000,
    },
    unpack,
  ];
}

/** Only a bundle that is whole gets its name. One that is not is thrown away, so that it is sent again. */
function bundleCheck(context: Context): Step {
  const to = bundleOnHost(context);
  return {
    id: "bundle",
    title: "The bundle is whole, every byte checked",
    check: sh`[ -f ${to} ]`,
    apply: sh`
      mkdir -p ${BUNDLES}
      ${toolOnHost(context)}/bin/airgap verify --quiet ${`${to}.part`} || {
        rm -f ${`${to}.part`}
        fail "the bundle was damaged on its way; run again, and it is sent anew"
      }
      mv ${`${to}.part`} ${to}`,
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
            title: "Who may ask the server",
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
  // Its libatomic lies beside it; bin/airgap knows, a plain call does not.
  const own = `${toolOnHost(context)}/node`;
  const node = sh`env LD_LIBRARY_PATH=${`${own}/lib`} ${`${own}/bin/node`}`;
  return [
    fileStep({
      id: "unit",
      title: "The server is a service",
      path: `/etc/systemd/system/${UNIT}`,
      content: unit,
      undone: "systemctl daemon-reload",
    }),
    serviceStep({
      id: "service",
      title: `${context.repositoryUrl} serves images, packages and files`,
      unit: UNIT,
      reads: [
        { path: `/etc/systemd/system/${UNIT}`, content: unit },
        ...serverFiles(context).flatMap(({ file }) => file ?? []),
      ],
      undo: sh`systemctl disable --now ${UNIT} 2>/dev/null || :`,
    }),
    {
      id: "health",
      title: "The server answers",
      check: sh`${raw(node)} -e ${healthProgram(context, host)}`,
      apply: sh`wait_for 60 ${raw(node)} -e ${healthProgram(context, host)}`,
    },
  ];
}

/** Asks as a client would: by name, with the site's authority and nothing else. */
function healthProgram({ cluster, secrets, repositoryUrl }: Context, host: ClusterHost): string {
  const { hostname } = new URL(repositoryUrl);
  const options = {
    host: "127.0.0.1",
    port: cluster.repository.port,
    path: "/healthz",
    servername: hostname || host.name,
  };
  const ca = secrets.tls ? `,ca:require("fs").readFileSync(${JSON.stringify(SITE_CA)})` : "";
  const module = secrets.tls ? "https" : "http";
  return `require("${module}").get({...${JSON.stringify(options)}${ca}},a=>{if(a.statusCode!==200){console.log("it answers "+a.statusCode);process.exit(1)}process.exit(0)}).on("error",e=>{console.log(e.message);process.exit(1)})`;
}
