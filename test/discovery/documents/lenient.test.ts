import { describe, expect, test } from "vitest";
import { get, itemsOf, type Node, spanOf, stringAt } from "../../../src/discovery/documents/node.ts";
import { parseStream } from "../../../src/discovery/documents/parse.ts";
import { Text } from "../../../src/discovery/documents/text.ts";

const read = (text: string): Node[] => [...parseStream(new Text("x.yaml", text))].map(({ root }) => root);

function plain(node: Node | undefined): unknown {
  if (node?.kind === "mapping")
    return Object.fromEntries(node.entries.map(({ key, value }) => [key, plain(value)]));
  return node?.kind === "sequence" ? node.items.map(plain) : node?.value;
}

// Every input was given to kustomize 5.6 and helm 3.18: both read it, with these values.
describe("what kubectl, helm and kustomize read, and the specification of YAML does not allow", () => {
  test.each([
    [
      "a quoted text at its key's indentation",
      'a:\n  k: \'{"a":"b",\n  "c": "d"}\'\n  z: x\n',
      { k: '{"a":"b", "c": "d"}', z: "x" },
    ],
    [
      "at the margin, with blank lines and an escaped end",
      'a:\n  k: "one\ntwo\n\nthree \\\n four"\n  z: x\n',
      { k: "one two\nthree four", z: "x" },
    ],
    ["that ends at the margin", "a:\n  k: 'x\n'\n  l: it\n", { k: "x ", l: "it" }],
    [
      "with its own quote in it",
      "a:\n  k: 'it''s\n''so'\n  l: \"a \\\"\nb\"\n",
      { k: "it's 'so", l: 'a " b' },
    ],
    ["in a list in a list", "a:\n- - k: 'b\n  c'\n    d: e\n", [[{ k: "b c", d: "e" }]]],
    ["with carriage returns", "a:\r\n  k: 'x\r\n  y'\r\n  z: x\r\n", { k: "x y", z: "x" }],
    ["with carriage returns alone", "a:\r  k: 'x\r  y'\r  z: |\r    1\r    2\r", { k: "x y", z: "1\n2\n" }],
    ["a list at the margin", "a:\n- k: [\n1,\n2\n]\n  b: {\nx: y\n}\n", [{ k: ["1", "2"], b: { x: "y" } }]],
    [
      "with comments, blank lines and brackets in texts",
      "a:\n- k: [\n\n# ] no end\n{\nx: [\"]\",\n'}']}\n]\n  b: 3\n",
      [{ k: [{ x: ["]", "}"] }], b: "3" }],
    ],
    ["indented by tabs", "a:\n  z: [\n\tb,\n\tc ]\n", { z: ["b", "c"] }],
    [
      "JSON behind a key",
      'a:\n  z: {"a": {\n"b": [\n{"c":1},\n{"d":2}\n]\n}}\n',
      { z: { a: { b: [{ c: "1" }, { d: "2" }] } } },
    ],
    ["a comment right behind a value", 'a:\n  k: "x"#c\n  l: [a]#c\n', { k: "x", l: ["a"] }],
  ])("%s", (_, text, value) => {
    expect(plain(get(read(text)[0], "a"))).toEqual(value);
  });

  test.each([
    ["a comment behind the dashes", "a: 1\n---# second\na: 2\n", ["1", "2"]],
    ["content behind them", "a: 1\n---a: 2\nb: 3\n--- a: 3\nb: 4\n", ["1", "2", "3"]],
    ["the end of a document", "a: 1\n...\na: 2\n... # end\n---\na: 3\n", ["1", "2", "3"]],
    ["JSON, one a line", '{"a":1}\n{"a":"}{\\"","b":[{}]}\n\n{"a":3}', ["1", '}{"', "3"]],
    ["JSON glued together, and YAML behind it", '\ufeff{"a":1}{"a":2}\n---\na: 3\n', ["1", "2", "3"]],
    ["four dashes, which are none", "a: |\n  x\n  ----\nb: 1\n", ["x\n----\n"]],
  ])("documents apart by %s", (_, text, values) => {
    expect(read(text).map((root) => stringAt(root, "a"))).toEqual(values);
  });

  test("places are those of the file", () => {
    const text = "a:\n  k: 'one\n  two'\n  list: [\nx/y:1,\nz\n]\n  end: last\n";
    const [root] = read(text);
    const at = (node: Node | undefined): string | undefined => {
      const span = node?.kind === "scalar" ? spanOf(node) : undefined;
      return span && `${span.in.lineOf(span.start)}: ${text.slice(span.start, span.end)}`;
    };
    expect(at(itemsOf(get(root, "a", "list"))[0])).toBe("5: x/y:1");
    expect(at(get(root, "a", "end"))).toBe("8: last");
  });

  test.each([
    ["a quote that nothing closes", "a:\n  k: 'one\nb: 2\n"],
    ["a bracket that nothing closes", "a:\n  k: [\nb: 2\n"],
    ["two values of one key", "a:\n  k: one\n  two\n  l: x\n"],
    [
      "a thousand quotes that go on too early, in a deep file",
      `${" ".repeat(5000)}a: 1\n${"a: 'x\ny'\n".repeat(1000)}`,
    ],
  ])("%s is still an error with file and line, soon", (_, text) => {
    const started = Date.now();
    expect(() => read(text)).toThrow(/x\.yaml:\d+: is not YAML/);
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  test("many that go on too early are read in one more pass", () => {
    const started = Date.now();
    expect(itemsOf(get(read(`a:\n${"- k: 'x\n  y'\n".repeat(5_000)}`)[0], "a"))).toHaveLength(5_000);
    expect(Date.now() - started).toBeLessThan(20_000);
  });
});
