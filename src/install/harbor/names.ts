import type { FileRegion } from "../bundle.ts";

/** The `as:` name of Harbor's offline installer in a bundle. */
export const HARBOR_FILE = "harbor";
/** The `as:` name of Trivy's database: db.tar.gz, as its artifact has it. */
export const TRIVY_DB_FILE = "trivy-db";
/** The name under which the archive is sent. */
export const HARBOR_ARCHIVE = "harbor-offline-installer.tgz";

/** Harbor's offline installer in a bundle. */
export interface HarborArchive extends FileRegion {
  /** From the name of the images in it, as the file's own name may be anything: `v2.13.2`. */
  version: string;
}
