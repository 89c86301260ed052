const WIDTH = 110;

/** JSON as the formatter of this repository writes it: on one line where it fits. */
export function formatJson(value: unknown, indent = "", before = 0): string {
  const inner = `${indent}  `;
  const line = inline(value);
  const list = Array.isArray(value);
  if (typeof value !== "object" || value === null || (before + line.length < WIDTH && indent !== ""))
    return line;
  const parts = list
    ? value.map((each) => formatJson(each, inner, inner.length))
    : Object.entries(value).map(([key, each]) => {
        const name = `${JSON.stringify(key)}: `;
        return name + formatJson(each, inner, inner.length + name.length);
      });
  return `${list ? "[" : "{"}\n${parts.map((part) => inner + part).join(",\n")}\n${indent}${list ? "]" : "}"}`;
}

function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${inline(each)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}
