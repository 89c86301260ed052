import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { AirgapError, messageOf } from "../../errors.ts";
import { type Bundle, type FileRegion, localName } from "../bundle.ts";
import { HARBOR_FILE, type HarborArchive } from "./names.ts";
import { isHarborVersion } from "./versions.ts";

/** The images come first in Harbor's own archives, so that only a header is read. */
async function imagesVersion(bundle: Bundle, { offset, size }: FileRegion): Promise<string | undefined> {
  const file = createReadStream(bundle.path, { start: offset, end: offset + size - 1 });
  const unpacked = createGunzip();
  const tar = extract();
  const end = (error: Error): void => {
    tar.destroy(error);
  };
  file.on("error", end);
  unpacked.on("error", end);
  file.pipe(unpacked).pipe(tar);
  try {
    for await (const entry of tar) {
      const version = /^(?:\.\/)?harbor\/harbor\.(v[^/]+)\.tar\.gz$/.exec(entry.header.name)?.[1];
      if (version !== undefined) return version;
      entry.resume();
    }
    return undefined;
  } finally {
    file.destroy();
    unpacked.destroy();
    tar.destroy();
  }
}

const isOnline = "an online installer has no images";

/**
 * Reads which Harbor a bundle carries; undefined when it carries none.
 * @throws AirgapError `not-closed` when the file is not Harbor's offline installer
 */
export async function readHarborArchive(bundle: Bundle): Promise<HarborArchive | undefined> {
  const region = bundle.files[HARBOR_FILE];
  if (region === undefined) return undefined;
  let version: string | undefined;
  let why = `it has no harbor/harbor.vX.Y.Z.tar.gz; ${isOnline}`;
  try {
    version = await imagesVersion(bundle, region);
  } catch (error) {
    why = messageOf(error);
  }
  if (version !== undefined && isHarborVersion(version)) return { ...region, version };
  if (version !== undefined) why = `its images are called ${version}, which is not a version of Harbor 2`;
  throw new AirgapError(
    "not-closed",
    `The file \`${HARBOR_FILE}\` of ${localName(bundle)} is not Harbor's offline installer: ${why}`,
    {
      suggestions: [
        "under `files:` of the spec, name harbor-offline-installer-vX.Y.Z.tgz of https://github.com/goharbor/harbor/releases",
      ],
    },
  );
}
