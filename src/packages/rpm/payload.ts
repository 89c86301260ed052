import { AirgapError } from "../../errors.ts";
import { decompress } from "../decompress.ts";
import { NeedMore } from "../heads.ts";
import { Taker } from "../taker.ts";
import { parseRpm } from "./header.ts";

/** A file of a package. */
export interface PayloadEntry {
  /** Without a slash at its start. */
  path: string;
  /** `hard`: another name of the file `target`, which came before. */
  kind: "file" | "folder" | "link" | "hard";
  /** Permissions, with setuid and the like. */
  mode: number;
  /** Where a link points to; the path of the file that a hard link names. */
  target?: string;
  content?: Buffer;
}

/** Most bytes that the files of a package may be, and that one of them may be. */
const MAX_DATA = 8 * 2 ** 30;
const MAX_FILE = 1 * 2 ** 30;
const MAX_PATH = 4096;
/** Bytes of a header of cpio's "newc" form: a magic number, and 13 numbers of 8 hexadecimal digits. */
const HEADER = 110;
const KINDS = new Map([
  [0o100000, "file"],
  [0o040000, "folder"],
  [0o120000, "link"],
] as const);

interface Header {
  /** The same for all names of a file. */
  file: string;
  kind: "file" | "folder" | "link" | undefined;
  mode: number;
  names: number;
  size: number;
  nameSize: number;
}

/** https://rpm-software-management.github.io/rpm/manual/format_payload.html */
function readCpioHeader(block: Buffer): Header | undefined {
  const text = block.toString("latin1");
  if (!/^070701[0-9a-fA-F]{104}$/.test(text)) return undefined;
  const at = (i: number): number => Number.parseInt(text.slice(6 + 8 * i, 14 + 8 * i), 16);
  const mode = at(1);
  return {
    file: [at(7), at(8), at(0)].join(":"),
    ...{
      kind: KINDS.get((mode & 0o170000) as 0o100000),
      mode: mode & 0o7777,
      names: at(4),
      size: at(6),
      nameSize: at(11),
    },
  };
}

/** The path of an entry below the root. */
function pathOf(name: string): string | undefined {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") ? undefined : parts.join("/");
}

/**
 * The files of a whole RPM, in the order of its payload; devices and the like are passed over. The names of one file
 * come with its content only at the last of them, so here they follow it.
 * @throws AirgapError `corrupt`
 */
export async function* payloadEntries(rpm: Buffer, what: string): AsyncGenerator<PayloadEntry> {
  const damaged = (why: string): AirgapError =>
    new AirgapError("corrupt", `${what} has a damaged payload: ${why}`);
  const taker = new Taker(decompress(payloadOf(rpm, what), `the payload of ${what}`, MAX_DATA));
  const waiting = new Map<string, { path: string; mode: number }[]>();
  const known = new Map<string, string>();
  const next = async (size: number): Promise<Buffer> => {
    const bytes = await taker.take(size + (-size & 3));
    if (bytes === undefined) throw damaged("it is cut short");
    return bytes.subarray(0, size);
  };
  for (;;) {
    const block = await taker.take(HEADER);
    const header = block && readCpioHeader(block);
    if (header === undefined)
      throw damaged(
        block?.toString("latin1", 0, 6) === "07070X"
          ? "files of more than 4 GiB are not read here"
          : "there is no cpio header",
      );
    const { file, kind, mode, names, size, nameSize } = header;
    if (nameSize < 1 || nameSize > MAX_PATH || size > MAX_FILE) throw damaged("a name or file is too large");
    // The header and the name are padded together.
    const padded = nameSize + (-(HEADER + nameSize) & 3);
    const name = (await taker.take(padded))?.toString("utf8", 0, nameSize - 1);
    if (name === undefined) throw damaged("it is cut short");
    if (name === "TRAILER!!!") break;
    const path = pathOf(name);
    if (path === undefined)
      throw damaged(`${JSON.stringify(name.slice(0, 200))} is not a path below the root`);
    const content = await next(size);
    if (kind === undefined || path === "") continue;
    if (kind === "link") yield { path, kind, mode, target: content.toString("utf8") };
    else if (kind === "folder") yield { path, kind, mode };
    else if (names < 2) yield { path, kind, mode, content };
    else if (known.has(file)) yield { path, kind: "hard", mode, target: known.get(file) as string };
    else if (size === 0) waiting.set(file, [...(waiting.get(file) ?? []), { path, mode }]);
    else {
      known.set(file, path);
      yield { path, kind, mode, content };
      for (const other of waiting.get(file) ?? []) yield { ...other, kind: "hard", target: path };
      waiting.delete(file);
    }
  }
  // Empty files with several names.
  for (const [first, ...others] of waiting.values()) {
    if (first === undefined) continue;
    yield { ...first, kind: "file", content: Buffer.alloc(0) };
    for (const other of others) yield { ...other, kind: "hard", target: first.path };
  }
  // A decoder that is left before its end keeps others waiting for its memory.
  for await (const _ of taker.rest());
}

async function* payloadOf(rpm: Buffer, what: string): AsyncGenerator<Buffer> {
  try {
    yield rpm.subarray(parseRpm(rpm, what).end);
  } catch (error) {
    if (error instanceof NeedMore) throw new AirgapError("corrupt", `${what} is cut short`);
    throw error;
  }
}
