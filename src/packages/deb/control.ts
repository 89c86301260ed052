import { AirgapError } from "../../errors.ts";

/** One paragraph of Debian's control format. Field names in lower case; values without the first line's white space. */
export type Paragraph = Map<string, string>;

const MAX_PARAGRAPH = 4 << 20;

/** Reads paragraphs as they come in. @throws AirgapError `corrupt` for a line that is none of the format's */
export async function* readParagraphs(
  chunks: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<Paragraph> {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n", start)) {
      const paragraph = parseParagraph(rest.slice(start, end), what);
      if (paragraph.size > 0) yield paragraph;
      start = end + 2;
    }
    rest = rest.slice(start);
    if (rest.length > MAX_PARAGRAPH)
      throw new AirgapError("corrupt", `${what} has a paragraph of more than ${MAX_PARAGRAPH} bytes`);
  }
  const last = parseParagraph(rest + decoder.decode(), what);
  if (last.size > 0) yield last;
}

/** https://www.debian.org/doc/debian-policy/ch-controlfields.html#syntax-of-control-files */
export function parseParagraph(text: string, what: string): Paragraph {
  const fields: Paragraph = new Map();
  let name = "";
  for (const line of text.split("\n")) {
    if (line === "" || line === "\r" || line.startsWith("#")) continue;
    if (line[0] === " " || line[0] === "\t") {
      if (name === "")
        throw new AirgapError(
          "corrupt",
          `${what}: a line continues no field: ${JSON.stringify(line.slice(0, 80))}`,
        );
      fields.set(name, `${fields.get(name)}\n${line.trimEnd()}`);
      continue;
    }
    const colon = line.indexOf(":");
    if (colon <= 0)
      throw new AirgapError("corrupt", `${what}: ${JSON.stringify(line.slice(0, 80))} is no field`);
    name = line.slice(0, colon).toLowerCase();
    fields.set(name, line.slice(colon + 1).trim());
  }
  return fields;
}
