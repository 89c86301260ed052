import { createHash } from "node:crypto";
import type { PrivateKey } from "openpgp";
import { signDetached } from "../../src/packages/openpgp.ts";
import { Tag } from "../../src/packages/rpm/header.ts";
import { parseEvr } from "../../src/packages/rpm/version.ts";

type Value =
  | { type: 4; numbers: number[] }
  | { type: 6; text: string }
  | { type: 8; texts: string[] }
  | { type: 7; bytes: Uint8Array };

/** A header section: magic, index, store. */
export function headerSection(values: [number, Value][]): Buffer {
  const entries: Buffer[] = [];
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [tag, value] of values.toSorted((a, b) => a[0] - b[0])) {
    if (value.type === 4 && offset % 4 !== 0) {
      const padding = Buffer.alloc(4 - (offset % 4));
      parts.push(padding);
      offset += padding.length;
    }
    const [data, count] = encode(value);
    const entry = Buffer.alloc(16);
    entry.writeUInt32BE(tag, 0);
    entry.writeUInt32BE(value.type, 4);
    entry.writeUInt32BE(offset, 8);
    entry.writeUInt32BE(count, 12);
    entries.push(entry);
    parts.push(data);
    offset += data.length;
  }
  const head = Buffer.alloc(16);
  head.writeUInt32BE(0x8eade801, 0);
  head.writeUInt32BE(entries.length, 8);
  head.writeUInt32BE(offset, 12);
  return Buffer.concat([head, ...entries, ...parts]);
}

function encode(value: Value): [Buffer, number] {
  if (value.type === 7) return [Buffer.from(value.bytes), value.bytes.length];
  if (value.type === 6) return [Buffer.from(`${value.text}\0`), 1];
  if (value.type === 8)
    return [Buffer.from(value.texts.map((text) => `${text}\0`).join("")), value.texts.length];
  const data = Buffer.alloc(value.numbers.length * 4);
  for (const [i, number] of value.numbers.entries()) data.writeUInt32BE(number, i * 4);
  return [data, value.numbers.length];
}

export interface SmallRpm {
  name: string;
  evr: string;
  arch?: string;
  requires?: string[];
  /** Signs the header. */
  key?: PrivateKey;
  payload?: string;
  payloadDigest?: string;
}

const SENSE: Record<string, number> = { "<": 2, "<=": 10, "=": 8, ">=": 12, ">": 4 };

/** A small RPM with a real header; its payload is only bytes. */
export async function smallRpm({
  name,
  evr,
  arch = "noarch",
  requires = [],
  key,
  payload = "payload",
  payloadDigest,
}: SmallRpm): Promise<Buffer> {
  const { epoch, version, release = "1" } = parseEvr(evr);
  const split = requires.map((text) => (text.startsWith("(") ? [text] : text.split(" ")));
  const digest = payloadDigest ?? createHash("sha256").update(payload).digest("hex");
  const main = headerSection([
    [Tag.name, { type: 6, text: name }],
    [Tag.version, { type: 6, text: version }],
    [Tag.release, { type: 6, text: release }],
    ...(epoch === "0" ? [] : [[Tag.epoch, { type: 4, numbers: [Number(epoch)] }] as [number, Value]]),
    [Tag.arch, { type: 6, text: arch }],
    [Tag.summary, { type: 6, text: `The <${name}> & co` }],
    [Tag.buildTime, { type: 4, numbers: [1_600_000_000] }],
    [Tag.provideName, { type: 8, texts: [name] }],
    [Tag.provideFlags, { type: 4, numbers: [8] }],
    [Tag.provideVersion, { type: 8, texts: [evr] }],
    [Tag.requireName, { type: 8, texts: split.map((words) => words[0] as string) }],
    [Tag.requireFlags, { type: 4, numbers: split.map((words) => SENSE[words[1] ?? ""] ?? 0) }],
    [Tag.requireVersion, { type: 8, texts: split.map((words) => words[2] ?? "") }],
    [Tag.baseNames, { type: 8, texts: [name] }],
    [Tag.dirNames, { type: 8, texts: ["/opt/"] }],
    [Tag.dirIndexes, { type: 4, numbers: [0] }],
    [Tag.fileModes, { type: 4, numbers: [0o100644] }],
    [Tag.payloadDigest, { type: 8, texts: [digest] }],
    [Tag.payloadDigestAlgorithm, { type: 4, numbers: [8] }],
  ]);
  const sha256 = createHash("sha256").update(main).digest("hex");
  const signatures: [number, Value][] = [[273, { type: 6, text: sha256 }]];
  if (key) {
    const { readSignature } = await import("openpgp");
    const signature = await readSignature({ armoredSignature: await signDetached(main, key) });
    signatures.push([268, { type: 7, bytes: signature.write() as Uint8Array }]);
  }
  const signature = headerSection(signatures);
  const lead = Buffer.alloc(96);
  lead.writeUInt32BE(0xedabeedb, 0);
  const padding = Buffer.alloc((8 - ((96 + signature.length) % 8)) % 8);
  return Buffer.concat([lead, signature, padding, main, Buffer.from(payload)]);
}
