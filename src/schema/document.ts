import { LineCounter, type Node, parseAllDocuments } from "yaml";
import { AirgapError } from "../errors.ts";
import { type Problems, resolveAlias, type Schema } from "./schema.ts";

const MAX_SIZE = 4 * 1024 * 1024;
const MAX_SHOWN = 20;

interface Problem {
  line: number;
  column: number;
  text: string;
}

/**
 * Reads one YAML (or JSON) document of a known shape.
 * @param file for messages
 * @throws AirgapError `spec`: every problem with `file:line:column`, in the order of the file
 */
export function readDocument<T>(text: string, file: string, schema: Schema<T>): T {
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
  for (const error of document.errors)
    add(
      error.pos[0],
      (error.message.split("\n")[0] ?? error.message).replace(/ at line \d+, column \d+:?$/, ""),
    );
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
  return value;
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
