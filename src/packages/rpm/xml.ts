import { type SaxesAttributePlain, SaxesParser } from "saxes";
import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";

export type Attributes = Record<string, string>;

/** What a reader of rpm-md is told. Names come without their prefix: `rpm:entry` is `entry`. */
export interface XmlHandler {
  open(name: string, attributes: Attributes, depth: number): void;
  /** `text` is the character data directly before the closing tag. */
  close(name: string, text: string, depth: number): void;
}

const MAX_DEPTH = 32;
const MAX_TOKEN = 4 << 20;
const MAX_ATTRIBUTES = 64;

const localName = (name: string): string => name.slice(name.indexOf(":") + 1);

/**
 * Feeds XML to a handler as it comes in, in bounded memory. There are no entities but the
 * predefined ones, so nothing can be blown up; what is not closed for megabytes is refused.
 * After each chunk `pause` is awaited, so that a slow consumer holds the stream back.
 * @throws AirgapError `corrupt` where it is not well-formed
 */
export async function readXml(
  chunks: AsyncIterable<Buffer>,
  what: string,
  handler: XmlHandler,
  pause?: () => Promise<void> | undefined,
): Promise<void> {
  const parser = new SaxesParser({ xmlns: false, position: false });
  const decoder = new TextDecoder("utf-8");
  let depth = 0;
  let text = "";
  let sinceTag = 0;
  const fail = (why: string): never => {
    throw new AirgapError("corrupt", `${what} is not the XML it should be: ${why}`);
  };
  parser.on("error", (error) => fail(messageOf(error)));
  parser.on("attribute", (_attribute: SaxesAttributePlain) => {
    sinceTag++;
  });
  parser.on("opentag", (tag) => {
    if (++depth > MAX_DEPTH) fail(`elements are nested more than ${MAX_DEPTH} deep`);
    if (Object.keys(tag.attributes).length > MAX_ATTRIBUTES) fail("an element has too many attributes");
    sinceTag = 0;
    text = "";
    handler.open(localName(tag.name), tag.attributes as Attributes, depth);
  });
  parser.on("text", (piece) => {
    text += piece;
    if (text.length > MAX_TOKEN) fail("a text without end");
  });
  parser.on("cdata", (piece) => {
    text += piece;
  });
  parser.on("closetag", (tag) => {
    sinceTag = 0;
    handler.close(localName(tag.name), text, depth--);
    text = "";
  });
  try {
    for await (const chunk of chunks) {
      sinceTag += chunk.length;
      if (sinceTag > MAX_TOKEN * 2) fail("no element ends for megabytes");
      parser.write(decoder.decode(chunk, { stream: true }));
      await pause?.();
    }
    parser.write(decoder.decode());
    parser.close();
  } catch (error) {
    if (isAirgapError(error)) throw error;
    fail(messageOf(error));
  }
  if (depth !== 0) fail("it ends too early");
}
