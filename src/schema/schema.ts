import { isAlias, isMap, isPair, isScalar, isSeq, type Node } from "yaml";
import { nearest } from "./nearest.ts";

export type JsonSchema = Record<string, unknown>;

/** Where a check reports problems: the node, its path, the message. */
export interface Problems {
  add(node: Node | null | undefined, path: string, message: string): void;
  /** Follows an alias to its anchor. */
  follow(node: unknown): Node | null;
}

/**
 * One description of a value. It gives the TypeScript type, the check of a YAML node with line and
 * column, and the JSON Schema for editors.
 */
export interface Schema<T> {
  /** Reports problems, and gives undefined for a wrong value. */
  read(node: Node | null, path: string, problems: Problems): T | undefined;
  json(): JsonSchema;
  /** For messages: `a string`, `a list`. */
  readonly what: string;
}

/** A schema for an optional key with this default value. */
export interface Defaulted<T> extends Schema<T> {
  readonly fallback: T;
}

export function withDefault<T>(schema: Schema<T>, fallback: NoInfer<T>): Defaulted<T> {
  return {
    what: schema.what,
    fallback,
    read: (node, path, problems) => schema.read(node, path, problems),
    json: () => ({ ...schema.json(), default: fallback }),
  };
}

/** Converts the value that a schema reads: spells out short forms, changes the case. */
export function mapped<T, U>(schema: Schema<T>, to: (value: T) => U): Schema<U> {
  return {
    what: schema.what,
    read(node, path, problems) {
      const value = schema.read(node, path, problems);
      return value === undefined ? undefined : to(value);
    },
    json: () => schema.json(),
  };
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

interface StringOptions {
  pattern?: RegExp;
  /** What the pattern means, for messages: `a version like v1.28.2`. */
  means?: string;
  description?: string;
  /** Says why a text is wrong when a pattern is not enough. */
  check?: (text: string) => string | undefined;
}

function kindOf(node: Node | null): string {
  if (node === null) return "nothing";
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return "a list";
  if (isScalar(node))
    return node.value === null ? "nothing" : `the ${typeof node.value} ${JSON.stringify(node.value)}`;
  return "something else";
}

function wrong(node: Node | null, path: string, what: string, problems: Problems): undefined {
  problems.add(node, path, `must be ${what}, not ${kindOf(node)}`);
  return undefined;
}

function described(json: JsonSchema, description: string | undefined): JsonSchema {
  return description === undefined ? json : { ...json, description };
}

export function string(options: StringOptions = {}): Schema<string> {
  const what = options.means ?? "a string";
  return {
    what,
    read(node, path, problems) {
      if (!isScalar(node) || typeof node.value !== "string") {
        const hint =
          isScalar(node) && (typeof node.value === "number" || typeof node.value === "boolean")
            ? `${what}; put it in quotes`
            : what;
        return wrong(node, path, hint, problems);
      }
      const why =
        options.pattern && !options.pattern.test(node.value)
          ? `must be ${what}, not ${JSON.stringify(node.value)}`
          : options.check?.(node.value);
      if (why === undefined) return node.value;
      problems.add(node, path, why);
      return undefined;
    },
    json: () =>
      described(
        { type: "string", ...(options.pattern ? { pattern: options.pattern.source } : {}) },
        options.description,
      ),
  };
}

export function boolean(description?: string): Schema<boolean> {
  return {
    what: "true or false",
    read: (node, path, problems) =>
      isScalar(node) && typeof node.value === "boolean"
        ? node.value
        : wrong(node, path, "true or false", problems),
    json: () => described({ type: "boolean" }, description),
  };
}

export function integer(limits: { min: number; max: number; description?: string }): Schema<number> {
  const what = `a whole number from ${limits.min} to ${limits.max}`;
  return {
    what,
    read(node, path, problems) {
      const value = isScalar(node) ? node.value : undefined;
      const fits =
        typeof value === "number" && Number.isInteger(value) && value >= limits.min && value <= limits.max;
      return fits ? value : wrong(node, path, what, problems);
    },
    json: () => described({ type: "integer", minimum: limits.min, maximum: limits.max }, limits.description),
  };
}

export function oneOf<const T extends string>(values: readonly T[], description?: string): Schema<T> {
  const what = `one of ${values.join(", ")}`;
  return {
    what,
    read(node, path, problems) {
      const value = isScalar(node) ? node.value : undefined;
      if (typeof value === "string" && (values as readonly string[]).includes(value)) return value as T;
      const near = typeof value === "string" ? nearest(value, values) : undefined;
      return wrong(node, path, near ? `${what} (did you mean '${near}'?)` : what, problems);
    },
    json: () => described({ enum: [...values] }, description),
  };
}

export function list<T>(entry: Schema<T>, options: { min?: number; description?: string } = {}): Schema<T[]> {
  return {
    what: "a list",
    read(node, path, problems) {
      if (!isSeq(node)) return wrong(node, path, "a list", problems);
      if (node.items.length < (options.min ?? 0))
        problems.add(node, path, `needs at least ${options.min} entry`);
      return node.items.flatMap(
        (item, i) => entry.read(problems.follow(item), `${path}[${i}]`, problems) ?? [],
      );
    },
    json: () =>
      described(
        { type: "array", items: entry.json(), ...(options.min ? { minItems: options.min } : {}) },
        options.description,
      ),
  };
}

/** A mapping with any keys. */
export function map<T>(
  entry: Schema<T>,
  options: { key?: RegExp; keyMeans?: string; description?: string } = {},
): Schema<Record<string, T>> {
  return {
    what: "a mapping",
    read(node, path, problems) {
      if (!isMap(node)) return wrong(node, path, "a mapping", problems);
      const result: Record<string, T> = Object.create(null) as Record<string, T>;
      for (const pair of node.items) {
        const key = isPair(pair) && isScalar(pair.key) ? String(pair.key.value) : undefined;
        if (key === undefined || (options.key && !options.key.test(key))) {
          problems.add(
            (pair.key ?? node) as Node,
            path,
            `${JSON.stringify(key ?? "?")} is not ${options.keyMeans ?? "a key"}`,
          );
          continue;
        }
        const value = entry.read(problems.follow(pair.value), `${path}.${key}`, problems);
        if (value !== undefined) result[key] = value;
      }
      return { ...result };
    },
    json: () =>
      described(
        {
          type: "object",
          additionalProperties: entry.json(),
          ...(options.key ? { propertyNames: { pattern: options.key.source } } : {}),
        },
        options.description,
      ),
  };
}

/** Any YAML value as plain data, for another program's configuration. */
export function anything(description?: string): Schema<Record<string, unknown>> {
  return {
    what: "a mapping",
    read: (node, path, problems) =>
      isMap(node) ? (node.toJSON() as Record<string, unknown>) : wrong(node, path, "a mapping", problems),
    json: () => described({ type: "object" }, description),
  };
}

type Shape = Record<string, Schema<unknown>>;
type WithDefault<O extends Shape> = {
  [K in keyof O]: O[K] extends Defaulted<unknown> ? K : never;
}[keyof O];
type Fields<R extends Shape, O extends Shape> = { [K in keyof R]: Infer<R[K]> } & {
  [K in WithDefault<O>]: Infer<O[K]>;
} & { [K in Exclude<keyof O, WithDefault<O>>]?: Infer<O[K]> };

/**
 * An object with known keys. A key with no value (`caFile: ,`) counts as absent and gets its default.
 */
export function object<R extends Shape, O extends Shape>(
  required: R,
  optional: O,
  description?: string,
): Schema<Fields<R, O>> {
  const known: Shape = { ...required, ...optional };
  const names = Object.keys(known);
  return {
    what: "a mapping",
    read(node, path, problems) {
      if (!isMap(node)) return wrong(node, path, "a mapping", problems);
      const found = new Map<string, unknown>();
      const seen = new Set<string>();
      for (const pair of node.items) {
        const key = isScalar(pair.key) ? String(pair.key.value) : "?";
        const schema = Object.hasOwn(known, key) ? known[key] : undefined;
        if (schema === undefined) {
          const near = nearest(key, names);
          problems.add(
            pair.key as Node,
            path,
            `unknown key '${key}'${near ? `; did you mean '${near}'?` : `; known keys: ${names.join(", ")}`}`,
          );
          continue;
        }
        const value = problems.follow(pair.value);
        if (value === null || (isScalar(value) && value.value === null)) continue;
        seen.add(key);
        const read = schema.read(value, path === "" ? key : `${path}.${key}`, problems);
        if (read !== undefined) found.set(key, read);
      }
      for (const name of Object.keys(required))
        if (!seen.has(name)) problems.add(node, path, `'${name}' is missing`);
      for (const [name, schema] of Object.entries(optional))
        if (!seen.has(name) && "fallback" in schema) found.set(name, structuredClone(schema.fallback));
      // Use the schema's order, so that the result does not depend on the order in the file.
      const read = names.flatMap((name) => (found.has(name) ? [[name, found.get(name)]] : []));
      return Object.fromEntries(read) as Fields<R, O>;
    },
    json: () =>
      described(
        {
          type: "object",
          properties: Object.fromEntries(
            Object.entries(known).map(([name, schema]) => [name, nullable(schema.json(), name in optional)]),
          ),
          ...(Object.keys(required).length > 0 ? { required: Object.keys(required) } : {}),
          additionalProperties: false,
        },
        description,
      ),
  };
}

function nullable(json: JsonSchema, optional: boolean): JsonSchema {
  if (!optional) return json;
  const { default: fallback, ...plain } = json;
  return {
    anyOf: [plain, { type: "null" }],
    ...(json["description"] ? { description: json["description"] } : {}),
    ...(fallback === undefined ? {} : { default: fallback }),
  };
}

/** The node's type chooses the form: a string, a list or a mapping, each at most once. */
export function either<A, B>(first: Schema<A>, second: Schema<B>, description?: string): Schema<A | B> {
  return {
    what: `${first.what} or ${second.what}`,
    read(node, path, problems) {
      if (fits(first, node)) return first.read(node, path, problems);
      if (fits(second, node)) return second.read(node, path, problems);
      return wrong(node, path, `${first.what} or ${second.what}`, problems);
    },
    json: () => described({ anyOf: [first.json(), second.json()] }, description),
  };
}

function fits(schema: Schema<unknown>, node: Node | null): boolean {
  const json = schema.json();
  if (Array.isArray(json["anyOf"]))
    return json["anyOf"].some((option) => shapeFits(option as JsonSchema, node));
  return shapeFits(json, node);
}

function shapeFits(json: JsonSchema, node: Node | null): boolean {
  if (isMap(node)) return json["type"] === "object";
  if (isSeq(node)) return json["type"] === "array";
  if (!isScalar(node)) return false;
  if (Array.isArray(json["enum"])) return json["enum"].includes(node.value);
  return json["type"] === typeof node.value || (json["type"] === "integer" && typeof node.value === "number");
}

/** Resolves aliases; used by `Problems.follow`. */
export function resolveAlias(node: unknown, resolve: (alias: Node) => Node | undefined): Node | null {
  if (node === null || node === undefined) return null;
  return isAlias(node) ? (resolve(node) ?? null) : (node as Node);
}
