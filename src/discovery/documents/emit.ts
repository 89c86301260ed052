import { isNull, type Mapping, type Node, type Scalar, type Sequence } from "./node.ts";

/** Plain strings that any YAML reader, 1.1 included, reads as strings. */
const SAFE = /^[A-Za-z/_][A-Za-z0-9_./@%+-]*(?::[A-Za-z0-9_./@%+-]+)*(?: [A-Za-z0-9_./@%+(),-]+)*$/;
const SPECIAL =
  /^(?:true|false|yes|no|on|off|null|y|n|~|\.inf|\.nan|0x[0-9a-f]+|0o?[0-7]+|[-+]?[0-9._]+(?:e[-+]?[0-9]+)?)$/i;

/** Characters that a block scalar cannot hold, and a quoted one only escaped. */
const UNPRINTABLE = /[^\P{Cc}\n\t]|[\u2028\u2029\ufeff]/u;

/** Writes a document as block YAML that Kubernetes reads as the same values. */
export function emitDocument(root: Node): string {
  return `${emit(root, 0, false)}
`;
}

/** Documents as one stream. */
export function emitStream(roots: Node[]): string {
  return roots.map((root) => `---\n${emitDocument(root)}`).join("");
}

function emit(node: Node, indent: number, inline: boolean): string {
  if (node.kind === "scalar") return emitScalar(node, indent);
  if (node.kind === "sequence") return node.items.length === 0 ? "[]" : emitSequence(node, indent, inline);
  return node.entries.length === 0 ? "{}" : emitMapping(node, indent, inline);
}

const pad = (indent: number): string => " ".repeat(indent);

/** The first line continues the text that is written already: `- ` of a list, or nothing at the start. */
function emitMapping({ entries }: Mapping, indent: number, inline: boolean): string {
  const lines = entries.map(
    ({ key, value }) =>
      `${emitScalar({ kind: "scalar", value: key, plain: false }, 0, true)}:${behind(value, indent)}`,
  );
  return (inline ? "" : pad(indent)) + lines.join(`\n${pad(indent)}`);
}

function behind(value: Node, indent: number): string {
  if (value.kind === "mapping" && value.entries.length > 0) return `\n${emit(value, indent + 2, false)}`;
  if (value.kind === "sequence" && value.items.length > 0) return `\n${emit(value, indent, false)}`;
  const text = emit(value, indent, true);
  return text === "" ? "" : ` ${text}`;
}

function emitSequence({ items }: Sequence, indent: number, inline: boolean): string {
  const lines = items.map((item) => `- ${emit(item, indent + 2, true)}`);
  return (inline ? "" : pad(indent)) + lines.join(`\n${pad(indent)}`);
}

/** A plain scalar keeps its source and so its type; a string is quoted when it could be read as another type. */
function emitScalar(scalar: Scalar, indent: number, key = false): string {
  const { value } = scalar;
  if (scalar.plain && !value.includes("\n")) return isNull(scalar) ? "null" : value;
  if (
    !key &&
    value.includes("\n") &&
    /^\S/.test(value) &&
    !UNPRINTABLE.test(value) &&
    !/[ \t]+$/m.test(value)
  )
    return block(value, indent);
  if (SAFE.test(value) && !SPECIAL.test(value)) return value;
  return JSON.stringify(value).replace(
    new RegExp(UNPRINTABLE, "gu"),
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function block(value: string, indent: number): string {
  const body = value.replace(/\n+$/, "");
  const ends = value.length - body.length;
  const sign = ends === 0 ? "-" : ends === 1 ? "" : "+";
  const lines = body.split("\n").map((line) => (line === "" ? "" : `${pad(indent + 2)}${line}`));
  return `|${sign}\n${lines.join("\n")}${"\n".repeat(Math.max(0, ends - 1))}`;
}
