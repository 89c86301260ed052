/** Major and minor of a version as one number to compare: 4.18 → 4018. */
export function ordinal(version: string): number {
  const [major = 0, minor = 0] = version.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0);
  return major * 1000 + minor;
}
