import { AirgapError } from "../errors.ts";
import {
  comparePatch,
  formatVersion,
  isPreRelease,
  type KubernetesVersion,
  parseVersion,
} from "./version.ts";
import data from "./versions.json" with { type: "json" };

/** The compiled-in values of kubeadm for one range of patch releases. */
export interface Row {
  /** First and last patch, inclusive. kubeadm's own version is the Kubernetes version. */
  from: string;
  to: string;
  /** The default registry. */
  registry: string;
  coredns: string;
  /** CoreDNS's path below the default registry, and below any other. */
  corednsPath: string;
  customCorednsPath: string;
  etcd: string;
  pause: string;
  /** Order of the list: `old` ends pause, etcd, coredns; `new` (from v1.29.0) coredns, pause, etcd. */
  order: string;
  confidence: string;
  sources: string[];
  notReleased?: string[];
  note?: string;
}

export interface KnownVersion {
  version: KubernetesVersion;
  row: Row;
  /** Warnings about this answer. */
  warnings: string[];
  notes: string[];
}

export const rows: readonly Row[] = data.rows;
/** Date to which the table is complete. */
export const updated: string = data.updated;

function versionOf(text: string): KubernetesVersion {
  const request = parseVersion(text);
  if (!("exact" in request)) throw new TypeError(`${text} in the table is not a patch release`);
  return request.exact;
}

const ranges = rows.map((row) => ({ row, from: versionOf(row.from), to: versionOf(row.to) }));
type Range = (typeof ranges)[number];

const [oldest, newest] = [ranges[0] as Range, ranges.at(-1) as Range];

/** The newest patch of every minor, newest first. */
export function knownVersions(): string[] {
  return ranges
    .toReversed()
    .filter(({ to }, i, all) => all[i - 1]?.to.minor !== to.minor)
    .map(({ row }) => row.to);
}

function ofMinor(major: number, minor: number): Range[] {
  return ranges.filter(({ to }) => to.major === major && to.minor === minor);
}

function unknown(text: string, older: boolean): AirgapError {
  const known = `kubeadm's lists are known from ${oldest.row.from} to v${newest.to.major}.${newest.to.minor}`;
  if (older) {
    return new AirgapError("unsupported", `The images of Kubernetes ${text} are not known: ${known}`, {
      suggestions: [
        `use ${oldest.row.from} or newer`,
        "list the images yourself under `images:` of the spec",
      ],
    });
  }
  return new AirgapError(
    "unsupported",
    `The images of Kubernetes ${text} are not known: ${known} (as of ${updated})`,
    {
      suggestions: [
        `run \`kubeadm config images list --kubernetes-version ${text}\` with the kubeadm of that version and put the lines under \`images:\` of the spec`,
        "use a newer airgap, or add the version to it: docs/kubernetes-versions.md",
      ],
    },
  );
}

function newestOf(request: { major: number; minor?: number }, text: string): KnownVersion {
  const last = request.minor === undefined ? newest : ofMinor(request.major, request.minor).at(-1);
  if (last === undefined)
    throw unknown(
      text,
      request.major < 1 || (request.major === 1 && (request.minor ?? 0) < oldest.from.minor),
    );
  const notes = [`${text} means ${last.row.to} here, the newest patch known on ${updated}`];
  return { version: last.to, row: last.row, warnings: [], notes };
}

/**
 * Finds the compiled-in values of a kubeadm version. For a patch newer than the table, it gives the
 * newest of that minor, with a warning.
 * @param text as for kubeadm's `--kubernetes-version`
 * @throws AirgapError `usage`, or `unsupported` outside of the table
 */
export function findRow(text: string): KnownVersion {
  const request = parseVersion(text);
  if ("newest" in request) return newestOf(request.newest, text);
  const version = request.exact;
  const minor = ofMinor(version.major, version.minor);
  const last = minor.at(-1);
  if (last === undefined) throw unknown(text, comparePatch(version, oldest.from) < 0);
  const found = minor.find(({ to }) => comparePatch(version, to) <= 0);
  const warnings: string[] = [];
  const shown = formatVersion(version);
  if (found === undefined)
    warnings.push(
      `${shown} is newer than ${last.row.to}, the newest patch known on ${updated}: this is the list of ${last.row.to}`,
    );
  else if (found.row.notReleased?.includes(`v${version.major}.${version.minor}.${version.patch}`))
    warnings.push(`Kubernetes never released ${shown}`);
  else if (isPreRelease(version))
    warnings.push(
      `${shown} is a pre-release: this is the list of the release, which may have newer etcd or CoreDNS`,
    );
  else if (found.row.confidence === "low")
    warnings.push(`The list of ${shown} is copied from an earlier patch; no published list was found`);
  return { version, row: (found ?? last).row, warnings, notes: [] };
}
