import { createHash } from "node:crypto";
import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Http } from "../../http.ts";
import type { ResolveContext } from "../../lock/resolved.ts";
import type { PackageSetSpec } from "../../lock/spec.ts";
import { describePlace, readPlace } from "../../transport/url.ts";
import { type KeyRing, readKeys } from "../keys.ts";
import { below, placeOf } from "../locations.ts";
import { dateOf } from "../metadata-dates.ts";
import { type Acceptable, verifyCleartext, verifyDetached } from "../openpgp.ts";
import { repositoryHttp } from "../repository-http.ts";
import { parseRelease, type Release } from "./release.ts";
import { DebRepository, type DebRepositoryOptions, isAbsent } from "./repository.ts";

type RepositorySpec = PackageSetSpec["repositories"][number];

const MAX_RELEASE = 64 << 20;
const MAX_UNPACKED = 4 * 2 ** 30;
/** In the order of preference: quick to unpack first. */
const SUFFIXES = [".zst", ".gz", ".xz", ".bz2", ".lzma", ""];

/** Hashes that apt counts as broken in a signature of Release. `APT::Hashes::…::Untrusted`, apt.conf(5) */
const BROKEN = new Set(["md5", "sha1", "ripemd"]);

/** apt refuses what an expired key has signed, whenever it did; rpm asks for the day of the signature only. */
const aptRule: Acceptable = async ({ key, hash }) => {
  if (BROKEN.has(hash)) return `with ${hash.toUpperCase()}, which can be forged; apt refuses it`;
  const expires = await key.getExpirationTime();
  return expires instanceof Date && expires.getTime() <= Date.now()
    ? `its key expired on ${expires.toISOString().slice(0, 10)}, and apt refuses signatures of expired keys`
    : undefined;
};

/** The key of a repository; undefined where the spec names none. */
export async function repositoryKeys(
  repository: RepositorySpec,
  context: ResolveContext,
): Promise<KeyRing | undefined> {
  const { signedBy } = repository;
  return signedBy === undefined
    ? undefined
    : await readKeys([placeOf(context.baseDir, signedBy)], repositoryHttp(repository, context), context);
}

/** Opens every suite and component of a repository: one Packages file each. */
export async function openRepository(
  repository: RepositorySpec,
  set: PackageSetSpec,
  context: ResolveContext,
): Promise<DebRepository[]> {
  const { uris, suites } = repository;
  if (uris === undefined)
    throw new AirgapError("spec", `Repository ${repository.id} of ${set.name} has no uris`);
  if (suites === undefined)
    throw new AirgapError("spec", `Repository ${repository.id} of ${set.name} has no suites`);
  const http = repositoryHttp(repository, context);
  const base = placeOf(context.baseDir, uris);
  const keys = await repositoryKeys(repository, context);
  const opened: DebRepository[] = [];
  for (const suite of suites)
    opened.push(...(await openSuite({ repository, set, context, http, base, keys, suite })));
  return opened;
}

interface Suite {
  repository: RepositorySpec;
  set: PackageSetSpec;
  context: ResolveContext;
  http: Http;
  base: string;
  keys: KeyRing | undefined;
  suite: string;
}

async function openSuite(at: Suite): Promise<DebRepository[]> {
  const { repository, set, context, base, suite } = at;
  const flat = suite.endsWith("/");
  const folder = flat ? suite.replace(/^[./]+/, "").replace(/\/+$/, "") : `dists/${suite}`;
  const root = folder === "" ? base : below(base, folder, "the spec");
  const title = `${repository.id} ${suite}`;
  const found = await readRelease(at, root, title);
  if (found === undefined) return openUnsigned(at, root, title);
  const { release } = found;
  if (release.validUntil && release.validUntil.getTime() < Date.now()) {
    const message = `Release of ${title} was valid until ${release.validUntil.toISOString()}`;
    if (repository.checkValidUntil !== false)
      throw new AirgapError(
        "check-failed",
        `${message}: apt refuses it, since a mirror may hold back updates`,
        {
          suggestions: [
            "name a mirror that is up to date",
            `checkValidUntil: false  # for ${repository.id}, as apt's Check-Valid-Until: for a snapshot or an archive`,
          ],
        },
      );
    context.emit({ type: "warning", message: `${message}; the spec allows that` });
  }
  const lists = flat
    ? [""]
    : (repository.components ?? release.components).flatMap((component) =>
        folders(release, component, set.arch),
      );
  const opened: DebRepository[] = [];
  for (const list of lists) opened.push(await openList(at, { root, title, list }, found));
  return opened;
}

