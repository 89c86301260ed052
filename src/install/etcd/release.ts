import { constants, gunzipSync } from "node:zlib";
import { readHeader } from "../../bundle/tar.ts";
import { AirgapError } from "../../errors.ts";

/** etcd's release archive, as its first folder names it: `etcd-v3.5.24-linux-amd64/`. */
export interface EtcdRelease {
  /** `3.5.24` */
  version: string;
  /** As OCI names it: `amd64`. */
  arch: string;
}

/** Bytes of an archive that are enough for the first header of a gzip stream. */
export const ARCHIVE_HEAD = 65_536;

/**
 * Reads what release an archive in a bundle is, from its first bytes.
 * @param path of the bundle, for messages
 * @throws AirgapError `spec` when it is not one of etcd
 */
export function readEtcdRelease(path: string, head: Buffer): EtcdRelease {
  const name = firstName(head);
  const [, version, arch] = /^(?:\.\/)?etcd-v(\d+\.\d+\.\d+)-linux-([a-z0-9]+)\//.exec(name ?? "") ?? [];
  if (version && arch) return { version, arch };
  throw new AirgapError(
    "spec",
    `the file \`etcd\` of ${path} is not a release archive of etcd${name ? `: it begins with ${name}` : ""}`,
    {
      suggestions: [
        "carry etcd's own archive: `files: [{ url: …/etcd-v3.6.5-linux-amd64.tar.gz, as: etcd }]`",
      ],
    },
  );
}

function firstName(head: Buffer): string | undefined {
  try {
    const block = gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 64 << 20 });
    return readHeader(block.subarray(0, 512))?.name;
  } catch {
    return undefined;
  }
}

/** Compares versions of three numbers, like `3.5.24` and `3.6.0`; negative when `a` is older. */
export function compareEtcd(a: string, b: string): number {
  const [left, right] = [a, b].map((text) =>
    text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0),
  );
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
