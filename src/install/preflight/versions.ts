/** A package's version without its epoch. */
export const withoutEpoch = (version: string | undefined): string | undefined =>
  version?.replace(/^\d+:/, "");

/** Whether a package `1.28.2-1.1` is of the release `v1.28.2`. */
export function isPatchOf(version: string, release: string): boolean {
  const plain = withoutEpoch(version) ?? "";
  const wanted = release.replace(/^v/, "");
  return plain === wanted || (plain.startsWith(wanted) && !/^\d/.test(plain.slice(wanted.length)));
}