/** Where a Packages file is: the suite's folder, and the path of its own folder below that. */
interface ListPlace {
  root: string;
  /** Of the suite, for messages. */
  title: string;
  list: string;
}

/** Opens the Packages file of a folder, in the first of its listed forms that the server has. */
async function openList(
  { repository, set, context, http, base }: Suite,
  { root, title, list }: ListPlace,
  { release, signed }: FoundRelease,
): Promise<DebRepository> {
  const name = list === "" ? title : `${title} ${list}`;
  const plain = `${list}${list === "" ? "" : "/"}Packages`;
  const forms = SUFFIXES.flatMap((suffix): ListedForm[] => {
    const file = release.files.get(plain + suffix);
    const [checksum] = file?.checksums ?? [];
    if (file === undefined || checksum === undefined) return [];
    const byHash = `${plain.slice(0, -"Packages".length)}by-hash/${checksum.algorithm.toUpperCase()}/${checksum.value}`;
    const hrefs = release.acquireByHash ? [byHash, plain + suffix] : [plain + suffix];
    const places = hrefs.map((href) => below(root, href, `Release of ${title}`));
    return [{ places, expected: file, revision: checksum.value }];
  });
  if (forms.length === 0) throw notListed(name, release, repository, set.arch);
  let absent: unknown;
  for (const form of forms) {
    try {
      return await DebRepository.open({
        ...form,
        id: repository.id,
        title: name,
        priority: repository.priority ?? release.pin,
        base,
        http,
        unpackedSize: release.files.get(plain)?.size ?? MAX_UNPACKED,
        indexDir: `${context.cacheDir}/packages`,
        signed,
        dated: title,
        date: release.date === undefined ? undefined : dateOf(release.date),
        signal: context.signal,
      });
    } catch (error) {
      if (!isAbsent(error)) throw error;
      absent ??= error;
    }
  }
  throw absent;
}

/** A form of a Packages file, as Release lists it. */
type ListedForm = Pick<DebRepositoryOptions, "places" | "expected" | "revision">;

/** `main/binary-amd64`, and `main/binary-all` where the suite keeps these apart. */
function folders(release: Release, component: string, arch: string): string[] {
  const all = `${component}/binary-all`;
  const apart =
    !release.allInArchitectures &&
    release.architectures.includes("all") &&
    SUFFIXES.some((suffix) => release.files.has(`${all}/Packages${suffix}`));
  return apart ? [`${component}/binary-${arch}`, all] : [`${component}/binary-${arch}`];
}

function notListed(name: string, release: Release, repository: RepositorySpec, arch: string): AirgapError {
  const has = [...release.files.keys()]
    .filter((path) => /(^|\/)Packages(\.\w+)?$/.test(path))
    .map((path) => path.replace(/\/?Packages(\.\w+)?$/, ""));
  const known = [...new Set(has)].slice(0, 12).join(", ");
  return new AirgapError(
    "not-found",
    `${name} (${arch}) is not among what its Release file lists${known ? `; that has ${known}` : ""}`,
    {
      suggestions: [
        `components: [${release.components.join(", ")}]  # for ${repository.id}, as its Release file says`,
      ],
    },
  );
}

interface FoundRelease {
  release: Release;
  /** A key that the spec names has signed it. */
  signed: boolean;
}

