import { readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "../atomic.ts";
import { writeDeb } from "./deb.ts";
import { librariesHere, writeImage } from "./image.ts";
import { writeRpm } from "./rpm.ts";
import { type Entry, fileEntry, linkEntry, treeOf } from "./tree.ts";

export interface Distribution {
  /** The folder of the packed tool: what the archive holds. */
  dir: string;
  /** Where the packages go. */
  into: string;
  version: string;
  architecture: "x64" | "arm64";
  description: string;
}

const HOME = "usr/lib/airgap";
const DEBIAN = { x64: "amd64", arm64: "arm64" } as const;
const RPM = { x64: "x86_64", arm64: "aarch64" } as const;
const LONG =
  "One tar carries container images, RPM and DEB packages, charts, manifests and files\nacross an air gap. Behind it the same program verifies the tar, serves it or fills\na registry from it, and turns bare hosts into a cluster over SSH.";

/** The newest version of each symbol family that a binary asks for: `GLIBC_2.28`, `GLIBCXX_3.4.21`. */
export function symbolVersions(binary: Buffer): Record<"GLIBC" | "GLIBCXX", string> {
  const newest = { GLIBC: "0", GLIBCXX: "0" };
  for (const [, family = "", version = ""] of binary
    .toString("latin1")
    .matchAll(/\b(GLIBC|GLIBCXX)_(\d+(?:\.\d+)+)\b/g)) {
    const key = family as keyof typeof newest;
    if (version.localeCompare(newest[key], "en", { numeric: true }) > 0) newest[key] = version;
  }
  return newest;
}

/** The same files in every package: the tool in one folder, and links to it where others look. */
function installed(dir: string, zsh: string): Entry[] {
  const up = (levels: number, path: string): string => `${"../".repeat(levels)}lib/airgap/${path}`;
  const pages = treeOf(join(dir, "share/man/man1"), "").map(({ path }) => path.slice(1));
  return [
    ...treeOf(dir, HOME),
    // For bin/airgap.mjs.
    fileEntry(`${HOME}/dist/.managed`, ""),
    linkEntry("usr/bin/airgap", up(1, "bin/airgap")),
    ...pages.map((name) => linkEntry(`usr/share/man/man1/${name}`, up(3, `share/man/man1/${name}`))),
    linkEntry("usr/share/bash-completion/completions/airgap", up(3, "share/completion/airgap.bash")),
    linkEntry(`${zsh}/_airgap`, up(3, "share/completion/_airgap")),
    linkEntry("usr/share/fish/vendor_completions.d/airgap.fish", up(3, "share/completion/airgap.fish")),
    fileEntry(
      "usr/share/doc/airgap/copyright",
      "License of airgap: Apache 2.0, /usr/lib/airgap/LICENSE.\nIts libraries keep their own licenses, in /usr/lib/airgap/node_modules and in sbom.cdx.json there.\nNode: /usr/lib/airgap/node/LICENSE.\n",
    ),
  ];
}

/** Folders that a system has before us; an RPM that owned them would contradict others. */
const ofTheSystem = (path: string): boolean => !path.startsWith(HOME) && path !== "usr/share/doc/airgap";

/**
 * Writes the .deb, the .rpm and, for this machine's architecture, the container image.
 * @returns their paths
 */
export async function distribute({
  dir,
  into,
  version,
  architecture,
  description,
}: Distribution): Promise<string[]> {
  const needs = symbolVersions(readFileSync(join(dir, "node/bin/node")));
  const deb = join(into, `airgap_${version}_${DEBIAN[architecture]}.deb`);
  const summary = description;
  await replaceFile(deb, (draft) =>
    writeDeb(
      {
        package: "airgap",
        version,
        architecture: DEBIAN[architecture],
        depends: [`libc6 (>= ${needs.GLIBC})`, "libstdc++6 (>= 5.2)", "libgcc-s1 | libgcc1"],
        recommends: ["openssh-client"],
        suggests: ["git"],
        summary,
        description: LONG,
      },
      installed(dir, "usr/share/zsh/vendor-completions"),
      draft,
    ),
  );
  const rpm = join(into, `airgap-${version}-1.${RPM[architecture]}.rpm`);
  await replaceFile(rpm, (draft) =>
    writeRpm(
      {
        name: "airgap",
        version,
        release: "1",
        architecture: RPM[architecture],
        license: "Apache-2.0",
        summary,
        description: LONG,
        requires: [
          "/bin/sh",
          `libc.so.6(GLIBC_${needs.GLIBC})(64bit)`,
          `libstdc++.so.6(GLIBCXX_${needs.GLIBCXX})(64bit)`,
          "libgcc_s.so.1()(64bit)",
        ],
        recommends: ["openssh-clients"],
        foreign: ofTheSystem,
      },
      installed(dir, "usr/share/zsh/site-functions"),
      draft,
    ),
  );
  const libraries = librariesHere(architecture);
  if (libraries === undefined) return [deb, rpm];
  const image = join(into, `airgap-${version}-linux-${architecture}.image.tar`);
  await writeImage({ dir, version, architecture, tag: `airgap:${version}` }, libraries, image);
  return [deb, rpm, image];
}
