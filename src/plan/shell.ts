import { createHash } from "node:crypto";
import { quote } from "../host/host.ts";

/** Text that a script holds unquoted. */
export class Raw {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Puts text into a script unquoted: another script, or a word that needs no quotes. */
export const raw = (text: string): Raw => new Raw(text);

type Value = string | number | Raw | readonly (string | number)[];

function word(value: Value): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return value.map((each) => quote(String(each))).join(" ");
  return quote(String(value));
}

/** The indentation common to all lines with text. */
function indentation(strings: readonly string[]): number {
  const lines = strings.join("x").split("\n").slice(1);
  const depths = lines.filter((line) => line.trim() !== "").map((line) => /^ */.exec(line)?.[0].length ?? 0);
  return depths.length === 0 ? 0 : Math.min(...depths);
}

/**
 * A script for sh. Values are quoted as one word each, lists as several; `raw` and `here` are not
 * quoted. Indentation common to all lines is removed.
 */
export function sh(strings: TemplateStringsArray, ...values: Value[]): string {
  const parts = strings.raw.map((part) => part.replaceAll("\\`", "`").replaceAll("\\${", "${"));
  const depth = indentation(parts);
  const plain = parts.map((part) => part.replace(new RegExp(`\\n {0,${depth}}`, "g"), "\n"));
  return plain
    .map((part, i) => part + (i < values.length ? word(values[i] as Value) : ""))
    .join("")
    .replace(/^\n/, "")
    .replace(/\s+$/, "");
}

/** An argument of a function: a word, or a list that becomes one word with blanks in it. */
export type Argument = string | number | readonly (string | number)[];

/**
 * Calls a function of `manifests/host/lib` (or any command): every argument is one word. A list
 * becomes one word, which the function splits; its entries hold no blanks. Words that may hold blanks
 * come last, spread: `call("f", first, ...rest)`.
 * @throws Error for an entry of a list that the function would split
 */
export function call(name: string, ...args: Argument[]): string {
  const words = args.map((arg) => {
    if (typeof arg === "string" || typeof arg === "number") return quote(String(arg));
    const split = arg.find((entry) => /\s|^$/.test(String(entry)));
    if (split !== undefined) throw new Error(`'${split}' cannot be an entry of a list of ${name}`);
    return quote(arg.join(" "));
  });
  return [name, ...words].join(" ");
}

/** Calls a function that reads this text from its stdin. */
export const callWithInput = (input: string, name: string, ...args: Argument[]): string =>
  `${call(name, ...args)} ${here(input).text}`;

/** A here-document with literal content. It must be the last on its line. */
export function here(content: string): Raw {
  const text = content.endsWith("\n") ? content : `${content}\n`;
  let mark = "AIRGAP";
  while (text.split("\n").includes(mark))
    mark = `AIRGAP_${createHash("sha256").update(mark).digest("hex").slice(0, 8)}`;
  return raw(`<<'${mark}'\n${text}${mark}`);
}
