import { pathBelow } from "../../lock/titles.ts";
import type { PackageSet } from "../bundle.ts";
import type { ClusterHost } from "../cluster.ts";
import { type Context, familyOf, setFor, wave } from "../context.ts";
import { sh } from "../sh.ts";
import type { Wave } from "../stage.ts";
import { fileStep, type Step } from "../step.ts";
import { fill } from "../template.ts";
import { SITE_CA } from "./trust.ts";

const DIR = "/etc/airgap/packages";
export const APT_CONF = `${DIR}/apt.conf`;
const REPO_FILE = "/etc/yum.repos.d/airgap.repo";

/** A repository as the server has it. */
interface Tree {
  id: string;
  /** Below the set. */
  path: string;
  signed: boolean;
}

/** Where packages come from is put beside what the host has, which stays as it is and is used no further here. */
export function repositoryStage(context: Context): Wave[] {
  return [
    wave(context.cluster.hosts, (host) => {
      const set = setFor(context.bundle, context.factsOf(host));
      if (set === undefined) return [];
      return familyOf(context.factsOf(host)) === "deb"
        ? aptSteps(context, host, set)
        : rpmSteps(context, host, set);
    }),
  ];
}

/** A host sees what its roles get; the whole set only where roles make no difference. */
function treesFor(set: PackageSet, host: ClusterHost): Tree[] {
  const roles = Object.keys(set.facts.roles);
  const own = roles.filter((role) => (host.roles as string[]).includes(role));
  const plain = roles.length === 1 && roles[0] === "all";
  const names = own.length > 0 ? own : ["all"];
  const unsigned = set.facts.packages.filter((each) => each.unsigned).map(({ id }) => id);
  return (plain ? [undefined] : names).flatMap((role): Tree[] => {
    const id = role === undefined ? `airgap-${set.name}` : `airgap-${set.name}-${role}`;
    const path = role === undefined ? "" : `roles/${role}/`;
    const within =
      role === undefined
        ? unsigned
        : unsigned.filter((each) => set.facts.roles[role]?.packages.includes(each));
    const signed: Tree = { id, path, signed: true };
    return set.facts.format === "rpm" && within.length > 0
      ? [signed, { id: `${id}-unsigned`, path: `${path}unsigned/`, signed: false }]
      : [signed];
  });
}

export const repositoryIds = (set: PackageSet, host: ClusterHost): string[] =>
  treesFor(set, host).map(({ id }) => id);

const baseUrl = (context: Context, set: PackageSet): string =>
  `${context.repositoryUrl}/packages/${set.name}/`;

interface Login {
  user: string;
  password: string;
}

/** The server asks everybody when it asks at all. */
function loginOf({ cluster, secrets }: Context): Login | undefined {
  const { user, mode } = cluster.registry;
  const { registryPassword: password } = secrets;
  return mode === "serve" && user !== undefined && password !== undefined ? { user, password } : undefined;
}

function aptSteps(context: Context, host: ClusterHost, set: PackageSet): Step[] {
  const key = `${DIR}/airgap.asc`;
  const sources = treesFor(set, host).map(
    ({ path }) => `deb [signed-by=${key}] ${baseUrl(context, set)}${path} /\n`,
  );
  const login = loginOf(context);
  const { hostname, port } = new URL(context.repositoryUrl);
  const auth = login
    ? `machine ${hostname}${port ? `:${port}` : ""} login ${login.user} password ${login.password}\n`
    : "# The server asks nobody.\n";
  return [
    fileStep({
      id: "key",
      title: "Packages are trusted by the site's key",
      path: key,
      content: set.facts.signing.publicKey,
    }),
    fileStep({
      id: "sources",
      title: "The site's packages have a source of their own",
      path: `${DIR}/sources.list`,
      content: sources.join(""),
    }),
    fileStep({ id: "auth", title: "apt can log in", path: `${DIR}/auth.conf`, content: auth, mode: "600" }),
    fileStep({
      id: "apt-conf",
      title: "apt can be told to use that source alone",
      path: APT_CONF,
      content: fill("packages/apt.conf", {}),
    }),
  ];
}

const fileName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function rpmSteps(context: Context, host: ClusterHost, set: PackageSet): Step[] {
  const vendors = Object.entries(set.facts.keys).map(([path, armored]) => ({
    path: pathBelow(DIR, path),
    armored,
  }));
  const own = { path: `${DIR}/airgap.asc`, armored: set.facts.signing.publicKey };
  const login = loginOf(context);
  const section = ({ id, path, signed }: Tree): string => {
    const keys = [own, ...(signed ? vendors : [])].map((each) => `file://${each.path}`);
    return [
      `[${id}]`,
      `name=airgap, packages of ${set.name}${signed ? "" : " that their maker did not sign"}`,
      `baseurl=${baseUrl(context, set)}${path}`,
      "enabled=0",
      `gpgcheck=${signed ? 1 : 0}`,
      "repo_gpgcheck=1",
      `gpgkey=${keys.join("\n       ")}`,
      "metadata_expire=1",
      "skip_if_unavailable=0",
      "proxy=_none_",
      ...(context.secrets.tls ? [`sslcacert=${SITE_CA}`] : []),
      ...(set.facts.moduleHotfixes ? ["module_hotfixes=1"] : []),
      ...(login ? [`username=${login.user}`, `password=${login.password}`] : []),
      "",
    ].join("\n");
  };
  return [
    ...[own, ...vendors].map(({ path, armored }) =>
      fileStep({
        id: `key-${fileName(path).replace(/\.asc$/, "")}`,
        title: `A key by which packages are trusted: ${fileName(path)}`,
        path,
        content: armored,
      }),
    ),
    fileStep({
      id: "repo-file",
      title: "The site's packages have a repository, used only when it is named",
      path: REPO_FILE,
      content: treesFor(set, host).map(section).join("\n"),
      mode: login ? "600" : "644",
      undone: sh`rm -rf /var/cache/dnf/airgap-* /var/cache/yum/*/*/airgap-*`,
    }),
  ];
}
