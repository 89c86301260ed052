import { HARBOR_LOG_PORT } from "../../cluster/check-harbor.ts";
import { type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { localName } from "../bundle.ts";
import { type Context, setFor } from "../context.ts";
import type { HarborHost } from "../harbor/host.ts";
import { HARBOR_FILE, TRIVY_DB_FILE } from "../harbor/names.ts";
import { landingProjects } from "../harbor/projects.ts";
import { changeOf, isOlder, oldestCompose, oldestDocker, takenOver } from "../harbor/versions.ts";
import { harborVersion } from "../stages/harbor.ts";
import { wantedOn } from "../stages/wanted.ts";
import type { Finding } from "./finding.ts";

type Found = Omit<Finding, "host" | "check">;

const error = (message: string, suggestion?: string): Found => ({
  severity: "error",
  message,
  ...(suggestion ? { suggestion } : {}),
});
const warning = (message: string): Found => ({ severity: "warning", message });

/** Room that Harbor's images take when they are loaded. Bytes. */
const LOADED = 2.5 * 2 ** 30;
const GIB = 2 ** 30;
/** Harbor's own minimum: https://goharbor.io/docs/main/install-config/installation-prereqs/ */
const LEAST = { cores: 2, memoryMiB: 3700 };
/** Where PostgreSQL and Redis do not keep data safely. */
const UNSAFE = /^(?:nfs\d?|cifs|smb\d?|9p|vfat|exfat|fuse\..*|tmpfs)$/;

const DOCKER = /^docker(?:-ce|\.io|-engine)?$/;
const COMPOSE_PLUGIN = /^docker-compose-(?:plugin|v2)$/;

/** What the cluster file and the bundle alone tell about a Harbor that is to be installed. */
export function harborInBundle({
  cluster,
  bundle,
  harbor,
}: Pick<Context, "cluster" | "bundle" | "harbor">): Finding[] {
  const settings = cluster.registry.harbor;
  if (settings === undefined) return [];
  const file = localName(bundle);
  const landing = landingProjects(cluster, bundle.lock);
  const known = [...landing, ...settings.projects.map(({ name }) => name)];
  const closed = settings.projects.filter(
    ({ name, public: open }) => !open && landing.includes(name) && cluster.registry.user === undefined,
  );
  const found: Found[] = [
    ...(harbor?.archive === undefined
      ? [
          error(
            `${file} does not have Harbor's offline installer, which \`registry.mode: harbor\` needs`,
            `add \`files: [{ url: https://…/harbor-offline-installer-vX.Y.Z.tgz, sha256: …, as: ${HARBOR_FILE} }]\` to the spec`,
          ),
        ]
      : []),
    ...(settings.trivy && bundle.files[TRIVY_DB_FILE] === undefined
      ? [
          error(
            `registry.harbor.trivy: Trivy has no database of vulnerabilities of its own, and ${file} has no file \`${TRIVY_DB_FILE}\`: every scan would fail`,
            `add \`files: [{ path: db.tar.gz, as: ${TRIVY_DB_FILE} }]\` to the spec, or set \`trivy: false\``,
          ),
        ]
      : []),
    ...closed.map(({ name }) =>
      error(
        `registry.harbor.projects: ${name} is private, and the nodes pull images of the bundle from it without a login`,
        "set `public: true` for it, or give nodes an account: `registry: { user: …, passwordEnv: … }`",
      ),
    ),
    ...settings.users.flatMap(({ name, projects }) =>
      Object.keys(projects)
        .filter((project) => !known.includes(project))
        .map((project) =>
          error(
            `registry.harbor.users: ${name} gets a role in ${project}, which is not among registry.harbor.projects`,
            `the projects: ${known.join(", ")}`,
          ),
        ),
    ),
  ];
  return found.map((each) => ({ check: "bundle-harbor", ...each }));
}

/** Docker and compose: the host's own, or the bundle's for it. */
function packages(context: Context, host: ClusterHost, facts: Facts, version: string): Found[] {
  const set = setFor(context.bundle, facts);
  const wanted = set ? wantedOn(set, host) : [];
  const docker =
    facts.versions.docker ?? wanted.find(({ name }) => DOCKER.test(name))?.version.replace(/^\d+:/, "");
  const plugin = wanted.some(({ name }) => COMPOSE_PLUGIN.test(name));
  const compose =
    context.harbor?.host?.compose ??
    wanted.find(({ name }) => name === "docker-compose")?.version.replace(/^\d+:/, "");
  const names = host.roles.join(", ");
  const add = (list: string): string =>
    `add ${list} to \`install:\` of the set for it, for the role registry (its roles: ${names})`;
  const lacking: Found[] = [];
  if (docker === undefined)
    lacking.push(
      error(
        `neither the host nor the bundle's packages for it have Docker${facts.versions.podman ? "; podman cannot run Harbor" : ""}`,
        add("docker-ce or docker.io"),
      ),
    );
  else if (isOlder(docker, oldestDocker(version)))
    lacking.push(error(`Docker ${docker} is too old: Harbor ${version} needs ${oldestDocker(version)}`));
  if (compose === undefined && !plugin)
    lacking.push(
      error(
        "neither the host nor the bundle's packages for it have compose",
        add("docker-compose-plugin (Debian: docker-compose)"),
      ),
    );
  else if (compose !== undefined && !plugin && isOlder(compose, oldestCompose(version)))
    lacking.push(
      error(`docker-compose ${compose} is too old: Harbor ${version} needs ${oldestCompose(version)}`),
    );
  return lacking;
}

/** The machine itself. */
function machine(
  { machine: arch, cores, memoryKiB, selinux, dockerConfig }: Facts,
  stands: boolean,
): Found[] {
  const memory = Math.floor(memoryKiB / 1024);
  return [
    ...(arch === "x86_64" ? [] : [error(`Harbor's images are for x86_64, and the host is ${arch}`)]),
    ...(!stands && (cores < LEAST.cores || memory < LEAST.memoryMiB)
      ? [warning(`it has ${cores} cores and ${memory} MB of memory; Harbor asks for 2 cores and 4 GB`)]
      : []),
    ...(selinux === "Enforcing" && /"selinux-enabled"\s*:\s*true/.test(dockerConfig ?? "")
      ? [
          warning(
            "SELinux is enforcing, and Docker labels its containers (selinux-enabled in daemon.json): Harbor may not read its configuration. If it does not start: semanage fcontext -a -t container_file_t '/opt/harbor(/.*)?' && restorecon -R /opt/harbor",
          ),
        ]
      : []),
  ];
}

/** What others have left where Harbor goes. */
function leftovers({ foreign, foreignDatabase, foreignFolder }: HarborHost, data: string): Found[] {
  return [
    ...(foreign.length > 0
      ? [
          error(
            `Docker has containers with the names of Harbor's, which airgap did not make: ${foreign.join(", ")}`,
            `if that Harbor stays, use it: \`registry: { mode: external }\`; if it is not needed any more, remove it: docker compose down in its folder, or docker rm -f ${foreign.join(" ")}`,
          ),
        ]
      : []),
    ...(foreignDatabase
      ? [
          error(
            `${data} has a database that airgap did not make: its password is not known, and its administrator keeps the old password`,
            `use another folder: \`registry: { harbor: { data: … } }\`; or write the password of that database into ${data}/airgap/database-password, and give its administrator's with adminPasswordEnv`,
          ),
        ]
      : []),
    ...(foreignFolder === undefined
      ? []
      : [
          error(
            `${foreignFolder} is there, and airgap did not make it`,
            `move it away: mv ${foreignFolder} ${foreignFolder}.old`,
          ),
        ]),
  ];
}

/** Where data go, and whether there is room. */
function storage(context: Context, host: HarborHost, stands: boolean): Found[] {
  const { data = "" } = context.cluster.registry.harbor ?? {};
  const unsafe = host.data && UNSAFE.test(host.data.type);
  const archive = context.harbor?.archive?.size ?? 0;
  const images = context.bundle.lock.blobs.reduce((sum, { size }) => sum + size, 0);
  const needs = [
    { at: host.docker, bytes: LOADED + archive, what: "Harbor's images" },
    { at: host.data, bytes: images + GIB, what: `Harbor's data in ${data}` },
  ];
  const byMount = Map.groupBy(needs, ({ at }) => at?.mount);
  const short = [...byMount].flatMap(([mount, group]): Found[] => {
    const free = (group[0]?.at?.kib ?? 0) * 1024;
    const bytes = group.reduce((sum, each) => sum + each.bytes, 0);
    if (mount === undefined || stands || bytes <= free) return [];
    const room = (size: number): string => `${(size / GIB).toFixed(1)} GiB`;
    return [
      error(
        `${mount} has ${room(free)} left; ${group.map(({ what }) => what).join(" and ")} need ${room(bytes)}`,
      ),
    ];
  });
  return [
    ...short,
    ...(unsafe
      ? [
          error(
            `${data} is on ${host.data?.type}, where Harbor's database does not survive`,
            "use a folder on a disk of the host: `registry: { harbor: { data: … } }`",
          ),
        ]
      : []),
  ];
}

/** Whether the Harbor and the database that are there can become the bundle's. */
function change(context: Context, version: string): Found[] {
  const standing = harborVersion(context.cluster, context.facts);
  const { data = "" } = context.cluster.registry.harbor ?? {};
  const planned = standing === undefined ? undefined : changeOf(standing, version);
  if (planned?.kind === "refused") return [error(planned.why, planned.way)];
  const allowed = takenOver(version);
  const others = (context.harbor?.host?.postgres ?? []).filter((each) => !allowed.includes(each));
  if (others.length > 0 && allowed.length > 0)
    return [
      error(
        `${data}/database has data of PostgreSQL ${others.join(", ")}, and Harbor ${version} takes over only ${allowed.join(" and ")}: it would start with an empty database, and all projects would be out of sight`,
        "go in steps of at most two minor versions of Harbor, with a bundle for each",
      ),
    ];
  if (planned?.kind !== "upgrade") return [];
  return [
    {
      severity: "notice",
      message: `Harbor goes from ${standing} to ${version}: it stops for some minutes, and a copy of its database is kept in ${data}/airgap`,
    },
  ];
}

/** What the registry host tells about a Harbor that is to be installed there. */
function harborOnHost(context: Context): Finding[] {
  const { cluster, facts, harbor } = context;
  const [host] = hostsOf(cluster, "registry");
  const own = host && facts[host.name];
  const archive = harbor?.archive;
  if (cluster.registry.harbor === undefined || !host || !own || !archive) return [];
  const stands = own.harbor !== undefined;
  const asked = harbor?.host;
  const found = [
    ...packages(context, host, own, archive.version),
    ...machine(own, stands),
    ...(asked ? leftovers(asked, cluster.registry.harbor.data) : []),
    ...(asked ? storage(context, asked, stands) : []),
    ...change(context, archive.version),
  ];
  return found.map((each) => ({ check: "harbor", host: host.name, ...each }));
}

/** Ports that Harbor publishes on its host. */
export function harborPorts(host: ClusterHost, { registry }: Context["cluster"]): number[] {
  if (registry.harbor === undefined || !host.roles.includes("registry")) return [];
  return [...new Set([registry.port, registry.harbor.httpPort, HARBOR_LOG_PORT])];
}

export const HARBOR_CHECKS: ((context: Context) => Finding[])[] = [harborInBundle, harborOnHost];
