import { type Document, isMap, isScalar, isSeq, parseAllDocuments, type YAMLMap, type YAMLSeq } from "yaml";
import { AirgapError } from "../errors.ts";
import type { ManifestFile } from "./bundle.ts";

/** An object whose pods a step can wait for. */
export interface Workload {
  namespace: string;
  /** `deployment/coredns` */
  name: string;
}

const ROLLED_OUT = new Set(["Deployment", "DaemonSet", "StatefulSet"]);

/** Documents of manifests, ready to be changed in place. @throws AirgapError `spec` */
export function parseManifests(files: Pick<ManifestFile, "path" | "text">[]): Document[] {
  return files.flatMap(({ path, text }) => {
    const documents = parseAllDocuments(text, { uniqueKeys: false });
    if (!Array.isArray(documents)) return [];
    return documents
      .filter(({ contents }) => contents !== null && !(isScalar(contents) && contents.value === null))
      .map((document) => {
        const [error] = document.errors;
        if (error) throw new AirgapError("spec", `${path}: ${error.message.split("\n")[0]}`);
        return document as Document;
      });
  });
}

export function printManifests(documents: Document[]): string {
  return documents.map((document) => document.toString({ lineWidth: 0 }).replace(/^---\n/, "")).join("---\n");
}

export const textAt = (document: Document, ...path: (string | number)[]): string => {
  const value: unknown = document.getIn(path);
  return typeof value === "string" ? value : "";
};

/** The objects among these documents to wait for. @param namespace of objects that name none */
export function workloads(documents: Document[], namespace = "default"): Workload[] {
  return documents.flatMap((document) => {
    const kind = textAt(document, "kind");
    if (!ROLLED_OUT.has(kind)) return [];
    return [
      {
        namespace: textAt(document, "metadata", "namespace") || namespace,
        name: `${kind.toLowerCase()}/${textAt(document, "metadata", "name")}`,
      },
    ];
  });
}

/** The containers of a workload's pods. */
export function containersOf(document: Document): YAMLMap[] {
  const list: unknown = document.getIn(["spec", "template", "spec", "containers"]);
  return isSeq(list) ? list.items.filter((item): item is YAMLMap => isMap(item)) : [];
}

/** A list of words below a key of a container: `args`, `command`. */
export function wordsOf(container: YAMLMap, key: string): { words: string[]; list: YAMLSeq } | undefined {
  const list: unknown = container.get(key, true);
  if (!isSeq(list)) return undefined;
  return { words: list.items.map((item) => (isScalar(item) ? String(item.value) : "")), list };
}
