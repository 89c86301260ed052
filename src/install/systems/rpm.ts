import { pathBelow } from "../../lock/titles.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import {
  PACKAGES_DIR,
  type PackageCommands,
  type SiteRepository,
  type System,
  type Tree,
  type Wanted,
} from "./system.ts";

const withoutEpoch = (version: string): string => version.replace(/^\d+:/, "");

/** In a form that yum 3, dnf and rpm all understand. */
const exact = ({ name, version, arch }: Wanted): string => `${name}-${withoutEpoch(version)}.${arch}`;

/** As dnf's functions take them: a list of pinned packages, then each of the others. */
const requests = (wanted: readonly Wanted[]): [pinned: string[], ...others: string[]] => [
  wanted.filter(({ pinned }) => pinned).map(exact),
  ...wanted
    .filter(({ pinned }) => !pinned)
    .map((each) => (each.text === each.name ? exact(each) : `${exact(each)} ${each.text}`)),
];

const packageCommands = (manager: "dnf" | "yum", config: string): PackageCommands => ({
  label: (wanted) => (wanted.pinned ? exact(wanted) : wanted.name),
  areInstalled: (wanted) => call("rpm_has", ...requests(wanted)),
  install: ({ wanted, repositories, ignored }) =>
    call("dnf_install", manager, repositories, ignored, ...requests(wanted)),
  areHeld: (names) => call("dnf_excludes", config, ...names),
  hold: (names) => call("dnf_exclude", config, ...names),
  unhold: () => call("give_back", config),
});

const fileName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

interface Key {
  path: string;
  armored: string;
}

/** A section of a file in /etc/yum.repos.d. Packages that their maker did not sign are trusted through our signature of the metadata. */
function section({ set, url, login, ca }: SiteRepository, { id, path, signed }: Tree, keys: Key[]): string {
  return [
    `[${id}]`,
    `name=airgap, packages of ${set.name}${signed ? "" : " that their maker did not sign"}`,
    `baseurl=${url}${path}`,
    "enabled=0",
    `gpgcheck=${signed ? 1 : 0}`,
    "repo_gpgcheck=1",
    `gpgkey=${keys.map((each) => `file://${each.path}`).join("\n       ")}`,
    "metadata_expire=1",
    "skip_if_unavailable=0",
    "proxy=_none_",
    ...(ca ? [`sslcacert=${ca}`] : []),
    ...(set.facts.moduleHotfixes ? ["module_hotfixes=1"] : []),
    ...(login ? [`username=${login.user}`, `password=${login.password}`] : []),
    "",
  ].join("\n");
}

function repositorySteps(repository: SiteRepository): Step[] {
  const { set, trees, login } = repository;
  const own: Key = { path: `${PACKAGES_DIR}/airgap.asc`, armored: set.facts.signing.publicKey };
  const vendors = Object.entries(set.facts.keys).map(
    ([path, armored]): Key => ({ path: pathBelow(PACKAGES_DIR, path), armored }),
  );
  return [
    ...[own, ...vendors].map(({ path, armored }) =>
      fileStep({
        id: `key-${fileName(path).replace(/\.asc$/, "")}`,
        title: `The host has a key that verifies packages: ${fileName(path)}`,
        path,
        content: armored,
      }),
    ),
    fileStep({
      id: "repo-file",
      title: "The site's packages have a repository, which is used only by name",
      path: "/etc/yum.repos.d/airgap.repo",
      content: trees
        .map((tree) => section(repository, tree, tree.signed ? [own, ...vendors] : [own]))
        .join("\n"),
      mode: login ? "600" : "644",
      undone: call("forget_dnf_repositories"),
    }),
  ];
}

/** Red Hat's systems and similar ones: CentOS, Rocky, openEuler, Kylin. */
export const rpm = (manager: "dnf" | "yum", config: string): System => ({
  format: "rpm",
  trust: {
    folder: "/etc/pki/ca-trust/source/anchors",
    bundle: "/etc/pki/tls/certs/ca-bundle.crt",
    update: ["update-ca-trust"],
    rebuild: ["update-ca-trust"],
  },
  chrony: { config: "/etc/chrony.conf", unit: "chronyd" },
  repositorySteps,
  packages: packageCommands(manager, config),
});
