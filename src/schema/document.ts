import { type Document, isCollection, isNode, LineCounter, type Node, parseAllDocuments } from "yaml";
import { AirgapError } from "../errors.ts";
import { type Problems, resolveAlias, type Schema } from "./schema.ts";

const MAX_SIZE = 4 * 1024 * 1024;
const MAX_SHOWN = 20;

interface Problem {
  line: number;
  column: number;
  text: string;
}

/** Where a value of a file is: a path like `hosts[1].name` gives `file:line:column`, of the nearest that is there. */
export type Locate = (path: string) => string;

/**
 * Reads one YAML (or JSON) document of a known shape.
 * @param file for messages
 * @throws AirgapError `spec`: every problem with `file:line:column`, in the order of the file
 */
export function readDocument<T>(text: string, file: string, schema: Schema<T>): T {
  return readLocated(text, file, schema).value;
}

/** The same, and where its values are, for rules between them. */
export function readLocated<T>(text: string, file: string, schema: Schema<T>): { value: T; locate: Locate } {
  refuseOtherKind(text, file, schema);
  if (text.length > MAX_SIZE)
    throw new AirgapError(
      "spec",
      `${file} is larger than ${MAX_SIZE} bytes, too large for a spec or cluster file`,
    );
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  const problems: Problem[] = [];
  const add = (offset: number, message: string): void => {
    const { line, col } = lines.linePos(offset);
    problems.push({ line, column: col, text: message });
  };
  const [document, second] = Array.isArray(documents) ? documents : [];
  if (document === undefined || document.contents === null) throw new AirgapError("spec", `${file} is empty`);
  if (second !== undefined) add(second.range[0], "this file must hold only one document");
  for (const error of document.errors) {
    const what = (error.message.split("\n")[0] ?? error.message).replace(/ at line \d+, column \d+:?$/, "");
    add(error.pos[0], `${what}${fullWidth(text, error.pos[0])}`);
  }
  if (problems.length > 0) throw failure(file, problems);

  const sink: Problems = {
    add: (node, path, message) => add(node?.range?.[0] ?? 0, path === "" ? message : `${path}: ${message}`),
    follow: (node) =>
      resolveAlias(node, (alias) =>
        (alias as unknown as { resolve(doc: unknown): Node | undefined }).resolve(document),
      ),
  };
  const value = schema.read(sink.follow(document.contents), "", sink);
  if (problems.length > 0 || value === undefined) throw failure(file, problems);
  const locate = (path: string): string => {
    const { line, col } = lines.linePos(nearestNode(document, path).range?.[0] ?? 0);
    return `${file}:${line}:${col}`;
  };
  return { value, locate };
}

/** The node at a path, or the innermost one on the way to it. */
function nearestNode(document: Document.Parsed, path: string): Node {
  const parts = path.split(/[.[\]]+/).filter(Boolean);
  let found: Node = document.contents as Node;
  for (const part of parts) {
    const next: unknown = isCollection(found) ? found.get(part, true) : undefined;
    if (!isNode(next)) break;
    found = next;
  }
  return found;
}

/** Files of this tool's kinds, and what takes them. */
const USES: Record<string, string> = {
  Bundle: "airgap build SPEC -o site.tar",
  Cluster: "airgap install CLUSTER --bundle site.tar",
};

/** The JSON Schema of each schema, made once. */
const texts = new WeakMap<object, string>();

/** A file of another kind would be one long list of wrong keys. */
function refuseOtherKind<T>(text: string, file: string, schema: Schema<T>): void {
  const kind = /^["']?kind["']?:[ \t]*["']?(\w+)/m.exec(text)?.[1] ?? "";
  const use = Object.hasOwn(USES, kind) ? USES[kind] : undefined;
  if (use === undefined) return;
  const allowed = texts.get(schema) ?? JSON.stringify(schema.json());
  texts.set(schema, allowed);
  if (!allowed.includes('"kind"') || allowed.includes(`"${kind}"`)) return;
  const name = (each: string): string => (each === "Cluster" ? "a cluster file" : "a bundle's spec");
  const other = kind === "Cluster" ? "Bundle" : "Cluster";
  throw new AirgapError("spec", `${file} is ${name(kind)}; here ${name(other)} is needed`, {
    suggestions: [use.replace(/SPEC|CLUSTER/, file)],
  });
}

/** An input method for Chinese writes these where YAML needs the plain ones. */
function fullWidth(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset) + 1;
  const [line = ""] = text.slice(start).split("\n", 1);
  const found = /[：，「」｛｝［］]/.exec(line)?.[0];
  return found === undefined
    ? ""
    : `; the line has a full-width '${found}', and YAML needs the half-width one`;
}

function failure(file: string, problems: Problem[]): AirgapError {
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  const shown = problems
    .slice(0, MAX_SHOWN)
    .map(({ line, column, text }) => `${file}:${line}:${column}: ${text}`);
  if (problems.length > MAX_SHOWN) shown.push(`… and ${problems.length - MAX_SHOWN} more`);
  return new AirgapError("spec", shown.join("\n"), {
    suggestions: [
      "airgap schema bundle > bundle.schema.json (or: schema cluster) gives a schema that lets your editor show every key",
    ],
    data: { problems: problems.map((problem) => ({ file, ...problem })) },
  });
}
