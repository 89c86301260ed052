import { type LayoutFiles, LayoutSource, type OpenFile } from "./layout-source.ts";
import type { TarIndex } from "./tar-index.ts";
import { openTar, type TarOptions } from "./unpacked.ts";

/** Files of a tar, read in place. */
export class TarFiles implements LayoutFiles {
  readonly #tar: TarIndex;

  constructor(tar: TarIndex) {
    this.#tar = tar;
  }

  async open(path: string): Promise<OpenFile | undefined> {
    const region = this.#tar.find(path);
    return region && { ...region, close: async () => {} };
  }

  async close(): Promise<void> {
    await this.#tar.close();
  }
}

/**
 * `oci-archive:FILE`: an OCI image layout in a tar.
 * @throws AirgapError `not-found` when it does not hold a layout, `corrupt` when it is not a tar
 */
export async function openOciArchive(file: string, options: TarOptions): Promise<LayoutSource> {
  return LayoutSource.open(`oci-archive:${file}`, new TarFiles(await openTar(file, options)));
}
