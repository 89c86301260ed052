import { readFile, stat } from "node:fs/promises";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Node } from "../documents/node.ts";
import { get } from "../documents/node.ts";
import { MAX_FILE, parseStream } from "../documents/parse.ts";
import type { Text } from "../documents/text.ts";

/** @throws AirgapError `spec` for anything but a readable file of at most `MAX_FILE` bytes */
export async function readText(path: string): Promise<string> {
  const found = await stat(path).catch((cause) => {
    throw new AirgapError("spec", `Cannot read ${path}: ${messageOf(cause)}`, { cause });
  });
  if (!found.isFile()) throw new AirgapError("spec", `${path} is not a file`);
  if (found.size > MAX_FILE)
    throw new AirgapError(
      "spec",
      `${path} has ${(found.size / 1048576).toFixed(1)} MiB; at most ${MAX_FILE >> 20} MiB are allowed`,
      {
        suggestions: ["split it into several files"],
      },
    );
  return decode(await readFile(path), path);
}

/** @throws AirgapError `spec` when it is not UTF-8 */
export function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AirgapError("spec", `${name} is not UTF-8 text`, { cause });
  }
}

/** Whether a document is a Kubernetes object, or a list of them. */
export function isObject(root: Node): boolean {
  return root.kind === "mapping" && get(root, "apiVersion") !== undefined && get(root, "kind") !== undefined;
}

/** All documents of a text. @throws AirgapError `spec` with file and line */
export function documentsOf(text: Text): Node[] {
  return [...parseStream(text)].map(({ root }) => root);
}
