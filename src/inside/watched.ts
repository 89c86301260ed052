/** Who reads a file of an image. */
export type Reader = "apk" | "dpkg" | "rpm-sqlite" | "rpm-ndb" | "rpm-bdb" | "os-release";

const RPM_FOLDERS = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];
/** Beside `rpmdb.sqlite`: what was written last and is not in it yet. */
const SQLITE_LOG = "rpmdb.sqlite-wal";

const FILES = new Map<string, Reader>([
  ["lib/apk/db/installed", "apk"],
  ["usr/lib/apk/db/installed", "apk"],
  ["var/lib/dpkg/status", "dpkg"],
  ...RPM_FOLDERS.flatMap((folder): [string, Reader][] => [
    [`${folder}/rpmdb.sqlite`, "rpm-sqlite"],
    [`${folder}/${SQLITE_LOG}`, "rpm-sqlite"],
    [`${folder}/Packages.db`, "rpm-ndb"],
    [`${folder}/Packages`, "rpm-bdb"],
  ]),
  ["usr/lib/os-release", "os-release"],
  ["etc/os-release", "os-release"],
]);

/** Distroless images have one file for each package, beside its checksums. */
const STATUS_FOLDER = "var/lib/dpkg/status.d";

/** Folders on the way to a watched file. */
const ABOVE = new Set(
  [...FILES.keys(), `${STATUS_FOLDER}/x`].flatMap((path) => {
    const parts = path.split("/");
    return parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join("/"));
  }),
);

/** Who reads this path; undefined for everything that does not matter here. */
export function readerOf(path: string): Reader | undefined {
  const known = FILES.get(path);
  if (known) return known;
  const inFolder =
    path.startsWith(`${STATUS_FOLDER}/`) && !path.slice(STATUS_FOLDER.length + 1).includes("/");
  return inFolder && !path.endsWith(".md5sums") ? "dpkg" : undefined;
}

/**
 * What of the layers below an entry hides: a path with everything under it. A whiteout hides its name, an
 * opaque folder all that it held, and whatever takes the place of a folder hides that too.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
 */
export function hiddenBy(path: string, type: string): string | undefined {
  const slash = path.lastIndexOf("/");
  const [folder, name] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
  if (name === ".wh..wh..opq") return folder === "" ? "/" : ABOVE.has(folder) ? `${folder}/` : undefined;
  if (name.startsWith(".wh.")) {
    const hidden = folder === "" ? name.slice(4) : `${folder}/${name.slice(4)}`;
    return matters(hidden) ? hidden : undefined;
  }
  return (type !== "5" && ABOVE.has(path)) || readerOf(path) !== undefined ? path : undefined;
}

const matters = (path: string): boolean => ABOVE.has(path) || readerOf(path) !== undefined;

/** Whether what `hiddenBy` said hides a path. */
export const hides = (hidden: string, path: string): boolean =>
  hidden === "/" || path === hidden || path.startsWith(hidden.endsWith("/") ? hidden : `${hidden}/`);