/** InRelease, or Release with Release.gpg; undefined when there is neither. */
async function readRelease(
  { repository, http, keys, context }: Suite,
  root: string,
  title: string,
): Promise<FoundRelease | undefined> {
  const fetch = (name: string): Promise<Buffer | undefined> =>
    readPlace(http, below(root, name, "the spec"), MAX_RELEASE, undefined, context.signal).catch(
      (error: unknown) => {
        if (isAirgapError(error, "not-found")) return undefined;
        throw error;
      },
    );
  const inline = await fetch("InRelease");
  if (inline !== undefined) {
    const what = `InRelease of ${title} (${describePlace(root)})`;
    if (keys === undefined)
      return { release: parseRelease(signedText(inline.toString("utf8")), what), signed: false };
    const { text } = await verifyCleartext(inline, keys, what, aptRule);
    return { release: parseRelease(text, what), signed: true };
  }
  const plain = await fetch("Release");
  if (plain === undefined) return undefined;
  const what = `Release of ${title} (${describePlace(root)})`;
  if (keys !== undefined) {
    const signature = await fetch("Release.gpg");
    if (signature === undefined)
      throw new AirgapError(
        "corrupt",
        `${what} has no signature: there is neither InRelease nor Release.gpg`,
        { suggestions: trustedSuggestions(repository, keys) },
      );
    await verifyDetached({ content: plain, signature, keys, what, acceptable: aptRule });
  }
  return { release: parseRelease(plain.toString("utf8"), what), signed: keys !== undefined };
}

/** The text of a clear-signed message whose signature nobody asked to check. */
function signedText(message: string): string {
  const body =
    /-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n([\s\S]*?)\r?\n-----BEGIN PGP SIGNATURE-----/.exec(
      message,
    );
  return body?.[1] ?? message;
}

function unlessAbsent(error: unknown): undefined {
  if (!isAbsent(error)) throw error;
}

/** A folder with nothing but a Packages file: what hosts take only where the spec says so. */
async function openUnsigned(
  { repository, set, context, http, base, keys }: Suite,
  root: string,
  title: string,
): Promise<DebRepository[]> {
  const [what, suggestions] = [describePlace(root), trustedSuggestions(repository, keys)];
  if (keys !== undefined || (set.unsigned ?? []).length === 0)
    throw new AirgapError(
      "not-found",
      `${what} has neither InRelease nor Release: apt takes such a repository only with [trusted=yes]`,
      { suggestions },
    );
  for (const suffix of SUFFIXES) {
    const place = below(root, `Packages${suffix}`, "the spec");
    const bytes = await readPlace(http, place, MAX_RELEASE, undefined, context.signal).catch(unlessAbsent);
    if (bytes === undefined) continue;
    const value = createHash("sha256").update(bytes).digest("hex");
    const options = {
      id: repository.id,
      title,
      priority: repository.priority ?? 500,
      base,
      http,
      places: [place],
      unpackedSize: MAX_UNPACKED,
      signed: false,
      dated: title,
      date: undefined,
    };
    const expected = { checksums: [{ algorithm: "sha256", value }], size: bytes.length };
    return [
      await DebRepository.open({
        ...options,
        expected,
        revision: value,
        indexDir: `${context.cacheDir}/packages`,
        signal: context.signal,
      }),
    ];
  }
  throw new AirgapError("not-found", `${what} has neither InRelease nor Release nor a Packages file`, {
    suggestions: [`check uris and suites of ${repository.id}: the folder of a flat repository is its suite`],
  });
}

/** As apt's `[trusted=yes]`: what is nowhere signed is taken, by name. */
const trustedSuggestions = ({ id }: RepositorySpec, keys: KeyRing | undefined): string[] => [
  `unsigned: ["*"]  # in the set, if you trust where ${id} is${keys === undefined ? "" : `; and leave signedBy: out of ${id}`}`,
];
