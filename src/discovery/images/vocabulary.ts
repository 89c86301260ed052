/** How strongly the name of a field, flag or variable says that an image is meant. */
export type Speaks = "image" | "images-loosely" | "nothing" | "prose";

const IMAGE = new Set(["image", "images", "img", "imgs"]);

/** With one of these at its end, a name about images means a property of images, not an image. */
const ABOUT_IMAGES = new Set(
  (
    "pull pulls pulled push policy policies secret secrets tag tags registry registries repository repositories repo repos digest digests version id ids type types format size width height " +
    "gc count limit limits quality prefix suffix path paths dir directory host hostname addr address port endpoint server service timeout interval ttl enabled enable disable disabled " +
    "cache cached scan scanner scanning threshold deadline progress age retention mirror mirrors credential credentials auth user username password os arch platform platforms checksum " +
    "sha sha256 project families family selector feature features stream streams resolution kind filter filters verify verification validation automation provider rendering renderer " +
    "reflector policybased title alt caption description extension extensions capacity"
  ).split(" "),
);

const PROSE = new Set([
  "description",
  "descriptions",
  "message",
  "summary",
  "notes",
  "note",
  "readme",
  "help",
  "example",
  "examples",
  "docs",
  "documentation",
  "comment",
  "changelog",
  "changes",
  "license",
]);

/** Words that, without the word image, make a short `x/y:tag` believable. */
const HINTS = new Set([
  "container",
  "containers",
  "builder",
  "provisioner",
  "plugin",
  "sidecar",
  "initcontainer",
  "proxy",
]);

/** `fooBarImage`, `FOO_BAR_IMAGE`, `--foo-bar-image`, `foo.bar/image` as lower-case words. */
export function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2")
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .map((word) => word.toLowerCase());
}

const cache = new Map<string, Speaks>();

/** What the name of a value says about the value. */
export function speaks(name: string): Speaks {
  const known = cache.get(name);
  if (known !== undefined) return known;
  const answer = judgeName(wordsOf(name));
  if (cache.size > 20_000) cache.clear();
  cache.set(name, answer);
  return answer;
}

function judgeName(words: string[]): Speaks {
  const last = words.at(-1) ?? "";
  if (PROSE.has(last)) return "prose";
  const at = words.findLastIndex((word) => IMAGE.has(word) || /(?:^|[a-z])images?$/.test(word));
  if (at < 0) return words.some((word) => HINTS.has(word)) ? "images-loosely" : "nothing";
  const tail = words.slice(at + 1);
  if (tail.length === 0) return "image";
  if (tail.some((word) => ABOUT_IMAGES.has(word))) return "nothing";
  return tail.every((word) =>
    /^(?:name|names|ref|refs|reference|uri|url|full|default|value|spec|override|list|map|amd64|arm64|linux|windows|\d+)$/.test(
      word,
    ),
  )
    ? "image"
    : "images-loosely";
}
