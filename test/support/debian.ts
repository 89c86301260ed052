import { execFileSync } from "node:child_process";

/** Where Debian keeps the key that signs its repositories. */
export const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** What nodes and load balancers of a cluster want of Debian. */
export const NODE_SET = [
  ..."conntrack socat ethtool ebtables ipset ipvsadm containerd runc keepalived haproxy chrony nfs-common bash-completion".split(
    " ",
  ),
];

/** Debian's own repository, as this machine's apt knows it. */
export interface DebianRepository {
  /** For apt: deb822. */
  sources: string;
  /** For a spec: the lines below `repositories:` of a set. */
  spec: string;
}

/** Debian's main, from this machine's apt settings; undefined where apt names none. */
export function debianRepository(): DebianRepository | undefined {
  const format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)";
  const listed = execFileSync("apt-get", ["indextargets", "--format", format, "Created-By: Packages"], {
    encoding: "utf8",
  });
  const found = listed
    .split("\n")
    .map((line) => line.split("|"))
    .filter(([, , component, origin]) => origin === "Debian" && component === "main");
  if (found.length === 0) return undefined;
  const sources = found.map(
    ([uri, suite, component]) =>
      `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: ${component}\nSigned-By: ${KEYRING}\n`,
  );
  const spec = found.map(
    ([uri, suite, component], i) =>
      `      - { id: r${i}, uris: "${uri}", suites: ["${suite}"], components: [${component}], signedBy: "${KEYRING}" }`,
  );
  return { sources: sources.join("\n"), spec: spec.join("\n") };
}
