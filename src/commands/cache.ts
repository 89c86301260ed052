import { BaseCommand } from "../command.ts";
import { count, formatBytes } from "../format.ts";
import { defaultCacheDir } from "../state/cache.ts";
import { type CacheListing, listCache } from "../state/prune.ts";

export default class Cache extends BaseCommand<CacheListing> {
  static override summary = "Show what is kept between builds";
  static override description =
    "Content that was fetched before its digest was known, indexes of package repositories, notes about bundles. The folder is AIRGAP_CACHE_DIR, else airgap in the user's cache folder.";
  static override examples = ["<%= config.bin %> cache", "<%= config.bin %> cache prune --older-than 30"];

  async run(): Promise<CacheListing> {
    await this.parse(Cache);
    const listing = await listCache(defaultCacheDir());
    for (const { name, files, bytes } of listing.parts) this.report.line(`${name}\t${files}\t${bytes}`);
    const files = listing.parts.reduce((total, part) => total + part.files, 0);
    this.report.say(`${listing.dir}: ${formatBytes(listing.bytes)} in ${count(files, "file")}`);
    return listing;
  }
}
