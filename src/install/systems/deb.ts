import { fillShipped } from "../../host/shipped.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import {
  PACKAGES_DIR,
  type PackageCommands,
  type SiteRepository,
  type System,
  type Wanted,
} from "./system.ts";

const APT_CONF = `${PACKAGES_DIR}/apt.conf`;

const exact = ({ name, version }: Wanted): string => `${name}=${version}`;

/** As apt's functions take them: pinned packages, and the others. */
const lists = (wanted: readonly Wanted[]): [pinned: string[], others: string[]] => [
  wanted.filter(({ pinned }) => pinned).map(exact),
  wanted.filter(({ pinned }) => !pinned).map(exact),
];

const packages: PackageCommands = {
  label: ({ name, version, pinned }) => (pinned ? `${name} ${version}` : name),
  areInstalled: (wanted) => call("apt_has", ...lists(wanted)),
  install: ({ wanted, ignored }) => call("apt_install", APT_CONF, ignored, ...lists(wanted)),
  areHeld: (names) => call("apt_holds", ...names),
  hold: (names) => call("apt_hold", ...names),
  unhold: (names) => call("apt_release", ...names),
};

function repositorySteps({ set, trees, url, login }: SiteRepository): Step[] {
  const key = `${PACKAGES_DIR}/airgap.asc`;
  const { host, protocol } = new URL(url);
  // apt gives a login to plain http only where the entry says so. apt_auth.conf(5)
  const machine = protocol === "http:" ? `http://${host}` : host;
  const auth = login
    ? `machine ${machine} login ${login.user} password ${login.password}\n`
    : "# The server asks for no login.\n";
  return [
    fileStep({
      id: "key",
      title: "apt trusts the site's key",
      path: key,
      content: set.facts.signing.publicKey,
    }),
    fileStep({
      id: "sources",
      title: "The site's packages have their own source",
      path: `${PACKAGES_DIR}/sources.list`,
      content: trees.map(({ path }) => `deb [signed-by=${key}] ${url}${path} /\n`).join(""),
    }),
    fileStep({
      id: "auth",
      title: "apt can log in",
      path: `${PACKAGES_DIR}/auth.conf`,
      content: auth,
      mode: "600",
    }),
    fileStep({
      id: "apt-conf",
      title: "apt can be told to use only that source",
      path: APT_CONF,
      content: fillShipped("packages/apt.conf", {}),
    }),
  ];
}

/** Debian, Ubuntu and their derivatives. */
export const deb: System = {
  format: "deb",
  trust: {
    folder: "/usr/local/share/ca-certificates",
    bundle: "/etc/ssl/certs/ca-certificates.crt",
    update: ["update-ca-certificates"],
    rebuild: ["update-ca-certificates", "--fresh"],
  },
  chrony: { config: "/etc/chrony/chrony.conf", unit: "chrony" },
  repositorySteps,
  packages,
};
