import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { emitStream } from "../../../src/discovery/documents/emit.ts";
import { get, type Node, stringAt } from "../../../src/discovery/documents/node.ts";
import { MAX_DOCUMENT, MAX_FILE, parseStream } from "../../../src/discovery/documents/parse.ts";
import { fileSpan, lineOf, locate, Text } from "../../../src/discovery/documents/text.ts";

const read = (text: string, definitions = false): Node[] =>
  [...parseStream(new Text("x.yaml", text), definitions)].map(({ root }) => root);
const within = <T>(ms: number, work: () => T): T => {
  const started = Date.now();
  try {
    return work();
  } finally {
    expect(Date.now() - started).toBeLessThan(ms);
  }
};

describe("streams", () => {
  test("documents, comments, JSON, and what is empty", () => {
    const roots = read('# only a comment\n---\na: 1\n---\n\n---\n# nothing\n---\n{"b": "c"}\n...\n');
    expect(roots.map((root) => [stringAt(root, "a"), stringAt(root, "b")])).toEqual([
      ["1", undefined],
      [undefined, "c"],
    ]);
  });

  test("plain scalars keep their source: a tag of 1.20 is no 1.2", () => {
    expect(stringAt(read("tag: 1.20\n")[0], "tag")).toBe("1.20");
  });

  test("definitions are left out unless they are asked for", () => {
    const text = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n---\nkind: Pod\n";
    expect(read(text)).toHaveLength(1);
    expect(read(text, true)).toHaveLength(2);
  });

  test("aliases are followed, `<<` is merged, the last of two equal keys counts", () => {
    const [root] = read("base: &b { image: a:1, x: 1 }\nuse: { <<: *b, x: 2 }\nlist: [*b]\nk: 1\nk: 2\n");
    expect(stringAt(root, "use", "image")).toBe("a:1");
    expect(stringAt(root, "use", "x")).toBe("2");
    expect(stringAt(root, "k")).toBe("2");
  });
});

describe("hostile input ends with a clear error, soon", () => {
  const laughs = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 8 }, (_, i) => {
    const [name, before] = [String.fromCharCode(98 + i), String.fromCharCode(97 + i)];
    return `${name}: &${name} [${Array.from({ length: 10 }, () => `*${before}`).join(",")}]`;
  }).join("\n")}\n`;

  test.each([
    ["billion laughs", laughs, /aliases of aliases/],
    ["an alias inside of its own anchor", "a: &a { b: *a }\n", /inside its own anchor/],
    ["an alias without anchor", "a: *nowhere\n", /nowhere/],
    ["brackets without end", "[".repeat(200_000), /x\.yaml:1: /],
    ["nesting", `${"- ".repeat(20_000)}x`, /nested too deeply/],
    ["bad YAML", "a: b\n c: d\n", /x\.yaml:\d+: is not YAML/],
    ["tabs", "a:\n\tb: c\n", /x\.yaml:\d+: is not YAML/],
  ])("%s", (_, text, message) => {
    within(10_000, () => expect(() => read(text)).toThrow(message));
  });

  test("a document of 50 MB is refused before it is parsed", () => {
    const text = `kind: ConfigMap\ndata:\n${'  "0123456789abcdef0123456789": "0123456789abcdef0123456789"\n'.repeat(900_000)}`;
    expect(text.length).toBeGreaterThan(50e6);
    within(2_000, () => expect(() => read(text)).toThrow(`larger than ${MAX_FILE >> 20} MiB`));
    within(2_000, () =>
      expect(() => read(text.slice(0, MAX_DOCUMENT + 10))).toThrow(/a document of 10\.0 MiB/),
    );
  });

  test("many small documents are no problem", () => {
    expect(within(20_000, () => read("---\nkind: Pod\n".repeat(20_000)))).toHaveLength(20_000);
  });
});

describe("places", () => {
  test("a text in a text has its line and stretch in the file", () => {
    const file = 'kind: ConfigMap\ndata:\n  pod.yaml: |\n    a: 1\n    image: "busybox:1"\n';
    const text = new Text("x.yaml", file);
    const [root] = [...parseStream(text)].map((document) => document.root);
    const inner = get(root, "data", "pod.yaml");
    if (inner?.kind !== "scalar" || !inner.span) throw new Error("no scalar");
    const embedded = new Text("x.yaml", inner.value, { span: inner.span, value: inner.value });
    const start = inner.value.indexOf("busybox:1");
    const span = { in: embedded, start, end: start + 9 };
    expect(lineOf(span)).toBe(5);
    const found = fileSpan(span);
    expect(file.slice(found?.start, found?.end)).toBe("busybox:1");
  });

  test("the n-th time in the value is the n-th time in the source", () => {
    const text = new Text("x", "'a:1 a:1'");
    expect(locate({ in: text, start: 0, end: 9 }, "a:1 a:1", 4, 7)).toMatchObject({ start: 5, end: 8 });
    expect(locate({ in: new Text("x", '"a\\u003a1"'), start: 0, end: 10 }, "a:1", 0, 3)).toBeUndefined();
  });
});

describe("writing", () => {
  const cases = {
    strings: {
      a: "yes",
      b: "0755",
      c: "1e3",
      d: "",
      e: " x",
      f: "a: b",
      g: "# no",
      h: "null",
      i: "~",
      j: "2001-01-01",
      k: "a\tb",
      l: "-x",
      m: "@x",
      n: "x:",
      o: "é",
      p: "1_000",
      q: "0x1f",
    },
    lines: {
      a: "one\ntwo\n",
      b: "one\ntwo",
      c: "one\n\n\n",
      d: " lead\nx\n",
      e: "trail \nx\n",
      f: "x\r\ny\n",
      g: "\n",
      h: "a\n b\n",
    },
    nested: { a: [{ b: [], c: {} }, [1, ["x"]], null, true, 1.5], "key: odd": { "": 1, "8080": "y" } },
  };
  test.each(Object.entries(cases))("%s read back as they were, by YAML 1.1 and 1.2", (_, value) => {
    const roots = read(JSON.stringify(value));
    const text = emitStream([...roots, ...roots]);
    for (const version of ["1.1", "1.2"] as const) {
      const [first, second] = parseAllDocuments(text, { version }).map((document) => document.toJS());
      expect(first).toEqual(value);
      expect(second).toEqual(value);
    }
  });

  test("plain scalars keep their type", () => {
    expect(parse(emitStream(read("a: 1\nb: true\nc: ~\nd: 1.50\ne: 0644\n")), { version: "1.1" })).toEqual({
      a: 1,
      b: true,
      c: null,
      d: 1.5,
      e: 420,
    });
  });
});
