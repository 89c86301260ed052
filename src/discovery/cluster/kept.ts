import { readFile, stat } from "node:fs/promises";
import { AirgapError, messageOf } from "../../errors.ts";
import { decode } from "../manifests/read.ts";
import type { ClusterObject } from "./kubectl.ts";
import { type ClusterFinds, ObjectReader } from "./reader.ts";
import { mayNameImagesItself } from "./workloads.ts";

/** Most bytes of a file: the objects of 20,000 pods. */
const MAX_FILE = 256 * 1024 * 1024;

/** What `kubectl get … -o json` printed, kept in files. */
export interface KeptLists {
  /** Files; `-` is standard input. */
  paths: readonly string[];
  stdin(): Promise<Uint8Array>;
}

/**
 * Every image that a cluster runs or may run, by what was kept of it.
 * @throws AirgapError `spec` for what is no list of objects in JSON
 */
export async function findInKept({ paths, stdin }: KeptLists): Promise<ClusterFinds> {
  const reader = new ObjectReader();
  for (const path of paths) {
    const bytes = path === "-" ? await stdin() : await contentOf(path);
    const name = path === "-" ? "stdin" : path;
    for (const object of objectsIn(decode(bytes, name), name))
      if (mayNameImagesItself(object)) reader.read(object);
  }
  return reader.finds();
}

async function contentOf(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size <= MAX_FILE) return await readFile(path);
  } catch (cause) {
    throw new AirgapError("spec", `Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
  throw new AirgapError("spec", `${path} is larger than ${MAX_FILE >> 20} MiB`, {
    suggestions: ["keep each kind in a file of its own: kubectl get pods -A -o json > pods.json"],
  });
}

/** A list, or one object; files of several after each other are no JSON. */
function objectsIn(text: string, name: string): ClusterObject[] {
  const wrong = (why: string, cause?: unknown): AirgapError =>
    new AirgapError("spec", `${name} is not what kubectl get -o json prints: ${why}`, {
      cause,
      suggestions: ["kubectl get pods,deployments,cronjobs -A -o json > kept.json"],
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong("it is not JSON", cause);
  }
  if (!isObject(value) || typeof value["kind"] !== "string") throw wrong("it has no kind");
  if (!Array.isArray(value["items"])) return [value];
  return value["items"].filter(isObject);
}

const isObject = (value: unknown): value is ClusterObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
