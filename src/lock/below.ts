import { lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AirgapError } from "../errors.ts";
import { checkedTitle } from "./titles.ts";

/**
 * A path below a folder of this machine; creates its parent folders. No part of it may be a link that
 * was there already: whoever made the link would choose where we write.
 * @throws AirgapError `corrupt` for a name that leads out of it, `disk` for a link in its way
 */
export async function makePlaceBelow(folder: string, title: string): Promise<string> {
  const parts = checkedTitle(title).split("/");
  await mkdir(folder, { recursive: true });
  let path = folder;
  for (const [i, part] of parts.entries()) {
    path = join(path, part);
    const found = await lstat(path).catch(() => undefined);
    const last = i === parts.length - 1;
    if (found === undefined && !last) await mkdir(path);
    else if (found !== undefined && !(last ? found.isFile() : found.isDirectory()))
      throw inTheWay(path, last);
  }
  return path;
}

function inTheWay(path: string, last: boolean): AirgapError {
  return new AirgapError(
    "disk",
    `${path} is not a ${last ? "plain file" : "folder"}, so airgap does not write there`,
    { suggestions: ["name an empty folder, or remove what is there"] },
  );
}
