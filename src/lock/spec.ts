import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { isDigest } from "../oci/digest.ts";
import { parsePlatform } from "../oci/platform.ts";
import { isHost, parseReference } from "../oci/reference.ts";
import { type Locate, readDocument, readLocated } from "../schema/document.ts";
import { nearest } from "../schema/nearest.ts";
import {
  boolean,
  either,
  type Infer,
  integer,
  list,
  map,
  mapped,
  object,
  oneOf,
  type Schema,
  string,
  withDefault,
} from "../schema/schema.ts";
import { NAMES, titleProblem } from "./names.ts";

/** Turns a throwing parser into a check for the schema. */
const checkedBy =
  (parse: (text: string) => unknown) =>
  (text: string): string | undefined => {
    try {
      parse(text);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };

const name = string(NAMES.entry);
const path = string({ means: "a path or URL" });
const platform = string({ check: checkedBy(parsePlatform), description: "os/architecture[/variant]" });
const strings = list(string());
const reference = string({ check: checkedBy(parseReference), description: "An image reference" });
const sha256 = string({
  check: (text) => (isDigest(`sha256:${text}`) ? undefined : "must be 64 hexadecimal digits"),
  description: "sha256 of the content",
});

const platforms = either(
  oneOf(["all"]),
  list(platform, { min: 1 }),
  "Platforms to carry; `all` carries whole indexes",
);
const imagePlatforms = either(
  oneOf(["all", "exact"]),
  list(platform, { min: 1 }),
  "`all` carries whole indexes; `exact` carries only the bundle's platforms, even of an index named by digest",
);

/** For content that is fetched by URL. */
const login = {
  user: string({ description: "The user at an http(s) source" }),
  passwordEnv: string({
    pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
    means: "the name of an environment variable",
    description: "The environment variable that holds the password",
  }),
};

const source = object(
  {},
  {
    mirrors: list(string(), {
      min: 1,
      description: "Tried in order; `host/path/*` is flat (last component only)",
    }),
    insecure: boolean("Plain http, or https without a certificate check"),
    caFile: path,
  },
);

const kubernetesVersion = (description: string) =>
  mapped(
    string({
      pattern: /^v?1\.\d+\.\d+(?:[-+][\w.+-]+)?$/,
      means: "a patch release like v1.28.2",
      description,
    }),
    (text) => text.replace(/^v?/, "v"),
  );

const kubernetes = object(
  { version: string({ pattern: /^v?\d+\.\d+(\.\d+)?\S*$|^stable/, means: "a version like v1.28.2" }) },
  { config: path },
);

const attachments = (description: string): Schema<"none" | "signatures" | "all"> =>
  mapped(
    either(oneOf(["none", "signatures", "all"]), boolean(), `${description}; false is none, true is all`),
    (given) => (typeof given === "string" ? given : given ? "all" : "none"),
  );

const image = object(
  { ref: reference },
  {
    from: string({
      pattern: /^(docker|oci|oci-archive|docker-archive|docker-daemon):/,
      means:
        "docker://…, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or docker-daemon:NAME",
    }),
    platforms: imagePlatforms,
    foreignLayers: boolean("Carry layers that their publisher does not allow registries to distribute"),
    attachments: attachments("What of this image's signatures, SBOMs and other referrers is carried"),
    verify: object(
      {
        key: string({
          description: "A public key (PEM), relative to the spec: cosign verify --key accepts the image",
        }),
      },
      {},
      "build refuses the image without a signature of its publisher",
    ),
  },
);

const manifests = object(
  { path },
  { ...login, as: name, addImages: list(reference), acceptImages: strings, ignoreImages: strings },
);

const chart = object(
  { chart: string() },
  {
    ...login,
    as: name,
    repo: string(),
    version: string(),
    values: list(path),
    set: strings,
    namespace: name,
    addImages: list(reference),
    acceptImages: strings,
    ignoreImages: strings,
  },
);

const repository = object(
  { id: string(NAMES.repository) },
  {
    baseurl: path,
    mirrorlist: path,
    metalink: path,
    gpgkey: list(path),
    priority: integer({ min: 1, max: 9999 }),
    moduleHotfixes: boolean(),
    repoGpgcheck: boolean("Also check the signature of repomd.xml"),
    clientCert: path,
    clientKey: path,
    caFile: path,
    insecure: boolean(),
    vars: map(string(), { description: "Values of $releasever and the like in the URLs" }),
    uris: path,
    suites: list(string(), { min: 1 }),
    components: list(string()),
    signedBy: path,
    checkValidUntil: boolean(
      "false accepts a Release file whose Valid-Until has passed, as a snapshot's has",
    ),
    fingerprints: list(
      string({ pattern: /^[0-9A-Fa-f ]{32,80}$/, means: "a key's fingerprint in hexadecimal digits" }),
      { min: 1, description: "The accepted keys; any other is refused" },
    ),
    ...login,
  },
);

const install = list(string(NAMES.asked), { min: 1 });

const packages = object(
  {
    name,
    format: oneOf(["rpm", "deb"]),
    for: list(string(NAMES.system), { min: 1 }),
    arch: string(NAMES.arch),
    repositories: list(repository, { min: 1 }),
    install: either(
      install,
      map(list(string(NAMES.asked)), { key: NAMES.role.pattern, keyMeans: NAMES.role.means }),
    ),
  },
  {
    installed: path,
    unsigned: strings,
    recommends: boolean("Weak dependencies too"),
    kubernetes: kubernetesVersion(
      "The set is for this version only, where a bundle carries several to upgrade in steps",
    ),
  },
);

const file = object(
  {},
  {
    url: string(),
    path,
    sha256,
    as: string({
      pattern: /^(?!.*(?:^|\/)\.\.?(?:\/|$))[^/\0][^\0]*$/,
      means: "a file name without '..'",
      check: (text) => {
        const problem = titleProblem(text);
        return problem && `${JSON.stringify(text.slice(0, 80))} is not a file name: it ${problem}`;
      },
    }),
    self: boolean("The tool itself"),
    ...login,
  },
);

const siteName = mapped(
  string({
    check: (text) => (isHost(text) && text.length <= 255 ? undefined : `'${text}' is not a host`),
    description: "The site's own registry: references to it are the user's own images",
  }),
  (host) => host.toLowerCase(),
);

/** An entry that may be a single word when it has no other keys. */
const shortOr = <T>(
  word: Schema<string>,
  whole: Schema<T>,
  spelled: (word: string) => NoInfer<T>,
): Schema<T> => mapped(either(word, whole), (entry) => (typeof entry === "string" ? spelled(entry) : entry));

/** The whole file. */
export const bundleSchema = object(
  { apiVersion: oneOf(["airgap/v1"]), kind: oneOf(["Bundle"]), name },
  {
    platforms: withDefault(platforms, ["linux/amd64"]),
    siteName,
    attachments: withDefault(
      attachments("What of the signatures, SBOMs and other referrers of every image is carried"),
      "all",
    ),
    sources: withDefault(map(source, { key: /^\S+$/, keyMeans: "a registry host" }), {}),
    kubernetes: withDefault(list(kubernetes), []),
    upgradeFrom: kubernetesVersion(
      "The version that runs on the site: build refuses when a step between it and the newest version is missing",
    ),
    images: withDefault(list(shortOr(reference, image, (ref) => ({ ref }))), []),
    manifests: withDefault(list(shortOr(path, manifests, (path) => ({ path }))), []),
    charts: withDefault(list(chart), []),
    packages: withDefault(list(packages), []),
    repositoryKey: path,
    files: withDefault(list(file), []),
  },
  "What `airgap build` carries across the gap",
);

/** The spec with its defaults filled in and its short forms spelled out. */
export type BundleSpec = Infer<typeof bundleSchema>;
export type SourceSpec = Infer<typeof source>;
export type KubernetesSpec = Infer<typeof kubernetes>;
export type ImageSpec = Infer<typeof image>;
export type ManifestsSpec = Infer<typeof manifests>;
export type ChartSpec = Infer<typeof chart>;
export type PackageSetSpec = Infer<typeof packages>;
export type FileSpec = Infer<typeof file>;

/** @throws AirgapError `spec` with file, line and column of every fault */
export function parseBundleSpec(text: string, fileName: string): BundleSpec {
  return readDocument(text, fileName, bundleSchema);
}

/** The same, and where its values are in the file. @throws AirgapError `spec` */
export function parseLocatedSpec(text: string, fileName: string): { spec: BundleSpec; locate: Locate } {
  const { value, locate } = readLocated(text, fileName, bundleSchema);
  return { spec: value, locate };
}

/** @throws AirgapError `spec` */
export async function readBundleSpec(fileName: string): Promise<BundleSpec> {
  return parseBundleSpec(await readSpecText(fileName), fileName);
}

/** @throws AirgapError `spec` with a spec nearby that may be meant */
export async function readSpecText(fileName: string): Promise<string> {
  try {
    return await readFile(fileName, "utf8");
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const why = missing ? "no such file" : messageOf(cause);
    const near = missing ? await specBeside(fileName) : undefined;
    throw new AirgapError("spec", `Cannot read the spec ${fileName}: ${why}`, {
      suggestions: [near === undefined ? `ls ${dirname(fileName)}` : `airgap build ${near} -o site.tar`],
    });
  }
}

/** A spec of almost the same name, in the same folder or among the ready-made ones of a checkout. */
async function specBeside(fileName: string): Promise<string | undefined> {
  const name = basename(fileName);
  for (const folder of [dirname(fileName), "bundles"]) {
    const names = await readdir(folder).catch((): string[] => []);
    const specs = names.filter((each) => /\.ya?ml$/.test(each) && !/\.cluster\.ya?ml$/.test(each));
    const near = nearest(name, specs);
    if (near !== undefined) return join(folder, near);
  }
  return undefined;
}
