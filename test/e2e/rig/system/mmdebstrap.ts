import { existsSync, readFileSync } from "node:fs";
import { must } from "../shell.ts";

/** What every host has before anybody installs anything: an init, SSH, sudo and the usual small tools. */
export const BASE = [
  ...[
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "iproute2",
    "iputils-ping",
    "kmod",
    "procps",
    "ca-certificates",
    "openssl",
  ],
  ...["less", "login", "passwd", "tar", "gzip", "util-linux"],
];

/** The machine's own Debian sources; read when needed, since they are nobody else's business. */
export function aptSources(): string {
  const found = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"].find(
    (file) => existsSync(file) && /debian/.test(readFileSync(file, "utf8")),
  );
  if (found === undefined)
    throw new Error("the rig needs a Debian machine with its package sources in /etc/apt");
  return found;
}

/** Makes a minimal Debian tree without documents. */
export async function bootstrap(root: string, packages: string[], flags: string[] = []): Promise<void> {
  const excluded = ["doc", "man", "locale", "info"].map(
    (name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
  );
  const args = [
    "--quiet",
    "--variant=minbase",
    `--include=${packages.join(",")}`,
    ...excluded,
    ...flags,
    "bookworm",
    root,
    aptSources(),
  ];
  await must("mmdebstrap", args, { timeoutMs: 1_200_000 });
}
