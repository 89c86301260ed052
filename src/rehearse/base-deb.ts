import { readFileSync } from "node:fs";
import { join } from "node:path";
import { END_OF_ARCHIVE, entryHeader } from "../bundle/tar.ts";
import { mergedEntries } from "../packages/deb/data.ts";
import { debFormat } from "../packages/deb/set.ts";
import type { SetFormat } from "../packages/format.ts";
import type { BaseFormat, PackageFile } from "./base.ts";

/** Debian's packages with `Essential: yes`, and what a system is made with. */
const ESSENTIAL =
  "base-files base-passwd bash bsdutils coreutils dash debianutils diffutils dpkg findutils grep gzip hostname init-system-helpers libc-bin login mawk ncurses-base ncurses-bin perl-base sed sysvinit-utils tar util-linux".split(
    " ",
  );
/** What a bare host has: a package manager, and the usual small tools. */
const HOST = "apt dbus iputils-ping kmod procps passwd ca-certificates openssl netbase sudo adduser".split(
  " ",
);

/** Bare hosts of Debian, Ubuntu and their kin: dpkg unpacks what it needs itself, and installs the rest. */
export const debBase: BaseFormat = {
  format: debFormat as SetFormat<unknown>,
  essential: ESSENTIAL,
  host: () => HOST,
  needed: ["systemd", "systemd-sysv", "openssh-server", "iproute2", "mount", "nftables"],
  bundled: (_, exported) => [
    {
      ...{ id: "bundle", uris: `file://${exported}/`, suites: ["/"], priority: 900 },
      signedBy: join(exported, "keys", "airgap.asc"),
    },
  ],
  bare: bareSystem,
  script: "rehearse/base-deb.sh",
};

async function* bareSystem(essential: PackageFile[]): AsyncGenerator<Buffer> {
  const folders = ["bin", "sbin", "lib", "lib64"];
  yield* special("usr/", "5", "", 0o755);
  for (const name of folders) yield* special(`usr/${name}/`, "5", "", 0o755);
  for (const name of folders) yield* special(name, "2", `usr/${name}`, 0o777);
  const seen = new Set(["usr", ...folders.map((name) => `usr/${name}`)]);
  for (const { id, path } of essential) yield* mergedEntries(readFileSync(path), id, seen);
  yield END_OF_ARCHIVE;
}

/** A folder (`5`) or a symbolic link (`2`). */
function* special(name: string, type: "2" | "5", link: string, mode: number): Generator<Buffer> {
  const block = entryHeader(name, 0);
  block.write(`${mode.toString(8).padStart(7, "0")}\0`, 100, "latin1");
  block.write(type, 156, "latin1");
  block.write(link, 157, "latin1");
  block.write("        ", 148, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  yield block;
}
