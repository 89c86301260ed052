import { type Document, parseDocument } from "yaml";
import { AirgapError, messageOf } from "../../errors.ts";
import type { CarriedModule } from "../../lock/package-facts.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { formatEvr } from "./version.ts";

/** One build of a module's stream, with all of its packages. */
export interface ModuleStream extends Omit<CarriedModule, "defaultProfiles" | "artifacts"> {
  /** `name-[epoch:]version-release.arch` */
  artifacts: string[];
  /** Names of packages that left the module: others of that name are not hidden. */
  demodularized: string[];
}

/** What a distribution makes of a module when nobody says anything. */
export interface ModuleDefaults {
  module: string;
  stream?: string;
  /** Names of the profiles that are installed when none is named, by stream. */
  profiles: Record<string, string[]>;
  /** The higher one wins where repositories differ. */
  modified: number;
}

export interface ModuleDocuments {
  streams: ModuleStream[];
  defaults: ModuleDefaults[];
  /** What could not be read, in words; dnf passes over such documents too. */
  problems: string[];
}

/** Why a package is not to be seen: it is of a stream that is not active, or an active one claims its name. */
export interface HiddenBy {
  /** `name:stream` */
  stream: string;
  active: boolean;
  /** The name that is claimed, where the package only provides it. */
  provides?: string;
}

