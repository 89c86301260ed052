import { type RewriteOptions, rewriteText } from "../../names/rewrite.ts";
import { parseReference } from "../../oci/reference.ts";
import { locationsIn } from "./applied.ts";
import type { LoadOptions } from "./load.ts";
import { searchPaths } from "./search.ts";

export interface RewrittenFile {
  title: string;
  text: string;
}

export interface RewriteResult {
  files: RewrittenFile[];
  /** Canonical references with their new names. */
  changes: { from: string; to: string }[];
  /** References that could not be given another name everywhere. */
  left: string[];
  /** Registries that the documents name. */
  upstreams: string[];
}

/**
 * Rewrites the documents at some paths: files keep every byte that is not an image name, kustomizations
 * are built first, charts are rendered. Only certain and likely images change.
 * @param prepare gives the rules once the references are known
 * @throws AirgapError
 */
export async function rewritePaths(
  paths: string[],
  load: LoadOptions,
  prepare: (references: string[]) => Promise<RewriteOptions>,
): Promise<RewriteResult> {
  const { loaded, finds } = await searchPaths(paths, load);
  const references = finds
    .filter(({ confidence, artifact }) => confidence !== "possible" && !artifact)
    .map(({ reference }) => reference);
  const known = new Set(references);
  const options = await prepare(references);
  const applied = loaded.map(({ title, text }, i) => ({ title: `${i}:${title}`, text: text.text }));
  const { locations, fixed } = locationsIn(applied, (reference) => known.has(reference));
  const changes = new Map<string, { from: string; to: string }>();
  const left = new Set(fixed);
  const files = applied.map(({ title, text }, i) => {
    const done = rewriteText(text, locations[title] ?? [], options);
    for (const change of done.changes) changes.set(change.from, change);
    for (const reference of done.left) left.add(reference);
    return { title: loaded[i]?.title ?? title, text: done.text };
  });
  const upstreams = [...new Set(references.map((reference) => parseReference(reference).host))].sort();
  return {
    files,
    changes: [...changes.values()].sort((a, b) => (a.from < b.from ? -1 : 1)),
    left: [...left].sort(),
    upstreams,
  };
}

/** Several texts as one stream; a single text is unchanged. */
export function asStream(files: RewrittenFile[]): string {
  return files.reduce(
    (stream, { text }) =>
      stream === ""
        ? text
        : `${stream.replace(/\n*$/, "\n")}${/^---(?:\s|$)/m.test(text.slice(0, 4)) ? "" : "---\n"}${text}`,
    "",
  );
}
