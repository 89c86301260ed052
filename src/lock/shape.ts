import { AirgapError, Exit } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { lineProblem, type NameRule, titleProblem } from "./names.ts";

/** Content of a bundle or a lock that is malformed. It is never reported as a bug: a lock comes from outside. */
export function corrupt(message: string, suggestions: string[] = [], cause?: unknown): AirgapError {
  return new AirgapError("corrupt", message, { exit: Exit.check, suggestions, cause });
}

/** The location of a check in a value. */
export class Cursor {
  readonly #what: string;
  readonly #path: (string | number)[] = [];

  /** @param what names the whole value in messages: `The lock of site.tar` */
  constructor(what: string) {
    this.#what = what;
  }

  /** @throws AirgapError `corrupt` */
  fail(why: string): never {
    const path = this.#path
      .map((key, i) => (typeof key === "number" ? `[${key}]` : `${i === 0 ? "" : "."}${shown(key)}`))
      .join("");
    throw corrupt(`${this.#what} is damaged or was not written by airgap: ${path && `${path} `}${why}`);
  }

  inside<T>(key: string | number, value: unknown, shape: Shape<T>): T {
    this.#path.push(key);
    const checked = shape(value, this);
    this.#path.pop();
    return checked;
  }
}

const shown = (key: string): string =>
  /^[\w@:/.-]{1,80}$/.test(key) ? key : JSON.stringify(key.slice(0, 80));

/** Returns the given value, typed, or throws by the cursor's `fail`. */
export type Shape<T> = (value: unknown, at: Cursor) => T;

type OptionalKeys<T> = { [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? K : never }[keyof T];
type Required<T> = { [K in Exclude<keyof T, OptionalKeys<T>>]: Shape<T[K]> };
type Optional<T> = { [K in OptionalKeys<T>]-?: Shape<Exclude<T[K], undefined>> };

/** An object of known keys: each key of T has a shape, so that every value is checked. */
export function object<T extends object>(required: Required<T>, optional: Optional<T>): Shape<T> {
  const shapes = new Map<string, Shape<unknown>>(Object.entries({ ...required, ...optional }));
  const needed = Object.keys(required);
  return (value, at) => {
    if (!isRecord(value)) return at.fail("is not an object");
    for (const key of Object.keys(value)) {
      const shape = shapes.get(key);
      if (shape === undefined)
        return at.fail(`has the key ${shown(key)}, which this version of airgap does not know`);
      at.inside(key, value[key], shape);
    }
    for (const key of needed) if (!Object.hasOwn(value, key)) at.fail(`has no key ${key}`);
    return value as T;
  };
}

/** An object with free keys. */
export function mapOf<T>(key: Shape<string>, entry: Shape<T>, max = 100_000): Shape<Record<string, T>> {
  return (value, at) => {
    if (!isRecord(value)) return at.fail("is not an object");
    const keys = Object.keys(value);
    if (keys.length > max) return at.fail(`has ${keys.length} keys; at most ${max} are allowed`);
    for (const name of keys) {
      // A property that every object has would be mistaken for an entry.
      if (name in Object.prototype) return at.fail(`has the key ${name}`);
      key(name, at);
      at.inside(name, value[name], entry);
    }
    return value as Record<string, T>;
  };
}

export function listOf<T>(entry: Shape<T>, max = 100_000): Shape<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return at.fail("is not a list");
    if (value.length > max) return at.fail(`has ${value.length} entries; at most ${max} are allowed`);
    for (let i = 0; i < value.length; i++) at.inside(i, value[i], entry);
    return value;
  };
}

export function oneOf<const T extends string>(values: readonly T[]): Shape<T> {
  return (value, at) =>
    values.includes(value as T) ? (value as T) : at.fail(`is not one of ${values.join(", ")}`);
}

export const yes: Shape<true> = (value, at) => (value === true ? value : at.fail("is not true"));
export const flag: Shape<boolean> = (value, at) =>
  typeof value === "boolean" ? value : at.fail("is not true or false");

/** A number of bytes, or an offset. */
export const count: Shape<number> = (value, at) =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0
    ? value
    : at.fail("is not a whole number of 0 or more");

export const digest: Shape<Digest> = (value, at) =>
  isDigest(value) ? value : at.fail("is not a sha256 or sha512 digest");

function text(value: unknown, at: Cursor): string {
  return typeof value === "string" ? value : at.fail("is not a string");
}

/** Characters of a text on one line, and of one with several. */
const MAX_LINE = 8192;
const MAX_TEXT = 1024 * 1024;

/** A text that is shown on one line: the source of an item, who asked for it. */
export const line: Shape<string> = (value, at) => {
  const problem = lineProblem(text(value, at), MAX_LINE);
  return problem === undefined ? (value as string) : at.fail(problem);
};

/** A text of several lines that others wrote: a description, a key in ASCII armour. */
export const lines: Shape<string> = (value, at) => {
  const found = text(value, at);
  if (found.length > MAX_TEXT)
    return at.fail(`has ${found.length} characters; at most ${MAX_TEXT} are allowed`);
  const problem = lineProblem(found.replace(/[\t\r\n]/g, ""), MAX_TEXT);
  return problem === undefined ? found : at.fail(problem);
};

export function named({ pattern, means }: NameRule): Shape<string> {
  return (value, at) =>
    pattern.test(line(value, at)) ? (value as string) : at.fail(`${shown(value as string)} is not ${means}`);
}

/** A text that a parser accepts. @param parse returns undefined for other text */
export function parsed(parse: (text: string) => unknown, means: string): Shape<string> {
  return (value, at) =>
    parse(line(value, at)) === undefined
      ? at.fail(`${shown(value as string)} is not ${means}`)
      : (value as string);
}

/** A path of a file in an artifact. */
export const title: Shape<string> = (value, at) => {
  const problem = titleProblem(text(value, at));
  return problem === undefined
    ? (value as string)
    : at.fail(`the file name ${shown(value as string)} ${problem}`);
};
