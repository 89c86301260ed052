import { AirgapError } from "../../errors.ts";
import { EQUAL, GREATER, LESS, type Op } from "./version.ts";

/** A capability, with the range that its version must share; `op` 0 is any version. */
export interface Simple {
  kind: "simple";
  name: string;
  op: Op;
  version: string;
}

/** https://rpm-software-management.github.io/rpm/manual/boolean_dependencies.html */
export type Relation =
  | Simple
  | { kind: "and" | "or" | "with" | "without"; left: Relation; right: Relation }
  | { kind: "if" | "unless"; left: Relation; condition: Relation; otherwise?: Relation };

const OPS: Record<string, Op> = {
  "<": LESS,
  "<=": LESS | EQUAL,
  "=<": LESS | EQUAL,
  "=": EQUAL,
  "==": EQUAL,
  ">=": GREATER | EQUAL,
  "=>": GREATER | EQUAL,
  ">": GREATER,
};
const MAX_RICH = 64 * 1024;
const MAX_DEPTH = 50;

class RichParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Relation {
    const relation = this.#group(0);
    this.#space();
    if (this.#at !== this.#text.length) this.#fail("something follows the last parenthesis");
    return relation;
  }

  #group(depth: number): Relation {
    if (depth > MAX_DEPTH) this.#fail("it is nested too deep");
    this.#space();
    if (this.#text[this.#at] !== "(") return this.#simple();
    this.#at++;
    const first = this.#group(depth + 1);
    const word = this.#operator();
    if (word === undefined) return first;
    return this.#rest(first, word, depth);
  }

  /** `and`, `or` and `with` may be chained; `if` and `unless` may have an `else`. */
  #rest(left: Relation, word: string, depth: number): Relation {
    if (word === "if" || word === "unless") {
      const condition = this.#group(depth + 1);
      const next = this.#operator();
      if (next === undefined) return { kind: word, left, condition };
      if (next !== "else") return this.#fail(`'${next}' can't follow '${word}'`);
      const otherwise = this.#group(depth + 1);
      if (this.#operator() !== undefined) return this.#fail("nothing can follow 'else'");
      return { kind: word, left, condition, otherwise };
    }
    if (word !== "and" && word !== "or" && word !== "with" && word !== "without")
      return this.#fail(`'${word}' is no operator`);
    const operands = [left, this.#group(depth + 1)];
    for (let next = this.#operator(); next !== undefined; next = this.#operator()) {
      if (next !== word || word === "without")
        return this.#fail(`'${next}' can't follow '${word}' without parentheses`);
      operands.push(this.#group(depth + 1));
    }
    return operands.reduceRight((right, operand) => ({ kind: word, left: operand, right }));
  }

  /** The next word, or undefined at the closing parenthesis, which is taken. */
  #operator(): string | undefined {
    this.#space();
    if (this.#text[this.#at] === ")") {
      this.#at++;
      return undefined;
    }
    const word = this.#word();
    return word === "" ? this.#fail("a parenthesis is not closed") : word;
  }

  #simple(): Relation {
    const name = this.#word();
    if (name === "") this.#fail("a name is missing");
    const start = this.#at;
    this.#space();
    const op = OPS[this.#word()];
    if (op === undefined) {
      this.#at = start;
      return { kind: "simple", name, op: 0, version: "" };
    }
    this.#space();
    const version = this.#word();
    if (version === "") this.#fail("a version is missing");
    return { kind: "simple", name, op, version };
  }

  /** Up to white space or a parenthesis that was not opened within the word. */
  #word(): string {
    const start = this.#at;
    let open = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at] as string;
      if (char === " " || char === "\t" || char === "\n" || char === ",") break;
      if (char === "(") open++;
      if (char === ")" && open-- === 0) break;
    }
    return this.#text.slice(start, this.#at);
  }

  #space(): void {
    while (/[\s,]/.test(this.#text[this.#at] ?? "x")) this.#at++;
  }

  #fail(why: string): never {
    throw new AirgapError(
      "protocol",
      `The relation ${JSON.stringify(this.#text.slice(0, 200))} is not one of RPM's: ${why}`,
    );
  }
}

function parse(text: string): Relation {
  if (text.startsWith("(")) {
    if (text.length > MAX_RICH)
      throw new AirgapError(
        "protocol",
        `A relation of ${text.length} bytes is too long: ${text.slice(0, 100)}…`,
      );
    return new RichParser(text).parse();
  }
  const space = text.indexOf(" ");
  if (space < 0) return { kind: "simple", name: text, op: 0, version: "" };
  const words = text.split(/\s+/);
  const op = OPS[words[1] ?? ""];
  if (words.length !== 3 || op === undefined) return { kind: "simple", name: text, op: 0, version: "" };
  return { kind: "simple", name: words[0] as string, op, version: words[2] as string };
}

/** A relation as RPM writes it: `name`, `name >= 1.0`, `(a if b else c)`. @throws AirgapError `protocol` */
export function parseRelation(text: string): Relation {
  return parse(text);
}

/** `= 1.0-1` or "". */
export function parseRange(range: string): { op: Op; version: string } {
  const space = range.indexOf(" ");
  if (space < 0) return { op: 0, version: "" };
  return { op: OPS[range.slice(0, space)] ?? 0, version: range.slice(space + 1) };
}

/** Every capability that a relation speaks of. */
export function simplesOf(relation: Relation): Simple[] {
  switch (relation.kind) {
    case "simple":
      return [relation];
    case "if":
    case "unless":
      return [relation.left, relation.condition, ...(relation.otherwise ? [relation.otherwise] : [])].flatMap(
        simplesOf,
      );
    default:
      return [...simplesOf(relation.left), ...simplesOf(relation.right)];
  }
}

/** The names that a relation speaks of; none for what can't be read. */
export function namesIn(text: string): string[] {
  try {
    return simplesOf(parse(text)).map(({ name }) => name);
  } catch {
    return [];
  }
}
