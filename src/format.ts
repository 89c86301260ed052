const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `1.5 GiB` */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

/**
 * `10M`, `10MiB`, `1.5 GiB`, `500K`, `2000` → bytes; letters stand for powers of 1024, as in curl.
 * @returns undefined for what is not a size
 */
export function parseBytes(text: string): number | undefined {
  const [, number, letter = ""] = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$/i.exec(text) ?? [];
  const power = ["", "K", "M", "G", "T"].indexOf(letter.toUpperCase());
  const bytes = Math.round(Number(number) * 1024 ** power);
  return number !== undefined && Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** `2 min 5 s`, `0.4 s` */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** `1 image`, `2 images` */
export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

/**
 * Characters that a reader does not see: control characters, which steer a terminal; marks of
 * direction (U+202E reverses names) and of width zero; line separators; halves of surrogate pairs;
 * everything that Unicode calls ignorable. Line feeds and tabs are not among them.
 */
const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}]/gu;

/** Text with nothing in it that cannot be seen; lines stay lines, however they end. */
export const printable = (text: string): string => text.replace(/\r+(?=\n|$)/g, "").replace(UNSEEN, "\ufffd");

/**
 * Text whose URLs have no user and password. Where a URL is known, `redactUrl` takes them off; this
 * is for values that stand where no URL is expected, and are quoted as they are.
 */
export const withoutLogins = (text: string): string =>
  text.replace(/\b(https?|oci|docker|ftp):\/\/[^\s/?#"'`<>]*@/gi, "$1://***@");

const escaped = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");

/** JSON with invisible characters as escapes; the value is the same. */
export const jsonText = (value: unknown, indent?: number): string =>
  (JSON.stringify(value, undefined, indent) ?? "null").replace(UNSEEN, escaped);

/** `a, b, c`; of many the first ones: `a, b, c, d, e and 995 more`. */
export function someOf(names: readonly string[], most = 6): string {
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`;
}