const MAX_DOCUMENT = 8 << 20;
const MAX_DOCUMENTS = 50_000;
const MAX_PROBLEMS = 20;
const WORD = /^[^\s\p{Cc}:/()<>=,;]{1,255}$/u;
const NEVRA =
  /^(?<name>[^\s:(/=<>]+)-(?:(?<epoch>\d+):)?(?<version>[^\s\-:(/=<>]+)-(?<release>[^\s\-:(/=<>]+)\.(?<arch>[^\s\-:.(/=<>]+)$/;

const isText = (value: unknown): value is string => typeof value === "string";
const textOf = (value: unknown): string => (isText(value) ? value : "");
const listOf = (value: unknown): string[] => (Array.isArray(value) ? value.filter(isText) : []);
const recordOf = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {});

/** `name-epoch:version-release.arch` as our ids are; undefined for anything else. */
export function artifactId(text: string): { id: string; name: string; arch: string } | undefined {
  const { name = "", epoch, version = "", release, arch = "" } = NEVRA.exec(text)?.groups ?? {};
  return name === ""
    ? undefined
    : { id: `${name}-${formatEvr(epoch, version, release)}.${arch}`, name, arch };
}

/**
 * Reads modules.yaml document by document as it comes in: streams (modulemd 1 and 2) and defaults
 * (modulemd-defaults 1). Every scalar is text, so that a stream `1.10` stays what it is.
 * https://github.com/fedora-modularity/libmodulemd, yaml_specs
 */
export async function readModules(chunks: AsyncIterable<Buffer>, what: string): Promise<ModuleDocuments> {
  const found: ModuleDocuments = { streams: [], defaults: [], problems: [] };
  let count = 0;
  for await (const text of documentsOf(chunks, what)) {
    if (++count > MAX_DOCUMENTS)
      throw new AirgapError("corrupt", `${what} has more than ${MAX_DOCUMENTS} documents`);
    try {
      readModule(text, found);
    } catch (error) {
      if (found.problems.length < MAX_PROBLEMS)
        found.problems.push(`document ${count}: ${messageOf(error).split("\n")[0]}`);
    }
  }
  return found;
}

async function* documentsOf(chunks: AsyncIterable<Buffer>, what: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8");
  let lines: string[] = [];
  let size = 0;
  let rest = "";
  const finish = (): string => {
    const text = lines.join("\n");
    lines = [];
    size = 0;
    return text;
  };
  const pieces = async function* (): AsyncGenerator<string> {
    for await (const chunk of chunks) yield decoder.decode(chunk, { stream: true });
    yield `${decoder.decode()}\n`;
  };
  for await (const piece of pieces()) {
    const split = (rest + piece).split("\n");
    rest = split.pop() as string;
    for (const line of split) {
      if (/^(?:---|\.\.\.)(?:\s|$)/.test(line)) {
        if (lines.some((kept) => kept.trim() !== "")) yield finish();
        lines = [line.slice(3)];
      } else lines.push(line);
      size += line.length + 1;
      if (size > MAX_DOCUMENT)
        throw new AirgapError("corrupt", `${what} has a document of more than ${MAX_DOCUMENT} bytes`);
    }
    if (rest.length > MAX_DOCUMENT)
      throw new AirgapError("corrupt", `${what} has a line of more than ${MAX_DOCUMENT} bytes`);
  }
  if (lines.some((kept) => kept.trim() !== "")) yield finish();
}

function readModule(text: string, found: ModuleDocuments): void {
  if (!/^\s*document:\s*["']?modulemd(?:-defaults)?["']?\s*$/m.test(text)) return;
  const document = parse(withoutBallast(text));
  const whole = document.errors.length > 0 ? parse(text) : document;
  const [error] = whole.errors;
  if (error) throw error;
  const { document: kind, version, data } = recordOf(whole.toJS({ maxAliasCount: 100 }));
  if (kind === "modulemd" && (version === "1" || version === "2"))
    found.streams.push(streamOf(recordOf(data)));
  else if (kind === "modulemd-defaults" && version === "1") found.defaults.push(defaultsOf(recordOf(data)));
}

const parse = (text: string): Document.Parsed =>
  parseDocument(text, { schema: "failsafe", version: "1.1", uniqueKeys: false, logLevel: "silent" });

/**
 * Without the parts that only builders read, which are most of a document and take long to parse.
 * Goes by indentation, as what modulemd's own library writes allows; where that goes wrong, the
 * whole is parsed.
 */
function withoutBallast(text: string): string {
  const [, indent] = /^data:[ \t]*\n( +)\w/m.exec(text) ?? [];
  if (indent === undefined) return text;
  const ballast = new RegExp(
    `^${indent}(?:xmd|components|api|filter|buildopts|references|tracker|servicelevels):`,
  );
  const key = new RegExp(`^(?:${indent})?\\w+:`);
  let skipping = false;
  const kept = text.split("\n").filter((line) => {
    if (key.test(line)) skipping = ballast.test(line);
    return !skipping;
  });
  return kept.join("\n");
}

function word(value: unknown, what: string): string {
  const text = textOf(value);
  if (!WORD.test(text)) throw new Error(`${JSON.stringify(text.slice(0, 100))} is no ${what}`);
  return text;
}

function streamOf(data: Record<string, unknown>): ModuleStream {
  const licenses = listOf(recordOf(data.license).module);
  const [summary, description] = [textOf(data.summary), textOf(data.description)];
  const name = word(data.name, "name of a module");
  if (summary === "" || description === "" || licenses.length === 0)
    throw new Error(`module ${name} has no summary, description or license`);
  const version = textOf(data.version);
  if (!/^\d{1,20}$/.test(version))
    throw new Error(`module ${name} has the version ${JSON.stringify(version.slice(0, 40))}`);
  return {
    name,
    stream: word(data.stream, "stream"),
    version,
    context: data.context === undefined ? "" : word(data.context, "context"),
    arch: data.arch === undefined ? "" : word(data.arch, "architecture"),
    staticContext: /^(?:true|yes|on|y)$/i.test(textOf(data.static_context)),
    summary,
    description,
    licenses,
    requires: requiresOf(data.dependencies),
    profiles: Object.fromEntries(
      Object.entries(recordOf(data.profiles)).map(([key, profile]) => [
        word(key, "profile"),
        listOf(recordOf(profile).rpms),
      ]),
    ),
    artifacts: listOf(recordOf(data.artifacts).rpms).flatMap((text) => artifactId(text)?.id ?? []),
    demodularized: listOf(recordOf(data.demodularized).rpms),
  };
}

/** Version 1 has one map of module to stream, version 2 a list of maps of module to streams. */
function requiresOf(dependencies: unknown): Record<string, string[]>[] {
  const blocks = Array.isArray(dependencies) ? dependencies : [dependencies];
  return blocks
    .map((block) => recordOf(recordOf(block).requires))
    .filter((requires) => Object.keys(requires).length > 0)
    .map((requires) =>
      Object.fromEntries(
        Object.entries(requires).map(([module, streams]) => [
          word(module, "name of a module"),
          (isText(streams) ? [streams] : listOf(streams)).map((stream) => word(stream, "stream")),
        ]),
      ),
    );
}

function defaultsOf(data: Record<string, unknown>): ModuleDefaults {
  const stream = textOf(data.stream);
  const modified = Number(textOf(data.modified) || 0);
  return {
    module: word(data.module, "name of a module"),
    ...(stream === "" ? {} : { stream: word(stream, "stream") }),
    profiles: Object.fromEntries(
      Object.entries(recordOf(data.profiles)).map(([key, profiles]) => [
        word(key, "stream"),
        listOf(profiles),
      ]),
    ),
    modified: Number.isSafeInteger(modified) ? modified : 0,
  };
}
