import { AirgapError } from "../../errors.ts";
import { BLOCK, padded, readHeader } from "../../transport/tar-header.ts";
import { decompressAll } from "../decompress.ts";
import { NeedMore } from "../heads.ts";

/** What the start of a .deb tells. */
export interface DebHead {
  /** The text of its control file. */
  control: string;
  /** Names of its members as far as they were read: `data.tar.xz` is the third. */
  members: string[];
  /** Bytes from the start of the file that were looked at. */
  end: number;
}

const MAGIC = "!<arch>\n";
const MEMBER = 60;
const MAX_CONTROL = 64 << 20;

interface Member {
  name: string;
  start: number;
  size: number;
}

/** https://manpages.debian.org/deb.5: an ar archive of debian-binary, control.tar and data.tar. */
function readMember(bytes: Buffer, at: number, what: string): Member {
  if (bytes.length < at + MEMBER) throw new NeedMore(at + MEMBER);
  const text = bytes.toString("latin1", at, at + MEMBER);
  const size = Number(text.slice(48, 58).trim());
  if (text.slice(58) !== "`\n" || !Number.isSafeInteger(size) || size < 0)
    throw new AirgapError(
      "corrupt",
      `${what} is no Debian package: there is no archive member at byte ${at}`,
    );
  return { name: text.slice(0, 16).trim().replace(/\/$/, ""), start: at + MEMBER, size };
}

/** Reads the start of a .deb. @throws NeedMore when `bytes` ends before its control archive does, AirgapError `corrupt` */
export async function readDebHead(bytes: Buffer, what: string): Promise<DebHead> {
  if (bytes.length < MAGIC.length) throw new NeedMore(MAGIC.length + MEMBER);
  if (bytes.toString("latin1", 0, MAGIC.length) !== MAGIC)
    throw new AirgapError("corrupt", `${what} is no Debian package`);
  const members: string[] = [];
  let control: Buffer | undefined;
  for (let at = MAGIC.length; members.length < 8; ) {
    const member = readMember(bytes, at, what);
    members.push(member.name);
    if (member.name.startsWith("data.tar")) {
      if (control === undefined) break;
      return { control: await controlFile(control, what), members, end: member.start };
    }
    if (member.size > MAX_CONTROL)
      throw new AirgapError(
        "corrupt",
        `${what} has a member ${JSON.stringify(member.name)} of ${member.size} bytes before its data`,
      );
    const end = member.start + member.size;
    if (bytes.length < end) throw new NeedMore(end + (member.size % 2) + MEMBER);
    if (member.name.startsWith("control.tar")) control = bytes.subarray(member.start, end);
    at = end + (member.size % 2);
  }
  throw new AirgapError("corrupt", `${what} is no Debian package: it has no control.tar before its data`);
}

/** The compressed files of a whole .deb. @throws AirgapError `corrupt` */
export function dataMember(bytes: Buffer, what: string): Buffer {
  for (let at = MAGIC.length, i = 0; i < 8 && at + MEMBER <= bytes.length; i++) {
    const { name, start, size } = readMember(bytes, at, what);
    if (name.startsWith("data.tar")) return bytes.subarray(start, start + size);
    at = start + size + (size % 2);
  }
  throw new AirgapError("corrupt", `${what} is no Debian package: it has no data.tar`);
}

/** The file `control` out of control.tar. */
async function controlFile(compressed: Buffer, what: string): Promise<string> {
  const tar = await decompressAll(compressed, `control.tar of ${what}`, MAX_CONTROL);
  for (let at = 0; at + BLOCK <= tar.length; ) {
    const header = readHeader(tar.subarray(at, at + BLOCK));
    const start = at + BLOCK;
    // NaN is not at most anything.
    if (header === undefined || !(start + header.size <= tar.length)) break;
    if (header.type === "0" && (header.name === "./control" || header.name === "control"))
      return tar.toString("utf8", start, start + header.size);
    at = start + padded(header.size);
  }
  throw new AirgapError("corrupt", `${what} has no control file`);
}
