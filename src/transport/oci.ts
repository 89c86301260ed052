import { join } from "node:path";
import { type LayoutFiles, LayoutSource, type OpenFile } from "./layout-source.ts";
import { closePlainFile, openPlainFile } from "./plain-file.ts";

/** Files of a directory. Opens only files with computed names, and only plain files. */
class DirectoryFiles implements LayoutFiles {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async open(name: string): Promise<OpenFile | undefined> {
    const file = await openPlainFile(join(this.#path, name));
    return file && { fd: file.fd, offset: 0, size: file.size, close: () => closePlainFile(file.fd) };
  }

  async close(): Promise<void> {}
}

/**
 * `oci:DIR`: an OCI image layout in a directory.
 * @throws AirgapError `not-found` when the directory is not a layout
 */
export function openOci(directory: string): Promise<LayoutSource> {
  return LayoutSource.open(`oci:${directory}`, new DirectoryFiles(directory));
}
