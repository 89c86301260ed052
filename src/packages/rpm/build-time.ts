import { open } from "node:fs/promises";
import { messageOf } from "../../errors.ts";
import { corrupt } from "../../lock/shape.ts";
import { NeedMore } from "../heads.ts";
import { parseRpm, Tag } from "./header.ts";

/**
 * When an RPM was built, in seconds since 1970: the time that its repository's metadata give its file.
 * @throws AirgapError `corrupt`
 */
export async function rpmBuildTime(path: string): Promise<number> {
  const file = await open(path, "r");
  try {
    for (let size = 64 << 10; ; ) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
      try {
        return parseRpm(buffer.subarray(0, bytesRead), path).main.number(Tag.buildTime) ?? 0;
      } catch (error) {
        if (error instanceof NeedMore && bytesRead === size) size = error.bytes;
        else throw corrupt(`${path} is not a whole RPM: ${messageOf(error)}`);
      }
    }
  } finally {
    await file.close();
  }
}
